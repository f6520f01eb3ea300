"""RGB pictures to yuv420p planes, touching only the rows that changed.

A drawn explainer repeats most of its pixels from frame to frame. The rows that differ from the
picture before are found once, and only they are converted and hashed again.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import InputError

TILE_ROWS, TILE_COLUMNS = 16, 128
"""Pixels that are compared and hashed together; even, so that a band of tiles holds whole chroma rows."""

_CHROMA = np.clip(np.round((np.arange(256) - 128) * (224 / 255) + 128), 0, 255).astype(np.uint8)
"""Full-range chroma to the limited range of ITU-R BT.601."""


class PlanarPicture:
    """The latest picture as yuv420p (BT.601, limited range), kept up to date where it changes.

    Odd sizes are padded to even ones by repeating the last row or column. Chroma is the mean of
    each 2x2 block. `digest` is the SHA-256 over the SHA-256 digests of the picture's tiles
    (TILE_ROWS x TILE_COLUMNS, row by row, raw RGB bytes, before padding): tiles that did not
    change are not hashed again, which on a machine without SHA instructions costs more than x264.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.coded_width, self.coded_height = width + width % 2, height + height % 2
        pixels = self.coded_width * self.coded_height
        self._all = np.empty(pixels * 3 // 2, np.uint8)
        self._luma = self._all[:pixels].reshape(self.coded_height, self.coded_width)
        self._chroma = self._all[pixels:].reshape(2, self.coded_height // 2, self.coded_width // 2)
        self._before: NDArray[np.uint8] | None = None
        self._unequal: NDArray[np.bool_] = np.empty((0, 0), bool)
        self._bands, self._columns = -(-height // TILE_ROWS), -(-width // TILE_COLUMNS)
        self._tiles = [b""] * (self._bands * self._columns)
        self.planes = b""
        self.digest = b""

    def update(self, frame: NDArray[np.uint8]) -> float:
        """Take the next picture, (height, width, 3) RGB or (height, width, 4) RGBA, uint8.

        Returns the share of tiles that differ from the picture before, 0 to 1; the first gives 1.
        `frame` is not kept: its buffer may be painted over afterwards. Alpha is ignored.
        Raises InputError for another shape or dtype.
        """
        self._check(frame)
        frame = np.ascontiguousarray(frame)
        tiles = self._changed(frame)
        if tiles.size == 0:
            return 0.0
        for box in _boxes(tiles, self._columns):
            self._convert(frame, box)
        self._hash(frame, tiles.tolist())
        self.planes = self._all.tobytes()
        return tiles.size / len(self._tiles)

    def _check(self, frame: NDArray[np.uint8]) -> None:
        shape: tuple[int, ...] = getattr(frame, "shape", ())
        good = len(shape) == 3 and shape[:2] == (self.height, self.width) and shape[2] in (3, 4)
        if not good or frame.dtype != np.uint8:
            raise InputError(
                "bad_frame",
                f"frame: got {getattr(frame, 'dtype', type(frame).__name__)} of shape {tuple(shape)}, "
                f"expected uint8 of ({self.height}, {self.width}, 3 or 4).",
                "This is a fault of the engine that drew it; its log says more.",
            )

    def _changed(self, frame: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Numbers of the tiles that differ, row by row; remembers the picture."""
        if self._before is None or self._before.shape != frame.shape:
            self._before = frame.copy()
            self._unequal = np.empty(_words(frame).shape, bool)
            return np.arange(len(self._tiles))
        new, old = _words(frame), _words(self._before)
        unequal = np.not_equal(new, old, out=self._unequal)
        rows = np.flatnonzero(unequal.any(axis=1))
        if rows.size == 0:
            return rows
        step = new.shape[1] * TILE_COLUMNS / self.width
        starts = np.arange(self._columns) * int(step)
        per_row = np.logical_or.reduceat(unequal[rows], starts, axis=1)
        grid = np.zeros((self._bands, self._columns), bool)
        np.logical_or.at(grid, rows // TILE_ROWS, per_row)
        self._before[rows] = frame[rows]
        return np.flatnonzero(grid)

    def _convert(self, frame: NDArray[np.uint8], box: tuple[int, int, int, int]) -> None:
        """Luma and chroma of a box of tiles: first band, last band, first column, last column (half-open)."""
        import cv2

        top, left = box[0] * TILE_ROWS, box[2] * TILE_COLUMNS
        part = frame[top : box[1] * TILE_ROWS, left : box[3] * TILE_COLUMNS]
        if part.shape[0] % 2 or part.shape[1] % 2:
            part = np.pad(part, ((0, part.shape[0] % 2), (0, part.shape[1] % 2), (0, 0)), mode="edge")
        height, width, channels = part.shape
        planes = cv2.cvtColor(part, cv2.COLOR_RGBA2YUV_I420 if channels == 4 else cv2.COLOR_RGB2YUV_I420)
        self._luma[top : top + height, left : left + width] = planes[:height]
        half = cv2.resize(part, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        if channels == 4:
            half = cv2.cvtColor(half, cv2.COLOR_RGBA2RGB)
        ycrcb = cv2.LUT(cv2.cvtColor(half, cv2.COLOR_RGB2YCrCb), _CHROMA)
        area = (slice(top // 2, (top + height) // 2), slice(left // 2, (left + width) // 2))
        self._chroma[0][area] = ycrcb[..., 2]
        self._chroma[1][area] = ycrcb[..., 1]

    def _hash(self, frame: NDArray[np.uint8], tiles: list[int]) -> None:
        for tile in tiles:
            top, left = tile // self._columns * TILE_ROWS, tile % self._columns * TILE_COLUMNS
            part = frame[top : top + TILE_ROWS, left : left + TILE_COLUMNS, :3]
            self._tiles[tile] = hashlib.sha256(part.tobytes()).digest()
        self.digest = hashlib.sha256(b"".join(self._tiles)).digest()


class ClipDigest:
    """`frames_sha256`: the SHA-256 over the digests of all pictures, with the size in front."""

    def __init__(self, width: int, height: int) -> None:
        self._hash = hashlib.sha256(f"{width}x{height}\n".encode())

    def add(self, digest: bytes) -> None:
        self._hash.update(digest)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _words(frame: NDArray[np.uint8]) -> NDArray[np.generic]:
    """Rows as the widest integers that divide them: comparing eight bytes at once is much faster.

    A tile is 384 or 512 bytes wide, so it starts on a word in either case.
    """
    flat = frame.reshape(frame.shape[0], -1)
    return flat.view(np.uint64) if flat.shape[1] % 8 == 0 else flat


def _boxes(tiles: NDArray[np.intp], columns: int) -> list[tuple[int, int, int, int]]:
    """Boxes of tiles that cover the changed ones: neighbouring bands together, as wide as they need.

    Each is first band, last band, first column, last column, half-open.
    """
    boxes: list[tuple[int, int, int, int]] = []
    bands, across = np.divmod(tiles, columns)
    for band in np.unique(bands).tolist():
        mine = across[bands == band]
        left, right = int(mine[0]), int(mine[-1]) + 1
        if boxes and boxes[-1][1] == band:
            first, _, old_left, old_right = boxes.pop()
            boxes.append((first, band + 1, min(left, old_left), max(right, old_right)))
        else:
            boxes.append((band, band + 1, left, right))
    return boxes
