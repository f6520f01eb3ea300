"""The engine's frames: number, determinism, what is painted again, what both arms of a pair share."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from t2v_studio.engines.base import Canvas
from t2v_studio.engines.local.composition import compose
from t2v_studio.engines.local.display import Box, Circle, Item, Point, Rect, Text
from t2v_studio.engines.local.engine import LocalEngine
from t2v_studio.engines.local.painter import Raster, design_size, paint
from t2v_studio.engines.local.samples import lengthened, sample_plans
from t2v_studio.engines.local.timeline import moment_at, moments
from t2v_studio.engines.registry import engine, engine_rows
from t2v_studio.errors import CancelledError, InputError, UnavailableError
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.timing import step_frames

PLANS = sample_plans()
SMALL = (416, 240)

DIGEST = """
import hashlib, sys
from t2v_studio.engines.base import Canvas
from t2v_studio.engines.local.engine import LocalEngine
from t2v_studio.engines.local.samples import sample_plans
plan, digest = sample_plans()[sys.argv[1]], hashlib.sha256()
for frame in LocalEngine().render_scene(plan, 0, Canvas(416, 240, 10, (24,) * len(plan.scenes), 1), lambda a, b: None):
    digest.update(frame.tobytes())
print(digest.hexdigest())
"""


def canvas(plan: ScenePlan, frames: int = 24, size: tuple[int, int] = SMALL, **more: object) -> Canvas:
    return Canvas(*size, 10.0, (frames,) * len(plan.scenes), 1, **more)  # type: ignore[arg-type]


def silent(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("frames", [1, 2, 3, 17, 25])
def test_a_scene_has_exactly_its_frames(frames: int) -> None:
    plan = PLANS["process"]
    drawn = list(LocalEngine().render_scene(plan, 0, canvas(plan, frames), silent))
    assert len(drawn) == frames
    assert all(frame.shape == (240, 416, 4) and frame.dtype == np.uint8 for frame in drawn)
    assert all((frame[..., 3] == 255).all() for frame in drawn)


@pytest.mark.parametrize("kind", ["process", "gradient_descent"])
def test_frames_are_the_same_in_another_process(kind: str) -> None:
    runs = [
        subprocess.run([sys.executable, "-c", DIGEST, kind], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    plan, digest = PLANS[kind], hashlib.sha256()
    for frame in LocalEngine().render_scene(plan, 0, canvas(plan), silent):
        digest.update(frame.tobytes())
    assert runs[0].stdout.strip() == digest.hexdigest()


@pytest.mark.parametrize("kind", sorted(PLANS))
def test_painting_only_what_changed_gives_the_picture_of_painting_all(kind: str) -> None:
    plan = PLANS[kind]
    units = design_size(*SMALL)
    view = compose(plan, 0, width=units[0], height=units[1], theme="light", show_sources=True)
    raster = Raster(*SMALL, view.palette.paper)
    for moment, _ in moments(view.scene, 19):
        items = view.items(moment, 3.0)
        partly = raster.frame(items).astype(int)
        whole = Raster(*SMALL, view.palette.paper).frame(items).astype(int)
        assert np.abs(partly - whole).max() < 80, "the edge of a shape may differ by a shade, never more"
        assert (partly != whole).mean() < 0.005


def test_an_equal_list_is_the_same_array_and_old_arrays_stay_as_they_were() -> None:
    def items(x: float) -> list[Item]:
        return [
            Rect(box=Box(10, 10, 200, 100), fill="#336699"),
            Circle(centre=Point(x, 300), radius=20, fill="#aa3300"),
        ]

    raster = Raster(320, 240, "#ffffff")
    first = raster.frame(items(100))
    kept = first.copy()
    assert raster.frame(items(100)) is first
    second = raster.frame(items(400))
    assert second is not first
    assert (first == kept).all()
    assert tuple(second[100, 133]) == (0xAA, 0x33, 0x00, 255)
    assert tuple(second[100, 33]) == (255, 255, 255, 255)


def test_only_arrays_that_nobody_holds_are_painted_over() -> None:
    raster = Raster(64, 64, "#ffffff")

    def shade(n: int) -> np.ndarray:
        return raster.frame([Rect(box=Box(0, 0, 720, 720), fill=f"#0000{n:02x}")])

    held = [shade(n) for n in range(20)]
    assert [int(frame[32, 32, 2]) for frame in held] == list(range(20))
    view = shade(20)[10:20, 10:20, :3]
    places = {shade(n).__array_interface__["data"][0] for n in range(21, 41)}
    assert (view == (0, 0, 20)).all(), "a view keeps its picture"
    assert len(places) < 12, "memory of frames that nobody holds is used again"


def test_layers_decide_what_lies_on_top() -> None:
    items = [
        Rect(box=Box(0, 0, 720, 720), fill="#000000", layer=2),
        Rect(box=Box(0, 0, 720, 720), fill="#ff0000", layer=1),
    ]
    assert tuple(Raster(64, 64, "#ffffff").frame(items)[32, 32][:3]) == (0, 0, 0)


def test_text_stands_centred_on_its_point() -> None:
    label = Text(at=Point(360, 360), text="HHHH", size=120, colour="#000000", anchor="centre")
    ink = np.argwhere(Raster(720, 720, "#ffffff").frame([label])[..., 0] < 128)
    top, left = ink.min(axis=0)
    bottom, right = ink.max(axis=0)
    assert abs((top + bottom) / 2 - 360) < 2
    assert abs((left + right) / 2 - 360) < 3


def test_progress_is_reported_and_a_cancel_ends_the_scene() -> None:
    plan, seen = PLANS["process"], []
    list(LocalEngine().render_scene(plan, 0, canvas(plan, 30), lambda done, total: seen.append((done, total))))
    assert seen[0] == (0, 30) and seen[-1] == (30, 30)
    assert seen == sorted(seen)

    def stop(done: int, total: int) -> None:
        if done:
            raise CancelledError

    drawn = []
    with pytest.raises(CancelledError):
        for frame in LocalEngine().render_scene(plan, 0, canvas(plan, 300), stop):
            drawn.append(frame)
    assert len(drawn) < 20


def test_moments_follow_the_plan_s_timing() -> None:
    scene = PLANS["process"].scenes[0]
    told = moments(scene, 97)
    assert [sum(m.step == n for m, _ in told) for n in range(len(scene.steps))] == list(step_frames(scene, 97))
    assert told[0][0].overall == 0 and told[-1][0].overall == 1 and told[-1][0].progress == 1
    steps = [m.step for m, _ in told]
    assert steps == sorted(steps)
    assert moment_at(scene, 0)[0].step == 0 and moment_at(scene, 0)[0].progress == 0
    last = moment_at(scene, 1)[0]
    assert (last.step, last.progress) == (len(scene.steps) - 1, 1.0)


def test_both_arms_of_a_pair_have_the_same_regions() -> None:
    for kind in ("process", "neural_net"):
        plan = PLANS[kind]
        other = lengthened(plan).model_copy(update={"sources": plan.sources})
        for size in ((1280, 720), (720, 720), (720, 1280)):
            units = design_size(*size)
            pair = [
                compose(p, 0, width=units[0], height=units[1], theme="light", show_sources=True) for p in (plan, other)
            ]
            assert pair[0].regions == pair[1].regions


def test_sources_can_be_switched_off_and_leave_no_trace_of_the_arm() -> None:
    plan = PLANS["process"]
    bare_steps = [step.model_copy(update={"cites": []}) for step in plan.scenes[0].steps]
    bare = plan.model_copy(update={"scenes": [plan.scenes[0].model_copy(update={"steps": bare_steps})], "sources": []})
    shown = [list(LocalEngine().render_scene(p, 0, canvas(p, 12, show_sources=True), silent)) for p in (plan, bare)]
    hidden = [list(LocalEngine().render_scene(p, 0, canvas(p, 12, show_sources=False), silent)) for p in (plan, bare)]
    assert any((a != b).any() for a, b in zip(*shown, strict=True))
    assert all((a == b).all() for a, b in zip(*hidden, strict=True))


def test_the_footer_names_book_and_page_while_its_step_is_told() -> None:
    plan = PLANS["process"]
    view = compose(plan, 0, width=1280, height=720, theme="light", show_sources=True)
    told = {}
    for step in range(len(view.scene.steps)):
        moment = next(m for m, _ in moments(view.scene, 80) if m.step == step)
        told[step] = [item.text for item in view.items(moment, 4.0) if isinstance(item, Text) and item.name == "source"]
    assert told[1] == ["Notes on Machine Learning: A Short Course, p. 12"]
    assert told[0] == told[2] == []


def test_long_speech_is_shown_page_by_page_when_there_is_time() -> None:
    plan = lengthened(PLANS["process"])
    view = compose(plan, 0, width=1280, height=720, theme="light", show_sources=True)
    seen: list[list[str]] = [[]]
    for moment, _ in moments(view.scene, 400):
        if moment.step == 0:
            page = [item.text for item in view.items(moment, 40.0) if isinstance(item, Text) and item.name == "caption"]
            seen += [page] if page != seen[-1] else []
    told = "".join(line for page in seen for line in page)
    assert len(seen) > 2
    assert told.replace(" ", "") == plan.scenes[0].steps[0].say.replace(" ", "")


def test_notices_name_what_cannot_be_drawn() -> None:
    plan = PLANS["process"]
    assert LocalEngine().notices(plan) == []
    foreign = plan.model_copy(update={"topic": "支持向量机"})
    assert any("支" in notice for notice in LocalEngine().notices(foreign))


def test_registry_knows_three_engines_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("t2v_studio.engines.manim.installed.manim_version", lambda: "")
    assert engine("local").availability().ok
    assert engine("local").frame_rule(0) == 1 and engine("local").frame_rule(17) == 17
    assert engine("local").default_canvas() == {"width": 1280, "height": 720, "fps": 30.0}
    with pytest.raises(UnavailableError) as raised:
        engine("manim")
    assert "make manim" in raised.value.hint
    with pytest.raises(InputError, match="lokal") as unknown:
        engine("lokal")
    assert "local" in unknown.value.hint
    assert {row["name"]: row["ok"] for row in engine_rows()}["local"] is True


def test_paint_takes_any_canvas() -> None:
    import skia

    recorder = skia.PictureRecorder()
    paint(recorder.beginRecording(skia.Rect.MakeWH(720, 720)), [Circle(centre=Point(5, 5), radius=3, fill="#123456")])
    assert recorder.finishRecordingAsPicture().approximateOpCount() > 0
