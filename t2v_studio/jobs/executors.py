"""Where jobs run: in worker processes that a supervisor keeps, or inline in this process."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from t2v_studio.jobs.card import card_wanted
from t2v_studio.jobs.context import JobContext, Loader, Residents
from t2v_studio.jobs.locks import FileLock
from t2v_studio.jobs.model import Job, Lane
from t2v_studio.jobs.processes import own_identity
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster
from t2v_studio.jobs.running import Handlers, run_job
from t2v_studio.jobs.supervisor import LANES, reconcile, supervisor_lock
from t2v_studio.jobs.worker import QUICK_KINDS, release_memory
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

IDLE_POLL_S = 0.05
log = logging.getLogger(__name__)


class Executor(Protocol):
    """Does the queue's work while an app runs. `Supervisor` is the one with processes."""

    def start(self) -> None: ...

    def stop(self, *, workers: bool = False) -> None: ...

    def wake(self) -> None:
        """A job was added."""
        ...


class InlineExecutor:
    """Does jobs in this process, writing the same rows: command line, tests, Spaces.

    `run` does one job in the calling thread. `start` serves the whole queue, a thread a lane.
    The library's lock is given back when the outermost `run` ends, so two commands can take turns.
    """

    def __init__(
        self, settings: Settings, workspace: Workspace, handlers: Handlers, loaders: Mapping[str, Loader]
    ) -> None:
        self.settings = settings
        self.workspace = workspace
        self.queue = Queue(workspace)
        self.roster = Roster(self.queue)
        self._handlers = handlers
        self._residents = Residents(settings, workspace, loaders)
        self._supervisor_lock = FileLock(supervisor_lock(workspace))
        self._running = threading.RLock()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []

    # --- one job -------------------------------------------------------------------------------
    def run(self, job_id: str, watch: Callable[[Job], None] | None = None) -> None:
        """Do the waiting stages of a job here, until it ends or somebody else has taken it."""
        with self._running, self._entered("library") as worker:
            try:
                while (job := self.queue.get(job_id)).state == "queued":
                    claimed = self.queue.claim(_lane(job), worker, job_id=job_id)
                    if claimed is None:
                        return
                    self._work(claimed, worker, None, watch)
            finally:
                self._residents.close()

    def _work(
        self, job: Job, worker: str, between: Callable[[], None] | None, watch: Callable[[Job], None] | None
    ) -> None:
        written = (lambda: watch(self.queue.get(job.id))) if watch else None
        context = JobContext(self.queue, self.settings, job, worker, self._residents, between, written)
        self.roster.update(worker, "busy", job=job.id)
        started = time.monotonic()
        try:
            with log_to(self.workspace.job_log(job.id)):
                run_job(self.queue, job, worker, self._handlers, context)
        finally:
            try:
                if card_wanted(self.workspace):
                    # before the row says idle: a training that waits for this job starts then
                    self._residents.release_gpu()
                release_memory(started)
            finally:
                self.roster.update(worker, "idle", job="")

    @contextlib.contextmanager
    def _entered(self, lane: Lane) -> Iterator[str]:
        """A row in the roster, so that a later app sees when this process was killed in the middle."""
        reconcile(self.queue, self.roster)
        worker = self.roster.enter(lane, own_identity(), inline=True)
        try:
            yield worker
        finally:
            with contextlib.suppress(sqlite3.OperationalError):
                self.roster.update(worker, "left", job="")

    # --- the whole queue -----------------------------------------------------------------------
    def start(self) -> None:
        """Serve the queue in the background, a thread a lane, until `stop`."""
        if not self._threads and self._supervisor_lock.acquire_within(0.3):
            self._stopping.clear()
            self._threads = [
                threading.Thread(target=self._serve, args=(lane,), name=f"jobs-{lane}", daemon=True) for lane in LANES
            ]
            for thread in self._threads:
                thread.start()

    def stop(self, *, workers: bool = False) -> None:
        """Stop serving; with `workers`, the jobs that run are asked to stop first."""
        if not self._threads:
            return
        self._stopping.set()
        if workers:
            for job in self.queue.held():
                self.queue.request_cancel(job.id)
        self._wake.set()
        for thread in self._threads:
            thread.join(30)
        self._threads = []
        self._residents.close()
        self._supervisor_lock.release()

    def wake(self) -> None:
        self._wake.set()

    def _serve(self, lane: Lane) -> None:
        with self._entered(lane) as worker:
            between = self._quick(lane, worker)
            while not self._stopping.is_set():
                try:
                    job = self.queue.claim(lane, worker)
                    if job is not None:
                        self._work(job, worker, between, None)
                        continue
                except sqlite3.OperationalError:
                    log.exception("the queue could not be read")
                self._wake.wait(IDLE_POLL_S)
                self._wake.clear()

    def _quick(self, lane: Lane, worker: str) -> Callable[[], None]:
        def between() -> None:
            with contextlib.suppress(sqlite3.OperationalError):
                while (job := self.queue.claim(lane, worker, kinds=QUICK_KINDS)) is not None:
                    context = JobContext(self.queue, self.settings, job, worker, self._residents)
                    run_job(self.queue, job, worker, self._handlers, context)

        return between


def _lane(job: Job) -> Lane:
    return next(lane for lane in LANES if lane == job.lane)


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Send what this thread logs in the studio's modules to `path` too; levels stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    thread = threading.get_ident()
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.thread == thread)
    logger = logging.getLogger("t2v_studio")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
