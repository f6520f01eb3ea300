"""The Train tab: a video LoRA trained to its end over a reload and worn by the next video, and a text set dropped,
checked and taken away.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import choose_tab, served, visit

from t2v_studio.studio import Studio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "datasets"))

from training_clips import clips_once, copied

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def served_clips(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Studio]]:
    """An app over scored clips, with one saved manifest of them."""
    with served(copied(clips_once(tmp_path_factory), tmp_path / "home").home) as (url, studio):
        studio.manifests.build()
        yield url, studio


def test_a_training_lives_over_a_reload_and_its_lora_is_worn(
    chromium: Any, served_clips: tuple[str, Studio], tmp_path: Path
) -> None:
    address, studio = served_clips
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

    before = {row["id"] for row in studio.videos()}
    tab.locator("#train-table [data-act=use]").first.click()
    tab.locator("#lora-note", has_text="rank").wait_for()
    (card,) = studio.adapters.rows()
    scale = tab.locator("#lora-scale input")
    assert float(scale.input_value()) == card["scale"]
    scale.fill("-1")
    tab.fill("#topic textarea", "gradient descent")
    tab.click("#generate-button")
    # The notice that the form uses the LoRA may still stand before it.
    toast = tab.locator(".toast-body", has_text="LoRA scale: -1 is too small.")
    toast.wait_for()
    assert "from 0 to" in toast.inner_text()
    scale.fill("0.5")
    tab.fill("#topic textarea", "gradient descent")
    tab.click("#generate-button")
    tab.locator("#made-video video").wait_for(timeout=300_000)
    (made,) = {row["id"] for row in studio.videos()} - before
    record = studio.video(made)
    assert record.request.adapter == card["id"]
    assert {scene.details["adapter"]["scale"] for scene in record.scenes} == {0.5}

    choose_tab(tab, "Train")
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
