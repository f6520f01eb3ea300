"""A disk that is full, or a folder that went, costs what would have been kept and nothing else."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from t2v_studio.engines.diffusion import kept_json
from t2v_studio.engines.diffusion.latents import LatentStore
from t2v_studio.engines.diffusion.text import PromptStore

NUMBERS = torch.arange(50_000, dtype=torch.float32)
Full = Callable[[int], AbstractContextManager[None]]


def test_latents_that_find_no_room_are_not_kept(
    tmp_path: Path, full_disk: Full, caplog: pytest.LogCaptureFixture
) -> None:
    store = LatentStore(tmp_path)
    with caplog.at_level(logging.WARNING), full_disk(16_384):
        store.put("key", NUMBERS)
    assert "latents could not be kept" in caplog.text
    assert store.get("key") is None and list(tmp_path.iterdir()) == []


def test_a_prompt_that_finds_no_room_serves_from_memory(
    tmp_path: Path, full_disk: Full, caplog: pytest.LogCaptureFixture
) -> None:
    store = PromptStore(tmp_path)
    with full_disk(16_384):
        kept = store.put("key", {"embeds": NUMBERS})
    assert "an encoded prompt could not be kept" in caplog.text and list(tmp_path.iterdir()) == []
    held = store.get("key")
    assert held is not None and torch.equal(held["embeds"], kept["embeds"])
    assert PromptStore(tmp_path).get("key") is None


def test_a_cache_that_can_be_no_folder_costs_no_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    LatentStore(tmp_path / "file" / "latents").put("key", NUMBERS)
    kept = PromptStore(tmp_path / "file" / "prompts").put("key", {"embeds": NUMBERS})
    assert torch.equal(kept["embeds"], NUMBERS)
    assert "latents could not be kept" in caplog.text and "an encoded prompt could not be kept" in caplog.text


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that another process takes away just before this one looks at them."""
    names: list[Path] = []
    stat, utime = Path.stat, os.utime

    def late_stat(path: Path, **more: bool) -> os.stat_result:
        if path in names:
            path.unlink(missing_ok=True)
        return stat(path, **more)

    def late_utime(path: Path, *rest: object) -> None:
        if path in names:
            path.unlink(missing_ok=True)
        utime(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "stat", late_stat)
    monkeypatch.setattr(os, "utime", late_utime)
    return names


def test_latents_that_another_process_drops_do_not_stop_the_sweep(tmp_path: Path, taken: list[Path]) -> None:
    store = LatentStore(tmp_path)
    for key in ("a", "b", "c"):
        store.put(key, NUMBERS)
    taken.append(tmp_path / "b.safetensors")
    assert store.sweep(older_than_s=-1) == 2 and list(tmp_path.iterdir()) == []


def test_prompts_that_another_process_prunes_do_not_stop_this_one(tmp_path: Path, taken: list[Path]) -> None:
    store = PromptStore(tmp_path, disk_bytes=3 * NUMBERS.nbytes)
    for key in ("a", "b"):
        store.put(key, {"embeds": NUMBERS + 1})
    taken.append(tmp_path / "a.safetensors")
    store.put("c", {"embeds": NUMBERS + 1})
    assert {path.stem for path in tmp_path.iterdir()} == {"b", "c"}


def test_a_prompt_that_is_pruned_while_it_is_read_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PromptStore(tmp_path).put("a", {"embeds": NUMBERS + 1})

    def gone(path: Path) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "utime", gone)
    found = PromptStore(tmp_path).get("a")
    assert found is not None and torch.equal(found["embeds"], NUMBERS + 1)


WRITER = """
import sys
from pathlib import Path
from t2v_studio.engines.diffusion import kept_json
for turn in range(150):
    kept_json.amend(Path(sys.argv[1]), lambda kept: kept | {f"{sys.argv[2]} {turn}": turn}, "a turn")
"""


def test_processes_and_threads_that_write_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "kept.json"
    others = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stderr=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda turn: kept_json.amend(path, lambda kept: kept | {f"c {turn}": turn}, "c"), range(150)))
    assert [(one.communicate()[1], one.returncode) for one in others] == [("", 0)] * 2
    assert set(json.loads(path.read_text())) == {f"{name} {turn}" for name in "abc" for turn in range(150)}
    assert [one.name for one in path.parent.iterdir() if one.suffix == ".part"] == []
