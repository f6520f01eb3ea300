"""The engine switch: a tiny model, from the page to a finished video. The other families are tried without a browser."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import KEPT, choose_tab, film, visit

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
    page.locator("#model-note", has_text="Fetch it on the Models tab.").wait_for()
    choose(page, "preset", "Course clip")
    page.locator("#ahead", has_text="17 frames each, 10 fps: 6.8 s at 832x480").wait_for()
    page.wait_for_function("document.querySelector('#steps input').value === '16'")
    page.get_by_role("button", name="Advanced").click()
    page.locator("#scene-frames input").fill("16")
    page.locator("#ahead", has_text="16 frames a scene were rounded to 17").wait_for()
    page.locator("#steps input").fill("many")
    page.locator("#ahead", has_text="Steps: many is no number.").wait_for()
    page.locator("#steps input").fill("")
    page.locator("#speed button").first.click()
    page.locator("#cfg-cutoff input").fill("-1")
    page.locator("#ahead", has_text="Guidance ends after: -1 is too small.").wait_for()
    page.click("#generate-button")
    toast = page.locator(".toast-body", has_text="Guidance ends after: -1 is too small.")
    toast.wait_for()
    assert "Write a number from 0 to 1, or leave it empty." in toast.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_what_is_lacking_is_said_before_and_a_failure_goes_with_the_next_choice(page: Any, url: str):
    open_diffusion(page)
    choose(page, "model-id", "Tiny Wan 2.1")
    page.get_by_role("button", name="Who plans").click()
    page.locator("#use-llm-planner input").check()
    page.locator("#ahead .t2-notice", has_text="Chat model").wait_for()
    choose(page, "planner-model-id", "qwen3-4b")
    page.locator("#ahead .t2-notice", has_text="qwen3-4b is not on this machine").wait_for()
    page.click("#generate-button")
    page.locator("#status .t2-notice.bad", has_text="Fetch it on the Models tab.").wait_for()
    visit(page, url)
    choose_tab(page, "Generate")
    page.locator("#status .t2-notice.bad").wait_for()
    page.get_by_role("button", name="Who plans").click()
    kept = page.evaluate(KEPT)
    page.locator("#use-llm-planner input").uncheck()
    page.locator("#status .t2-notice").wait_for(state="detached")
    page.wait_for_function(f"(before) => ({KEPT}) !== before", arg=kept)
    visit(page, url)
    choose_tab(page, "Generate")
    page.wait_for_timeout(1500)
    assert page.locator("#status .t2-notice").count() == 0, "it came back with the page"


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
    assert "frame check passed" in table.inner_text() and "right" not in table.inner_text()
    prompts = page.locator("#made-result .t2-prompts")
    assert not prompts.locator("p").first.is_visible(), "folded"
    prompts.locator("summary").click()
    said = prompts.inner_text()
    assert said.count("Educational explainer") == 4 and "Negative prompt of all scenes: " in said
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
