"""The dry run's speed is said of the card that is there, or of none."""

from __future__ import annotations

import pytest
import torch

from training.video import estimate


@pytest.mark.parametrize(
    ("card", "peak"),
    [("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA RTX A1000", None), ("NVIDIA GeForce RTX 3090 Ti", None)],
)
def test_only_a_card_of_the_table_has_a_speed(card: str, peak: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: card)
    found = estimate.machines()
    assert found.get(f"this machine ({card})") == peak and found["A100"] == 312.0
