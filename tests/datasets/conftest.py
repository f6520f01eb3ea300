"""Clips of every kind, made once; a test that changes them works on a copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_clips import Clips, clips_once, copied


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return clips_once(tmp_path_factory)


@pytest.fixture
def own_clips(clips: Clips, tmp_path: Path) -> Clips:
    return copied(clips, tmp_path / "own-home")
