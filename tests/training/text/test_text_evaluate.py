"""The evaluation ladder: each step measured as it says, the same prompts for all, empty where it cannot be measured."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from text_rows import code, small

from t2v_studio.adapters.runs import create_run, read_json, step_name
from t2v_studio.datasets.text_pairs.rows import Message, TextPair
from t2v_studio.errors import StudioError
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
from training.text import evaluate, manim_ladder, prompt_ladder
from training.text.answers import Answer, Who, answered, asked, nearest_of
from training.text.evaluate import evaluate_run, spread, verdict
from training.text.manim_ladder import Ran, Tools, code_of, judged
from training.text.manim_names import Api, unknown_names
from training.text.session import TextSession, open_text_session

API = Api(
    frozenset({"Scene", "Circle", "Create", "Text", "MathTex", "BLUE"}), frozenset({"play", "wait", "shift", "add"})
)


def pair(words: str, answer: str = "x") -> TextPair:
    return TextPair(
        prompt=[Message(role="system", content="S"), Message(role="user", content=words)],
        completion=[Message(role="assistant", content=answer)],
    )


def tools(**more: Any) -> Tools:
    """A gate that refuses imports of os, a dry run that fails for what holds FAIL, a drawing that fails for UGLY."""

    def run(text: str, scene: str) -> Ran:
        return Ran("NameError: FAIL (line 5)") if "FAIL" in text else Ran("", 2.0, text.count("OVERLAP"))

    given: dict[str, Any] = {
        "gate": lambda text: ["line 1: os is not allowed"] if "import os" in text else [],
        "run": run,
        "draw": lambda text, scene, seconds: "3 of 20 frames" if "UGLY" in text else "",
        "api": API,
    }
    return Tools(**given | more)


def scene(body: str = "self.play(Create(Circle()))", before: str = "from manim import *") -> str:
    return f"{before}\n\nclass A(Scene):\n    def construct(self):\n        {body}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (scene(), {"parse": True, "one_scene": True, "gate": True, "dry_run": True, "render": True, "faults": 0.0}),
        (f"Here it is:\n```python\n{scene()}```\nDone.", {"parse": True, "dry_run": True}),
        (
            "def (",
            {"parse": False, "gate": False, "dry_run": False, "render": False, "latex_free": None, "faults": None},
        ),
        (scene(before="import os"), {"parse": True, "gate": False, "dry_run": False}),
        ("x = 1\n", {"parse": True, "one_scene": False, "gate": True, "dry_run": False}),
        (scene("FAIL"), {"gate": True, "dry_run": False, "render": False, "faults": None}),
        (
            scene("self.add(UGLY, OVERLAP, OVERLAP)"),
            {"dry_run": True, "render": False, "faults": 2.0, "unknown_api": True},
        ),
        (scene("self.add(MathTex('x'))"), {"latex_free": False, "unknown_api": False}),
    ],
)
def test_an_answer_climbs_until_it_fails(text: str, expected: dict[str, Any]) -> None:
    found = judged(text, tools())
    assert {name: getattr(found, name) for name in expected} == expected


def test_without_the_engine_the_columns_stay_empty() -> None:
    found = judged(scene(), Tools())
    assert (found.parse, found.gate, found.dry_run, found.render, found.unknown_api, found.faults) == (
        True,
        *[None] * 5,
    )
    row, _ = manim_ladder.judge([Answer(pair("a"), [scene()])], Tools(), None, 0)
    assert row["parse"] == 1.0 and row["dry_run"] is row["dry_run_k"] is row["render_k"] is row["repaired"] is None


def test_the_best_of_k_and_the_repaired_count_apart() -> None:
    answers = [Answer(pair("a"), [scene("FAIL"), scene()]), Answer(pair("b"), [scene("FAIL"), scene("FAIL")])]
    shown = []

    def repair(answer: Answer, why: str) -> str:
        shown.append((answer.pair.asked, why))
        return scene() if answer.pair.asked == "b" and len(shown) > 2 else scene("FAIL")

    row, reasons = manim_ladder.judge(answers, tools(), repair, 2)
    assert (row["dry_run"], row["dry_run_k"], row["repaired"], row["render_k"]) == (0.0, 0.5, 0.5, 0.5)
    assert reasons == ["NameError: FAIL (line 5)"] * 2 and all("line 5" in why for _, why in shown)


def test_names_that_manim_lacks_are_found() -> None:
    text = scene("c = ShowCreation(Circle()); c.mine = 1; self.play(c.shift(BLUE), c.mine, self.wiggle_all(c))")
    assert unknown_names(text, API) == ["ShowCreation", ".wiggle_all"]
    assert unknown_names("def (", API) == [] and code_of("```py\na = 1\n```") == "a = 1\n"


GOOD = "Prompt: " + " ".join(f"word{number}" for number in range(40)) + "\nNegative: blurry"


def test_prompts_are_judged_by_form_length_and_what_they_copy() -> None:
    looping = "Prompt: " + "the ball rolls down now and " * 6
    listed = "Sure! Here:\n- a ball\nSeed: 42"
    answers = [Answer(pair("draw word1 word2"), [one]) for one in (GOOD, looping, listed)]
    row, reasons = prompt_ladder.judge(answers, ["unlike", GOOD])
    assert reasons == ["", "calm", "format, length, clean"]
    assert row["format"] == pytest.approx(2 / 3, abs=1e-4) and row["clean"] == row["length"] == row["format"]
    assert row["usable"] == pytest.approx(1 / 3, abs=1e-3), "the one that loops would not be taken either"
    assert row["echo"] == pytest.approx((2 / 40) / 3, abs=1e-3), "two of forty words of one of three answers"
    assert row["copied"] == pytest.approx(1 / 3, abs=1e-3) and 0 < row["distinct_2"] < 1
    same, _ = prompt_ladder.judge([Answer(pair("a"), [GOOD]), Answer(pair("b"), [GOOD])], [])
    assert same["overlap"] == 1.0 and same["distinct_2"] == 0.5 and same["copied"] is None
    none, reasons = prompt_ladder.judge([Answer(pair("a"), error="no room")], [])
    assert none["format"] == 0.0 and none["echo"] is None and reasons == ["no room"]


def test_examples_are_the_nearest_training_rows_and_come_before_the_question() -> None:
    train = [
        pair("a red circle", "RED"),
        pair("sort a list", "SORT"),
        pair("a tree of words", "TREE"),
        pair("blue", "BLUE"),
    ]
    near = nearest_of(train)(pair("draw a red circle"))
    assert near[0].answer == "RED" and len(near) == 3
    turns = asked(pair("now"), near[:1])
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[1]["content"] == "a red circle" and turns[-1]["content"] == "now"


def test_everybody_gets_the_same_prompts_and_seeds() -> None:
    heard: list[Any] = []

    @contextmanager
    def opened(adapter: Path | None) -> Iterator[Any]:
        def ask(messages: Any, temperature: float = 0.0, seed: int = 0) -> str:
            heard.append((len(messages), temperature, seed))
            if "broken" in messages[-1]["content"]:
                raise StudioError("x", "no room")
            return "answer"

        yield ask

    found = answered(
        Who("base"), [pair("one"), pair("broken")], opened, tries=3, nearest=lambda one: [one], tell=lambda done: None
    )
    assert [one.texts for one in found] == [["answer"] * 3, []] and found[1].error == "no room"
    assert heard == [(2, 0.0, 0), (2, 0.7, 1), (2, 0.7, 2), (2, 0.0, 0)]


def test_the_table_has_a_row_for_base_examples_and_each_checkpoint(
    new_session: Callable[..., TextSession], settings: Settings, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real tiny models: what they write is noise, so the figures are 0, but all of it is measured."""
    from training.text.run import work

    judged_run = new_session(small(steps=2, validate_every=1))
    work(judged_run)
    monkeypatch.setattr(evaluate.manim_ladder, "tools", lambda **_: tools(draw=None))
    wish = {"task": "auto", "rows": 2, "tries": 1, "render": False, "repairs": 0, "baselines": True}
    own = create_run(
        place, judged_run.recipe, judged_run.run.info["dataset"], kind="check", of=judged_run.run.id, evaluate=wish
    )
    short = evaluate_run(open_text_session(own, settings, place))
    result = read_json(judged_run.run.folder / "evaluation.json")
    assert read_json(own.folder / "check.json") == result and short["rows"] == result["rows"]
    names = [row["who"] for row in result["rows"]]
    assert names[:2] == ["base", "base + examples"] and [row["step"] for row in result["rows"][2:]] == [1, 2]
    assert sum("(chosen)" in name for name in names) == 1
    assert all(row["n"] == 2 and row["dry_run"] == 0.0 and row["faults"] is None for row in result["rows"])
    assert any("neither the adapter nor the base" in note for note in result["notes"])
    assert len(result["samples"]) == 8 and all(one["fault"] for one in result["samples"] if one["who"] == "base")
    with (judged_run.run.folder / "evaluation.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["who"] for row in rows] == names and rows[0]["faults"] == "" and rows[0]["dry_run"] == "0.0"
    assert (judged_run.run.part().adapters / step_name(1)).is_dir()


def test_nothing_held_out_is_nothing_to_ask(
    new_session: Callable[..., TextSession], settings: Settings, place: Workspace
) -> None:
    session = new_session(small(validation_share=0.0), train=3, test=0)
    wish = {"task": "manim", "rows": 2, "tries": 1, "render": False, "repairs": 0, "baselines": True}
    own = create_run(place, session.recipe, session.run.info["dataset"], kind="check", adapter="lora_x", evaluate=wish)
    with pytest.raises(StudioError, match="no held-out row"):
        evaluate_run(open_text_session(own, settings, place))


def test_checkpoints_are_spread_and_the_chosen_and_the_last_stay() -> None:
    assert spread([1, 2, 3], 6) == [1, 2, 3]
    found = spread(list(range(1, 41)), 6, keep=7)
    assert len(found) == 6 and {7, 40} <= set(found) and found == sorted(found)


def test_an_adapter_that_retrieval_matches_is_said_to_be_matched() -> None:
    def rows(examples: float | None, best: float) -> list[dict[str, Any]]:
        return [{"who": "base + examples", "dry_run": examples}, {"who": "LoRA step 4", "dry_run": best}]

    assert "neither" in verdict(rows(0.0, 0.0), manim_ladder.COLUMNS)[0]
    assert verdict(rows(0.5, 0.5), manim_ladder.COLUMNS) and not verdict(rows(0.4, 0.5), manim_ladder.COLUMNS)
    assert not verdict(rows(None, 0.5), manim_ladder.COLUMNS)
    assert code(1).startswith("from manim")
