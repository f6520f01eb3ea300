"""Presets: every shipped one makes a request, what is given beside it wins, and what it cannot go with is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from t2v_studio.engines.diffusion.presets import presets
from t2v_studio.errors import InputError
from t2v_studio.production.request import VideoRequest, parse_request


def asked(preset: str, **more: Any) -> VideoRequest:
    return parse_request({"topic": "x", "engine": "diffusion", "preset": preset, **more})


@pytest.mark.parametrize("name", list(presets()))
def test_every_preset_makes_a_request_that_says_every_number(name: str) -> None:
    chosen = presets()[name]
    more = {"adapter": "lora_1"} if chosen.needs_adapter else {}
    request = asked(name, **more)
    for field, value in chosen.beside(more).items():
        assert getattr(request, field) == value
    assert parse_request(request.model_dump(mode="json")) == request


def test_the_numbers_of_the_course_and_of_distilled_adapters() -> None:
    course = asked("course")
    assert (course.width, course.height, course.fps, course.scene_frames) == (832, 480, 10, 17)
    assert (course.steps, course.guidance) == (16, 4.8)
    quick = asked("distilled", adapter="lora_1")
    assert (quick.steps, quick.guidance, quick.lora_scale) == (4, 1.0, 1.0)


def test_what_is_given_beside_a_preset_wins() -> None:
    assert asked("course", fps=12).fps == 12
    longer = asked("course", seconds=4)
    assert longer.scene_frames is None and longer.steps == 16
    fast = asked("course", quality="fast")
    assert (fast.steps, fast.guidance, fast.scene_frames, fast.width) == (None, None, None, 832)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"preset": "cours"}, 'Did you mean "course"'),
        ({"preset": "course", "engine": "local"}, "--engine diffusion"),
        ({"preset": "distilled"}, "--lora-path"),
        ({"preset": "smoke", "course_mode": True}, "--course-mode and --preset smoke exclude each other"),
        ({"lora_scale": 0.7}, "--lora-scale needs"),
        ({"step_cache": "first_block", "steps": 8}, "20 steps or more"),
        ({"cfg_cutoff": 0.6, "guidance": 1}, "exclude each other"),
    ],
)
def test_choices_that_do_not_go_together_are_named(data: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_request({"topic": "x", "engine": "diffusion", **data})
    assert words in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {name: a, title: A, about: A, sets: {stepz: 3}}", "steps"),
        ("- {name: a, title: A, sets: {}}", "about"),
        ("- {name: a, title: A, about: A, sets: {}}\n- {name: a, title: A, about: A, sets: {}}", "share a name"),
        ("[", "YAML"),
    ],
)
def test_a_bad_file_of_presets_is_refused_by_its_field(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "presets.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        presets(path)
    assert words in f"{refused.value.message} {refused.value.hint}" and "presets.yaml" in refused.value.message
