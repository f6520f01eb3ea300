"""Scenes that a model writes: mended at most three times, else the template; the model is a list of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from t2v_studio.engines.base import Canvas
from t2v_studio.engines.manim import dry_run, sandbox, written
from t2v_studio.engines.manim.job import CodeError, Fault, HarnessReport
from t2v_studio.engines.manim.options import ManimOptions
from t2v_studio.errors import CancelledError, InputError, StudioError, UnavailableError
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.settings import Settings

pytest.importorskip("manim")

PLAN = ScenePlan(
    topic="Descent", scenes=[Scene(id="scene_1", title="Down", steps=[Step(say="We go down.", show="down")])]
)
CANVAS = Canvas(640, 360, 10.0, (20,), seed=1)
OPTIONS = ManimOptions(manim_scenes="written", manim_model_id="nobody")
GOOD = """from manim import *


class Scene1(Lesson):
    def construct(self):
        self.play(FadeIn(self.title("Down the slope")))
        ball = self.place(Circle(), "C3")
        note = Text("the lowest point", font_size=30).to_edge(DOWN)
        self.play(Create(ball), Write(note))
"""
UNKNOWN = GOOD.replace("Create(ball)", "Creat(ball)")
CROWDED = GOOD.replace("to_edge(DOWN)", "move_to(self.anchor('A1') + UP * 1.0 + RIGHT)")
BROKEN = GOOD.replace("def construct(self):", "def construct(self:")


class Author:
    """Gives its answers in order and keeps what it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers, self.asked = list(answers), []

    def __call__(self, messages: list[dict[str, str]]) -> str:
        self.asked.append(messages)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Said:
    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, done: int, total: int) -> None:
        pass

    def say(self, text: str) -> None:
        self.words.append(text)


@pytest.fixture(autouse=True)
def isolated() -> None:
    if sandbox.probe().level < sandbox.Level.files_and_network:
        pytest.skip("this machine cannot shut written code in")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Dry runs by a function of the code, in place of the sandbox."""

    def put(answer: Callable[[str], HarnessReport]) -> list[str]:
        codes: list[str] = []

        def attempt(code: str, *_: Any, **__: Any) -> HarnessReport:
            codes.append(code)
            return answer(code)

        monkeypatch.setattr(dry_run, "attempt", attempt)
        return codes

    return put


def fenced(code: str) -> str:
    return f"```python\n{code}```"


def test_bad_syntax_an_unknown_name_and_an_overlap_are_mended_one_by_one_in_the_real_sandbox(
    settings: Settings,
) -> None:
    note = next(line for line in GOOD.splitlines() if "note = " in line).strip()
    play = next(line for line in GOOD.splitlines() if "Create(ball)" in line).strip()
    crowded_unknown = CROWDED.replace("Create(ball)", "Creat(ball)")
    author = Author(fenced(BROKEN), fenced(crowded_unknown), fenced(play), fenced(note))
    said = Said()
    found = written.write_scene(PLAN, 0, CANVAS, OPTIONS, said, settings=settings, ask=author)
    assert found.fallback == "", found.attempts
    assert found.code == GOOD and found.scene == "Scene1" and found.seconds == pytest.approx(2.0)
    assert "seccomp" in found.held or "limits" in found.held
    problems = [attempt.problem for attempt in found.attempts]
    assert "does not parse" in problems[0] and "'Creat' is not defined" in problems[1] and "overlap" in problems[2]
    assert problems[3] == "" and [attempt.how for attempt in found.attempts] == ["written", *["mended"] * 3]
    assert "Create(mobject" in author.asked[2][-1]["content"], "the nearest name is told"
    assert "class Scene1" not in author.asked[2][-1]["content"], "only the statement is asked for"
    assert any("in the sandbox" in text for text in said.words)
    form = found.as_dict()
    assert form["attempts"][2]["faults"][0]["kind"] == "overlap" and form["model"] == "nobody"


def test_after_three_repairs_the_template_draws_and_the_reason_is_kept(settings: Settings, tried: Any) -> None:
    codes = tried(
        lambda code: HarnessReport(error=CodeError(type="NameError", message="name 'Creat' is not defined", line=9))
    )
    author = Author(*[fenced(UNKNOWN)] * 4)
    found = written.write_scene(PLAN, 0, CANVAS, OPTIONS, Said(), settings=settings, ask=author)
    assert len(codes) == 4 and len(found.attempts) == 4 and not author.answers
    assert "after 3 repairs" in found.fallback and "'Creat' is not defined" in found.fallback
    assert found.code == UNKNOWN and found.model == "nobody"
    wishes = [messages[-1]["content"] for messages in author.asked[1:]]
    assert "Write lines 9 to 9" in wishes[0] and "Write lines 5 to 9" in wishes[1] and "whole scene" in wishes[2]


def test_code_that_the_gate_refuses_never_runs(settings: Settings, tried: Any) -> None:
    codes = tried(lambda code: HarnessReport(scene="Scene1", duration_s=2.0))
    author = Author(fenced(GOOD.replace("from manim", "import os\nfrom manim")), fenced(GOOD))
    found = written.write_scene(PLAN, 0, CANVAS, OPTIONS, Said(), settings=settings, ask=author)
    assert codes == [GOOD] and found.fallback == "" and "os may not be imported" in found.attempts[0].problem


def test_a_model_that_fails_leaves_the_scene_to_its_template(settings: Settings, tried: Any) -> None:
    tried(lambda code: HarnessReport())
    found = written.write_scene(
        PLAN, 0, CANVAS, OPTIONS, Said(), settings=settings, ask=Author(StudioError("manim_failed", "it failed"))
    )
    assert "the model gave no code: it failed" in found.fallback and found.attempts == ()
    with pytest.raises(CancelledError):
        written.write_scene(PLAN, 0, CANVAS, OPTIONS, Said(), settings=settings, ask=Author(CancelledError()))


def test_given_code_goes_through_gate_and_sandbox_but_its_layout_is_its_authors(settings: Settings, tried: Any) -> None:
    fault = Fault(kind="off_frame", names=["Circle"], at_seconds=1.0, message="Circle leaves the frame.")
    codes = tried(lambda code: HarnessReport(scene="Mine", duration_s=3.0, faults=[fault]))
    given = OPTIONS.model_copy(update={"manim_code": {"scene_1": GOOD}})
    nobody = Author()
    found = written.write_scene(PLAN, 0, CANVAS, given, Said(), settings=settings, ask=nobody)
    assert (found.code, found.fallback, found.faults, codes) == (GOOD, "", (fault,), [GOOD]) and not nobody.asked
    hostile = OPTIONS.model_copy(update={"manim_code": {"scene_1": "import os\n" + GOOD}})
    refused = written.write_scene(PLAN, 0, CANVAS, hostile, Said(), settings=settings, ask=nobody)
    assert "os may not be imported" in refused.fallback and codes == [GOOD]
    assert written.problem(GOOD, PLAN, 0, settings) == ""
    assert "Line 1" in written.problem("open('x')", PLAN, 0, settings)


def test_a_weak_sandbox_turns_written_code_off(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = sandbox.Probe(sandbox.Level.limits, (), ("read",), "Install bubblewrap.")
    monkeypatch.setattr(sandbox, "probe", lambda: weak)
    with pytest.raises(UnavailableError, match="Written Manim code is off"):
        written.write_scene(PLAN, 0, CANVAS, OPTIONS, Said(), settings=settings, ask=Author(fenced(GOOD)))


def test_the_model_that_writes_is_found_or_named_in_the_error(settings: Settings, tmp_path: Path) -> None:
    for options, code in (
        (ManimOptions(manim_scenes="written"), "no_manim_model"),
        (ManimOptions(manim_scenes="written", manim_model_id=str(tmp_path / "none")), "no_manim_model"),
    ):
        with pytest.raises(InputError) as refused:
            written.write_scene(PLAN, 0, CANVAS, options, Said(), settings=settings)
        assert refused.value.code == code and "manim_model_id" in refused.value.message
    named = written.model_name(
        ManimOptions(manim_adapter="lora_1"), settings.model_copy(update={"manim_model_id": "qwen3-4b"})
    )
    assert named == "qwen3-4b + lora_1"


def test_a_dry_run_tells_why_nothing_was_reported(settings: Settings) -> None:
    asleep = GOOD.replace("        ball", "        import time\n        time.sleep(600)\n        ball")
    report = dry_run.attempt(asleep, settings=settings.model_copy(update={"manim_seconds": 5.0}))
    assert report.error is not None and report.error.type == "Stopped" and "within 5 s" in report.error.message


def test_frames_are_of_the_harness(settings: Settings) -> None:
    assert written.frame_size(CANVAS) == pytest.approx(written.frame_size(replace(CANVAS, width=1280, height=720)))
