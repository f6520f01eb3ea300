"""The engine switch: a tiny model, from the page to a finished video. The other families are tried without a browser."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import choose_tab, film

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def choose(page: Any, field: str, words: str) -> None:
    """Pick an option of a dropdown by its words."""
    page.locator(f"#{field} input").first.click()
    page.locator(f"#{field} [role=option], ul.options [role=option]").filter(has_text=words).first.click()


def open_diffusion(page: Any) -> None:
    choose_tab(page, "Generate")
    page.fill("#topic textarea", "gradient descent")
    choose(page, "engine", "Diffusion")
    page.locator("#model-id input").wait_for()


def test_the_switch_shows_models_presets_and_what_a_run_comes_to(page: Any):
    open_diffusion(page)
    page.locator("#model-note", has_text="t2v models download").wait_for()
    choose(page, "preset", "Course clip")
    page.locator("#ahead", has_text="17 frames each, 10 fps: 6.8 s at 832x480").wait_for()
    assert page.locator("#steps input").input_value() == "16"
    page.get_by_role("button", name="Advanced").click()
    page.locator("#scene-frames input").fill("16")
    page.locator("#ahead", has_text="16 frames a scene were rounded to 17").wait_for()
    page.locator("#steps input").fill("many")
    page.locator("#ahead", has_text="steps: 'many' cannot be used").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_a_tiny_model_draws_a_video_end_to_end(page: Any):
    open_diffusion(page)
    choose(page, "model-id", "Tiny Wan 2.1")
    choose(page, "preset", "Tiny try-out")
    page.locator("#ahead", has_text="9 frames each, 8 fps: 4.5 s at 192x128").wait_for()
    page.click("#generate-button")
    page.locator("#made-video video").wait_for(timeout=300_000)
    assert film(page, "#made-video")["width"] == 192
    page.get_by_role("button", name="Settings and scenes").first.click()
    table = page.locator("#made-result table", has_text="Tokens").first
    table.wait_for()
    assert "2 steps, guidance 3" in table.inner_text() and "tiny-wan" in table.inner_text()
