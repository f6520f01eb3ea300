"""Prompts before and after, text sets and text trainings as markup: what is said, and nothing unescaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stand_in import job

pytest.importorskip("gradio")

from t2v_studio.adapters.recipe import read_text_recipe
from t2v_studio.planning.plan import Scene, ScenePlan, Step, Written
from t2v_studio.ui.components import recipe_form, text_set_view, text_view, written_prompts

EVIL = "<script>alert(1)</script>"


def plan(taken: bool) -> ScenePlan:
    note = Written(
        writer="mine", sha256="0" * 64, taken=taken, mended="asked again" if taken else "", reason="it is a list",
        prompt_before=f"Picture: {EVIL}", negative_before="blurry",
    )  # fmt: skip
    scene = Scene(id="a", title="One", steps=[Step(say="x")], prompt="A dot rolls.", written=note)
    return ScenePlan(topic="t", scenes=[scene])


def test_before_and_after_stand_side_by_side() -> None:
    taken, refused = written_prompts.prompts(plan(True)), written_prompts.prompts(plan(False))
    assert "1 of 1 scene written" in taken and "A dot rolls." in taken and "asked again" in taken
    assert "After" not in refused and "it is a list" in refused and "0 of 1 scene written" in refused
    assert EVIL not in taken + refused
    assert written_prompts.prompts(ScenePlan(topic="t", scenes=[Scene(id="a", title="A", steps=[Step(say="x")])])) == ""


def test_a_report_says_what_to_mend() -> None:
    finding = {
        "severity": "error",
        "code": "empty",
        "row": "a.jsonl:2",
        "field": EVIL,
        "reason": "it is empty",
        "fix": "Fill it in.",
    }
    tokens = {"available": True, "rows": 3, "min": 4, "max": 40, "median": 8, "truncated": 1, "max_length": 16, "bins": [{"up_to": 16, "rows": 2}, {"up_to": 40, "rows": 1}]}  # fmt: skip
    found: dict[str, Any] = {
        "ok": False, "rows": 3, "shapes": {"text": 3}, "splits": {"": 3}, "licenses": {}, "counts": {"error": 1, "warning": 0, "note": 0},
        "findings": [finding] * 300, "code": {}, "tokens": tokens, "unchecked": {"dry_run": "not asked for (--dry-run)"},
    }  # fmt: skip
    said = text_set_view.report("mine", found)
    for words in (
        "has errors",
        "a.jsonl:2",
        "Fill it in.",
        "1 row over 16",
        "width:100.0%",
        "width:50.0%",
        "And 100 more",
    ):
        assert words in said
    assert EVIL not in said and "t2v dataset validate --dry-run" in said
    assert "can be trained on" in text_set_view.report("mine", {**found, "ok": True, "findings": []})


def test_adapters_offer_what_their_task_is_good_for(tmp_path: Path) -> None:
    row = {"step": 4, "epoch": 1.0, "val_loss": 2.5, "val_accuracy": 0.5, "chosen": True, "state": "kept", "reason": ""}
    part = {"name": "unified", "table": [row], "base": {"val_loss": 3.0}}
    assert "Use as prompt writer" in text_view.adapters("run_1", part, "prompts")
    manim = text_view.adapters("run_1", part, "manim")
    assert "Keep among adapters" in manim and "50.0 %" in manim and "base" in manim
    judged = {
        "columns": [{"name": "parse", "label": "Parses", "help": "Reads as Python", "share": True}],
        "rows": [{"who": "base", "n": 8, "parse": 0.25}, {"who": EVIL, "n": 8, "parse": None}], "notes": ["few rows"],
    }  # fmt: skip
    asking = job("check_adapter", "running", stage="asking", step=4, total=24)
    busy = text_view.evaluation("run_1", {}, True, asking)
    assert "Asking · 4 of 24" in busy and "Cancel" in busy and ">Evaluate<" not in busy
    table = text_view.evaluation("run_1", judged, True, None)
    assert "25.0 %" in table and "few rows" in table and "Evaluate again" in table and EVIL not in table
    files = text_view.files("lora_1", [("adapter.gguf", 45_952, tmp_path / "adapter.gguf")], True)
    assert 'download="adapter.gguf"' in files and "A file is being written." in files


@pytest.mark.parametrize("name", ["text_smoke", "manim_coder", "prompt_writer"])
def test_a_text_recipe_goes_through_its_form_unchanged(name: str) -> None:
    recipe = read_text_recipe(name)
    fields = recipe_form.TEXT.fields_of(tuple(recipe_form.TEXT.values_of(recipe)), recipe)
    assert type(recipe).model_validate(fields) == recipe.model_copy(update={"about": ""})
