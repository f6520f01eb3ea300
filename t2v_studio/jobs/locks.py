"""Advisory locks on files of a workspace: the system frees them when their process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO


class FileLock:
    """An exclusive lock; the file holds the pid of its owner for people who look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self) -> bool:
        """Take the lock if it is free, without waiting."""
        if self._file is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return True

    def acquire_within(self, seconds: float) -> bool:
        """Take the lock, trying again for a while: `is_held` takes it for an instant."""
        until = time.monotonic() + seconds
        while not self.acquire():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def is_held(path: Path) -> bool:
    """Whether anybody, this process included, holds the lock on `path`."""
    try:
        file = path.open("r", encoding="ascii")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
