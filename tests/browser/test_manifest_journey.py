"""The manifest tab in a browser: choose by score, correct a caption, save, come back, take it away."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import choose_tab, served, visit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "datasets"))

from training_clips import clips_once, copied

pytestmark = pytest.mark.browser


@pytest.fixture
def address(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app over clips that have been scored."""
    with served(copied(clips_once(tmp_path_factory), tmp_path / "home").home) as (url, _):
        yield url


def open_manifest(tab: Any, address: str) -> None:
    visit(tab, address)
    choose_tab(tab, "Manifest")
    tab.wait_for_selector("#manifest-clips .m-clip")


def test_from_scores_to_an_archive(chromium: Any, address: str, tmp_path: Path) -> None:
    context = chromium.new_context(viewport={"width": 1500, "height": 800})
    tab = context.new_page()
    tab.set_default_timeout(90_000)
    open_manifest(tab, address)
    tab.click("#manifest-min-score input")
    tab.get_by_role("option", name="4", exact=True).click()
    tab.wait_for_function("document.querySelectorAll('.m-clip').length === 4")
    # the caption is sent when its field is left, and kept over a reload
    tab.locator(".m-clip textarea").first.fill("A red ball rolls into a valley.")
    tab.keyboard.press("Tab")
    tab.get_by_text("The caption is kept").first.wait_for()
    tab.click("#manifest-save")
    tab.wait_for_selector("#manifest-pack")
    open_manifest(tab, address)
    tab.click("#manifest-chosen input")
    tab.get_by_role("option", name="4 clips").first.click()
    tab.wait_for_function("document.querySelectorAll('.m-clip').length === 4")
    assert tab.locator(".m-clip textarea").first.input_value() == "A red ball rolls into a valley."
    tab.click("#manifest-pack")
    with tab.expect_download() as taken:
        tab.locator("#manifest-archive").click()
    taken.value.save_as(tmp_path / "set.zip")
    with zipfile.ZipFile(tmp_path / "set.zip") as archived:
        tables = [archived.read(name).decode() for name in archived.namelist() if name.endswith("metadata.jsonl")]
    assert sum(table.count("file_name") for table in tables) == 4 and "A red ball" in "".join(tables)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
