"""Recipes of language models: told apart from video recipes, every one that ships is sound, errors name the field."""

from __future__ import annotations

from pathlib import Path

import pytest
from text_rows import small

from t2v_studio.adapters.recipe import read_recipe, read_text_recipe, recipe_files, write_recipe
from t2v_studio.adapters.text_recipe import TEXT_GROUPS, TextRecipe, parse_text_recipe
from t2v_studio.errors import InputError
from t2v_studio.planning.chat_model import chat_models
from t2v_studio.planning.tiny_chat import is_tiny


def test_the_recipes_that_ship_have_the_values_of_their_notes() -> None:
    assert sorted(recipe_files("text")) == ["manim_coder", "prompt_writer", "text_smoke"]
    coder, writer = read_text_recipe("manim_coder"), read_text_recipe("prompt_writer")
    assert (coder.rank, coder.alpha, coder.lora_dropout, coder.epochs) == (16, 32, 0.1, 3)
    assert (coder.learning_rate, coder.max_length, coder.effective_batch) == (2e-4, 1024, 4)
    assert (writer.base_quantised, writer.optimiser, writer.schedule) == ("nf4", "paged_adamw8bit", "cosine")
    assert (writer.lora_dropout, writer.effective_batch, writer.early_stop_patience) == (0.05, 16, 3)
    known = {row["name"] for row in chat_models()}
    assert all(is_tiny(one.model) or one.model in known for one in map(read_text_recipe, recipe_files("text")))


def test_a_recipe_of_the_other_kind_names_the_right_command() -> None:
    with pytest.raises(InputError) as one:
        read_recipe("manim_coder")
    with pytest.raises(InputError) as other:
        read_text_recipe("wan_course")
    assert one.value.code == other.value.code == "wrong_recipe_kind"
    assert "t2v train text" in one.value.hint and "t2v train video" in other.value.hint


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    recipe = small(targets=["q_proj"], push_to="me/mine")
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert read_text_recipe(tmp_path / "recipe.yaml") == recipe


def test_every_field_says_what_it_is_and_where_it_stands() -> None:
    for name, field in TextRecipe.model_fields.items():
        assert field.description, name
        if name not in ("kind", "name", "about"):
            assert isinstance(field.json_schema_extra, dict) and field.json_schema_extra["group"] in TEXT_GROUPS, name


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"lora_rank": 8}, "lora_rank"),
        ({"rank": 0}, "rank"),
        ({"steps": 3, "epochs": 2}, "steps and epochs exclude each other"),
        ({"targets": ["q_proj", "lm_head"]}, "the head and the embedding take no adapter"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_text_recipe(fields)


def test_a_near_name_is_offered() -> None:
    with pytest.raises(InputError) as error:
        parse_text_recipe({"learning_rat": 1e-4})
    assert error.value.hint == 'Did you mean "learning_rate"?'


def test_steps_follow_from_rows_and_effective_batch() -> None:
    recipe = small(steps=None, epochs=3, batch_size=4, accumulation=2)
    assert recipe.round_of(17) == 3 and recipe.steps_for(17) == 9
    assert small(steps=5).steps_for(1000) == 5
