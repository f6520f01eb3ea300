"""The Models tab: the list, a fetch that cannot work here, and a prune in two steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import choose_tab, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
REPO, COMMIT = "THUDM/CogVideoX-2b", "1137dacfc2c9c012bed6a0793f4ecf2ca8e7ba01"


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


def test_models_are_listed_fetched_and_pruned_in_two_steps(page: Any, url: str):
    choose_tab(page, "Models")
    table = page.locator("#models-table")
    table.get_by_text("Wan 2.1 14B", exact=True).wait_for()
    assert "69\u00a0GB" in table.inner_text() and "33 to 81 frames" in table.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0

    table.locator("[data-act=download][data-model='wan2.1-1.3b']").click()
    page.locator("#models-status", has_text="HF_HUB_OFFLINE").wait_for(timeout=90_000)

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
