"""Clips and recipes that train in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from t2v_studio.adapters.recipe import Recipe, read_recipe


def write_square(
    path: Path, *, frames: int, fps: float = 16, width: int = 64, height: int = 48, speed: int = 3
) -> None:
    """A clip in which a square moves to the right."""
    from training.video.sampling import write_clip

    pictures = np.full((frames, height, width, 3), 235, np.uint8)
    for index in range(frames):
        left = (speed * index) % (width - 14)
        pictures[index, 8:22, left : left + 14] = (200, 30 + 20 * speed, 40)
    write_clip(path, pictures, fps, content="graphics")


def small(**changes: Any) -> Recipe:
    """tiny_smoke without samples, with fields changed."""
    return read_recipe("tiny_smoke", **{"validation_prompts": "", **changes})
