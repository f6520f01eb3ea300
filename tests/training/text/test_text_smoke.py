"""`t2v train smoke`: two steps of a recipe on a tiny model of its family, through save, load, merge and export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from text_rows import small, write_set

from t2v_studio.adapters.recipe import read_text_recipe
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
from training.text.base import base_of
from training.text.estimate import estimate, memory, meta_model
from training.text.smoke import families_of, smoke


@pytest.mark.parametrize(
    ("recipe", "family"), [("manim_coder", "lfm2"), ("prompt_writer", "qwen3"), ("text_smoke", "llama")]
)
def test_every_recipe_goes_the_whole_way_on_a_tiny_model(recipe: str, family: str, settings: Settings) -> None:
    chosen = read_text_recipe(recipe)
    assert family in families_of(chosen)
    found = smoke(chosen, settings, (family,))
    (one,) = found["families"]
    assert one["family"] == family and len(one["losses"]) == 2
    assert one["reload_difference"] < 1e-5 and one["merge_difference"] < 1e-4 and one["gguf_bytes"] > 10_000


def test_the_family_of_a_smoke_test_is_the_one_of_the_base() -> None:
    assert families_of(read_text_recipe("manim_coder")) == ("lfm2",)
    assert families_of(read_text_recipe("prompt_writer")) == ("qwen3",)
    assert families_of(small()) == ("llama", "qwen3", "lfm2")


def test_the_dry_run_shows_rows_layers_memory_and_steps(settings: Settings, place: Workspace, tmp_path: Path) -> None:
    recipe = small(model="tiny-lfm2", steps=None, epochs=2, max_length=60, base_quantised="nf4")
    found = estimate(recipe, write_set(tmp_path / "set", 7, 3), base_of(recipe.model, settings), place)
    assert json.loads(json.dumps(found)) == found
    assert found["rows"] == {"train": 7, "test": 3, "refused": 0} and found["steps"] == 8 and found["epochs"] == 2
    assert found["tokens"]["truncated"] == 7 and any("7 of 7 rows" in notice for notice in found["notices"])
    assert any("nf4 needs CUDA" in notice for notice in found["notices"])
    assert len(found["preview"]) == 3 and [part["loss"] for part in found["preview"][0]["parts"]] == [False, True]
    assert sum(found["targets"].values()) == 12
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(place.cache / "models" / "tiny-lfm2")
    assert found["parameters"]["base"] == sum(one.numel() for one in model.parameters())
    assert found["parameters"]["trainable"] == 4 * 2752 and set(found["memory_gib"]) >= {"base", "activations", "total"}


def test_a_quantised_base_and_a_paged_optimiser_need_less_memory(settings: Settings, place: Workspace) -> None:
    base = base_of("tiny-llama", settings)
    model = meta_model(base)
    plain, held = small(dtype="bf16"), small(dtype="bf16", base_quantised="nf4", optimiser="paged_adamw8bit")
    one, two = (memory(recipe, base, model, 10_000_000, 100_000, 512) for recipe in (plain, held))
    assert two["base"] < one["base"] and two["adapter_and_optimiser"] < one["adapter_and_optimiser"]
    assert one["total"] == pytest.approx(1.08 * sum(one[name] for name in one if name not in ("reserve", "total")))
    open_memory = memory(small(dtype="bf16", checkpointing=True), base, model, 10_000_000, 100_000, 512)
    assert open_memory["activations"] < one["activations"]
