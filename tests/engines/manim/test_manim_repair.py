"""The smallest block around what is wrong, and an answer put in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2v_studio.engines.manim import repair, scene_prompt
from t2v_studio.engines.manim.api_docs import ApiDocs, Entry, api_docs
from t2v_studio.engines.manim.job import CodeError, Fault
from t2v_studio.engines.manim.repair import Problem
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.planning.visuals import VISUALS

CODE = """from manim import *


class Demo(Lesson):
    def construct(self):
        loss = Text("The loss")
        if loss:
            self.play(
                Creat(loss),
            )
        self.wait()

    def later(self):
        return Text("later")
"""


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> ApiDocs:
    pytest.importorskip("manim")
    return api_docs(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    ("line", "last", "widen", "block"),
    [
        (9, 0, 0, (8, 10)),  # the whole statement, though the error is inside its brackets
        (9, 0, 1, (5, 11)),  # then its function
        (9, 0, 2, (1, 14)),  # then everything
        (0, 0, 0, (1, 14)),
        (6, 11, 0, (5, 11)),
        (4, 0, 0, (1, 14)),  # the class is no small block
    ],
)
def test_the_block_grows_only_when_a_smaller_one_did_not_help(
    line: int, last: int, widen: int, block: tuple[int, int]
) -> None:
    first, end = repair.block(CODE, Problem("", line, last), widen)
    assert (first, min(end, 14)) == block


def test_code_that_does_not_parse_is_mended_by_its_paragraph() -> None:
    broken = CODE.replace("self.wait()", "self.wait(")
    assert repair.block(broken, Problem("", 11), 0) == (4, 11)


def test_an_answer_takes_the_place_and_the_indent_of_the_block() -> None:
    answer = "Sure:\n```python\nself.play(\n    Create(loss),\n)\n```\nDone."
    mended = repair.merged(CODE, answer, 8, 10)
    assert mended == CODE.replace("Creat(", "Create(")
    whole = "<think>class X(</think>```py\nclass Demo(Lesson):\n    pass\n```"
    assert repair.merged(CODE, whole, 8, 10) == "class Demo(Lesson):\n    pass\n"
    assert repair.code_of("no fence\n") == "no fence\n"


def test_an_error_comes_with_the_nearest_names_and_the_signature(docs: ApiDocs) -> None:
    found = repair.of_error(CodeError(type="NameError", message="name 'Creat' is not defined", line=9), docs)
    assert found.line == 9 and "Create" in [entry.name for entry in found.near]
    wrong = CodeError(type="TypeError", message="Circle.__init__() got an unexpected keyword argument 'raduis'", line=3)
    assert any(entry.call.startswith("Circle(radius=") for entry in repair.of_error(wrong, docs).near)
    asked = repair.request(CODE, found, 8, 10)
    assert "Create(mobject" in asked and "self.play(\n    Creat(loss),\n)" in asked and "class Demo" not in asked
    latex = repair.of_error(CodeError(type="FileNotFoundError", message="No such file: 'latex'", line=2), docs)
    assert "Formula(" in latex.text and not latex.near


def test_a_fault_of_the_layout_is_sought_by_the_text_that_it_names() -> None:
    fault = Fault(kind="overlap", names=['Text "The loss"', "Circle"], at_seconds=1.5, message="They overlap at 1.5 s.")
    found = repair.of_faults([fault, fault], CODE)
    assert (found.line, found.last_line) == (6, 6) and found.text == "Layout: They overlap at 1.5 s."
    both = Fault(kind="overlap", names=['Text "Theloss"', 'Text "later"'], at_seconds=2.0, message="So do these.")
    assert repair.of_faults([both], CODE).line == 14, "the newcomer gives way"


def test_the_documentation_is_made_once_and_found_again(docs: ApiDocs, tmp_path: Path) -> None:
    first = api_docs(tmp_path)
    again = api_docs(tmp_path)
    assert again.entries == first.entries and len(again.entries) > 500
    assert [one.name for one in again.search("fade out", 3)] == [one.name for one in first.search("fade out", 3)]
    assert again.search("fade out", 3)[0].name == "FadeOut" and again.search("", 3) == []
    (next(tmp_path.glob("manim/*")) / "entries.json").write_text("{broken", encoding="utf-8")
    assert len(api_docs(tmp_path).entries) == len(first.entries)


def test_what_every_kind_is_shown_exists(docs: ApiDocs) -> None:
    names = {entry.name for entry in docs.entries}
    assert set(scene_prompt.BY_KIND) == set(VISUALS)
    for shown in (*scene_prompt.BY_KIND.values(), scene_prompt._ALWAYS):
        assert set(shown) <= names
    assert not {"MathTex", "Tex", "Matrix", "SVGMobject"} & names, "what cannot be used is not offered"


def test_the_question_holds_the_plan_the_rules_and_the_documentation(docs: ApiDocs) -> None:
    scene = Scene(id="scene_2", title="Down", steps=[Step(say="We go down.", show="downhill")], formula="x - g")
    plan = ScenePlan(topic="Descent", scenes=[scene])
    system, user = scene_prompt.messages(plan, 0, 7.6, (14.2, 8.0), docs, "0.22.0")
    for part in ("Scene2(Lesson)", "14.2 wide and 8.0 high", "about 8 s", "no LaTeX", "FadeIn(*mobjects)"):
        assert part in system["content"]
    for part in ("Topic: Descent", "Scene 1 of 1: Down", "Formula: x - g", '1. show "downhill"', "We go down."):
        assert part in user["content"]
    assert scene_prompt.class_name(scene.model_copy(update={"id": "7-up"})) == "Scene7Up"


def test_nearest_names_prefer_classes() -> None:
    made = ApiDocs([Entry("Line.plot", "Line.plot()", ""), Entry("plot", "plot()", "")], None)
    assert made.named("plot") == made.entries[1] and made.nearest("plott")[0].name == "plot"
