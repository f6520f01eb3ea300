"""Frames to moments: how the frames of a scene are shared among its steps."""

from __future__ import annotations

from t2v_studio.engines.local.kinds.base import Moment


def step_bounds(steps: int, frames: int) -> list[int]:
    """First frame of each step, and the number of frames at the end: equal shares.

    The shares do not depend on the texts, so that both arms of a pair keep the same time.
    """
    return [round(i * frames / steps) for i in range(steps + 1)]


def moment_of(frame: int, steps: int, frames: int) -> Moment:
    """The moment that frame `frame` (from 0) of a scene shows.

    The last frame of a step has progress 1; a step of one frame shows its end.
    """
    bounds = step_bounds(steps, frames)
    step = max(i for i in range(steps) if bounds[i] <= frame and bounds[i + 1] > frame)
    inside = bounds[step + 1] - bounds[step]
    progress = (frame - bounds[step]) / (inside - 1) if inside > 1 else 1.0
    overall = frame / (frames - 1) if frames > 1 else 1.0
    return Moment(step, progress, overall)


def moment_at(at: float, steps: int) -> Moment:
    """The moment at a share of a scene, 0 to 1."""
    at = min(max(at, 0.0), 1.0)
    step = min(int(at * steps), steps - 1)
    return Moment(step, at * steps - step, at)
