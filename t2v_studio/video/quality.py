"""A verdict on a clip while it is made: black, white, underexposed, washed out, noise, frozen or ok.

The seeds' thresholds call clean pans and ordinary slides noise; here noise is told by two
correlations instead (neighbouring pixels, neighbouring frames). A slide, mostly white or mostly
dark and still, is ok: what counts is that some frame has content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Name = Literal["ok", "black", "white", "underexposed", "washed_out", "noise", "frozen", "undecodable"]

RULE_VERSION = 1
"""Goes up when a rule or threshold changes; stands among the measures as `rule_version`."""

SAMPLES_A_SECOND = 2.0
"""Frames looked at closely; every frame is looked at through a grid of every 8th pixel."""
_GRID = 8
_STRIP_ROWS, _STRIP_EVERY = 8, 32

BLACK_MAX, BLACK_MEAN = 2.0, 0.6
WHITE_MIN, WHITE_STD = 250.0, 2.0
DARK_MEAN, PALE_MEAN, FLAT_STD = 18.0, 220.0, 6.0
NOISE_PIXEL_CORRELATION, NOISE_FRAME_CORRELATION, NOISE_STD = 0.5, 0.5, 8.0
HELD_NOISE_PIXEL_CORRELATION = 0.2
"""For a still clip, where no second correlation helps: pages of small text come down to 0.5."""
MOSTLY = 0.5
"""Share of a picture; where less than this changed at all, the change was drawn and counts as motion."""
STILL_DIFFERENCE = 0.25
"""Mean difference of luma, 0 to 255, below which two frames count as the same (-60 dB)."""


@dataclass(frozen=True)
class Verdict:
    """What a clip looks like, with the numbers that say so.

    measures: frames, luma_mean, luma_std, luma_min, luma_max (0 to 255), pixel_correlation (lag 1,
    the larger of across and down), frame_correlation (neighbouring frames), still_share (0 to 1), rule_version.
    """

    name: Name
    measures: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.name == "ok"


class Judge:
    """Looks at the frames of one scene as they pass by, at well under a millisecond a frame."""

    def __init__(self, fps: float, steps: int = 1) -> None:
        self._every = max(1, round(fps / SAMPLES_A_SECOND))
        self._steps = steps
        self._frames = self._pairs = self._still = 0
        self._before: NDArray[np.float32] | None = None
        self._samples: list[tuple[float, float, float, float]] = []
        self._pixel_correlations: list[float] = []
        self._frame_correlations: list[float] = []

    def see(self, frame: NDArray[np.uint8], changed: float = 1.0) -> None:
        """Take the next frame, (height, width, 3 or 4) uint8.

        changed: share of the picture that differs from the frame before, if the encoder said so; 0 spares
        all work but on sampled frames.
        """
        after_sample, sampled = (self._frames - 1) % self._every == 0, self._frames % self._every == 0
        before, grid = self._before, self._before
        if changed > 0 or before is None:
            # Where little changed, the grid is needed around samples alone.
            grid = _grey(frame) if changed >= MOSTLY or after_sample or sampled else None
        if self._frames:
            self._pairs += 1
            self._still += changed == 0 or _is_still(grid, before, changed)
            if after_sample and grid is not None and before is not None:
                self._frame_correlations.append(_correlation(grid, before))
        if sampled:
            self._sample(frame)
        self._before = grid
        self._frames += 1

    def _sample(self, frame: NDArray[np.uint8]) -> None:
        """Look at strips of whole rows, a quarter of the picture."""
        tops = np.arange(0, max(1, frame.shape[0] - _STRIP_ROWS + 1), _STRIP_EVERY)
        rows = np.minimum(tops[:, None] + np.arange(_STRIP_ROWS), frame.shape[0] - 1)
        luma = _luma(frame[rows])
        self._samples.append((float(luma.mean()), float(luma.std()), float(luma.min()), float(luma.max())))
        across, down = _correlation(luma[..., :-1], luma[..., 1:]), _correlation(luma[:, :-1], luma[:, 1:])
        self._pixel_correlations.append(max(across, down))

    def verdict(self) -> Verdict:
        """The verdict on what has been seen so far."""
        if not self._samples:
            return Verdict("undecodable", {"frames": 0.0, "rule_version": float(RULE_VERSION)})
        means, stds, lows, highs = (np.array(column) for column in zip(*self._samples, strict=True))
        measures = {
            "frames": float(self._frames),
            "luma_mean": float(means.mean()),
            "luma_std": float(stds.mean()),
            "luma_min": float(lows.min()),
            "luma_max": float(highs.max()),
            "pixel_correlation": float(np.median(self._pixel_correlations)),
            "frame_correlation": float(np.median(self._frame_correlations)) if self._frame_correlations else 1.0,
            "still_share": self._still / self._pairs if self._pairs else 1.0,
            "rule_version": float(RULE_VERSION),
        }
        return Verdict(
            self._name(measures, float(stds.max())), {name: round(value, 4) for name, value in measures.items()}
        )

    def _name(self, found: dict[str, float], most_content: float) -> Name:
        """most_content: the largest standard deviation of any sampled frame; a slide has much of it."""
        if found["luma_max"] <= BLACK_MAX and found["luma_mean"] <= BLACK_MEAN:
            return "black"
        if found["luma_min"] >= WHITE_MIN and most_content <= WHITE_STD:
            return "white"
        if found["luma_mean"] <= DARK_MEAN and most_content <= FLAT_STD:
            return "underexposed"
        if found["luma_mean"] >= PALE_MEAN and most_content <= FLAT_STD:
            return "washed_out"
        pixels, frames = found["pixel_correlation"], found["frame_correlation"]
        restless = pixels < NOISE_PIXEL_CORRELATION and frames < NOISE_FRAME_CORRELATION
        if found["luma_std"] >= NOISE_STD and (restless or pixels < HELD_NOISE_PIXEL_CORRELATION):
            return "noise"
        if found["still_share"] == 1.0 and self._steps > 1 and self._frames > 1:
            return "frozen"
        return "ok"


def whole_clip(scenes: Sequence[Verdict]) -> Verdict:
    """One verdict over the scenes of a video.

    The first scene that is neither ok nor frozen gives its name; frozen only where every scene stands
    still and one of them should not. Means are weighted by frames.
    """
    seen = [scene for scene in scenes if scene.measures.get("frames")]
    if not seen:
        return Verdict("undecodable", {"frames": 0.0, "rule_version": float(RULE_VERSION)})
    weights = np.array([scene.measures["frames"] for scene in seen])
    measures = {
        name: float(np.average([scene.measures[name] for scene in seen], weights=weights))
        for name in ("luma_mean", "luma_std", "pixel_correlation", "frame_correlation", "still_share")
    }
    measures["frames"] = float(weights.sum())
    measures["luma_min"] = min(scene.measures["luma_min"] for scene in seen)
    measures["luma_max"] = max(scene.measures["luma_max"] for scene in seen)
    measures["rule_version"] = float(RULE_VERSION)
    frozen = all(scene.measures["still_share"] == 1.0 for scene in seen) and any(
        scene.name == "frozen" for scene in seen
    )
    bad = [scene.name for scene in scenes if scene.name not in ("ok", "frozen")]
    name: Name = bad[0] if bad else "frozen" if frozen else "ok"
    return Verdict(name, {key: round(value, 4) for key, value in measures.items()})


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """ITU-R BT.601 luma, 0 to 255, of (..., 3 or 4) pixels."""
    red, green, blue = (pixels[..., n].astype(np.float32) for n in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma of every 8th pixel of every 8th row."""
    return _luma(frame[::_GRID, ::_GRID])


def _correlation(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Pearson's correlation over all pixels; 1 where either is flat, as flat pictures are not noise."""
    a, b = left.ravel() - left.mean(), right.ravel() - right.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > a.size * 1e-3 else 1.0


def _is_still(now: NDArray[np.float32] | None, before: NDArray[np.float32] | None, changed: float) -> bool:
    """Whether two frames show the same.

    Where only a part of the picture changed at all, something small was drawn that the grid may
    miss, so that counts as motion; a faint shimmer everywhere does not.
    """
    if changed < MOSTLY or now is None or before is None:
        return False
    return float(np.abs(now - before).mean()) < STILL_DIFFERENCE
