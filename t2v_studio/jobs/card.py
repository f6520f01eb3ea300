"""Who has the graphics card: a training takes it for itself, and whoever draws gives it up first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from t2v_studio.errors import BusyError
from t2v_studio.jobs.locks import FileLock, is_held
from t2v_studio.jobs.model import Context
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster, WorkerRow
from t2v_studio.workspace import Workspace

POLL_S = 0.5


def card_lock(workspace: Workspace) -> Path:
    """Held while a training has the card or waits for it."""
    return workspace.run / "card.lock"


def card_wanted(workspace: Workspace) -> bool:
    """Whether a training has the card or waits for it."""
    return is_held(card_lock(workspace))


def require_free_card(workspace: Workspace) -> None:
    """Raises BusyError where a training has the card: a second large model would end both."""
    if card_wanted(workspace):
        raise BusyError(
            "card_busy",
            "The graphics card is taken by a training.",
            "Wait for its end, stop it in Train (it goes on later from its checkpoint), or use the local engine.",
        )


@contextmanager
def card_for_training(context: Context, *, count: int) -> Iterator[None]:
    """Hold the card: whoever draws ends its job first. Without a card there is nothing to wait for.

    A worker of the engine is asked to leave, since only the end of a process gives all of its memory back. A process
    that does jobs inline lives on, this one perhaps among them: it takes its models off the card.
    """
    if not count:
        yield
        return
    lock = FileLock(card_lock(context.workspace))
    while not lock.acquire():
        context.report("waiting for another training to leave the card")
        time.sleep(POLL_S)
    try:
        _wait_for_engines(context)
        yield
    finally:
        lock.release()


def _wait_for_engines(context: Context) -> None:
    """Those that work now: later ones find the lock."""
    queue = Queue(context.workspace)
    roster = Roster(queue)
    workers = [row for row in roster.present("studio") if not row.details.get("inline")]
    for row in workers:
        roster.update(row.id, retire=True)
    inline = _drawing_inline(queue, roster, context.job_id)
    while (
        any(row.identity.alive() for row in workers)
        or any(_at_it(roster, row) for row in inline)
        or not context.resident("engines").release_gpu()
    ):
        context.report("waiting for the engine to leave the card", message="it ends its job first")
        time.sleep(POLL_S)


def _drawing_inline(queue: Queue, roster: Roster, own_job: str) -> list[WorkerRow]:
    """Rows of processes without workers that draw. A command has one row for all lanes: its job's lane tells."""
    drawn_by = {job.worker for job in queue.held() if job.lane == "studio"}
    return [
        row
        for row in roster.present()
        if row.details.get("inline")
        and row.state == "busy"
        and row.details.get("job") != own_job
        and (row.lane == "studio" or row.id in drawn_by)
    ]


def _at_it(roster: Roster, row: WorkerRow) -> bool:
    """Whether that process still does the job that it did; the row of a killed one says busy until it is buried."""
    now = roster.get(row.id)
    same = now is not None and now.state == "busy" and now.details.get("job") == row.details.get("job")
    return same and row.identity.alive()
