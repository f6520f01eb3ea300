"""The Train tab: a video LoRA trained to its end over a reload, and a text set dropped, checked and taken away."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import choose_tab, served, visit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "datasets"))

from training_clips import clips_once, copied

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def address(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app over scored clips, with one saved manifest of them."""
    with served(copied(clips_once(tmp_path_factory), tmp_path / "home").home) as (url, studio):
        studio.manifests.build()
        yield url


def test_a_training_lives_over_a_reload_and_a_set_is_checked(chromium: Any, address: str, tmp_path: Path) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    tab = context.new_page()
    tab.set_default_timeout(90_000)
    trouble: list[str] = []
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    visit(tab, address)
    choose_tab(tab, "Train")
    tab.wait_for_function("document.querySelector('#train-dataset input').value.startsWith('Manifest of')")
    tab.fill("#train-title input, #train-title textarea", "From the page")
    tab.click("#train-start")
    tab.locator("#train-status", has_text="From the page").wait_for()

    visit(tab, address)
    choose_tab(tab, "Train")
    tab.locator("#train-status .t2-chip.good", has_text="Finished").wait_for(timeout=180_000)
    assert "From the page" in tab.inner_text("#train-status")
    tab.locator("#train-table [data-act=use]").first.wait_for()

    rows = [{"instruction": f"Say {n}.", "output": f"Number {n}."} for n in range(4)] + [
        {"instruction": "", "output": "x"}
    ]
    path = tmp_path / "numbers.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    tab.get_by_role("tab", name="Text sets", exact=True).click()
    tab.set_input_files("#sets-file input[type=file]", str(path))
    tab.locator("#sets-list", has_text="numbers.jsonl").wait_for()
    tab.click("#sets-check")
    tab.locator("#sets-report table").wait_for()
    said = tab.inner_text("#sets-report")
    assert "has errors" in said and "numbers.jsonl:5" in said and "Fill it in" in said
    with tab.expect_download() as taken:
        tab.click("#sets-get-csv")
    taken.value.save_as(tmp_path / "findings.csv")
    assert "numbers.jsonl:5" in (tmp_path / "findings.csv").read_text(encoding="utf-8")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    assert trouble == []
