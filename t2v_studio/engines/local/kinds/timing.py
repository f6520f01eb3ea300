"""From the step that is told to the part of a diagram that moves."""

from __future__ import annotations

from t2v_studio.engines.local.easing import clamp, span
from t2v_studio.engines.local.kinds.base import Moment
from t2v_studio.planning.plan import Scene

STARTS, RESTS = 0.05, 0.8
"""Within a step: motion starts after the first, rests from the second."""


def position(scene: Scene, moment: Moment, acts: int) -> float:
    """Where a moment stands in `acts` equal parts: 0 to acts, each told step carrying its share."""
    count = len(scene.steps)
    step = min(max(moment.step, 0), count - 1)
    return acts * (step + span(moment.progress, STARTS, RESTS)) / count


def part(place: float, index: int) -> float:
    """How much of part `index` is done: 0 to 1."""
    return clamp(place - index)


def turn(place: float, count: int) -> tuple[int, float]:
    """The part that is being played and how far: (index, 0 to 1); at the end the last part, done."""
    index = min(int(place), count - 1)
    return index, clamp(place - index)
