"""The Models tab: the list, a fetch that cannot work here, and a prune in two steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import choose_tab, visit
from safetensors.torch import save_file

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DISK = shutil.disk_usage("/")._replace(total=10**12, used=0, free=10**12)
"""Room for every model, whatever this machine has."""
REPO, COMMIT = "THUDM/CogVideoX-2b", "1137dacfc2c9c012bed6a0793f4ecf2ca8e7ba01"

NUMBERS = """[...document.querySelectorAll("#models-adapters td:has(.t2-num)")].map((cell) => {
  const left = (node) => { const span = document.createRange(); span.selectNodeContents(node); return span.getBoundingClientRect().left; };
  return [left(cell.querySelector(".t2-num")), left(cell.querySelector("small")), cell.scrollWidth > cell.clientWidth + 1];
})"""
"""Of each cell with a number: where the number begins, where the words below it do, and whether anything is cut."""


def _fetched(root: Path) -> Path:
    """One weight file of CogVideoX-2b, as if the studio had fetched it."""
    repo = root / "hub" / "models--THUDM--CogVideoX-2b"
    shutil.rmtree(repo, ignore_errors=True)
    weights = repo / "snapshots" / COMMIT / "transformer" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "blobs" / "one").write_bytes(b"x" * 20_000_000)
    weights.symlink_to("../../../blobs/one")
    row = {
        "repo_id": REPO,
        "revision": COMMIT,
        "state": "started",
        "files": {"transformer/weights.safetensors": 20_000_000},
        "at": "",
    }
    (root / "ledger.json").write_text(json.dumps({"snapshots": [row], "pinned": []}))
    return repo


def test_numbers_of_a_lora_stand_below_each_other_in_a_narrow_window(page: Any, tmp_path: Path):
    page.set_viewport_size({"width": 390, "height": 800})
    choose_tab(page, "Models")
    page.get_by_role("tab", name="LoRAs", exact=True).click()
    path = tmp_path / "course.safetensors"
    weights = {"lora_A.weight": torch.full((4, 24), 0.1), "lora_B.weight": torch.ones(24, 4)}
    save_file({f"transformer.blocks.0.attn1.to_q.{name}": part for name, part in weights.items()}, path)
    page.get_by_role("button", name="Add a LoRA file").click()
    page.set_input_files("#models-adapter-file input[type=file]", str(path))
    page.locator("#models-adapter-file", has_text="course").wait_for()
    page.fill("#models-adapter-alpha input, #models-adapter-alpha textarea", "4")
    page.click("#models-adapter-go")
    page.locator("#models-adapters .t2-num").first.wait_for()
    lines = page.evaluate(NUMBERS)
    assert len(lines) == 2 and all(abs(number - range_) < 1 for number, range_, _ in lines), lines
    assert not any(cut for _, _, cut in lines)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.wait_for_timeout(300)
    lines = page.evaluate(NUMBERS)
    assert all(abs(number - range_) < 1 for number, range_, _ in lines), "below their heads, too"
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#models-adapter [data-act=remove]").click()
    page.get_by_text("No LoRA yet").first.wait_for()


def test_models_are_listed_fetched_and_pruned_in_two_steps(page: Any, url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: DISK)
    choose_tab(page, "Models")
    table = page.locator("#models-table")
    table.get_by_text("Wan 2.1 14B", exact=True).wait_for()
    assert "69\u00a0GB" in table.inner_text() and "33 to 81 frames" in table.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0

    fetch = table.locator("[data-act=download][data-model='lfm2-1.2b']")
    fetch.click()
    question = page.locator("#models-question")
    question.get_by_text("GB are free on that disk").wait_for()
    assert "2.3 GB" in question.inner_text() and question.locator(".t2-notice").is_visible()
    question.get_by_role("button", name="Not now").click()
    question.locator(".t2-notice").wait_for(state="detached")
    fetch.click()
    question.get_by_role("button", name="Fetch 2.3 GB").click()
    page.locator("#models-status", has_text="HF_HUB_OFFLINE").wait_for(timeout=90_000)
    table.locator("[data-act=download][data-model='ltx-0.9.1']").click()
    question.locator(".t2-notice", has_text="LTX").wait_for()
    page.locator("#models-status .t2-notice").wait_for(state="detached")
    question.get_by_role("button", name="Not now").click()

    root = Path(page.locator("#models-cache dd").first.inner_text())
    root.mkdir(parents=True, exist_ok=True)
    repo = _fetched(root)
    visit(page, url)
    choose_tab(page, "Models")
    page.locator("#models-cache [data-act=prune]").click()
    page.get_by_text("Nothing is deleted yet").wait_for()
    assert repo.exists()
    choose_tab(page, "Library")
    choose_tab(page, "Models")
    page.wait_for_timeout(1500)
    assert page.get_by_text("Nothing is deleted yet").is_visible(), "a plan that is being read was taken away"
    page.get_by_role("button", name="Keep everything").click()
    page.locator("#models-cache [data-act=prune]").click()
    page.locator("#models-cache [data-act=delete]").click()
    page.get_by_text("No model is on this disk").wait_for()
    assert not repo.exists()
