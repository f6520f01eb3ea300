"""A disk that is full, or a folder that went, costs what would have been kept and nothing else."""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from t2v_studio.engines.diffusion.latents import LatentStore
from t2v_studio.engines.diffusion.text import PromptStore

NUMBERS = torch.arange(50_000, dtype=torch.float32)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No file of this process may hold more than 16 kB; safetensors' own error comes, as on a disk that is full."""
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_latents_that_find_no_room_are_not_kept(
    tmp_path: Path, full_disk: None, caplog: pytest.LogCaptureFixture
) -> None:
    store = LatentStore(tmp_path)
    with caplog.at_level(logging.WARNING):
        store.put("key", NUMBERS)
    assert "latents could not be kept" in caplog.text
    assert store.get("key") is None and list(tmp_path.iterdir()) == []


def test_a_prompt_that_finds_no_room_serves_from_memory(
    tmp_path: Path, full_disk: None, caplog: pytest.LogCaptureFixture
) -> None:
    store = PromptStore(tmp_path)
    kept = store.put("key", {"embeds": NUMBERS})
    assert "an encoded prompt could not be kept" in caplog.text and list(tmp_path.iterdir()) == []
    held = store.get("key")
    assert held is not None and torch.equal(held["embeds"], kept["embeds"])
    assert PromptStore(tmp_path).get("key") is None
