"""One clip of a training set, and the file of them that trainers read."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from t2v_studio.errors import InputError, NotFoundError, StudioError, wrong_fields
from t2v_studio.studies.blinding import sha256_of

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
JSONL, CSV = "manifest.jsonl", "manifest.csv"


class ManifestRow(BaseModel):
    """One line of a manifest: a whole video, or one of its scenes.

    The row says what stands in the file: frames start_frame to start_frame + frames - 1 are the clip.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, description="The record's id; with #scene where the row is one scene.")
    video_path: str = Field(min_length=1, description="Relative to the manifest's folder, with slashes.")
    caption: str = Field(min_length=1, description="Trigger token first, where there is one.")
    split: Split
    topic_tag: str = Field(description="The lesson template, or the topic in short; of footage, its scenario.")
    topic: str = ""
    family: str = Field(description="Topic and seed, or source video: the unit that splits never break.")
    source: str = Field("generated", description="generated, or the set that footage comes from.")
    record_id: str = Field("", description="Record that the clip was made from; empty for footage.")
    scene: str = Field("", description="Id of the scene; empty for a whole video.")
    weight: float = Field(1.0, gt=0)
    score: float | None = Field(None, ge=1, le=5, description="Mean over the criteria; empty where nobody scored it.")
    scores: dict[str, float] = Field(default_factory=dict, description="Criterion to mean score.")
    ratings: int = Field(0, ge=0, description="How many single scores these means rest on.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the file.")
    start_frame: int = Field(0, ge=0)
    frames: int = Field(ge=1)
    fps: float = Field(gt=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    engine: str = Field("", description="What drew the frames; several joined by +.")
    model: str = ""
    verdict: str = ""
    arm: str = ""
    seed: int | None = None
    fallback: bool = Field(False, description="Whether another engine than the one asked for drew a part.")
    adapter: str = Field("", description="Adapter that was on when the clip was made.")
    scenario: str = ""
    variants: list[str] = Field(default_factory=list, description="Other captions of the same clip.")

    @field_validator("video_path")
    @classmethod
    def _stays_relative(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or "\\" in path or re.match(r"^[A-Za-z]:", path):
            raise ValueError("must be relative to the manifest, with slashes")
        return path

    @property
    def duration_s(self) -> float:
        return self.frames / self.fps


def manifest_file(path: Path) -> Path:
    """The JSONL file itself, for a path to it or to its folder. Raises NotFoundError."""
    found = path / JSONL if path.is_dir() else path
    if not found.is_file():
        raise NotFoundError("no_manifest", f"There is no manifest {path}.", "Make one with: t2v manifest build")
    return found


def read_manifest(path: Path, *, check_hashes: bool = False) -> list[ManifestRow]:
    """The rows of a manifest.jsonl, or of a folder that holds one.

    check_hashes: read every clip and compare it, too. Raises NotFoundError; InputError that names the line.
    """
    file = manifest_file(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("manifest_unreadable", f"{file} cannot be read ({error}).", "Check the path.") from error
    rows = [_row(line, number, file.name) for number, line in enumerate(lines, start=1) if line.strip()]
    twice = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if twice:
        raise InputError("manifest_repeats", f"{file.name}: {twice[0]} stands twice.", "Build the manifest again.")
    if check_hashes:
        troubles = check_files(file, rows)
        if troubles:
            raise InputError(
                "clips_changed",
                f"{len(troubles)} of {len(rows)} clips are not those of the manifest: {troubles[0]}",
                "Build the manifest again.",
                clips=troubles,
            )
    return rows


def clip_file(manifest: Path, row: ManifestRow) -> Path:
    """Where a row's video lies. manifest: the JSONL file or its folder."""
    folder = manifest if manifest.is_dir() else manifest.parent
    return (folder / row.video_path).resolve()


def check_files(manifest: Path, rows: Iterable[ManifestRow]) -> list[str]:
    """What is wrong with the clips on disk, one line each: gone, or other bytes than the row's sha256."""
    seen: dict[Path, str] = {}
    troubles = []
    for row in rows:
        file = clip_file(manifest, row)
        if file not in seen:
            seen[file] = sha256_of(file) if file.is_file() else ""
        if not seen[file]:
            troubles.append(f"{row.id}: {row.video_path} is gone.")
        elif seen[file] != row.sha256:
            troubles.append(f"{row.id}: {row.video_path} has changed.")
    return troubles


Hasher = Callable[[Path], str]


class Hashes:
    """`sha256_of` that remembers a file until its size or time changes; for a page that looks often."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int, int], str] = {}

    def __call__(self, path: Path) -> str:
        state = path.stat()
        key = (path, state.st_mtime_ns, state.st_size)
        if key not in self._known:
            self._known[key] = sha256_of(path)
        return self._known[key]


def data_hash(rows: Iterable[ManifestRow]) -> str:
    """What a set is, whatever its place on disk: SHA-256 over clips, captions, splits and weights. For adapter cards."""
    parts = sorted(
        (row.id, row.sha256, str(row.start_frame), str(row.frames), row.caption, row.split, f"{row.weight:g}")
        for row in rows
    )
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def latent_path(sha256: str, group: str, *, start_frame: int = 0, suffix: str = ".safetensors") -> str:
    """Where the latents of a clip lie in a cache folder: <group>/<sha256, 20 digits>[-<start frame>]<suffix>.

    group: the row's scenario, else its topic_tag. One cache folder belongs to one VAE and one geometry, so
    neither stands in the name. The trainer's cache and scenario_metadata.json both follow this rule; the
    .npz export of the documents differs in its suffix alone.
    """
    start = f"-{start_frame}" if start_frame else ""
    return f"{slug(group) or 'clips'}/{sha256[:20]}{start}{suffix}"


def slug(text: str, limit: int = 40) -> str:
    """A short plain name: "Gradient descent!" is "gradient_descent". Other scripts keep a hash of themselves."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:limit].rstrip("_")
    return stem or (hashlib.sha256(text.encode()).hexdigest()[:10] if text.strip() else "")


def _row(line: str, number: int, name: str) -> ManifestRow:
    where = f"{name}, line {number}"
    try:
        return ManifestRow.model_validate_json(line)
    except ValidationError as error:
        hint = "Correct this line, or build the manifest again."
        raise wrong_fields("bad_manifest", error, where, known=ManifestRow.model_fields, hint=hint) from error


def nothing_left(what: str) -> StudioError:
    """The error for a set that came out empty."""
    return StudioError(
        "empty_manifest", f"No clip is left: {what}", "Loosen the filters, or make and score more videos."
    )
