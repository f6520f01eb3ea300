"""What a person reads where data does not fit a model of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from t2v_studio.errors import InputError, plural, wrong_fields


class Ball(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["ball"]
    radius: float = Field(gt=0, le=10, allow_inf_nan=False)


class Cube(BaseModel):
    kind: Literal["cube"]


class Scene(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field("A scene", min_length=1, max_length=12)
    count: int = 1
    loud: bool = False
    tone: Literal["calm", "loud"] = "calm"
    labels: list[str] = Field([], max_length=2)
    seed: int = Field(0, le=2**31 - 1)
    share: float = Field(0.5, ge=0, le=0.25)
    name: str = Field("a", pattern=r"^[a-z]+$")
    shapes: list[Annotated[Ball | Cube, Field(discriminator="kind")]] = []

    @field_validator("labels")
    @classmethod
    def _differ(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) < len(labels):
            raise ValueError("two labels are the same")
        return labels


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ({"title": ""}, "s.yaml: title: the text is empty.", "Write 1 or more characters."),
        ({"title": "x" * 20}, "s.yaml: title: the text has 20 characters, the most is 12.", "Shorten it."),
        ({"title": 3}, "s.yaml: title: 3 is not text.", "Give text."),
        ({"count": "many"}, 's.yaml: count: "many" is no whole number.', "Give a whole number."),
        ({"loud": "perhaps"}, 's.yaml: loud: "perhaps" is neither true nor false.', "Use true or false."),
        ({"tone": "flat"}, 's.yaml: tone: "flat" is not known.', "Use 'calm' or 'loud'."),
        ({"labels": "one"}, 's.yaml: labels: "one" is not a list.', "Give a list."),
        ({"labels": ["a", "b", "c"]}, "s.yaml: labels: there are 3 in it, the most is 2.", "Correct it: take some out."),
        ({"seed": 99999999999}, "s.yaml: seed: 99999999999 is too much, the most is 2147483647.", "Give 2147483647 or less."),
        ({"seed": "3000000000"}, "s.yaml: seed: 3000000000 is too much, the most is 2147483647.", "Give 2147483647 or less."),
        ({"share": float("nan")}, "s.yaml: share: nan is no number.", "Give a number."),
        ({"share": "nan"}, "s.yaml: share: nan is no number.", "Give a number."),
        ({"share": 0.5}, "s.yaml: share: 0.5 is too much, the most is 0.25.", "Give 0.25 or less."),
        ({"name": "A!"}, 's.yaml: name: "A!" cannot stand there.', "Correct it: it must match ^[a-z]+$"),
        ({"labels": ["a", "a"]}, "s.yaml: labels: two labels are the same.", "See the manual."),
        ({"shapes": [{"kind": "ball", "radius": 0}]}, "s.yaml: shapes.0.ball.radius: 0 is too little, it must be more than 0.", "Give more than 0."),
        ({"shapes": [{"kind": "ball", "radius": 11}]}, "s.yaml: shapes.0.ball.radius: 11 is too much, the most is 10.", "Give 10 or less."),
        ({"shapes": [{"kind": "ball"}]}, "s.yaml: shapes.0.ball.radius: it is missing.", "Give it."),
        ({"shapes": [{"kind": "bal"}]}, 's.yaml: shapes.0.kind: "bal" is not known.', 'Did you mean "ball"?'),
        ({"shapes": [{"radius": 1}]}, "s.yaml: shapes.0: its kind is missing.", "Give its kind."),
        ({"shapes": ["ball"]}, 's.yaml: shapes.0: "ball" is not a set of fields.', "Give a set of fields."),
        ({"tilte": "x", "count": "many"}, 's.yaml: "tilte" is not known.', 'Did you mean "title"?'),
        ({"shapes": [{"kind": "ball", "radius": 1, "xyz": 1}]}, 's.yaml: shapes.0.ball: "xyz" is not known.', "See the manual."),
        ("words", 's.yaml: "words" is not a set of fields.', "Give a set of fields."),
    ],
    ids=str,
)  # fmt: skip
def test_a_refusal_names_the_field_and_what_to_do(data: Any, message: str, hint: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Scene.model_validate(data)
    error = wrong_fields("bad_scene", refused.value, "s.yaml", known=Scene.model_fields, hint="See the manual.")
    assert isinstance(error, InputError) and (error.message, error.hint) == (message, hint)


def test_without_a_file_the_field_stands_alone() -> None:
    with pytest.raises(ValidationError) as refused:
        Scene.model_validate({"labels": ["a", "a"]})
    error = wrong_fields("bad_scene", refused.value)
    assert error.message == "labels: two labels are the same." and error.details == {"field": "labels"}
    assert (error.code, error.hint) == ("bad_scene", "Correct it and try again.")


@pytest.mark.parametrize(("count", "words"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames"), (1200, "1,200 frames")])
def test_one_thing_is_no_plural(count: int, words: str) -> None:
    assert plural(count, "frame") == words
