"""A GIF for machines without a video encoder: small, slow and without subtitles, but a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

MAX_WIDTH = 640
MAX_FPS = 10.0


class GifWriter:
    """Collects frames, reduced to MAX_WIDTH pixels and MAX_FPS, and writes them at the end."""

    def __init__(self, path: Path, width: int, height: int, fps: float) -> None:
        self._path = path
        self._every = max(1, round(fps / MAX_FPS))
        self._frame_ms = 1000 * self._every / fps
        scale = min(1.0, MAX_WIDTH / width)
        self._size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self._seen = 0
        self._pictures: list[Image.Image] = []

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Add one (height, width, 3 or 4) frame."""
        from PIL import Image

        if self._seen % self._every == 0:
            picture = Image.fromarray(np.ascontiguousarray(frame[..., :3])).resize(self._size, Image.Resampling.BOX)
            self._pictures.append(picture.quantize(128, dither=Image.Dither.NONE))
        self._seen += 1

    def close(self) -> None:
        first, *rest = self._pictures
        first.save(self._path, format="GIF", save_all=True, append_images=rest, duration=round(self._frame_ms), loop=0)

    def abort(self) -> None:
        self._pictures.clear()
