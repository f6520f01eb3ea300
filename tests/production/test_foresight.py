"""What is said before a run: rounding, length, work, and the model that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.engines.local.engine import LocalEngine
from t2v_studio.errors import InputError
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.planner import plan_topic
from t2v_studio.production.foresight import OPEN_LENGTH, foretold, prompts_ahead
from t2v_studio.production.request import parse_request
from t2v_studio.production.settle import settled
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, model_id="tiny-wan", _env_file=None)


@pytest.fixture
def engine(own: Settings) -> DiffusionEngine:
    return DiffusionEngine(own, Workspace.at(own.home))


def ahead(engine: DiffusionEngine, own: Settings, **more: Any) -> str:
    request = parse_request({"topic": "gradient descent", "engine": "diffusion", **more})
    return "\n".join(foretold(request, engine, own))


def test_frames_and_sizes_that_wan_cannot_make_are_said(engine: DiffusionEngine, own: Settings) -> None:
    said = ahead(engine, own, scene_frames=16, fps=10, width=840, height=484, steps=16, guidance=4.8)
    assert "4 scenes, 17 frames each, 10 fps: 6.8 s at 832x480" in said
    assert "tiny-wan, 16 steps, guidance 4.8: 128 passes of the model" in said
    assert "16 frames a scene were rounded to 17" in said and "840x484 became 832x480" in said
    assert "17 frames a scene" in said and "trained" in said


def test_sizes_and_rates_that_a_model_does_not_know_are_said(engine: DiffusionEngine, own: Settings) -> None:
    said = ahead(engine, own, preset="course", model_id="cogvideox-2b")
    assert "CogVideoX-2b was trained at 720x480, not at 832x480" in said
    assert "CogVideoX-2b was trained at 8 fps: at 10, motion may look faster" in said
    said = ahead(engine, own, preset="teacher", model_id="wan2.1-14b")
    assert "not at 720x480" in said and "at 16 fps: at 8, motion may look slower" in said
    said = ahead(engine, own, model_id="wan2.1-1.3b", quality="high")
    assert "Wan 2.1 1.3B was trained at 832x480, not at 1280x720" in said
    assert "was trained at" not in ahead(engine, own, preset="course"), "a tiny model has learnt nothing"


def test_guidance_that_is_off_or_ends_early_halves_the_work(engine: DiffusionEngine, own: Settings) -> None:
    assert ": 40 passes" in ahead(engine, own, steps=10, guidance=1)
    assert ": 60 passes" in ahead(engine, own, steps=10, guidance=5, cfg_cutoff=0.5)
    assert ": 44 passes" in ahead(engine, own, steps=10, guidance=5, cfg_cutoff=0), "the first step has it at least"


@pytest.mark.parametrize(
    ("model", "choice", "said", "passes"),
    [
        ("tiny-ltx", {"cfg_cutoff": 0.5}, "--cfg-cutoff is left out", 40),
        ("tiny-cogvideox", {"cfg_cutoff": 0.5, "flow_shift": 9.0}, "--flow-shift is left out", 40),
        ("tiny-wan", {"cfg_cutoff": 0.5, "flow_shift": 9.0}, "", 60),
    ],
)
def test_what_a_family_cannot_follow_is_said_and_not_recorded(
    engine: DiffusionEngine, own: Settings, model: str, choice: dict[str, float], said: str, passes: int
) -> None:
    words = ahead(engine, own, model_id=model, steps=10, guidance=5, **choice)
    assert said in words and f": {passes} passes" in words and ("left out" in words) == bool(said)
    request = parse_request({"topic": "gradient descent", "engine": "diffusion", "model_id": model, **choice})
    plan = plan_topic(LessonRequest(topic="gradient descent"), own, None).plan
    kept, _, canvas, _ = settled(request, plan, engine, own)
    for name, value in choice.items():
        expected = None if f"--{name.replace('_', '-')} is left out" in words else value
        assert getattr(kept, name) == expected and getattr(canvas.options, name) == expected


def test_fewer_steps_than_a_scheduler_can_lay_out_are_refused(engine: DiffusionEngine, own: Settings) -> None:
    with pytest.raises(InputError, match=r"steps: LTX-Video 0\.9\.1 needs 2 or more, not 1"):
        ahead(engine, own, model_id="tiny-ltx", steps=1)
    assert "1 step, guidance" in ahead(engine, own, model_id="tiny-wan", steps=1)


def test_a_preset_says_what_stands_otherwise_and_for_whom_it_is(engine: DiffusionEngine, own: Settings) -> None:
    said = ahead(engine, own, preset="ltx-example", model_id="tiny-wan", fps=12)
    assert "Preset ltx-example: width 704" in said and "Set otherwise, or left out: model id, fps." in said
    assert "Preset ltx-example is made for ltx, and the model is wan." in said
    assert "made for" not in ahead(engine, own, preset="wan-example")


def test_a_preset_and_another_language_are_said(engine: DiffusionEngine, own: Settings) -> None:
    assert "Preset course: width 832" in ahead(engine, own, preset="course")
    request = parse_request({"topic": "wie wird das Netz mit der Kettenregel trainiert", "engine": "diffusion"})
    assert "looks like German" in " ".join(foretold(request, engine, own))


def test_a_model_that_is_not_here_can_be_reckoned_with(engine: DiffusionEngine, own: Settings) -> None:
    assert "wan2.1-14b, 30 steps" in ahead(engine, own, model_id="wan2.1-14b")


def test_what_the_local_engine_does_not_read_is_said(own: Settings) -> None:
    request = parse_request({"topic": "gradient descent", "guidance": 4, "seconds": 4})
    said = foretold(request, LocalEngine(), own)
    assert said == ["4 scenes, 120 frames, 30 fps: 4.0 s at 1280x720.", "Only --engine diffusion reads --guidance."]


@pytest.mark.parametrize(
    ("asked", "open_end"),
    [({}, False), ({"use_rag": True}, True), ({"use_rag": True, "seconds": 20}, False), ({"use_llm_planner": True}, True)],
)  # fmt: skip
def test_a_length_that_follows_the_words_is_no_promise(own: Settings, asked: dict[str, Any], open_end: bool) -> None:
    said = foretold(parse_request({"topic": "gradient descent", **asked}), LocalEngine(), own)
    assert (OPEN_LENGTH in said) == open_end


def test_the_settled_request_says_model_steps_and_guidance(engine: DiffusionEngine, own: Settings) -> None:
    plan = plan_topic(LessonRequest(topic="gradient descent"), own, None).plan
    request, _, canvas, _ = settled(parse_request({"topic": "x", "engine": "diffusion"}), plan, engine, own)
    usual = engine.default_canvas(canvas.options)
    assert (request.model_id, request.steps, request.guidance) == ("tiny-wan", usual["steps"], usual["guidance"])
    assert canvas.options == request.diffusion()
    course, *_ = settled(parse_request({"topic": "x", "engine": "diffusion", "course_mode": True}), plan, engine, own)
    assert (course.steps, course.guidance, course.fps, course.scene_frames) == (16, 4.8, 10, 17)


def test_prompts_ahead_are_those_of_the_models_tokenizer(engine: DiffusionEngine, own: Settings) -> None:
    plan = plan_topic(LessonRequest(topic="gradient descent"), own, None).plan
    said, prompts = prompts_ahead(parse_request({"topic": "x", "engine": "diffusion"}), plan, engine, own)
    assert len(prompts) == len(plan.scenes) and all(0 < row["token_count"] <= row["limit"] == 512 for row in prompts)
    assert said[0].startswith("4 scenes")
