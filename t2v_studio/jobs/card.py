"""Who has the graphics card: a training takes it for itself, and the engine's process gives it up first."""

from __future__ import annotations

import os
import shutil
import subprocess
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


def cards() -> int:
    """How many CUDA cards a new process would see, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(1 for part in visible.split(",") if part.strip() not in ("", "-1"))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        said = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(1 for line in said.splitlines() if line.startswith("GPU "))


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
