"""A LoRA on the resident model: worn, weaker, taken off, without loading anything again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_lora import write_lora
from tiny_studio import Counts, canvas, drawn, make_plan

from t2v_studio.adapters.catalogue import adopt
from t2v_studio.engines.base import SceneSettings
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.errors import StudioError

PLAN = make_plan(1)


def test_it_is_worn_in_turn_without_a_load(engine: DiffusionEngine, with_tiny, tmp_path: Path, monkeypatch) -> None:
    card = adopt(with_tiny, write_lora(tmp_path / "lora"), name="ink", trigger="inkstyle", scale=0.7)
    (bare,), _ = drawn(engine, PLAN, canvas(scenes=1, lora_prompt_profile="none"))
    counts = Counts().watch(monkeypatch)
    (worn,), (source,) = drawn(engine, PLAN, canvas(scenes=1, adapter=card.id, lora_prompt_profile="none"))
    adapter = source.details["adapter"]
    assert (adapter["id"], adapter["scale"], adapter["matched"], adapter["way"]) == (card.id, 0.7, 16, "merged")
    assert adapter["sha256"] == card.sha256
    assert source.details["prompt"]["text"].startswith("inkstyle, ")
    assert not np.array_equal(bare, worn)
    assert counts["loads"] == counts["moves"] == 0
    (off,), (plain,) = drawn(engine, PLAN, canvas(scenes=1, lora_prompt_profile="none"))
    assert np.array_equal(bare, off) and plain.details["adapter"] is None


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
    engine: DiffusionEngine, with_tiny, tmp_path: Path
) -> None:
    card = adopt(with_tiny, write_lora(tmp_path / "lora"), name="ink", scale=0.7, scale_max=1.0)
    with pytest.raises(StudioError) as caught:
        drawn(engine, PLAN, canvas(scenes=1, adapter=card.id, lora_scale=1.5))
    assert caught.value.code == "adapter_scale"
    assert engine.status() == {}


def test_an_unknown_adapter_is_not_there(engine: DiffusionEngine) -> None:
    state = engine.availability(canvas(scenes=1, adapter="lora_0000000000000000").options)
    assert not state.ok and "lora_0000000000000000" in state.message
