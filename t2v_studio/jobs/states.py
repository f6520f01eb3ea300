"""The states of a job and the events that move it: one pure function, asked by every writer."""

from __future__ import annotations

from typing import Literal, get_args

from t2v_studio.errors import StudioError
from t2v_studio.jobs.model import ENDED, State

Event = Literal["claim", "begin", "progress", "hand_over", "cancel", "succeed", "fail", "stop", "lose"]
"""claim: a worker takes the row. begin: its handler starts. hand_over: the next stage waits in another
lane. cancel: a person asks to stop (a flag, except for a job that nobody has taken). stop: the
cancellation took effect. lose: the process that ran it is gone."""

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)

_MOVES: dict[tuple[State, Event], State] = {
    ("queued", "claim"): "starting",
    ("queued", "cancel"): "cancelled",
    ("starting", "begin"): "running",
    ("starting", "cancel"): "starting",
    ("starting", "fail"): "failed",
    ("starting", "stop"): "cancelled",
    ("starting", "lose"): "lost",
    ("running", "progress"): "running",
    ("running", "hand_over"): "queued",
    ("running", "cancel"): "running",
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "stop"): "cancelled",
    ("running", "lose"): "lost",
}


class IllegalTransition(StudioError):
    """An event that the job's state does not allow; the row stays as it is."""

    def __init__(self, state: str, event: str) -> None:
        super().__init__("illegal_transition", f"A job that is {state} cannot {event}.", "Reload the list of jobs.")


def transition(state: State, event: Event) -> State:
    """The state after `event`. Raises IllegalTransition; an ended job never moves again."""
    try:
        return _MOVES[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None


def sources(event: Event) -> tuple[State, ...]:
    """The states in which `event` is allowed."""
    return tuple(state for state, moved_by in _MOVES if moved_by == event)


assert not any(state in ENDED for state, _ in _MOVES)
