"""The list of adapters on the page: limits shown, what is assumed is said, nothing unescaped, and the way to Generate."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from safetensors.torch import save_file
from stand_in import StandIn

from t2v_studio.settings import Settings
from t2v_studio.ui.components import adapter_list
from t2v_studio.ui.page import Page

ATTACK = "<img src=x onerror=alert(1)>"


@pytest.fixture
def studio(settings: Settings) -> StandIn:
    return StandIn(settings)


def lora(path: Path, seed: float = 1.0) -> Path:
    save_file(
        {
            "transformer.blocks.0.attn1.to_q.lora_A.weight": torch.full((4, 24), seed),
            "transformer.blocks.0.attn1.to_q.lora_B.weight": torch.ones(24, 4),
        },
        path,
    )
    return path


def parts(studio: StandIn) -> dict[str, Any]:
    """The component in a page of its own: its listeners by name."""
    with gr.Blocks() as demo:
        states = {name: gr.State() for name in ("rows", "opened", "again", "kept")}
        page = Page(studio, gr.Tabs(), gr.Timer(), **states, viewer=gr.HTML(), header=gr.HTML())  # type: ignore[arg-type]
        adapter_list.build(page, "models", ["wan2.1-14b"])
    found = {one.fn.__name__: one.fn for one in demo.fns.values() if one.fn is not None}
    return found | {one["fn"].__name__: one["fn"] for one in page.loads}


def event(**data: str) -> Any:
    return SimpleNamespace(_data=data)


def test_an_empty_list_says_what_to_do(studio: StandIn) -> None:
    assert "No LoRA yet" in adapter_list.table(studio.adapters.rows())


def test_a_row_and_its_details(studio: StandIn, tmp_path: Path) -> None:
    row = studio.adapters.adopt(lora(tmp_path / "course.safetensors"), trigger="acad", scale=0.6, scale_max=0.9)
    studio.workspace.adapter(row["id"])
    view = adapter_list.table([row | {"metrics": {"val_loss": 0.123456, "step": 40}}], row["id"])
    assert "acad" in view and "0.6" in view and "0 to 0.9" in view and "val loss 0.1235, step 40" in view
    assert 'aria-pressed="true"' in view and "assumed" in view and 'data-act="use"' in view
    full = adapter_list.details(row)
    assert "Alpha is assumed to be the rank" in full and row["sha256"] in full and "data-confirm" in full


def test_a_damaged_adapter_can_be_seen_and_removed(studio: StandIn, tmp_path: Path) -> None:
    row = studio.adapters.adopt(lora(tmp_path / "course.safetensors"))
    (studio.workspace.adapter(row["id"]) / "card.json").write_text("{")
    view = adapter_list.table(studio.adapters.rows())
    assert "damaged" in view and "cannot be read" in view and 'data-act="remove"' in view


def test_nothing_is_shown_unescaped(studio: StandIn, tmp_path: Path) -> None:
    row = studio.adapters.adopt(lora(tmp_path / "course.safetensors"), name=ATTACK, trigger=ATTACK, notes=ATTACK)
    row |= dict.fromkeys(("base_model", "made_from", "license", "made_for", "id"), ATTACK) | {
        "metrics": {ATTACK: ATTACK}
    }
    broken = {"id": ATTACK, "name": ATTACK, "error": ATTACK}
    for view in (adapter_list.table([row, broken]), adapter_list.details(row)):
        assert ATTACK not in view


def test_the_form_of_generate_gets_adapter_scale_and_trigger(studio: StandIn, tmp_path: Path) -> None:
    row = studio.adapters.adopt(lora(tmp_path / "course.safetensors"), trigger="acad", scale=0.6)
    fields = adapter_list.for_generate(row)
    assert fields == {"engine": "diffusion", "adapter": row["id"], "lora_scale": 0.6, "lora_trigger": "acad"}
    assert adapter_list.for_generate(row | {"base_model": "wan2.1-14b"})["model_id"] == "wan2.1-14b"


def test_adding_looking_using_and_removing(studio: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: said.append(text))
    found = parts(studio)
    assert "No LoRA yet" in found["fill"]()
    table, full, words, _ = found["add"](str(lora(tmp_path / "course.safetensors")), "Course", "acad", "", "0,6", "8")
    (row,) = studio.adapters.rows()
    assert (row["name"], row["alpha"], row["scale"]) == ("Course", 8, 0.6)
    assert "Course" in table and "Course" in full and "is added" in words and "which model" in words
    view, full, _ = found["clicked"](event(act="show", id=row["id"]))
    assert 'aria-pressed="true"' in view and "Course" in full
    sent = found["clicked"](event(act="use", id=row["id"]))[2]
    assert sent["kind"] == "adapter" and sent["fields"]["adapter"] == row["id"]
    assert "No LoRA yet" in found["clicked"](event(act="remove", id=row["id"]))[0] and not said


def test_a_refused_file_is_said_and_changes_nothing(
    studio: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: said.append(text))
    add = parts(studio)["add"]
    (tmp_path / "bad.safetensors").write_bytes(b"PK")
    for path in (None, str(tmp_path / "bad.safetensors")):
        add(path, "", "", "", "", "")
    assert "none is chosen" in said[0] and "not a sound LoRA file" in said[1] and not studio.adapters.rows()
