"""Where the training clips come from: a manifest of the studio, or a folder in a layout that other trainers read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2v_studio.datasets.rows import ManifestRow, clip_file, read_manifest, sha256_of
from t2v_studio.datasets.splits import split_families
from t2v_studio.errors import InputError, NotFoundError
from t2v_studio.video import decode

VIDEO_SUFFIXES = (".mp4", ".mov", ".webm", ".mkv", ".avi")
LAYOUTS = "a manifest.jsonl, a metadata.jsonl with file_name and caption, or clips with a .txt beside each"


@dataclass(frozen=True)
class Source:
    """One row and the file that it speaks of."""

    row: ManifestRow
    file: Path

    @property
    def group(self) -> str:
        """Scenario, else topic: what a scenario adapter is trained on."""
        return self.row.scenario or self.row.topic_tag


def read_sources(path: Path, seed: int = 42) -> list[Source]:
    """The clips of a data set. Raises NotFoundError, InputError.

    path: a manifest (JSONL or its folder), a folder with metadata.jsonl, or a folder of clips each with a
    .txt of the same name. The last two have no splits, so they are split here by file, as one video is one
    family there.
    """
    path = path.expanduser().resolve()
    if path.is_file() or (path / "manifest.jsonl").is_file():
        return [Source(row, clip_file(path, row)) for row in read_manifest(path)]
    if not path.is_dir():
        raise NotFoundError("no_data", f"dataset: there is no {path}.", f"Name {LAYOUTS}.")
    found = list(_captioned(path))
    if not found:
        raise InputError("no_clips", f"dataset: {path} holds no clip with a caption.", f"It may hold {LAYOUTS}.")
    splits = split_families({name: 1 for name, _, _ in found}, (0.9, 0.1, 0.0), seed).by_family
    return [Source(_row(path, name, caption, splits[name], more), path / name) for name, caption, more in found]


def _captioned(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """File name, caption and further columns of each clip of a folder."""
    table = folder / "metadata.jsonl"
    if table.is_file():
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                data = json.loads(line)
                name = str(data.get("file_name") or data["video"])
                caption = str(data.get("caption") or data.get("text") or data["prompt"])
            except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    "bad_metadata", f"metadata.jsonl, line {number}: {error}.", "It needs file_name and caption."
                ) from error
            if not (folder / name).resolve().is_relative_to(folder):
                raise InputError("bad_metadata", f"metadata.jsonl, line {number}: {name} leads out of the folder.")
            yield name, caption, data
        return
    for file in sorted(folder.rglob("*")):
        words = file.with_suffix(".txt")
        if file.suffix.lower() in VIDEO_SUFFIXES and words.is_file():
            caption = words.read_text(encoding="utf-8").strip()
            if caption:
                yield file.relative_to(folder).as_posix(), caption, {}


def _row(folder: Path, name: str, caption: str, split: Any, more: dict[str, Any]) -> ManifestRow:
    """A row for a clip that no manifest describes."""
    file = folder / name
    probe = decode.probe(file)
    group = str(
        more.get("scenario") or more.get("topic_tag") or (file.parent.name if file.parent != folder else "clips")
    )
    return ManifestRow(
        id=name,
        video_path=name,
        caption=caption,
        split=split,
        topic_tag=group,
        family=name,
        source="folder",
        sha256=sha256_of(file),
        frames=probe.frames,
        fps=probe.fps,
        width=probe.width,
        height=probe.height,
    )
