"""Motion between frames: DIS optical flow, its occlusion mask, and what follows from it.

Frames are uint8 arrays of shape (height, width, 3), RGB; flow is float32 (height, width, 2) in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Flow = NDArray[np.float32]

UNRELIABLE_MASKED_SHARE = 0.5
"""A warp error of which more than half the pixels are masked says little."""


@dataclass(frozen=True)
class PairMotion:
    """What one pair of neighbouring frames shows.

    warp_error: masked mean of squared differences, colours in 0 to 1, mean over channels.
    top_radius: mean length of the fastest 5 % of flow vectors, in pixels.
    median_radius: median length, in pixels.
    """

    warp_error: float
    masked_share: float
    top_radius: float
    median_radius: float


def flow(first: Frame, second: Frame) -> Flow:
    """Dense flow from `first` to `second` (DIS, Kroeger et al. 2016, medium preset of OpenCV)."""
    import cv2

    engine: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    return np.asarray(engine.calc(grey[0], grey[1], None), np.float32)


def warp(image: NDArray[np.float32], forward: Flow) -> NDArray[np.float32]:
    """w(image, F): the value of `image` at p + F(p) for each pixel p, bilinear."""
    import cv2

    height, width = forward.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    to_x, to_y = x + forward[..., 0], y + forward[..., 1]
    return np.asarray(cv2.remap(image, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def occlusion_mask(forward: Flow, backward: Flow) -> NDArray[np.bool_]:
    """True where a pixel of the first frame is visible in the second (Lai et al. 2018, after Ruder et al. 2016).

    Hidden: |w(B,F)+F|^2 > 0.01 (|w(B,F)|^2 + |F|^2) + 0.5; motion boundary: |grad F|^2 > 0.01 |F|^2 + 0.002;
    or the pixel leaves the frame.
    """
    height, width = forward.shape[:2]
    warped = warp(backward, forward)
    square = (forward**2).sum(axis=-1)
    hidden = ((warped + forward) ** 2).sum(axis=-1) > 0.01 * ((warped**2).sum(axis=-1) + square) + 0.5
    slope = sum((np.gradient(forward[..., axis], axis=side) ** 2 for axis in (0, 1) for side in (0, 1)), np.zeros(()))
    boundary = slope > 0.01 * square + 0.002
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    to_x, to_y = x + forward[..., 0], y + forward[..., 1]
    outside = (to_x < 0) | (to_x > width - 1) | (to_y < 0) | (to_y > height - 1)
    return ~(hidden | boundary | outside)


def pair_motion(first: Frame, second: Frame) -> PairMotion:
    """Flow both ways, the warp error under the mask, and the speed of the motion."""
    if np.array_equal(first, second):
        return PairMotion(0.0, 0.0, 0.0, 0.0)
    forward, backward = flow(first, second), flow(second, first)
    visible = occlusion_mask(forward, backward)
    a, b = (frame.astype(np.float32) / np.float32(255) for frame in (first, second))
    error = ((warp(b, forward) - a) ** 2).mean(axis=-1)
    top, median = speed(forward)
    return PairMotion(
        warp_error=float(error[visible].mean() if visible.any() else error.mean()),
        masked_share=float(1 - visible.mean()),
        top_radius=top,
        median_radius=median,
    )


def pair_speed(first: Frame, second: Frame) -> tuple[float, float]:
    """`speed` of the motion from `first` to `second`, without the way back that a warp error needs."""
    return (0.0, 0.0) if np.array_equal(first, second) else speed(flow(first, second))


def speed(forward: Flow) -> tuple[float, float]:
    """Mean length of the fastest 5 % of flow vectors, and the median length, in pixels (VBench, Huang et al. 2024)."""
    radius = np.sqrt((forward**2).sum(axis=-1)).ravel()
    count = max(radius.size // 20, 1)
    return float(np.partition(radius, -count)[-count:].mean()), float(np.median(radius))
