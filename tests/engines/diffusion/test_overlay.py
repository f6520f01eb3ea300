"""Texts over footage: readable on black, white and noise; the picture between them is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from t2v_studio.engines.base import Canvas
from t2v_studio.engines.diffusion.overlay import draw
from t2v_studio.planning.plan import ScenePlan

PLAN = ScenePlan.model_validate(
    {
        "topic": "descent",
        "scenes": [
            {
                "id": "a",
                "title": "One step against the slope",
                "formula": r"x_{t+1} = x_t - \eta f'(x_t)",
                "steps": [
                    {"say": "Take the slope and subtract it.", "show": "Subtract the slope", "cites": ["s1"]},
                    {"say": "Repeat until it is zero.", "show": "Repeat"},
                ],
            }
        ],
        "sources": [
            {
                "id": "s1", "book_id": "b", "book": "A Book", "page": 7, "page_last": 7, "passage_id": "p",
                "quote": "Take the slope and subtract it.", "score": 0.9,
            }
        ],
    }
)  # fmt: skip


def canvas(width: int = 832, height: int = 480, frames: int = 40, fps: float = 10.0, **more: object) -> Canvas:
    return Canvas(width=width, height=height, fps=fps, scene_frames=(frames,), seed=0, **more)  # type: ignore[arg-type]


def footage(one: Canvas, value: int, frames: int = 1) -> NDArray[np.uint8]:
    return np.full((frames, one.height, one.width, 3), value, np.uint8)


@pytest.mark.parametrize("size", [(832, 480), (1280, 720)])
@pytest.mark.parametrize("theme", ["light", "dark", "contrast"])
@pytest.mark.parametrize("behind", [0, 255])
def test_text_stands_out_whatever_the_footage(size: tuple[int, int], theme: str, behind: int) -> None:
    one = canvas(*size, theme=theme)
    made = draw(footage(one, behind), PLAN, 0, one)[0].astype(float).mean(axis=2)
    for band in (made[: size[1] // 12], made[-size[1] // 6 :]):
        ground = np.median(band)
        assert np.abs(band - ground).max() > 150


def test_the_picture_between_the_bands_is_untouched_and_fills_more_than_half() -> None:
    one = canvas()
    frames = np.random.default_rng(1).integers(0, 256, (1, 480, 832, 3), dtype=np.uint8)
    before = frames.copy()
    made = draw(frames, PLAN, 0, one)
    same = (made[0] == frames[0]).all(axis=(1, 2))
    assert same.sum() > 0.55 * 480 and not same[:40].any() and not same[-60:].any()
    assert (frames == before).all()


def test_pieces_equal_the_whole() -> None:
    one = canvas(320, 240, 12)
    frames = footage(one, 90, 12)
    whole = draw(frames, PLAN, 0, one)
    pieces = [draw(frames[k : k + 5], PLAN, 0, one, first=k) for k in (0, 5, 10)]
    assert (np.concatenate(pieces) == whole).all()
    assert not (whole[0] == whole[-1]).all()


def test_the_footer_follows_show_sources() -> None:
    one = canvas()
    with_footer = draw(footage(one, 90), PLAN, 0, one)
    without = draw(footage(one, 90), PLAN, 0, replace(one, show_sources=False))
    assert not (with_footer == without).all()
    plain = PLAN.model_copy(
        update={
            "sources": [],
            "scenes": [
                PLAN.scenes[0].model_copy(
                    update={"steps": [step.model_copy(update={"cites": []}) for step in PLAN.scenes[0].steps]}
                )
            ],
        }
    )
    blind = replace(one, show_sources=False)
    assert (draw(footage(one, 90), plain, 0, blind) == without).all(), "blind, a cited step looks like any other"


def test_a_step_too_short_to_read_shows_its_label_alone() -> None:
    slow, quick = canvas(frames=60), canvas(frames=8)
    long, short = (draw(footage(one, 90), PLAN, 0, one)[0] for one in (slow, quick))
    assert not (long[-120:] == short[-120:]).all()
    longer = PLAN.scenes[0].steps[0].model_copy(update={"say": "Quite other words that nobody could read."})
    plan = PLAN.model_copy(
        update={"scenes": [PLAN.scenes[0].model_copy(update={"steps": [longer, PLAN.scenes[0].steps[1]]})]}
    )
    assert (draw(footage(quick, 90), plan, 0, quick)[0] == short).all()
