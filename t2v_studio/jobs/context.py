"""What a handler is given: progress, cancellation, and the objects that outlive a job."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from t2v_studio.errors import CancelledError, plural
from t2v_studio.jobs.model import Job
from t2v_studio.jobs.pace import Pace
from t2v_studio.jobs.queue import Queue
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

REPORTS_PER_SECOND = 4
_NO_DIGITS = str.maketrans("", "", "0123456789.,")
log = logging.getLogger(__name__)

Loader = Callable[[Settings, Workspace], Any]
"""Builds a long-lived object; its `close()`, where it has one, gives up what only one process may own."""


class Residents:
    """Objects that stay between jobs, built when they are first asked for."""

    def __init__(self, settings: Settings, workspace: Workspace, loaders: Mapping[str, Loader]) -> None:
        self._settings = settings
        self._workspace = workspace
        self._loaders = loaders
        self._built: dict[str, Any] = {}
        self._lock = threading.RLock()

    def __call__(self, key: str) -> Any:
        with self._lock:
            if key not in self._built:
                self._built[key] = self._loaders[key](self._settings, self._workspace)
            return self._built[key]

    def release_gpu(self) -> None:
        """Take off the card what is built and idle."""
        self._tell("release_gpu")

    def close(self) -> None:
        """Give up what only one process may own. The objects stay, and open again when they are used."""
        self._tell("close")

    def _tell(self, what: str) -> None:
        """Call a method of everything that is built and has it."""
        with self._lock:
            for resident in self._built.values():
                method = getattr(resident, what, None)
                if method is not None:
                    method()


class JobContext:
    """The `Context` of one job.

    between: called at every report, for short work that need not wait for the end of a long job.
    written: called after the row was written, for somebody who watches from the same process.
    """

    def __init__(
        self,
        queue: Queue,
        settings: Settings,
        job: Job,
        worker: str,
        residents: Residents,
        between: Callable[[], None] | None = None,
        written: Callable[[], None] | None = None,
    ) -> None:
        self.settings = settings
        self.workspace: Workspace = queue.workspace
        self.job_id = job.id
        self.resident = residents
        self._queue = queue
        self._worker = worker
        self._between = between
        self._written = written
        self._stage = ""
        self._place = (0, 0)
        self._pace = Pace()
        self._said = ""
        self._written_at = float("-inf")

    def report(self, stage: str, step: int = 0, total: int = 0, message: str = "") -> None:
        """Write progress to the row: a new stage, other words and the last step at once, the rest four times a second.

        What comes after a report may last for minutes, so that words which waited would be missing all the while.
        """
        self.check_cancelled()
        self._place = (step, total)
        ends = self._pace.ends(stage, step, total, datetime.now(UTC))
        now, said = time.monotonic(), message.translate(_NO_DIGITS)
        new = stage != self._stage or said != self._said or (total and step >= total)
        if new or now - self._written_at >= 1 / REPORTS_PER_SECOND:
            if stage != self._stage:
                log.info("%s: %s %s", self.job_id, stage, message)
            self._stage, self._said, self._written_at = stage, said, now
            try:
                kept = self._queue.progress(self.job_id, self._worker, stage, step, total, message, ends)
            except sqlite3.OperationalError:
                log.warning("progress of %s could not be written", self.job_id, exc_info=True)
            else:
                if not kept:
                    raise CancelledError()
                if self._written is not None:
                    self._written()
        if self._between is not None:
            self._between()

    def heard(self, tokens: int) -> None:
        """A language model has written so many tokens of an answer, at the place that was reported last."""
        if self._stage:
            self.report(self._stage, *self._place, f"the language model has written {plural(tokens, 'token')}")
        else:
            self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raise CancelledError where a person asked to stop or the row was taken away."""
        try:
            stop = self._queue.must_stop(self.job_id, self._worker)
        except sqlite3.OperationalError:
            log.warning("the row of %s could not be read", self.job_id, exc_info=True)
            return
        if stop:
            raise CancelledError()

    def preview(self, path: str) -> None:
        """Name a picture in outputs/ that shows the work so far."""
        self._queue.preview(self.job_id, self._worker, path)
