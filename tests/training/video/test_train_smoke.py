"""Each recipe that ships trains on the tiny model of its family, and each family trains at all."""

from __future__ import annotations

from typing import Any

import pytest

from t2v_studio.adapters.recipe import Recipe, read_recipe, recipe_files
from t2v_studio.engines.diffusion.families.registry import family
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
from training.video import smoke


def quick(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"validation_prompts": ""})


@pytest.mark.parametrize("name", sorted(recipe_files()))
def test_a_recipe_trains_saves_and_loads_alike(name: str, settings: Settings, workspace: Workspace) -> None:
    found = smoke.smoke(quick(read_recipe(name)), settings, workspace)
    assert found["ok"] and found["difference"] == 0.0 and len(found["losses"]) == 2
    assert found["losses"][0] != found["losses"][1] > 0


def test_ltx_trains_too(settings: Settings, workspace: Workspace) -> None:
    fields: dict[str, Any] = {"model": "ltx-0.9.1", "frame_buckets": [25], "size_buckets": ["704x480"], "targets": None}
    assert smoke.smoke(quick(Recipe(**fields)), settings, workspace)["difference"] == 0.0


def test_the_small_recipe_keeps_what_the_recipe_says_of_learning() -> None:
    recipe = read_recipe("scenario_default")
    small = smoke.small_recipe(recipe, family("cogvideox"))
    assert (small.rank, small.alpha, small.targets, small.lora_dropout) == (64, 128, recipe.targets, 0.05)
    assert small.model == "tiny-cogvideox" and small.steps == 2
