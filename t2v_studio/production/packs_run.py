"""A run of a pack: its folder and its state on disk, so that a killed run goes on where it stood."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from t2v_studio.errors import ConflictError, InputError, NotFoundError
from t2v_studio.production.packs import Pack, PackTopic, digest, topic_request
from t2v_studio.production.request import VideoRequest
from t2v_studio.workspace import Workspace

STATE, PLANS = "pack.json", "plans"
Status = Literal["waiting", "planned", "drawing", "ok", "refused", "failed"]
_TAG = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")
_RUN_ID = re.compile(r"^[a-z][a-z0-9_]{0,39}-[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")


class RunTopic(BaseModel):
    """Where one topic stands. Its ids are chosen before it is drawn, so that it is never drawn twice."""

    model_config = ConfigDict(extra="forbid")

    slug: str
    status: Status = "waiting"
    reason: str = Field("", description="Why it was refused or failed.")
    pair_id: str = ""
    videos: dict[str, str] = Field(default_factory=dict, description="Variant to video id.")


class RunState(BaseModel):
    """`pack.json`: the pack as it is run, and how far it got. The records stay the source of truth."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    id: str
    tag: str
    state: Literal["waiting", "running", "cancelled", "finished"] = "waiting"
    pack: Pack
    engine: str
    seed_offset: int
    strict: bool
    overrides: dict[str, Any] = Field(default_factory=dict, description="VideoRequest fields set for this run alone.")
    settings_sha256: str = Field(description="Over pack, engine, seed offset, strict and overrides.")
    created_at: str
    started_at: str = ""
    ended_at: str = ""
    videos_are: str = Field("", description="hard links or copies of the videos in outputs/videos.")
    topics: list[RunTopic]


@dataclass
class PackRun:
    """A run's folder and its state; `save` writes the state whole or not at all."""

    folder: Path
    state: RunState

    @property
    def id(self) -> str:
        return self.state.id

    @property
    def pack(self) -> Pack:
        return self.state.pack

    def save(self) -> None:
        write_whole(self.folder / STATE, self.state.model_dump_json(indent=2) + "\n")

    def topics(self) -> list[tuple[PackTopic, RunTopic]]:
        """Each topic of the pack with where it stands."""
        return list(zip(self.pack.topics, self.state.topics, strict=True))

    def request(self, topic: PackTopic) -> VideoRequest:
        """The treated arm's request; both arms come from it."""
        state = self.state
        return topic_request(
            state.pack,
            topic,
            engine=state.engine or None,
            seed_offset=state.seed_offset,
            strict=state.strict,
            overrides=state.overrides,
        )

    def plan_file(self, slug: str) -> Path:
        return self.folder / PLANS / f"{slug}.json"

    def begin(self) -> None:
        """Note that work goes on: what was refused or failed before is tried again, what was made is kept."""
        for topic in self.state.topics:
            if topic.status in ("refused", "failed"):
                topic.status, topic.reason = "planned" if self.plan_file(topic.slug).is_file() else "waiting", ""
        self.state.state, self.state.ended_at = "running", ""
        if not self.state.started_at:
            self.moment("started_at")
        self.save()

    def moment(self, name: Literal["started_at", "ended_at"]) -> None:
        setattr(self.state, name, now())


def open_run(
    pack: Pack,
    *,
    workspace: Workspace,
    engine: str = "",
    seed_offset: int = 0,
    strict: bool = False,
    overrides: dict[str, Any] | None = None,
    tag: str = "",
    resume: bool = True,
    root: Path | None = None,
) -> PackRun:
    """The run to work on: the one with this tag, else the newest unfinished one of the same pack and settings, else new.

    engine: "" leaves it to the pack. root: where the run's folder lies, outputs/packs by default. A run that is
    there already is not written to. Raises ConflictError where the tag belongs to a run with other settings,
    InputError for a bad tag or request.
    """
    root = root or workspace.packs
    what = {"pack": pack.model_dump(mode="json"), "engine": engine, "seed_offset": seed_offset, "strict": strict}
    mark = digest(what | {"overrides": overrides or {}})
    if tag:
        if not _TAG.match(tag):
            raise InputError(
                "bad_tag",
                f"tag: {tag!r} cannot name a folder.",
                "Use up to 40 letters, digits, dots, dashes and underscores.",
            )
        if (root / f"{pack.name}-{tag}" / STATE).is_file():
            return _taken_up(read_run(root / f"{pack.name}-{tag}"), mark)
    elif resume:
        for run in runs_in(root):
            if run.state.settings_sha256 == mark and run.state.state != "finished":
                return _taken_up(run, mark)
    tag = tag or _free_tag(root, pack.name, seed_offset)
    state = RunState(
        id=f"{pack.name}-{tag}",
        tag=tag,
        pack=pack,
        engine=engine,
        seed_offset=seed_offset,
        strict=strict,
        overrides=overrides or {},
        settings_sha256=mark,
        created_at=now(),
        topics=[RunTopic(slug=topic.slug) for topic in pack.topics],
    )
    run = PackRun(root / state.id, state)
    for topic in pack.topics:
        run.request(topic)
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "output_unwritable", f"output: {run.folder} cannot be made ({error.strerror}).", "Name another folder."
        ) from error
    run.save()
    return run


def find_run(workspace: Workspace, name_or_path: str) -> PackRun:
    """A run by its id, or by the path of its folder. Raises NotFoundError."""
    if _RUN_ID.match(name_or_path):
        return read_run(workspace.packs / name_or_path)
    path = Path(name_or_path).expanduser()
    if len(path.parts) > 1 and path.is_dir():
        return read_run(path)
    raise _unknown(name_or_path)


def read_run(folder: Path) -> PackRun:
    """The run in a folder. Raises NotFoundError where it holds none."""
    try:
        state = RunState.model_validate(json.loads((folder / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise _unknown(folder.name) from error
    return PackRun(folder, state)


def runs_in(root: Path) -> list[PackRun]:
    """Every readable run of a folder, newest first."""
    found = []
    for path in root.glob(f"*/{STATE}"):
        try:
            found.append(read_run(path.parent))
        except NotFoundError:
            continue
    return sorted(found, key=lambda run: (run.state.created_at, run.id), reverse=True)


def now() -> str:
    """The present, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_whole(path: Path, text: str) -> None:
    """Write a text so that readers, and the next process after a kill, see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def _taken_up(run: PackRun, mark: str) -> PackRun:
    if run.state.settings_sha256 != mark:
        raise ConflictError(
            "tag_taken",
            f"tag: {run.state.tag} is a run of {run.pack.name} with other settings.",
            "Choose another tag, or run it with the settings in its pack.json.",
        )
    return run


def _free_tag(root: Path, name: str, seed_offset: int) -> str:
    """The present in UTC to the second, with the seed offset; counted up where two start within one."""
    stem = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ") + (f"-s{seed_offset}" if seed_offset else "")
    tag, number = stem, 2
    while (root / f"{name}-{tag}").exists():
        tag, number = f"{stem}-{number}", number + 1
    return tag


def _unknown(name: str) -> NotFoundError:
    return NotFoundError("unknown_run", f"There is no run {name!r} of a pack.", "List them with: t2v pack list")
