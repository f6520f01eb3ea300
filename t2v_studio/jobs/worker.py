"""A worker: one process that takes the jobs of one lane, one by one (`python -m t2v_studio.jobs.worker --lane library`)."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import hashlib
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType

from t2v_studio import __version__
from t2v_studio.errors import BusyError
from t2v_studio.jobs.context import JobContext, Loader, Residents
from t2v_studio.jobs.locks import FileLock
from t2v_studio.jobs.model import Job, Lane
from t2v_studio.jobs.processes import own_identity
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster
from t2v_studio.jobs.running import Handlers, Interrupted, run_job
from t2v_studio.settings import Settings, load_settings
from t2v_studio.workspace import Workspace

EXIT_DUPLICATE = 75
"""Another worker of this lane already runs on this workspace."""
POLL_S = 0.02
HEARTBEAT_S = 2.0
QUICK_KINDS = ("search",)
"""Kinds that are short enough to be done between two steps of a long job."""
log = logging.getLogger(__name__)


class Worker:
    """Takes jobs of `lane` until it has been idle for long, is told to retire, or gets SIGTERM.

    prepare: called before jobs are taken; a BusyError from it means that another process still
    owns what this lane needs, so the jobs wait.
    warm: called once there is nothing to do, so that the first job finds its model loaded.
    """

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        handlers: Handlers,
        loaders: Mapping[str, Loader],
        prepare: Callable[[Residents], object] | None = None,
        warm: Callable[[Residents], object] | None = None,
    ) -> None:
        self.settings = settings
        self.lane: Lane = lane
        self.workspace = Workspace.at(settings.home)
        self._handlers = handlers
        self._prepare = prepare
        self._warm = warm
        self._queue = Queue(self.workspace)
        self._roster = Roster(self._queue)
        self._residents = Residents(settings, self.workspace, loaders)
        self._id = ""
        self._job: Job | None = None
        self._loading = False
        self._leaving = threading.Event()
        self._idle_since = time.monotonic()

    def run(self) -> int:
        """The exit status of the process."""
        lock = FileLock(lane_lock(self.workspace, self.lane))
        if not lock.acquire_within(0.5):
            log.info("a worker of lane %s already runs on this workspace", self.lane)
            return EXIT_DUPLICATE
        self._id = self._roster.enter(self.lane, own_identity(), settings=settings_mark(self.settings))
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGTERM, self._on_terminate)
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        try:
            self._loop()
        finally:
            self._leaving.set()
            with contextlib.suppress(sqlite3.OperationalError):
                self._roster.update(self._id, "left", job="")
            self._residents.close()
            lock.release()
        return 0

    # --- the loop ------------------------------------------------------------------------------
    def _loop(self) -> None:
        self._roster.update(self._id, "idle")
        ready, seen, looked_at = False, -1, 0.0
        while not self._leaving.is_set():
            if not ready:
                ready = self._load(self._prepare)
            version = self._queue.data_version()
            if ready and (version != seen or time.monotonic() - looked_at > 1.0):
                seen, looked_at = version, time.monotonic()
                job = self._queue.claim(self.lane, self._id)
                if job is not None:
                    self._work(job)
                    seen = -1
                    continue
            if ready and self._warm is not None:
                self._load(self._warm)
                self._warm = None
                continue
            if self._may_leave():
                return
            self._leaving.wait(POLL_S if ready else 0.25)

    def _load(self, load: Callable[[Residents], object] | None) -> bool:
        """Build what stays between jobs. False where another process still owns it."""
        if load is None:
            return True
        self._loading = True
        try:
            load(self._residents)
        except BusyError as error:
            log.info("waiting: %s", error.message)
            return False
        except Interrupted:
            log.info("told to leave while loading")
        except Exception:
            # the handler will meet the same failure and tell it in the job's row
            log.exception("lane %s could not be made ready", self.lane)
        finally:
            self._loading = False
        return True

    def _may_leave(self) -> bool:
        if not self.workspace.database.exists():
            return True
        return time.monotonic() - self._idle_since > self.settings.worker_idle_minutes * 60

    def _work(self, job: Job) -> None:
        """Run one job with its output in its own log."""
        self._job = job
        started = time.monotonic()
        try:
            self._roster.update(self._id, "busy", job=job.id)
            with output_to(self.workspace.job_log(job.id)):
                log.info("%s %s: %s", job.kind, job.id, job.title)
                self._run(job, self._between)
        except Interrupted:
            log.info("job %s was interrupted", job.id)
        finally:
            self._job = None
            release_memory(started)
            self._idle_since = time.monotonic()
            with contextlib.suppress(sqlite3.OperationalError):
                self._roster.update(self._id, "idle", job="")

    def _run(self, job: Job, between: Callable[[], None] | None) -> None:
        context = JobContext(self._queue, self.settings, job, self._id, self._residents, between)
        run_job(self._queue, job, self._id, self._handlers, context)

    def _between(self) -> None:
        """Do the short jobs that wait, in the middle of a long one; their trouble is not its trouble."""
        with contextlib.suppress(sqlite3.OperationalError):
            while (quick := self._queue.claim(self.lane, self._id, kinds=QUICK_KINDS)) is not None:
                self._run(quick, None)

    # --- beside the loop -----------------------------------------------------------------------
    def _beat(self) -> None:
        while not self._leaving.wait(HEARTBEAT_S):
            try:
                job = self._job
                if job is not None:
                    self._queue.beat(job.id, self._id)
                self._roster.update(self._id)
                row = self._roster.get(self._id)
                if row is None or (row.details.get("retire") and self._job is None):
                    self._leaving.set()
            except sqlite3.Error:
                log.warning("the heartbeat could not be written", exc_info=True)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """SIGINT stops the job that was asked to stop, and never the one that came after it."""
        job = self._job
        if job is not None and self._queue.must_stop(job.id, self._id):
            raise Interrupted()

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self._leaving.set()
        if self._job is not None or self._loading:
            raise Interrupted()


def lane_lock(workspace: Workspace, lane: str) -> Path:
    return workspace.run / f"worker-{lane}.lock"


def settings_mark(settings: Settings) -> str:
    """Tells whether a worker runs with the settings and the version that the app has now."""
    shown = settings.model_dump_json(
        exclude={"home", "auth", "host", "port", "hosted", "outputs_quota_gb", "upload_max_mb"}
    )
    return hashlib.sha256(f"{__version__} {shown}".encode()).hexdigest()[:16]


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2, so what C libraries and a crash write too, to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab", buffering=0) as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def release_memory(started: float) -> None:
    """Give freed memory back, on the graphics card too where torch is in use.

    started: `time.monotonic()` at the start of the job. A short one is not worth the 20 to 100 ms.
    """
    if time.monotonic() - started < 1.0:
        return
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def start_logging() -> None:
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "chromadb", "sentence_transformers", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", required=True, choices=("library", "studio", "training", "files"))
    lane = parser.parse_args().lane
    start_logging()
    from t2v_studio.jobs.handlers import HANDLERS, LOADERS, PREPARE, WARM

    return Worker(load_settings(), lane, HANDLERS, LOADERS, PREPARE.get(lane), WARM.get(lane)).run()


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    # all is closed; taking torch and Chroma apart by the interpreter would cost seconds
    os._exit(status)
