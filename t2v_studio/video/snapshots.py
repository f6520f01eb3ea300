"""Still pictures of a clip: a poster, and the first, middle and last frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Snapshots:
    """Keeps copies of a few frames of a clip while they pass by.

    wanted: name of the picture (its file's stem) to number of the frame, counted from 0.
    """

    def __init__(self, wanted: dict[str, int]) -> None:
        self._wanted = wanted
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def see(self, number: int, frame: NDArray[np.uint8]) -> None:
        """Take frame `number` if a picture wants it."""
        for name, at in self._wanted.items():
            if at == number:
                self._kept[name] = np.array(frame[..., :3], copy=True)

    def save(self, folder: Path) -> dict[str, str]:
        """Write <name>.png for every frame that was seen; name to file name."""
        return {name: write_png(folder / f"{name}.png", frame).name for name, frame in self._kept.items()}


def write_png(path: Path, frame: NDArray[np.uint8]) -> Path:
    """A (height, width, 3) RGB picture as PNG."""
    from PIL import Image

    Image.fromarray(frame).save(path, format="PNG", compress_level=6)
    return path


def write_preview(path: Path, frame: NDArray[np.uint8], *, max_side: int = 640) -> Path:
    """A small JPEG of a (height, width, 3 or 4) picture, replaced in one go while a page may read it."""
    import cv2
    from PIL import Image

    height, width = frame.shape[:2]
    scale = min(1.0, max_side / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(cv2.resize(np.ascontiguousarray(frame[..., :3]), size, interpolation=cv2.INTER_AREA))
    part = path.with_name(f".{path.name}.part")
    picture.save(part, format="JPEG", quality=85)
    part.replace(path)
    return path
