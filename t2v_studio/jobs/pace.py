"""When the present stage of a job will be over, by its pace so far."""

from __future__ import annotations

from datetime import datetime, timedelta

SHORTEST_S = 1.0
"""A stage that has run for less says nothing about its pace."""
SLOW = 2.0
"""A step that takes so many times as long as the mean one is the slow part of a round, such as the decoding of a scene."""


class Pace:
    """Told anew at each step forward and never in between, so that what is left only shrinks while nothing moves.

    Where quick steps and slow ones take turns, the pace right after a slow one is that of whole rounds: the quick ones
    that follow do not raise hopes. A stage that comes back with its steps half done, as the second video of a pair does, counts from there.
    """

    def __init__(self) -> None:
        self._stage, self._total = "", 0
        self._first = self._last = 0
        self._began: datetime | None = None
        self._moved: datetime | None = None
        self._round_s = 0.0
        self._ends: datetime | None = None

    def ends(self, stage: str, step: int, total: int, now: datetime) -> datetime | None:
        """The moment at which the stage should end; None while nothing is known."""
        if self._began is None or stage != self._stage or total != self._total or step < self._first:
            self._stage, self._total, self._began, self._ends = stage, total, now, None
            self._first = self._last = step
            self._moved, self._round_s = now, 0.0
        elif step > self._last:
            self._ends = self._reckoned(step, total, now)
            self._last, self._moved = step, now
        return self._ends

    def _reckoned(self, step: int, total: int, now: datetime) -> datetime | None:
        assert self._began is not None and self._moved is not None
        passed, before = (now - self._began).total_seconds(), self._last - self._first
        took = (now - self._moved).total_seconds() / (step - self._last)
        mean = passed / (step - self._first)
        if before and took > SLOW * (self._moved - self._began).total_seconds() / before:
            self._round_s = mean
        if passed < SHORTEST_S or step >= total:
            return None
        return now + timedelta(seconds=max(mean, self._round_s) * (total - step))
