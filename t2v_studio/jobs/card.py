"""Who has the graphics card: a training takes it for itself, and the engine's process gives it up first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from t2v_studio.errors import BusyError
from t2v_studio.jobs.locks import FileLock, is_held
from t2v_studio.jobs.model import Context
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster
from t2v_studio.workspace import Workspace

POLL_S = 0.5


def card_lock(workspace: Workspace) -> Path:
    """Held while a training has the card."""
    return workspace.run / "card.lock"


def require_free_card(workspace: Workspace) -> None:
    """Raises BusyError where a training has the card: a second large model would end both."""
    if is_held(card_lock(workspace)):
        raise BusyError(
            "card_busy",
            "The graphics card is taken by a training.",
            "Wait for its end, stop it in Train (it goes on later from its checkpoint), or use the local engine.",
        )


@contextmanager
def card_for_training(context: Context, *, count: int) -> Iterator[None]:
    """Hold the card: engines in other processes are asked to leave after their job, and waited for.

    Only the end of a process gives all of its memory back. Without a card there is nothing to wait for.
    """
    if not count:
        yield
        return
    lock = FileLock(card_lock(context.workspace))
    while not lock.acquire():
        context.report("waiting for another training to leave the card")
        time.sleep(POLL_S)
    try:
        roster = Roster(Queue(context.workspace))
        holders = [row for row in roster.present("studio") if not row.details.get("inline")]
        for row in holders:
            roster.update(row.id, retire=True)
        while any(row.identity.alive() for row in holders):
            context.report("waiting for the engine to leave the card", message="it ends its job first")
            time.sleep(POLL_S)
        yield
    finally:
        lock.release()
