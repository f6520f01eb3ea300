"""Three examiners score a study in Chromium: one reloads, one is killed, one has a keyboard only; then the author reads the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import served

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "studies"))

import pairs_on_disk
from pairs_on_disk import make_pair_on_disk

from t2v_studio.studio import Studio

pytestmark = pytest.mark.browser
CRITERIA = 5
TOPICS = ("Gradient descent", "Bias and variance")
MARGIN = {"left": 4, "right": 3}


@dataclass
class Rated:
    url: str
    studio: Studio
    study: str
    links: list[str]


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rated]:
    """A running studio with a locked study of two small pairs and three invitations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs_on_disk, "WIDTH", 320)
        patch.setattr(pairs_on_disk, "HEIGHT", 180)
        with served(tmp_path_factory.mktemp("rated"), executor="inline") as (url, studio):
            pairs = [make_pair_on_disk(studio.workspace, topic) for topic in TOPICS]
            study = studio.studies.create("Explainer videos", pairs, seed=2)["id"]
            studio.studies.lock(study, raters=3)
            links = [studio.studies.invite(study)["path"].lstrip("/") for _ in range(3)]
            yield Rated(url, studio, study, links)


class Examiner:
    """One browser of an examiner."""

    def __init__(self, chromium: Any, url: str, link: str, **options: Any) -> None:
        self.context = chromium.new_context(viewport={"width": 1280, "height": 720}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(90_000)
        self.trouble: list[str] = []
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.goto(url + link)
        self.page.wait_for_selector(".rate-paper, .rate-scoring")

    @property
    def view(self) -> str:
        return str(self.page.locator(".rate").get_attribute("data-view"))

    def begin(self) -> None:
        """To the first pair; a second try after a failure finds the study begun."""
        if self.view == "welcome":
            self.page.check("#rate-agree")
            self.page.get_by_role("button", name="Begin").click()
        self.ready()

    def ready(self) -> None:
        """A pair is on the screen, and both videos can be played."""
        self.page.wait_for_selector(".rate-scoring")
        self.page.wait_for_function("[...document.querySelectorAll('video')].every((film) => film.readyState >= 2)")

    def watch(self, *, keys: bool = False) -> None:
        """Both to their end; once more where a busy machine skipped a part of one to keep them together."""
        seen = "[...document.querySelectorAll('.rate-tick')].every((t) => t.textContent)"
        for _ in range(5):
            if keys:
                self.page.keyboard.press("Space")
            else:
                self.page.get_by_role("button", name="Play", exact=True).click()
            self.page.wait_for_selector(".rate-play:text-is('Pause')")
            self.page.wait_for_function(f"{seen} || document.querySelector('.rate-play').textContent === 'Play'")
            if self.page.evaluate(seen):
                return
        raise AssertionError("the videos were never watched to their end")

    def score(self, rows: range = range(CRITERIA)) -> None:
        for row in rows:
            for side, value in MARGIN.items():
                self.page.locator(".rate-row").nth(row).locator(f".rate-cell.{side} [data-value='{value}']").click()

    def prefer(self, winner: str = "left") -> None:
        self.page.click(f"#rate-winner [data-value={winner}]")
        self.page.click("#rate-sure [data-value='2']")

    def saved(self) -> None:
        self.page.wait_for_function("document.querySelector('.rate-saved').textContent.startsWith('saved')")

    def onward(self) -> None:
        """Save, agree to what is asked, and wait for the next pair or the last question."""
        self.mark()
        self.page.get_by_role("button", name="Save & next").click()
        self.after()

    def mark(self) -> None:
        self.page.evaluate("document.querySelector('.rate-scoring').dataset.mark = 'old'")

    def after(self, *, keys: bool = False) -> None:
        """The way on from a pair that was saved; keys: without a pointer."""
        gone = "!document.querySelector('.rate-scoring[data-mark]')"
        self.page.wait_for_function(f"{gone} || document.querySelector('.rate-dialog')")
        if self.page.locator(".rate-dialog").count():
            self._press("Save anyway", keys)
            self.page.wait_for_function(gone)
        if self.view == "feedback":
            self._press("Go on", keys)
        self.page.wait_for_function("['scoring', 'questions'].includes(document.querySelector('.rate').dataset.view)")

    def _press(self, name: str, keys: bool) -> None:
        """A button; with the keyboard it is the one that has the focus."""
        if keys:
            assert self.page.evaluate("document.activeElement.textContent") == name
            self.page.keyboard.press("Enter")
        else:
            self.page.get_by_role("button", name=name).click()

    def through(self) -> None:
        """All pairs that are left."""
        while self.view == "scoring":
            self.score()
            self.prefer()
            self.onward()

    def finish(self) -> None:
        self.page.wait_for_selector(".rate-guess")
        for row in self.page.locator(".rate-guess").all():
            row.locator("[data-value=left]").click()
            row.locator("[data-value='1']").click()
        self.page.get_by_role("button", name="Finish").click()
        self.page.wait_for_function("document.querySelector('.rate').dataset.view === 'thanks'")
        assert self.trouble == []

    def chosen(self) -> list[str | None]:
        """What is checked in the five rows, left and right."""
        return self.page.evaluate(
            "[...document.querySelectorAll('.rate-cell')].map((c) => c.querySelector('[aria-checked=true]')?.dataset.value ?? null)"
        )


def test_the_address_holds_no_token_and_the_page_fits(chromium: Any, rated: Rated):
    one = Examiner(chromium, rated.url, rated.links[0])
    assert one.page.url == f"{rated.url}rate/"
    if one.view == "welcome":
        assert one.page.get_by_role("button", name="Begin").is_disabled()
    one.begin()
    size = one.page.evaluate(
        "[document.documentElement.scrollWidth, document.querySelector('.rate').getBoundingClientRect().bottom]"
    )
    assert size[0] <= 1280 and size[1] <= 721
    heights = one.page.evaluate(
        "[...document.querySelectorAll('.rate-film')].map((f) => f.getBoundingClientRect().height)"
    )
    assert min(heights) > 0.35 * 720
    assert one.chosen() == [None] * 10
    one.page.set_viewport_size({"width": 400, "height": 800})
    assert one.page.locator(".rate-narrow").is_visible() and not one.page.locator(".rate").is_visible()
    one.context.close()


def test_both_videos_run_on_one_clock(chromium: Any, rated: Rated):
    one = Examiner(chromium, rated.url, rated.links[0])
    one.ready()
    times = "[...document.querySelectorAll('.rate-film video')].map((film) => film.currentTime)"
    one.page.keyboard.press(".")
    one.page.keyboard.press(".")
    one.page.wait_for_function(f"{times}.every((t) => Math.abs(t - 2.5 / 8) < 0.02)")
    assert "frame 3 of 8" in one.page.inner_text(".rate-readout")
    one.page.keyboard.press(",")
    one.page.wait_for_function(f"{times}.every((t) => Math.abs(t - 1.5 / 8) < 0.02)")
    one.page.get_by_role("button", name="0.5×").click()
    assert one.page.evaluate("[...document.querySelectorAll('.rate-film video')].map((film) => film.playbackRate)") == [
        0.5,
        0.5,
    ]
    one.page.get_by_role("button", name="1×", exact=True).click()
    one.watch()
    left, right = one.page.evaluate(times)
    assert abs(left - right) <= 1.5 / 8
    # A drift is mended while both play.
    one.page.get_by_role("button", name="Loop").click()
    one.page.keyboard.press("r")
    one.page.evaluate("document.querySelectorAll('.rate-film video')[1].currentTime = 0.9")
    one.page.wait_for_function(f"(() => {{ const [a, b] = {times}; return Math.abs(a - b) <= 1 / 8; }})()")
    one.context.close()


def test_a_video_that_cannot_be_played_is_told_and_noted(chromium: Any, rated: Rated):
    one = Examiner(chromium, rated.url, rated.links[0])
    one.ready()
    token = one.page.evaluate("document.querySelector('.rate-film video').src.split('/').pop()")
    one.page.route(
        "**/media/" + token, lambda route: route.fulfill(status=200, content_type="video/mp4", body=b"no video")
    )
    one.page.reload()
    one.page.wait_for_selector(".rate-fault:not([hidden])")
    one.saved()
    one.page.unroute("**/media/" + token)
    one.page.get_by_role("button", name="Try again").first.click()
    one.ready()
    assert one.page.locator(".rate-fault:visible").count() == 0
    one.context.close()


def test_a_reload_in_the_middle_loses_nothing(chromium: Any, rated: Rated):
    one = Examiner(chromium, rated.url, rated.links[0])
    one.ready()
    one.score(range(3))
    one.page.locator(".rate-row").nth(3).locator(".rate-cell.left .cannot").click()
    one.page.fill(".rate-comment >> nth=0", "The labels cannot be read.")
    one.page.reload()  # at once: nothing has been sent yet
    one.ready()
    assert one.chosen() == ["4", "3"] * 3 + ["cannot", None, None, None]
    assert one.page.input_value(".rate-comment >> nth=0") == "The labels cannot be read."
    one.page.get_by_role("button", name="Save & next").click()
    assert "Still open" in one.page.inner_text(".rate-message")
    one.score(range(3, CRITERIA))
    one.prefer()
    one.watch()
    one.onward()
    one.through()
    one.finish()
    one.context.close()


def test_a_killed_window_resumes_on_another_device(chromium: Any, rated: Rated):
    one = Examiner(chromium, rated.url, rated.links[1])
    one.begin()
    one.score()
    one.prefer()
    one.onward()
    one.score(range(2))
    one.saved()
    one.context.close()
    two = Examiner(chromium, rated.url, rated.links[1], color_scheme="dark")
    two.ready()
    assert two.page.inner_text(".rate-progress b").startswith("2 of ")
    assert two.chosen() == ["4", "3"] * 2 + [None] * 6
    two.page.get_by_role("button", name="Back", exact=True).click()
    two.page.wait_for_function("document.querySelector('.rate-progress b').textContent.startsWith('1 of')")
    assert two.chosen() == ["4", "3"] * 5
    two.page.reload()
    two.ready()
    two.through()
    two.finish()
    two.context.close()


def test_a_lost_line_is_said_and_made_up_for(chromium: Any, rated: Rated):
    one = Examiner(chromium, rated.url, rated.links[2])
    one.begin()
    one.context.set_offline(True)
    one.score(range(1))
    one.page.wait_for_function("document.querySelector('.rate-saved').textContent.includes('trying again')")
    one.context.set_offline(False)
    one.saved()
    one.context.close()


def test_another_window_that_was_newer_is_not_overwritten(chromium: Any, rated: Rated):
    one = Examiner(chromium, rated.url, rated.links[2])
    two = Examiner(chromium, rated.url, rated.links[2])
    for window in (one, two):
        window.ready()
    one.page.locator(".rate-row").nth(4).locator(".rate-cell.left [data-value='2']").click()
    one.saved()
    two.page.locator(".rate-row").nth(4).locator(".rate-cell.left [data-value='5']").click()
    two.page.wait_for_selector(".rate-dialog")
    assert "another window" in two.page.inner_text(".rate-dialog")
    two.page.get_by_role("button", name="Reload").click()
    two.page.wait_for_selector(".rate-dialog", state="detached")
    two.ready()
    assert two.chosen()[8] == "2"
    one.context.close()
    two.context.close()


def test_the_keyboard_alone_is_enough(chromium: Any, rated: Rated):
    one = Examiner(chromium, rated.url, rated.links[2])
    one.ready()
    keys = one.page.keyboard
    first = True
    while one.view == "scoring":
        one.mark()
        if first:
            keys.press("?")
            one.page.wait_for_selector(".rate-dialog .rate-help")
            keys.press("Escape")
            one.page.wait_for_selector(".rate-dialog", state="detached")
            one.watch(keys=True)
        for row in range(CRITERIA):
            keys.press("[") if row else None
            keys.press("4")
            keys.press("]")
            keys.press("3")
            if row == 4 and first:
                keys.press("n")
                assert one.chosen()[9] == "cannot"
            if row < 4:
                keys.press("Tab")
                keys.press("Tab")
        # Past the last scale: comment left, preference, confidence, comment right.
        keys.press("Tab")
        if first:
            keys.type("12 ? n and other keys are words here.")
        keys.press("Tab")
        keys.press("1")
        keys.press("Tab")
        keys.press("ArrowRight")
        keys.press("Tab")
        if first:
            keys.type("It stops too early.")
        keys.press("Control+Enter")
        one.after(keys=True)
        first = False
    one.page.wait_for_selector(".rate-guess")
    assert one.page.evaluate("document.querySelectorAll('.rate-guess').length") == len(TOPICS)
    for _ in TOPICS:
        keys.press("ArrowRight")
        keys.press("Tab")
        keys.press("ArrowRight")
        keys.press("Tab")
        keys.press("Tab")
    assert one.page.evaluate("document.activeElement.textContent") == "Finish"
    keys.press("Enter")
    one.page.wait_for_function("document.querySelector('.rate').dataset.view === 'thanks'")
    assert one.trouble == []
    one.context.close()


def test_the_author_sees_counts_then_the_table(chromium: Any, rated: Rated):
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(rated.url)
    page.wait_for_selector("#jobs-panel .t2-drawer-bar")
    page.get_by_role("tab", name="Results", exact=True).first.click()
    page.get_by_text("stay hidden until the study is closed").first.wait_for()
    page.get_by_role("tab", name="Study", exact=True).first.click()
    page.locator("#study-view").get_by_text("finished").first.wait_for()
    assert page.locator("#study-view td", has_text="finished").count() == 3
    page.get_by_role("button", name="Close the study").click()
    page.get_by_role("button", name="Open the results").click()
    page.get_by_role("button", name="Write the report").click()
    page.locator("#results-view table").first.wait_for(timeout=120_000)
    text = page.inner_text("#results-view")
    assert "Theoretical correctness" in text and "In plain words" in text
    assert page.locator("#results-view figure img").count() == 4
    with page.expect_download() as got:
        page.click("#results-bundle")
    assert got.value.suggested_filename == "bundle.zip"
    context.close()
    late = Examiner(chromium, rated.url, rated.links[0])
    late.page.wait_for_selector(".rate-paper")
    assert "saved" in late.page.inner_text(".rate-paper")
    late.context.close()
    assert rated.studio.studies.study(rated.study)["state"] == "closed"
