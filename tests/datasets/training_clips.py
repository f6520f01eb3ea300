"""A workspace with real clips of every kind that a manifest meets, drawn by the local engine at 128x128."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "studies"))

from raters import Scene as Rater

from t2v_studio.engines.base import Availability, Canvas, Provenance, even_size
from t2v_studio.engines.registry import engine as engine_of
from t2v_studio.library.passages import Evidence, Passage, Quote
from t2v_studio.planning.plan import Retrieval, Scene, ScenePlan, Source, Step
from t2v_studio.planning.planner import Planned
from t2v_studio.planning.timing import pair_timing
from t2v_studio.production.again import again
from t2v_studio.production.pairs import PlannedPair, make_pair
from t2v_studio.production.produce import produce
from t2v_studio.production.records import dump, read_record
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.studies.desk import StudyDesk
from t2v_studio.workspace import Workspace

QUOTE = "Steepest descent subtracts the scaled derivative at each iteration."
SCORED = {"gradient descent": (3, 5), "attention": (2, 4), "A* search": (4, 4)}
"""Topic to what examiners gave the arm without and with retrieval."""
BEING_SCORED = ("entropy", "overfitting")


@dataclass
class Clips:
    """Where everything is: pairs by topic, single videos by what is wrong with them, studies."""

    home: Path
    pairs: dict[str, dict[str, Any]]
    single: dict[str, str]
    closed: str
    open: str

    @property
    def workspace(self) -> Workspace:
        return Workspace.at(self.home)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, _env_file=None)


class Odd:
    """An engine that passes for another: it fails, or what it draws is black."""

    def __init__(self, name: str, *, fails: bool) -> None:
        self.name, self.fails = name, fails

    def availability(self, options: Any = None) -> Availability:
        return Availability(True)

    def default_canvas(self, options: Any = None) -> dict[str, Any]:
        return {"width": 128, "height": 128, "fps": 8.0}

    def frame_rule(self, frames: int, options: Any = None) -> int:
        return frames

    def size_rule(self, width: int, height: int, options: Any = None) -> tuple[int, int]:
        return even_size(width, height)

    def render_scene(self, plan: ScenePlan, index: int, canvas: Canvas, report: Any) -> Iterator[Any]:
        if self.fails:
            raise RuntimeError("out of memory")
        for _ in range(canvas.scene_frames[index]):
            yield np.zeros((canvas.height, canvas.width, 3), np.uint8)

    def provenance(self, plan: ScenePlan, index: int, canvas: Canvas) -> Provenance:
        return Provenance(engine=self.name, seed=canvas.seed)


def plan(topic: str, seed: int, *, cited: bool = False) -> ScenePlan:
    """Two scenes; the cited one says what a book says."""
    quoted = Step(say=QUOTE, show="Subtract the derivative", cites=["s1"])
    first = quoted if cited else Step(say="We step the other way.", show="Step downhill")
    scenes = [
        Scene(id="start", title="The start", steps=[first], prompt=f"{topic}, the start. {first.say}"),
        Scene(id="end", title="The end", steps=[Step(say=f"This was {topic}.", show="Done")], prompt=""),
    ]
    source = Source(
        id="s1", book_id="0" * 16, book="Optimisation", page=3, page_last=3, passage_id="p", quote=QUOTE, score=0.6
    )
    asked = Retrieval(mode="semantic", book_ids=["0" * 16], queries={"start": topic}, outcomes={"start": "found"})
    return ScenePlan(
        topic=topic, objective=f"Understand {topic}.", seed=seed, scenes=scenes, sources=[source] if cited else [],
        retrieval=asked if cited else None,
    )  # fmt: skip


def treated(topic: str, seed: int) -> Planned:
    passage = Passage(
        id="p", book_id="0" * 16, ordinal=1, page=3, page_last=3, label="3", label_last="3", section="Descent", text=QUOTE,
        words=len(QUOTE.split()), content_hash="0" * 64,
    )  # fmt: skip
    quote = Quote(text=QUOTE, page=3, label="3", passage_id="p", score=0.6)
    hit = Evidence(passage=passage, book="Optimisation", page=3, label="3", score=0.6, quotes=[quote])
    return Planned(plan(topic, seed, cited=True), {"start": [hit]})


def request(topic: str, seed: int, **fields: Any) -> VideoRequest:
    return VideoRequest(topic=topic, seed=seed, width=128, height=128, fps=8, scene_frames=4, **fields)


def make_clips(home: Path) -> Clips:
    """Three scored pairs, two being scored, and a clip each of: plain, fallback, black, gif, copy, changed, gone."""
    settings = Settings(home=home, _env_file=None)
    workspace = Workspace.at(home)
    tools: dict[str, Any] = {"workspace": workspace, "settings": settings}
    pairs = {topic: _pair(topic, 10 + n, tools) for n, topic in enumerate([*SCORED, *BEING_SCORED])}
    single = {name: _single(name, tools) for name in ("plain", "gif", "changed", "gone")}
    single["fallback"] = _odd("fallback", Odd("diffusion", fails=True), tools)
    single["black"] = _odd("black", Odd("diffusion", fails=False), tools)
    record = read_record(workspace.video(single["plain"]) / "record.json")
    single["copy"] = again(record, engine=engine_of("local"), **tools).id
    _spoil(workspace, single)
    desk = StudyDesk(settings, workspace)
    closed = _study(desk, "Course clips", [pairs[topic]["id"] for topic in SCORED], workspace)
    opened = desk.create("Blind still", [pairs[topic]["id"] for topic in BEING_SCORED], seed=6)["id"]
    desk.lock(opened, raters=2)
    return Clips(home, pairs, single, closed, opened)


def _pair(topic: str, seed: int, tools: dict[str, Any]) -> dict[str, Any]:
    planned = PlannedPair(Planned(plan(topic, seed)), treated(topic, seed))
    planned.no_rag.plan, planned.treated.plan = pair_timing(planned.no_rag.plan, planned.treated.plan)
    return make_pair(request(topic, seed, use_rag=True), planned, engine=engine_of("local"), **tools)


def _single(name: str, tools: dict[str, Any]) -> str:
    topic, seed = f"Topic {name}", 40
    return produce(request(topic, seed), Planned(plan(topic, seed)), engine=engine_of("local"), **tools).id


def _odd(name: str, engine: Odd, tools: dict[str, Any]) -> str:
    topic, seed = f"Topic {name}", 41
    return produce(request(topic, seed, engine="diffusion"), Planned(plan(topic, seed)), engine=engine, **tools).id  # type: ignore[arg-type]


def _spoil(workspace: Workspace, single: dict[str, str]) -> None:
    """A video that became a GIF, one whose file was changed, one whose file is gone."""
    from PIL import Image

    folder = workspace.video(single["gif"])
    (folder / "video.mp4").unlink()
    Image.new("RGB", (128, 128), "teal").save(folder / "video.gif")
    record = read_record(folder / "record.json")
    from t2v_studio.studies.blinding import sha256_of

    record.files["video"], record.video_sha256 = "video.gif", sha256_of(folder / "video.gif")
    (folder / "record.json").write_text(dump(record), encoding="utf-8")
    with (workspace.video(single["changed"]) / "video.mp4").open("ab") as stream:
        stream.write(b"\0" * 16)
    (workspace.video(single["gone"]) / "video.mp4").unlink()


def _study(desk: StudyDesk, title: str, pairs: list[str], workspace: Workspace) -> str:
    """A closed study, scored by two examiners who agree: SCORED says what each arm got, on every criterion."""
    study_id = desk.create(title, pairs, seed=5)["id"]
    desk.lock(study_id, raters=2)
    arms = _arms(workspace, study_id)
    for name in ("ada", "ben"):
        rater = Rater(desk, study_id, name)

        def judge(screen: dict[str, Any], side: str, criterion: str) -> int:
            topic, variant = arms[screen["assignment"], side]
            return SCORED[topic][variant == "rag_semantic"]

        rater.answer_all(judge)
    desk.close(study_id)
    return study_id


def _arms(workspace: Workspace, study_id: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(assignment, side) to (topic, variant): what only the test may know."""
    from t2v_studio.database import reading

    found = {}
    with reading(workspace.database) as connection:
        for side in ("left", "right"):
            rows = connection.execute(
                f"SELECT assignment.id AS id, topic.title AS topic, clip.variant AS variant FROM assignment "
                f"JOIN clip ON clip.id = {side}_clip JOIN topic ON topic.study_id = clip.study_id AND topic.key = clip.topic_key "
                "WHERE assignment.study_id = ?",
                (study_id,),
            )
            found |= {(row["id"], side): (row["topic"], row["variant"]) for row in rows}
    return found


def copied(clips: Clips, home: Path) -> Clips:
    """The same workspace for one test alone."""
    shutil.copytree(clips.home, home)
    return Clips(home, clips.pairs, clips.single, clips.closed, clips.open)


_MADE: list[Clips] = []


def clips_once(factory: Any) -> Clips:
    """The one workspace of a test session, whatever folder asks for it. Look at it alone: change a `copied` one."""
    if not _MADE:
        _MADE.append(make_clips(factory.mktemp("training-clips") / "home"))
    return _MADE[0]
