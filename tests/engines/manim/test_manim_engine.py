"""Template scenes drawn by Manim: all kinds lint-clean, frames exact and repeatable, cancelled at once, in a record."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest

from t2v_studio.engines.base import Canvas, SceneSettings, Theme
from t2v_studio.engines.local.samples import sample_plans
from t2v_studio.engines.manim import installed, render
from t2v_studio.engines.manim.engine import ManimEngine, _job, template_code
from t2v_studio.engines.manim.job import HarnessJob
from t2v_studio.engines.manim.options import ManimOptions
from t2v_studio.engines.registry import engine
from t2v_studio.errors import CancelledError, StudioError, UnavailableError
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.visuals import VISUALS

needs_manim = pytest.mark.skipif(not installed.manim_version(), reason="Manim is not installed (make manim)")
PLANS = sample_plans()
LOOKS: tuple[tuple[Theme, int, int], ...] = (("light", 1280, 720), ("dark", 720, 1280), ("contrast", 1280, 720))


def quiet(step: int, total: int) -> None:
    """No progress is wanted."""


def canvas(plan: ScenePlan, width: int = 128, height: int = 72, frames: int = 10, **more: object) -> Canvas:
    return Canvas(width, height, 4.0, (frames,) * len(plan.scenes), 1, **more)  # type: ignore[arg-type]


def drawn(plan: ScenePlan, index: int, where: Canvas) -> list[np.ndarray]:
    return list(ManimEngine().render_scene(plan, index, where, quiet))


def test_without_manim_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "manim_version", lambda: "")
    with pytest.raises(UnavailableError, match="not installed") as raised:
        engine("manim")
    assert "make manim" in raised.value.hint and "--engine local" in raised.value.hint


@needs_manim
def test_every_kind_theme_and_shape_is_lint_clean(tmp_path: Path) -> None:
    jobs = []
    for kind in VISUALS:
        for theme, width, height in LOOKS:
            folder = tmp_path / f"{kind}-{theme}"
            folder.mkdir()
            where = canvas(PLANS[kind], width, height, frames=16, theme=theme)
            jobs.append(_job(PLANS[kind], 0, where, folder))
    for job, answer in zip(jobs, render.dry(jobs), strict=True):
        assert answer.error is None, (job.folder, answer.error)
        assert answer.faults == [], job.folder
        assert answer.plays >= 3 and answer.scene.endswith("Scene")


@needs_manim
def test_frames_are_exact_and_the_same_on_every_run() -> None:
    plan = PLANS["gradient_descent"]
    first, second = (drawn(plan, 0, canvas(plan, frames=11)) for _ in range(2))
    assert len(first) == 11 and first[0].shape == (72, 128, 4)
    digests = [hashlib.sha256(b"".join(frame.tobytes() for frame in film)).hexdigest() for film in (first, second)]
    assert digests[0] == digests[1]
    assert len({frame.tobytes() for frame in first}) > 4, "the picture moves"


@needs_manim
def test_fewer_frames_than_steps_portrait_and_no_sources() -> None:
    plan = PLANS["process"]
    shown = drawn(plan, 0, canvas(plan, 72, 128, frames=2))
    assert [frame.shape for frame in shown] == [(128, 72, 4)] * 2
    told = {kept: drawn(plan, 0, canvas(plan, frames=8, show_sources=kept))[-3] for kept in (True, False)}
    assert not np.array_equal(told[True], told[False])


@needs_manim
def test_a_cancel_ends_the_child_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, started = PLANS["neural_net"], []
    popen = render.subprocess.Popen
    monkeypatch.setattr(render.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])

    def stop(step: int, total: int) -> None:
        if started and step:
            raise CancelledError()

    with pytest.raises(CancelledError):
        list(ManimEngine().render_scene(plan, 0, canvas(plan, frames=200), stop))
    assert started[0].returncode is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(started[0].pid, 0)


@needs_manim
def test_code_of_ours_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    code = "from manim import Circle, Create, Scene\n\nclass Broken(Scene):\n    def construct(self):\n        self.play(Create(Circle()))\n        self.play(Create(Nothing()))\n"
    answer = render.dry([HarnessJob(folder=str(tmp_path), code=code, scene="Broken")])[0]
    assert answer.error is not None and (answer.error.type, answer.error.line) == ("NameError", 6)
    assert "Nothing" in answer.error.text and answer.plays == 1


def test_a_child_that_dies_is_an_error_and_not_a_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render.sys, "executable", "/bin/false")
    job = HarnessJob(folder=str(tmp_path), plan=PLANS["process"].model_dump(mode="json"), frames=3)
    before = time.monotonic()
    with pytest.raises(StudioError, match="exit code 1"):
        list(render.frames(job, quiet))
    assert time.monotonic() - before < 60


def test_a_scene_that_was_not_written_keeps_the_reason_for_the_record() -> None:
    plan = PLANS["process"]
    maker = ManimEngine()
    written = ManimOptions(manim_scenes="written", manim_code={plan.scenes[0].id: ""})
    assert maker._written(plan, 0, canvas(plan), quiet) == (None, "")
    assert maker._written(plan, 0, canvas(plan, manim=written), quiet) == (None, "as asked")
    kept = canvas(plan, manim=written, scene_settings=(SceneSettings(template=True, reason="no model"),))
    assert maker._written(plan, 0, kept, quiet) == (None, "no model")
    source = maker._source(plan, 0, None, "no model")
    assert source.settings == {"template": True, "reason": "no model"} and source.model == "template process"
    assert len(source.details["code_sha256"]) == 64 and source.details["not_written"] == "no model"


def test_the_page_shows_what_a_template_is_filled_with() -> None:
    code = template_code(PLANS["neural_net"], 0)
    compile(code, "shown", "exec")
    assert (
        "kind = 'neural_net'" in code and "layers = [2, 3, 1]" in code and PLANS["neural_net"].scenes[0].title in code
    )
