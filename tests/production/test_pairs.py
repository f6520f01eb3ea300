"""Two videos that differ in retrieval alone, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rectangles import RectangleEngine, make_plan, make_treated

from t2v_studio.engines.base import Provenance
from t2v_studio.errors import CancelledError, InputError, NotFoundError, StudioError
from t2v_studio.library.passages import Evidence, Outcome, Passage, Quote, SearchResult
from t2v_studio.planning.planner import Planned
from t2v_studio.planning.timing import pair_timing
from t2v_studio.production import records
from t2v_studio.production.pairs import (
    BLIND,
    PlannedPair,
    delete_pair,
    diff_records,
    make_pair,
    pair_rows,
    plan_pair,
    read_pair,
)
from t2v_studio.production.request import VideoRequest

REQUEST = VideoRequest(
    topic="gradient descent", seed=3, use_rag=True, rag_query="descent", rag_top_k=2, book_ids=["0" * 16]
)


def planned(grounded: bool = True) -> PlannedPair:
    treated, control = make_treated(grounded=grounded), Planned(make_plan())
    control.plan, treated.plan = pair_timing(control.plan, treated.plan)
    return PlannedPair(control, treated)


def made(workspace, settings, engine=None, request: VideoRequest = REQUEST, pair: PlannedPair | None = None, **options: Any) -> dict[str, Any]:  # fmt: skip
    return make_pair(
        request,
        pair or planned(),
        workspace=workspace,
        settings=settings,
        engine=engine or RectangleEngine(),
        **options,
    )


def test_the_records_differ_in_retrieval_alone(workspace, settings) -> None:
    result = made(workspace, settings)
    control, treated = (records.read_record(Path(result[key]["record"])) for key in ("no_rag", "rag_semantic"))
    assert (control.arm, treated.arm) == ("no_rag", "rag_semantic")
    assert control.pair_id == treated.pair_id == result["id"]
    assert diff_records(control, treated) == []
    # Each thing that must be alike, by name, so that a field added to MAY_DIFFER by mistake is seen here.
    for name in ("width", "height", "fps", "frames", "duration_s", "versions", "files", "adapter"):
        assert getattr(control, name) == getattr(treated, name)
    for name in ("topic", "seed", "steps", "guidance", "theme", "show_sources", "scene_frames", "frames", "seconds",
                 "width", "height", "fps", "engine", "fallback_local_on_fail", "audience", "objective", "style"):  # fmt: skip
        assert getattr(control.request, name) == getattr(treated.request, name)
    assert [
        (scene.id, scene.engine, scene.model, scene.seed, scene.frames, scene.start_s) for scene in control.scenes
    ] == [(scene.id, scene.engine, scene.model, scene.seed, scene.frames, scene.start_s) for scene in treated.scenes]
    for one, two in zip(control.plan.scenes, treated.plan.scenes, strict=True):
        assert (one.title, one.visual, one.formula, one.seconds) == (two.title, two.visual, two.formula, two.seconds)
        assert [step.seconds for step in one.steps] == [step.seconds for step in two.steps]
    # and retrieval does differ
    assert control.request.use_rag is False and treated.request.use_rag is True
    assert control.plan.sources == [] and len(treated.plan.sources) == 2
    assert treated.evidence and not control.evidence
    assert control.frames_sha256 != treated.frames_sha256


def test_a_request_without_a_seed_takes_that_of_its_plans(workspace, settings) -> None:
    result = made(workspace, settings, request=REQUEST.model_copy(update={"seed": None}))
    pair = read_pair(workspace, result["id"])
    assert pair["no_rag"].request.seed == pair["rag_semantic"].request.seed == 3


def test_both_arms_are_drawn_on_one_canvas(workspace, settings) -> None:
    engine = RectangleEngine()
    made(workspace, settings, engine)
    assert len(engine.canvases) == 4 and len(set(engine.canvases)) == 1
    assert engine.canvases[0].show_sources is False


def test_sources_are_off_unless_asked_for_and_that_is_said(workspace, settings) -> None:
    assert BLIND in made(workspace, settings)["notices"]
    engine = RectangleEngine()
    result = made(workspace, settings, engine, show_sources=True)
    assert BLIND not in result["notices"]
    assert {canvas.show_sources for canvas in engine.canvases} == {True}


@pytest.mark.parametrize("length", [{"seconds": 5.3}, {"frames": 41}, {"scene_frames": 12}, {}, {"course_mode": True}])
def test_frames_are_alike_for_every_kind_of_length(workspace, settings, length: dict[str, Any]) -> None:
    fields = REQUEST.model_dump() | {"width": 128, "height": 128} | length
    result = made(workspace, settings, request=VideoRequest.model_validate(fields))
    pair = read_pair(workspace, result["id"])
    assert [scene.frames for scene in pair["no_rag"].scenes] == [scene.frames for scene in pair["rag_semantic"].scenes]


def test_an_ungrounded_pair_is_refused_before_anything_is_drawn(workspace, settings) -> None:
    engine = RectangleEngine()
    with pytest.raises(StudioError) as caught:
        made(workspace, settings, engine, pair=planned(grounded=False))
    assert caught.value.code == "pair_not_grounded"
    assert caught.value.details["grounding"]["ok"] is False
    assert engine.canvases == []
    assert not workspace.videos.exists() and not workspace.pairs.exists()


def test_plans_with_other_diagrams_are_refused(workspace, settings) -> None:
    pair = planned()
    first, *rest = pair.treated.plan.scenes
    pair.treated.plan = pair.treated.plan.model_copy(
        update={"scenes": [first.model_copy(update={"title": "x"}), *rest]}
    )
    with pytest.raises(StudioError) as caught:
        made(workspace, settings, pair=pair)
    assert caught.value.code == "pair_not_grounded"


class FailsOnTheBook(RectangleEngine):
    """Fails in the treated arm's second scene alone."""

    def render_scene(self, plan, index, canvas, report):
        if plan.sources and index == 1:
            raise RuntimeError("out of memory")
        return super().render_scene(plan, index, canvas, report)


class TriesAgain(RectangleEngine):
    """Needs more steps for some scenes than it is given: `wants(plan, index)` says how many."""

    def __init__(self, wants) -> None:
        super().__init__("diffusion")
        self.wants = wants
        self.made: dict[int, Provenance] = {}

    def render_scene(self, plan, index, canvas, report):
        start = canvas.settings_of(index)
        steps = max(start.steps or 0, self.wants(plan, index))
        settings = start.model_copy(update={"steps": steps or None})
        retries = [] if settings == start else [{"cause": "black", "next": "more steps"}]
        self.made[index] = Provenance(
            engine=self.name, model="m", revision="1", seed=canvas.seed, retries=retries, settings=settings.changes()
        )
        return super().render_scene(plan, index, canvas, report)

    def provenance(self, plan, index, canvas):
        return self.made[index]


def test_a_fallback_in_one_arm_is_drawn_in_both(workspace, settings) -> None:
    request = REQUEST.model_copy(update={"engine": "diffusion"})
    result = made(workspace, settings, FailsOnTheBook("diffusion"), request, local=RectangleEngine)
    pair = read_pair(workspace, result["id"])
    for arm in ("no_rag", "rag_semantic"):
        scenes = pair[arm].scenes
        assert [scene.engine for scene in scenes] == ["diffusion", "local"]
        assert scenes[1].fallback == "diffusion failed: RuntimeError: out of memory"
    assert any("drawn again" in notice for notice in result["notices"])
    assert len(list(workspace.videos.iterdir())) == 2


def test_a_failure_in_one_arm_under_strict_is_no_pair(workspace, settings) -> None:
    request = REQUEST.model_copy(update={"engine": "diffusion", "fallback_local_on_fail": False})
    with pytest.raises(RuntimeError, match="out of memory"):
        made(workspace, settings, FailsOnTheBook("diffusion"), request, local=RectangleEngine)
    assert list(workspace.videos.iterdir()) == [] and records.video_rows(workspace) == []


@pytest.mark.parametrize("treated", [False, True])
def test_a_retry_in_one_arm_holds_for_both(workspace, settings, treated: bool) -> None:
    request = REQUEST.model_copy(update={"engine": "diffusion"})
    engine = TriesAgain(lambda plan, index: 30 if bool(plan.sources) is treated and index == 1 else 0)
    pair = read_pair(workspace, made(workspace, settings, engine, request, local=RectangleEngine)["id"])
    assert [scene.settings for scene in pair["no_rag"].scenes] == [{}, {"steps": 30}]
    assert [scene.settings for scene in pair["rag_semantic"].scenes] == [{}, {"steps": 30}]
    with_retries = pair["rag_semantic" if treated else "no_rag"]
    assert with_retries.scenes[1].retries, "the arm that needed them keeps its tries"
    assert len(engine.canvases) == 6, "two arms, and one of them once more"


def test_arms_that_never_agree_are_drawn_locally_or_refused(workspace, settings) -> None:
    count = iter(range(1, 100))
    request = REQUEST.model_copy(update={"engine": "diffusion"})
    engine = TriesAgain(lambda plan, index: next(count) if index == 1 else 0)
    pair = read_pair(workspace, made(workspace, settings, engine, request, local=RectangleEngine)["id"])
    assert [scene.engine for scene in pair["no_rag"].scenes] == ["diffusion", "local"]
    strict = request.model_copy(update={"fallback_local_on_fail": False})
    with pytest.raises(StudioError) as caught:
        made(workspace, settings, engine, strict, local=RectangleEngine)
    assert caught.value.code == "pair_differs"
    assert any("scenes.1.settings" in difference for difference in caught.value.details["differences"])


def test_cancel_in_the_second_arm_leaves_nothing(workspace, settings) -> None:
    def stop(stage: str, step: int, total: int, message: str) -> None:
        if message.startswith("video 2"):
            raise CancelledError()

    with pytest.raises(CancelledError):
        made(workspace, settings, report=stop)
    assert list(workspace.videos.iterdir()) == [] and records.video_rows(workspace) == []
    assert pair_rows(workspace) == []


def test_progress_runs_once_over_both(workspace, settings, monkeypatch) -> None:
    monkeypatch.setattr("t2v_studio.production.render.REPORT_EVERY_S", 0.0)
    steps = []
    made(workspace, settings, report=lambda *args: steps.append(args))
    drawn = [step for stage, step, _, _ in steps if stage == "render"]
    totals = {total for stage, _, total, _ in steps if stage == "render"}
    assert drawn == sorted(drawn) and totals == {drawn[-1]}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("seed", lambda record: setattr(record, "request", record.request.model_copy(update={"seed": 4}))),
        ("theme", lambda record: setattr(record, "request", record.request.model_copy(update={"theme": "dark"}))),
        ("frames", lambda record: setattr(record.scenes[1], "frames", 5)),
        ("scenes", lambda record: record.scenes.pop()),
        ("fallback", lambda record: setattr(record.scenes[0], "fallback", "failed")),
        ("revision", lambda record: setattr(record.scenes[0], "revision", "2")),
        ("title", lambda record: setattr(record.plan.scenes[0], "title", "Other")),
        ("versions.numpy", lambda record: record.versions.update(numpy="0")),
        ("adapter", lambda record: setattr(record, "adapter", {"name": "x"})),
        ("pair_id", lambda record: setattr(record, "pair_id", "pair_000000")),
    ],
)
def test_any_other_difference_is_named(workspace, settings, field: str, change: Any) -> None:
    pair = read_pair(workspace, made(workspace, settings)["id"])
    change(pair["rag_semantic"])
    found = diff_records(pair["no_rag"], pair["rag_semantic"])
    assert len(found) == 1 and field in found[0]


def test_overlay_pairs_keep_the_key_and_name_the_arm(workspace, settings) -> None:
    result = made(workspace, settings, request=REQUEST.model_copy(update={"rag_mode": "overlay"}))
    assert records.read_record(Path(result["rag_semantic"]["record"])).arm == "rag_overlay"


def test_the_folder_and_the_list(workspace, settings) -> None:
    result = made(workspace, settings)
    folder = workspace.pair(result["id"])
    assert {path.name for path in folder.iterdir()} == {"pair.json", "grounding.json"}
    pair = json.loads((folder / "pair.json").read_text())
    for key in ("no_rag", "rag_semantic"):
        assert (folder / pair["folders"][key] / "video.mp4").is_file()
    assert json.loads((folder / "grounding.json").read_text()) == result["grounding"]
    assert result["grounding"]["ok"] is True
    assert list(result) == ["id", "no_rag", "rag_semantic", "grounding", "notices"]
    (row,) = pair_rows(workspace)
    assert row["id"] == result["id"] and row["no_rag"] == result["no_rag"]["id"]
    assert {row["arm"] for row in records.video_rows(workspace)} == {"no_rag", "rag_semantic"}


def test_delete(workspace, settings) -> None:
    result = made(workspace, settings)
    with pytest.raises(InputError) as caught:
        records.delete_video(workspace, result["no_rag"]["id"])
    assert caught.value.code == "video_in_pair"
    delete_pair(workspace, result["id"])
    assert list(workspace.videos.iterdir()) == [] and list(workspace.pairs.iterdir()) == []
    assert records.video_rows(workspace) == []
    with pytest.raises(NotFoundError):
        read_pair(workspace, result["id"])


def test_output_is_a_folder(workspace, settings, tmp_path) -> None:
    made(workspace, settings, output=tmp_path / "pair")
    names = {path.name for path in (tmp_path / "pair").iterdir()}
    assert {"no_rag.mp4", "rag_semantic.mp4", "no_rag.srt", "rag_semantic.record.json", "grounding.json"} <= names
    (tmp_path / "file").write_text("mine")
    engine = RectangleEngine()
    for output, code in ((tmp_path / "file", "output_not_folder"), (tmp_path / "a" / "b", "output_no_folder")):
        with pytest.raises(InputError) as caught:
            made(workspace, settings, engine, output=output)
        assert caught.value.code == code
    assert engine.canvases == []


# --- planning both arms -----------------------------------------------------------------------
def searching(texts: dict[str, str]):
    """A search that always finds these texts, each on its own page."""

    def search(query: str, k: int) -> SearchResult:
        hits = []
        for page, (key, text) in enumerate(texts.items(), start=1):
            passage = Passage(
                id=f"p-{key}", book_id="0" * 16, ordinal=page, page=page, page_last=page, label="", label_last="",
                section="Optimisation", text=text, words=len(text.split()), content_hash=key,
            )  # fmt: skip
            quotes = [Quote(text=text, page=page, label="", passage_id=passage.id, score=0.6)]
            hits.append(Evidence(passage=passage, book="Notes", page=page, label="", score=0.6, quotes=quotes))
        outcome = Outcome.found if hits else Outcome.nothing_relevant
        return SearchResult(query=query, outcome=outcome, hits=hits[:k])

    return search


LINES = """
Gradient descent minimises a differentiable objective by moving against its gradient vector.
The loss surface of a neural network contains many saddle points and flat plateaus.
At every iteration the weights are updated by subtracting the learning rate times the derivative.
A learning rate above two divided by the largest curvature makes the iterates diverge.
Too small a learning rate wastes computation because progress towards the minimum is slow.
For two parameters the contours of an ill-conditioned quadratic are narrow ellipses.
On such narrow ellipses the descent path zigzags between the walls of the valley.
Momentum averages past gradients and thereby damps the oscillation across the valley.
The slope at the current point tells the direction of steepest increase of the loss.
Convergence to a stationary point is guaranteed for smooth functions with a suitable step length.
Random initialisation decides which basin of attraction the optimiser will end in.
The Hessian matrix collects second derivatives and its eigenvalues measure curvature.
"""
SENTENCES = {str(n): line for n, line in enumerate(LINES.strip().splitlines())}


def test_planned_pairs_share_seed_and_timing(settings) -> None:
    pair = plan_pair(VideoRequest(topic="gradient descent", use_rag=True), settings, searching(SENTENCES))
    control, treated = pair.no_rag.plan, pair.treated.plan
    assert control.seed == treated.seed
    assert [scene.seconds for scene in control.scenes] == [scene.seconds for scene in treated.scenes]
    assert all(scene.seconds for scene in control.scenes)
    assert pair.treated.grounding is not None and pair.treated.grounding["ok"]


def test_nothing_found_is_no_pair(settings) -> None:
    with pytest.raises(StudioError) as caught:
        plan_pair(VideoRequest(topic="gradient descent", use_rag=True, seed=1), settings, searching({}))
    assert caught.value.code == "pair_not_grounded"


def test_a_given_plan_is_no_pair(settings) -> None:
    with pytest.raises(InputError):
        plan_pair(VideoRequest(topic="x", plan=make_plan()), settings, searching(SENTENCES))
