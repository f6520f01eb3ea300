"""One owner of the embedded store: several processes on it lose vectors, so a second one is refused."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from t2v_studio.errors import BusyError
from t2v_studio.workspace import Workspace


class StoreOwner:
    """An exclusive lock on a workspace's index. The system releases it when the process ends, however it ends."""

    def __init__(self, workspace: Workspace, purpose: str = "library") -> None:
        self.path = lock_path(workspace)
        self.purpose = purpose
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self) -> StoreOwner:
        """Take the lock, or raise BusyError that names its holder."""
        if self._file is not None:
            return self
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Opened without truncation: the holder's note must stay readable to whoever is refused.
        file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _note(file)
            file.close()
            raise BusyError(
                "library_busy",
                f"Another process{_who(holder)} has this workspace's library open.",
                "Wait until it ends or close the app that runs on this workspace. Another T2V_HOME is a library of its own.",
                **holder,
            ) from error
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "purpose": self.purpose, "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}, file)
        file.flush()
        self._file = file
        return self

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> StoreOwner:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@contextmanager
def store_owner(workspace: Workspace, purpose: str = "library") -> Iterator[StoreOwner]:
    """Own the workspace's index for the length of a block; raises BusyError where another process does."""
    owner = StoreOwner(workspace, purpose)
    with owner:
        yield owner


def lock_path(workspace: Workspace) -> Path:
    return workspace.run / "library.lock"


def _note(file: IO[str]) -> dict[str, object]:
    try:
        file.seek(0)
        note = json.loads(file.read() or "{}")
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _who(holder: dict[str, object]) -> str:
    return f" (pid {holder['pid']}, since {holder.get('since', 'some time')})" if "pid" in holder else ""
