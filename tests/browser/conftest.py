"""One real studio with its workers, one Chromium, one small book: shared by all journeys of a session."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from t2v_studio.settings import Settings

SENTENCES = (
    "Gradient descent lowers a loss by stepping against its gradient at every iteration of the training run.",
    "A learning rate that is too large makes the iterates overshoot the minimum and finally diverge from it.",
    "A learning rate that is too small makes progress slow, because each step changes the weights only a little.",
    "On a quadratic bowl the error shrinks by a constant factor as long as the rate stays below a threshold.",
    "Momentum remembers earlier steps, so that a narrow ravine is followed along its floor instead of across it.",
    "Stochastic gradients are noisy estimates from a small batch of examples, cheap enough to compute very often.",
    "The noise of small batches lets the weights leave shallow basins, yet it also keeps them from settling down.",
    "A schedule that lowers the learning rate over time combines quick early progress with a calm final approach.",
)
SMALL_BOOK = "# Notes on optimisation\n\n" + "\n\n".join(
    f"## {title}\n\n" + " ".join(SENTENCES[shift:] + SENTENCES[:shift])
    for title, shift in (("Steps and gradients", 0), ("Rates and divergence", 1), ("Momentum and noise", 4))
)

KEPT = "localStorage.getItem('t2v-generate')"
"""What the form and the plan come back from after a reload."""


@contextmanager
def served(home: Path, **chosen: Any) -> Iterator[tuple[str, Any]]:
    """A running app over a workspace, with workers unless the settings chosen say otherwise: its address and its studio."""
    from t2v_studio.studio import Studio
    from t2v_studio.ui.app import running

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(home=home, port=port, worker_threads=1, _env_file=None, **chosen)
    studio = Studio(settings)
    with running(settings, studio) as (_, address):
        yield address, studio
        studio.stop(workers=True)


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running app over a workspace of its own."""
    with served(tmp_path_factory.mktemp("browser")) as (address, _):
        yield address


@pytest.fixture(scope="session")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("books") / "Notes on optimisation.md"
    path.write_text(SMALL_BOOK, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PDF of three pages with real text, made with matplotlib."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import textwrap

    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_pdf import PdfPages

    path = tmp_path_factory.mktemp("books") / "Small book.pdf"
    with PdfPages(path, metadata={"Title": "Small book"}) as pages:
        parts = (("Steps and gradients", 0), ("Rates and divergence", 2), ("Momentum and noise", 4))
        for title, shift in parts:
            figure = plt.figure(figsize=(6, 8))
            figure.text(0.1, 0.92, title, size=16, weight="bold")
            words = " ".join(SENTENCES[shift:] + SENTENCES[:shift])
            figure.text(0.1, 0.86, textwrap.fill(words, 62), size=10, va="top")
            pages.savefig(figure)
            plt.close(figure)
    return path


@pytest.fixture
def page(chromium: Any, url: str) -> Iterator[Any]:
    """A fresh visitor at 1280x720; any failed script, foreign request or server error fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light")
    tab = context.new_page()
    tab.set_default_timeout(90_000)
    trouble: list[str] = []
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on(
        "request",
        lambda request: None if request.url.startswith((url, "data:", "blob:")) else trouble.append(request.url),
    )
    tab.on("response", lambda answer: trouble.append(f"{answer.status} {answer.url}") if answer.status >= 500 else None)
    visit(tab, url)
    yield tab
    context.close()
    assert trouble == []


@pytest.fixture(autouse=True)
def nothing_left_open(chromium: Any) -> Iterator[None]:
    """A test that fails leaves no page behind that goes on asking its studio and takes time from the next ones."""
    yield
    for context in chromium.contexts:
        context.close()


def visit(tab: Any, address: str) -> None:
    """Open a page and wait until it has been filled from the rows."""
    tab.goto(address)
    tab.wait_for_selector("#jobs-panel .t2-drawer-bar")
    tab.wait_for_function("document.querySelector('.t2-state')?.textContent.includes('engines')")


def choose_tab(tab: Any, name: str) -> None:
    """Click a tab, or on a narrow window its line in the bar's own menu; a bar that is being laid out anew is asked again."""
    from playwright.sync_api import TimeoutError as TooLate

    found = tab.get_by_role("tab", name=name, exact=True).first
    for patience in (2_000, 5_000, 20_000, 90_000):
        try:
            if found.is_visible():
                found.click(timeout=patience)
            else:
                tab.locator("#tabs [aria-label='More tabs']").first.click(timeout=patience)
                tab.locator("#tabs .overflow-dropdown button", has_text=name).first.click(timeout=patience)
            return
        except TooLate:
            continue
    raise AssertionError(f"there is no tab {name}")


def add_book(tab: Any, path: Path, title: str) -> None:
    """Drop a book unless it is there, and wait for its row."""
    choose_tab(tab, "Library")
    row = tab.locator("#books [data-act=book]", has_text=title)
    if row.count() == 0:
        tab.set_input_files("#drop input[type=file]", str(path))
    row.first.wait_for(timeout=90_000)


def small_video(tab: Any, topic: str, seconds: float = 3.0) -> None:
    """Fill the form for something that is drawn in a moment."""
    choose_tab(tab, "Generate")
    tab.fill("#topic textarea", topic)
    section = tab.get_by_role("button", name="Length, size and look")
    if not tab.locator("#seconds input").is_visible():
        section.click()
        tab.wait_for_timeout(400)
    tab.fill("#seconds input", str(seconds))
    tab.fill("#fps input", "5")
    tab.locator("#seed input").fill("3")


def film(tab: Any, selector: str) -> dict[str, float]:
    """Width, duration and text tracks as the browser decodes them."""
    tab.wait_for_function(f"document.querySelector('{selector} video')?.readyState >= 1", timeout=90_000)
    return tab.evaluate(
        f"(() => {{ const v = document.querySelector('{selector} video');"
        " return {width: v.videoWidth, duration: v.duration, tracks: v.textTracks.length}; })()"
    )
