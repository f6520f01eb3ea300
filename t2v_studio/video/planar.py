"""RGB pictures to yuv420p planes, touching only the rows that changed.

A drawn explainer repeats most of its pixels from frame to frame. The rows that differ from the
picture before are found once, and only they are converted and hashed again.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import InputError

BAND_ROWS = 16
"""Rows that are compared, converted and hashed together; even, so that a band holds whole chroma rows."""

_CHROMA = np.clip(np.round((np.arange(256) - 128) * (224 / 255) + 128), 0, 255).astype(np.uint8)
"""Full-range chroma to the limited range of ITU-R BT.601."""


class PlanarPicture:
    """The latest picture as yuv420p (BT.601, limited range), kept up to date band by band.

    Odd sizes are padded to even ones by repeating the last row or column. Chroma is the mean of
    each 2x2 block. `digest` is the SHA-256 over the SHA-256 digests of the picture's bands of
    BAND_ROWS rows (raw RGB bytes, before padding), so that unchanged bands are not hashed again.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.coded_width, self.coded_height = width + width % 2, height + height % 2
        self._luma = np.empty((self.coded_height, self.coded_width), np.uint8)
        self._chroma = np.empty((2, self.coded_height // 2, self.coded_width // 2), np.uint8)
        self._before: NDArray[np.uint8] | None = None
        self._bands = [b""] * -(-height // BAND_ROWS)
        self.planes = b""
        self.digest = b""

    def update(self, frame: NDArray[np.uint8]) -> float:
        """Take the next picture, (height, width, 3) RGB or (height, width, 4) RGBA, uint8.

        Returns the share of bands that differ from the picture before, 0 to 1; the first gives 1.
        `frame` is not kept: its buffer may be painted over afterwards. Alpha is ignored.
        Raises InputError for another shape or dtype.
        """
        self._check(frame)
        frame = np.ascontiguousarray(frame)
        changed = self._changed(frame)
        if not changed:
            return 0.0
        for first, last in _runs(changed):
            self._convert(frame, first * BAND_ROWS, min(last * BAND_ROWS, self.height))
        self._hash(frame, changed)
        self.planes = self._luma.tobytes() + self._chroma.tobytes()
        return len(changed) / len(self._bands)

    def _check(self, frame: NDArray[np.uint8]) -> None:
        shape = getattr(frame, "shape", ())
        good = len(shape) == 3 and shape[:2] == (self.height, self.width) and shape[2] in (3, 4)
        if not good or frame.dtype != np.uint8:
            raise InputError(
                "bad_frame",
                f"frame: got {getattr(frame, 'dtype', type(frame).__name__)} of shape {tuple(shape)}, "
                f"expected uint8 of ({self.height}, {self.width}, 3 or 4).",
                "This is a fault of the engine that drew it; its log says more.",
            )

    def _changed(self, frame: NDArray[np.uint8]) -> list[int]:
        """Numbers of the bands that differ; remembers the picture."""
        if self._before is None or self._before.shape != frame.shape:
            self._before = frame.copy()
            return list(range(len(self._bands)))
        new, old = _words(frame), _words(self._before)
        rows = np.flatnonzero((new != old).any(axis=1))
        bands = np.unique(rows // BAND_ROWS).tolist()
        for band in bands:
            part = slice(band * BAND_ROWS, (band + 1) * BAND_ROWS)
            self._before[part] = frame[part]
        return bands

    def _convert(self, frame: NDArray[np.uint8], top: int, bottom: int) -> None:
        """Luma and chroma of the rows top to bottom; `top` is a multiple of BAND_ROWS."""
        import cv2

        rows = frame[top:bottom]
        if rows.shape[0] % 2 or self.width % 2:
            rows = np.pad(rows, ((0, rows.shape[0] % 2), (0, self.width % 2), (0, 0)), mode="edge")
        height = rows.shape[0]
        alpha = rows.shape[2] == 4
        planes = cv2.cvtColor(rows, cv2.COLOR_RGBA2YUV_I420 if alpha else cv2.COLOR_RGB2YUV_I420)
        self._luma[top : top + height] = planes[:height]
        half = cv2.resize(rows, (self.coded_width // 2, height // 2), interpolation=cv2.INTER_AREA)
        half = half.reshape(height // 2, self.coded_width // 2, rows.shape[2])
        chroma = _CHROMA[cv2.cvtColor(half[..., :3], cv2.COLOR_RGB2YCrCb)[..., 1:]]
        self._chroma[0, top // 2 : (top + height) // 2] = chroma[..., 1]
        self._chroma[1, top // 2 : (top + height) // 2] = chroma[..., 0]

    def _hash(self, frame: NDArray[np.uint8], bands: list[int]) -> None:
        for band in bands:
            rows = np.ascontiguousarray(frame[band * BAND_ROWS : (band + 1) * BAND_ROWS, :, :3])
            self._bands[band] = hashlib.sha256(rows).digest()
        self.digest = hashlib.sha256(b"".join(self._bands)).digest()


class ClipDigest:
    """`frames_sha256`: the SHA-256 over the digests of all pictures, with the size in front."""

    def __init__(self, width: int, height: int) -> None:
        self._hash = hashlib.sha256(f"{width}x{height}\n".encode())

    def add(self, digest: bytes) -> None:
        self._hash.update(digest)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _words(frame: NDArray[np.uint8]) -> NDArray[np.generic]:
    """Rows as the widest integers that divide them: comparing eight bytes at once is much faster."""
    flat = frame.reshape(frame.shape[0], -1)
    return flat.view(np.uint64) if flat.shape[1] % 8 == 0 else flat


def _runs(bands: list[int]) -> list[tuple[int, int]]:
    """Neighbouring numbers as half-open ranges: [0, 1, 2, 7] -> [(0, 3), (7, 8)]."""
    runs: list[tuple[int, int]] = []
    for band in bands:
        if runs and runs[-1][1] == band:
            runs[-1] = (runs[-1][0], band + 1)
        else:
            runs.append((band, band + 1))
    return runs
