"""A disk that is full, or a folder that went, costs what would have been kept and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

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
