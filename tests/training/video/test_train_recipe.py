"""One model behind YAML, flags and form: what the documents say stands in it, and a wrong key is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2v_studio.adapters.recipe import GROUPS, Recipe, parse_recipe, read_recipe, recipe_files, write_recipe
from t2v_studio.errors import InputError, NotFoundError


def test_every_field_is_explained_and_has_its_group() -> None:
    for name, field in Recipe.model_fields.items():
        assert field.description and field.description.endswith((".", ")")), name
        if name not in ("name", "about"):
            assert field.json_schema_extra["group"] in GROUPS, name


def test_the_course_recipe_has_the_documents_values() -> None:
    recipe = read_recipe("wan_course")
    kept = (
        recipe.rank,
        recipe.alpha,
        recipe.lora_dropout,
        recipe.learning_rate,
        recipe.batch_size,
        recipe.accumulation,
    )
    assert kept == (16, 32, 0.05, 1e-4, 1, 8)
    assert (recipe.dtype, recipe.trigger, recipe.scale) == ("bf16", "acad_course_v1", 0.7)
    assert recipe.targets == ["to_q", "to_k", "to_v", "to_out.0"] and 3000 <= recipe.steps <= 6000
    assert recipe.frame_buckets == [17] and recipe.sizes == [(832, 480)]


def test_the_scenario_recipe_has_the_documents_values() -> None:
    recipe = read_recipe("scenario_default")
    assert (recipe.rank, recipe.alpha, recipe.lora_dropout, recipe.learning_rate) == (64, 128, 0.05, 1e-4)
    assert (recipe.epochs, recipe.steps, recipe.accumulation, recipe.warmup_steps) == (3, None, 4, 100)
    assert (recipe.schedule, recipe.dtype, recipe.seed, recipe.save_every) == ("constant_with_warmup", "bf16", 42, 200)
    assert (recipe.prompt_dropout, recipe.keep_top_k, recipe.fps, recipe.sample_guidance) == (0.05, 3, 8, 6.0)
    assert recipe.sizes == [(720, 480)] and recipe.frame_buckets == [49]


def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rank: 8\nlearning_rat: 0.1\n")
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    assert "learning_rat" in caught.value.message and '"learning_rate"' in caught.value.hint


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"rank": 0}, "rank"), ({"steps": 5, "epochs": 2}, "exclude"), ({"size_buckets": ["big"]}, "832x480")],
)
def test_a_wrong_value_is_refused_by_name(fields: dict, word: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(fields)
    assert word in caught.value.message


def test_a_recipe_is_written_and_read_back_alike(tmp_path: Path) -> None:
    for name in recipe_files():
        recipe = read_recipe(name)
        write_recipe(recipe, tmp_path / "again.yaml")
        assert read_recipe(tmp_path / "again.yaml") == recipe


def test_a_change_of_epochs_empties_steps_and_the_other_way() -> None:
    assert read_recipe("wan_course", epochs=2).steps is None
    assert read_recipe("scenario_default", steps=7).epochs is None
    assert read_recipe("scenario_default").steps_for(10) == 8, "3 rounds of 10 batches in windows of 4"


def test_a_recipe_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(NotFoundError) as caught:
        read_recipe("wan_curse")
    assert "wan_course" in caught.value.hint
