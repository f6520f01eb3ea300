"""Frames to moments: which step a frame of a scene tells, and how far it has come."""

from __future__ import annotations

from itertools import accumulate

from t2v_studio.engines.local.kinds.base import Moment
from t2v_studio.planning.plan import Scene
from t2v_studio.planning.timing import step_frames, step_seconds


def moments(scene: Scene, frames: int) -> list[tuple[Moment, int]]:
    """For each frame its moment, and the number of frames of its step.

    The first frame of a step has progress 0 and its last has 1; a step of one frame shows its end.
    """
    told: list[tuple[Moment, int]] = []
    for step, count in enumerate(step_frames(scene, frames)):
        for n in range(count):
            progress = n / (count - 1) if count > 1 else 1.0
            overall = len(told) / (frames - 1) if frames > 1 else 1.0
            told.append((Moment(step, progress, overall), count))
    return told


def moment_at(scene: Scene, at: float) -> tuple[Moment, float]:
    """The moment at a share of a scene, 0 to 1, and the seconds of its step."""
    at = min(max(at, 0.0), 1.0)
    seconds = [step_seconds(step) for step in scene.steps]
    ends = list(accumulate(seconds))
    told = at * ends[-1]
    step = next((n for n, end in enumerate(ends) if told < end), len(ends) - 1)
    progress = min(max(1 - (ends[step] - told) / seconds[step], 0.0), 1.0)
    return Moment(step, progress, at), seconds[step]
