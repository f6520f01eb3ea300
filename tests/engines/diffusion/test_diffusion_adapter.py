"""A LoRA on the resident model: worn, weaker, taken off, without loading anything again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_lora import write_lora
from tiny_studio import Counts, canvas, drawn, make_plan, video

from t2v_studio.adapters.catalogue import adopt, edit, load_state, remove, worn_experts
from t2v_studio.engines.base import SceneSettings
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.errors import ConflictError, InputError, StudioError
from t2v_studio.planning.planner import Planned
from t2v_studio.production.again import again
from t2v_studio.production.produce import produce
from t2v_studio.production.redraw import redraw
from t2v_studio.production.request import VideoRequest, parse_request
from t2v_studio.production.settle import settled
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio
from t2v_studio.workspace import Workspace

PLAN = make_plan(1)


@pytest.mark.parametrize("room", [1e12, 1e9])
def test_it_is_worn_in_turn_without_a_load(
    engine: DiffusionEngine, with_tiny, tmp_path: Path, monkeypatch, room: float
) -> None:
    monkeypatch.setattr("t2v_studio.engines.diffusion.adapter_merge.free_memory", lambda: room)
    card = adopt(with_tiny, write_lora(tmp_path / "lora"), name="ink", trigger="inkstyle", scale=0.7)
    (bare,), _ = drawn(engine, PLAN, canvas(scenes=1, lora_prompt_profile="none"))
    counts = Counts().watch(monkeypatch)
    (worn,), (source,) = drawn(engine, PLAN, canvas(scenes=1, adapter=card.id, lora_prompt_profile="none"))
    adapter = source.details["adapter"]
    assert (adapter["id"], adapter["scale"], adapter["matched"], adapter["way"]) == (card.id, 0.7, 16, "merged")
    assert adapter["copies"] == ("device" if room > 1e11 else "disk") and adapter["sha256"] == card.sha256
    assert source.details["prompt"]["text"].startswith("inkstyle, ")
    assert not np.array_equal(bare, worn)
    assert counts["loads"] == counts["moves"] == 0
    (off,), (plain,) = drawn(engine, PLAN, canvas(scenes=1, lora_prompt_profile="none"))
    assert np.array_equal(bare, off) and plain.details["adapter"] is None


def test_another_alpha_takes_no_latents_of_the_old_one(engine: DiffusionEngine, with_tiny, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "lora", metadata=False)
    card = adopt(with_tiny, path, name="ink", scale=0.7, alpha=4)
    on = canvas(scenes=1, adapter=card.id)
    with engine.together():
        _, (first,) = drawn(engine, PLAN, on)
        remove(with_tiny, card.id)
        assert adopt(with_tiny, path, name="ink", scale=0.7, alpha=32).id == card.id
        _, (second,) = drawn(engine, PLAN, on)
    assert first.details["adapter"]["alpha"] == 4 and second.details["adapter"]["alpha"] == 32
    assert first.details["latents_sha256"] != second.details["latents_sha256"]


def test_the_scale_of_a_scene_is_the_ladders_and_the_next_scene_has_its_own(
    engine: DiffusionEngine, with_tiny, tmp_path: Path
) -> None:
    card = adopt(with_tiny, write_lora(tmp_path / "lora"), name="ink", scale=0.8)
    plan = make_plan(2)
    half = SceneSettings(lora_scale=0.4)
    _, (first, second) = drawn(engine, plan, canvas(adapter=card.id, scene_settings=(half, None)))
    assert (first.details["adapter"]["scale"], second.details["adapter"]["scale"]) == (0.4, 0.8)
    assert first.settings == {"lora_scale": 0.4} and second.settings == {}


def test_a_scale_outside_its_limits_is_refused_before_the_model_loads(
    engine: DiffusionEngine, settings: Settings, with_tiny, tmp_path: Path
) -> None:
    card = adopt(with_tiny, write_lora(tmp_path / "lora"), name="ink", scale=0.7, scale_max=1.0)
    with pytest.raises(StudioError) as caught:
        video(engine, with_tiny, settings, PLAN, adapter=card.id, lora_scale=1.5)
    assert caught.value.code == "adapter_scale"
    assert engine.status() == {}


def test_an_unknown_adapter_is_not_there(engine: DiffusionEngine) -> None:
    state = engine.availability(canvas(scenes=1, adapter="lora_0000000000000000").options)
    assert not state.ok and "lora_0000000000000000" in state.message


# --- card and preset ---------------------------------------------------------------------------
def asked(**choices: Any) -> VideoRequest:
    return parse_request({"topic": "a ball", "engine": "diffusion", "model_id": "tiny-wan", **choices})


def test_the_preset_of_a_lora_fills_what_the_request_leaves_open(
    engine: DiffusionEngine, with_tiny: Workspace, tmp_path: Path
) -> None:
    card = adopt(with_tiny, write_lora(tmp_path / "lora"), name="quick", trigger="inkstyle", scale=0.7)
    (with_tiny.data / "adapter_presets.yaml").write_text(
        "quick: {adapter: quick, scale: 1.0, trigger: quickstyle, profile: none, steps: 4, guidance: 1.0, flow_shift: 5.0, fps: 12, frames: 13}"
    )
    request, _, canvas_, notices = settled(asked(adapter=card.id), PLAN, engine)
    assert (request.steps, request.guidance, request.flow_shift, request.fps) == (4, 1.0, 5.0, 12)
    assert (request.lora_scale, request.lora_trigger, request.lora_prompt_profile) == (1.0, "quickstyle", "none")
    assert canvas_.scene_frames == (13,) and canvas_.steps == 4
    assert (
        "LoRA preset quick: fps 12, scene frames 13, steps 4, guidance 1, flow shift 5; what you set yourself wins."
        in notices
    )
    own, _, _, _ = settled(
        asked(adapter=card.id, steps=9, guidance=3, fps=8, scene_frames=5, lora_scale=0.5), PLAN, engine
    )
    assert (own.steps, own.guidance, own.fps, own.scene_frames, own.lora_scale) == (9, 3, 8, 5, 0.5)
    better, _, _, _ = settled(asked(adapter=card.id, quality="high"), PLAN, engine)
    assert better.steps == 38 and better.guidance != 1.0


def test_a_record_holds_what_the_card_said(engine: DiffusionEngine, with_tiny: Workspace, tmp_path: Path) -> None:
    card = adopt(with_tiny, write_lora(tmp_path / "lora"), name="ink", trigger="inkstyle", scale=0.7)
    request, plan, before, _ = settled(asked(adapter=card.id), PLAN, engine)
    edit(with_tiny, card.id, scale=1.2, scale_max=1.5, trigger="other", profile="none")
    _, _, after, _ = settled(request, plan, engine)
    assert before.options == after.options
    assert (request.lora_scale, request.lora_trigger) == (0.7, "inkstyle")
    assert request.lora_prompt_profile == "academic_infographic"
    with pytest.raises(InputError, match=r"lora_scale: 1\.8"):
        settled(asked(adapter=card.id, lora_scale=1.8), PLAN, engine)


QUICK = "quick: {adapter: ink, scale: 1.2, trigger: quick, profile: none, steps: 4, guidance: 1.0, flow_shift: 5.0}"


@pytest.mark.parametrize("way", ["again", "redraw"])
def test_a_redraw_asks_neither_card_nor_preset_again(
    engine: DiffusionEngine, settings: Settings, with_tiny: Workspace, tmp_path: Path, way: str
) -> None:
    """Made without a trigger, a video is made again without one, whatever its LoRA's card says by then."""
    card = adopt(with_tiny, write_lora(tmp_path / "lora"), name="ink", scale=0.7)
    record = video(engine, with_tiny, settings, PLAN, adapter=card.id, text_overlay=False)
    assert record.request.lora_trigger == "" and record.request.flow_shift is None
    edit(with_tiny, card.id, trigger="late", scale=0.3, scale_max=0.5, profile="none")
    (with_tiny.data / "adapter_presets.yaml").write_text(QUICK)
    folder = with_tiny.video(record.id)
    surroundings: dict[str, Any] = {"workspace": with_tiny, "settings": settings, "engine": engine}
    made = again(record, **surroundings) if way == "again" else redraw(record, 1, folder, **surroundings)
    (before,), (after,) = record.scenes, made.scenes
    assert after.details["prompt"] == before.details["prompt"] and "late" not in after.details["prompt"]["text"]
    assert after.details["numerics"] == before.details["numerics"]
    assert after.details["sampling"] == before.details["sampling"]
    assert made.adapter is not None and made.adapter["scale"] == 0.7
    assert made.frames_sha256 == record.frames_sha256
    own = ("lora_trigger", "lora_scale", "lora_prompt_profile", "steps", "guidance", "flow_shift")
    assert made.request.model_dump(include=set(own)) == record.request.model_dump(include=set(own))


@pytest.mark.parametrize("way", ["again", "redraw", "submitted"])
def test_a_lora_that_came_back_with_another_alpha_makes_no_video_again(
    engine: DiffusionEngine, settings: Settings, with_tiny: Workspace, tmp_path: Path, way: str
) -> None:
    """Its id goes by its file."""
    path = write_lora(tmp_path / "lora")
    card = adopt(with_tiny, path, name="ink", alpha=16)
    record = video(engine, with_tiny, settings, PLAN, adapter=card.id, text_overlay=False)
    remove(with_tiny, card.id)
    assert adopt(with_tiny, path, name="ink", alpha=8).id == card.id
    surroundings: dict[str, Any] = {"workspace": with_tiny, "settings": settings, "engine": engine}
    with pytest.raises(
        ConflictError, match=rf"LoRA ink has alpha 8 now, and {record.id} was drawn with 16\."
    ) as caught:
        if way == "again":
            again(record, **surroundings)
        elif way == "redraw":
            redraw(record, 1, with_tiny.video(record.id), **surroundings)
        else:
            Studio(settings).submit_again(record)
    assert "--alpha 16" in caught.value.hint
    remove(with_tiny, card.id)
    adopt(with_tiny, path, name="ink", alpha=16)
    assert again(record, **surroundings).frames_sha256 == record.frames_sha256
    edit(with_tiny, card.id, experts="low")
    with pytest.raises(ConflictError, match="has experts low now"):
        again(record, **surroundings)


@pytest.mark.parametrize(("layers", "worn"), [("both", "pair"), ("second", "low"), ("first", "both")])
def test_the_experts_of_a_lora_are_those_that_its_weights_serve(
    with_tiny: Workspace, tmp_path: Path, layers: str, worn: str
) -> None:
    from safetensors.torch import load_file, save_file

    path = write_lora(tmp_path / "lora")
    first = load_file(path)
    second = {name.replace("transformer.", "transformer_2.", 1): one.clone() for name, one in first.items()}
    save_file({"both": first | second, "second": second, "first": first}[layers], path, metadata={"format": "pt"})
    card = edit(with_tiny, adopt(with_tiny, path, name="ink").id, experts="both")
    assert worn_experts(with_tiny, card) == load_state(with_tiny, card.id).experts == worn


def test_layers_that_the_model_has_not_are_said(
    engine: DiffusionEngine, settings: Settings, with_tiny: Workspace, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    path = write_lora(tmp_path / "lora")
    tensors = load_file(path)
    renamed = {name.replace("attn1", "attn3"): one for name, one in tensors.items()}
    save_file(renamed, path, metadata={"format": "pt"})
    card = adopt(with_tiny, path, name="deep")
    request = asked(adapter=card.id, steps=1, width=128, height=128, scene_frames=5, fps=8, text_overlay=False)
    record = produce(request, Planned(PLAN), workspace=with_tiny, settings=settings, engine=engine)
    assert record.adapter is not None and record.adapter["unmatched"] > 0
    assert any("layers of the LoRA deep the model has" in said and "attn3" in said for said in record.notices)
