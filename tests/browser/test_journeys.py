"""The ways that a person takes through the page, in a real Chromium over a real studio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import KEPT, add_book, choose_tab, film, small_video, visit

from t2v_studio.workspace import SHIPPED

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _overflow(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_drop_a_book_search_it_and_see_the_page(page: Any, small_pdf: Path):
    add_book(page, small_pdf, "Small book")
    page.locator("#books [data-act=book]", has_text="Small book").first.click()
    page.locator("#passages [data-act=passage]").first.click()
    page.wait_for_selector("#passage-detail blockquote")
    page.wait_for_function("document.querySelector('#passage-detail img.t2-page')?.naturalWidth > 100")

    choose_tab(page, "Search")
    page.fill("#search-query textarea, #search-query input", "what happens when the learning rate is too large")
    page.click("#search-go")
    hit = page.locator("#hits article").first
    hit.wait_for(timeout=90_000)
    assert "learning rate" in hit.inner_text() and "score" in hit.inner_text() and "p. " in hit.inner_text()
    hit.get_by_role("button", name="Show page").click()
    page.wait_for_selector("#hits .chosen")
    assert "rate" in page.inner_text("#passage-detail blockquote")
    page.click("#passage-detail [data-zoom]")
    page.wait_for_selector("#passage-detail .zoom")


def test_passages_are_narrowed_by_page_and_reason(page: Any, small_pdf: Path):
    add_book(page, small_pdf, "Small book")
    page.locator("#books [data-act=book]", has_text="Small book").first.click()
    page.wait_for_selector("#passages [data-act=passage]")
    page.fill("#passage-page input", "3000")
    page.keyboard.press("Enter")
    page.locator("#passages", has_text="No passages here").wait_for()
    page.fill("#passage-page input", "two")
    page.keyboard.press("Enter")
    page.get_by_text("this is no page number").first.wait_for()


def test_a_file_that_is_no_book_is_refused_with_a_hint(page: Any):
    choose_tab(page, "Library")
    page.set_input_files(
        "#drop input[type=file]", files=[{"name": "x.pdf", "mimeType": "application/pdf", "buffer": b"<html><b>"}]
    )
    page.get_by_text("is no PDF inside").wait_for()


def test_plan_edit_generate_and_reload(page: Any, url: str):
    small_video(page, "Gradient descent")
    page.click("#plan-button")
    page.wait_for_selector("#plan-table [role=gridcell]")
    cell = page.locator("#plan-table [role=gridcell]").nth(1)
    cell.dblclick()
    page.wait_for_function("document.activeElement.closest('#plan-table') && 'value' in document.activeElement")
    page.keyboard.press("Control+A")
    page.keyboard.type("My own title")
    kept = page.evaluate(KEPT)
    page.keyboard.press("Enter")
    page.locator("#plan-table [role=gridcell]", has_text="My own title").first.wait_for()
    page.wait_for_function(f"(before) => ({KEPT}) !== before", arg=kept)
    page.reload()
    page.wait_for_selector("#jobs-panel .t2-drawer-bar")
    choose_tab(page, "Generate")
    page.locator("#plan-table [role=gridcell]", has_text="My own title").first.wait_for()
    page.click("#generate-button")
    seen = film(page, "#made-video")
    assert seen["width"] > 0 and 1 < seen["duration"] < 30 and seen["tracks"] == 1
    page.get_by_role("button", name="Settings and scenes").first.click()
    page.locator("#made-result td", has_text="My own title").wait_for()

    page.reload()
    page.wait_for_selector("#jobs-panel .t2-drawer-bar")
    choose_tab(page, "Generate")
    assert film(page, "#made-video")["width"] == seen["width"]
    assert page.input_value("#topic textarea") == "Gradient descent"

    choose_tab(page, "Gallery")
    page.locator("#gallery .t2-card").first.click()
    assert film(page, "#past-video")["width"] == seen["width"]
    name = page.locator("#gallery .t2-card").first.get_attribute("data-id")
    visit(page, f"{url}?video={name}")
    assert film(page, "#past-video")["duration"] == seen["duration"]
    page.click("#past-again")
    page.locator("#form #topic textarea").wait_for()
    page.get_by_role("button", name="Length, size and look").click()
    page.wait_for_function("document.querySelector('#fps input')?.value === '5'")


def test_a_job_is_followed_over_a_reload_and_can_be_cancelled(page: Any, url: str):
    small_video(page, "A* search", seconds=300)
    page.fill("#fps input", "30")
    page.click("#generate-button")
    page.locator("#status .t2-live").wait_for()
    page.reload()
    page.wait_for_selector("#jobs-panel .t2-drawer-bar")
    choose_tab(page, "Generate")
    page.locator("#status .t2-live").wait_for()
    page.locator("#status [data-act=cancel]").click()
    page.get_by_text("Cancelled. Nothing was kept").wait_for(timeout=90_000)
    page.click(".t2-drawer-bar")
    page.locator(".t2-job", has_text="Cancelled").first.wait_for()


def test_the_pair_stands_side_by_side_with_its_words_marked(page: Any):
    add_book(page, SHIPPED / "sample" / "six-ideas-of-machine-learning.pdf", "Six Ideas")
    small_video(page, "Gradient descent")
    page.click("#pair-button")
    assert film(page, "#made-plain")["width"] == film(page, "#made-treated")["width"] > 0
    assert page.locator("#made-difference mark").count() > 0
    assert page.locator("#made-grounding tbody tr").count() > 0
    assert "gradient" in page.inner_text("#made-difference").lower()
    assert page.locator("#made-grounding .t2-chip.good").count() > 0


def test_a_pair_that_no_book_carries_is_refused_and_the_form_stays(page: Any, small_pdf: Path):
    add_book(page, small_pdf, "Small book")
    small_video(page, "photosynthesis")
    page.click("#pair-button")
    page.locator("#status [role=alert]").wait_for(timeout=60_000)
    assert "retriev" in page.inner_text("#status") and "--" not in page.inner_text("#status")
    assert page.input_value("#topic textarea") == "photosynthesis" and page.input_value("#seed input") == "3"


def test_words_of_a_person_never_run(page: Any):
    page.evaluate("(() => { window.alert = () => { window.ran = true; }; })()")
    small_video(page, "<img src=x onerror=alert(1)>${alert(2)}{{alert(3)}} entropy")
    page.click("#plan-button")
    page.wait_for_selector("#plan-table [role=gridcell]")
    page.click(".t2-drawer-bar")
    page.locator(".t2-job-title", has_text="onerror").first.wait_for()
    assert page.evaluate("window.ran") is None


def test_an_error_keeps_the_form(page: Any):
    choose_tab(page, "Generate")
    page.fill("#topic textarea", "")
    page.get_by_role("button", name="Audience and objective").click()
    page.fill("#audience textarea, #audience input", "first-year students")
    page.click("#generate-button")
    page.get_by_text("there is nothing to explain yet").first.wait_for(timeout=15_000)
    assert page.input_value("#audience textarea, #audience input") == "first-year students"


@pytest.mark.parametrize("size", [(400, 800), (1280, 720)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_tab_scrolls_sideways(page: Any, url: str, size: tuple[int, int], theme: str):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    visit(page, f"{url}?__theme={theme}")
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    for name in ("Library", "Generate", "Gallery"):
        choose_tab(page, name)
        page.wait_for_timeout(300)
        assert _overflow(page) <= 0, name
    ink = page.evaluate("getComputedStyle(document.querySelector('.t2-header h1')).color")
    brightness = sum(int(part) for part in ink.removeprefix("rgb(").removesuffix(")").split(",")[:3])
    assert (brightness > 500) == (theme == "dark")


def test_the_keyboard_reaches_topic_and_buttons_in_order(page: Any):
    choose_tab(page, "Generate")
    page.click("#topic textarea")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.closest('[id]')?.id"))
    assert reached.index("plan-button") < reached.index("generate-button") < reached.index("pair-button")
