"""The supervisor: a thread of the app that starts, adopts, watches and ends workers."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from t2v_studio.jobs.locks import FileLock, is_held
from t2v_studio.jobs.model import ENDED, Job, Lane
from t2v_studio.jobs.processes import ProcessIdentity, boot_id, process_start
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster, WorkerRow
from t2v_studio.jobs.worker import EXIT_DUPLICATE, QUICK_KINDS, settings_mark
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY, Workspace

TICK_S = 0.5
SETTLE_S = 4.0
"""The first page comes before workers that nobody has asked for."""
LOG_LINES = 20
_CRASH = "Fatal Python error: "
_CRASH_LINES = 2000
"""faulthandler writes up to 100 threads of up to 100 frames; the pools of a drawing worker are far from that."""
KEPT_JOBS = 500
_HOUSEKEEPING_S = 300.0
_WORKER_LOG_BYTES = 4_000_000
LANES: tuple[Lane, ...] = ("library", "studio", "training", "files")
COMMAND = (sys.executable, "-P", "-m", "t2v_studio.jobs.worker")
log = logging.getLogger(__name__)


def supervisor_lock(workspace: Workspace) -> Path:
    return workspace.run / "supervisor.lock"


def supervised(workspace: Workspace) -> bool:
    """Whether an app, this one or another, looks after this workspace's queue."""
    return is_held(supervisor_lock(workspace))


class Supervisor:
    """Looks after the queue of one workspace; of several on the same workspace one works, the others stand by.

    command: how a worker is started; `--lane NAME` is added.
    early: asked once the app has settled; the lanes it names get a worker before there is a job.
    """

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        command: Sequence[str] = COMMAND,
        early: Callable[[], Sequence[Lane]] | None = None,
    ) -> None:
        self.settings = settings
        self.workspace = workspace
        self.queue = Queue(workspace)
        self.roster = Roster(self.queue)
        self._command = list(command)
        self._early = early
        self._started_at = time.monotonic()
        self._lock = FileLock(supervisor_lock(workspace))
        self._children: dict[Lane, subprocess.Popen[bytes]] = {}
        self._statuses: dict[int, int] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._cleaned_at = float("-inf")

    def start(self) -> None:
        """Begin; returns at once. Where another app supervises this workspace, stand by."""
        if self._thread is None:
            self._lock.acquire_within(0.3)
            self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
            self._thread.start()

    def stop(self, *, workers: bool = False) -> None:
        """End the thread; with `workers`, the worker processes and their jobs too."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None
        if workers and self._lock.held:
            self._end_workers()
        self._lock.release()

    def wake(self) -> None:
        """Look at the queue now, not at the next tick."""
        self._wake.set()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._lock.acquire():
                    self.tick()
            except sqlite3.Error:
                log.exception("the queue could not be read")
            except OSError:
                log.exception("a worker could not be started or watched")
            self._wake.wait(TICK_S)
            self._wake.clear()
        self.queue.close()

    def tick(self) -> None:
        """One round: bury the dead, climb the cancel ladder, start what is needed, clean up."""
        self._reap()
        reconcile(self.queue, self.roster, self._statuses, {child.pid for child in self._children.values()})
        self._retire_outdated()
        self._cancel_ladder()
        early: Sequence[Lane] = ()
        if self._early is not None and time.monotonic() - self._started_at > SETTLE_S:
            early, self._early = self._early(), None
        for lane in LANES:
            if (
                (lane in early or self.queue.waiting(lane))
                and not self._has_worker(lane)
                and not self.roster.paused(lane)
            ):
                self._spawn(lane)
        if time.monotonic() - self._cleaned_at > _HOUSEKEEPING_S:
            self._cleaned_at = time.monotonic()
            self.roster.prune()
            self.queue.prune(QUICK_KINDS, _HOUSEKEEPING_S)
            self.queue.keep_newest(KEPT_JOBS)
            prune_logs(self.workspace)

    # --- workers -------------------------------------------------------------------------------
    def _has_worker(self, lane: Lane) -> bool:
        return lane in self._children or self.roster.alive(lane)

    def _spawn(self, lane: Lane) -> None:
        path = self.workspace.run / f"worker-{lane}.log"
        mode = "wb" if path.exists() and path.stat().st_size > _WORKER_LOG_BYTES else "ab"
        with path.open(mode) as output:
            self._children[lane] = subprocess.Popen(
                [*self._command, "--lane", lane],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=worker_environment(self.settings, self.workspace),
            )
        log.info("started a worker for lane %s, pid %d", lane, self._children[lane].pid)

    def _reap(self) -> None:
        """Collect the exit status of children; one that died before it could enter the roster counts too."""
        for lane, child in list(self._children.items()):
            status = child.poll()
            if status is None:
                continue
            del self._children[lane]
            self._statuses[child.pid] = status
            known = any(row.identity.pid == child.pid for row in self.roster.present())
            if not known and status not in (0, EXIT_DUPLICATE):
                worker = self.roster.enter(lane, ProcessIdentity(child.pid, "", boot_id()))
                self.roster.update(worker, "died", exit=exit_text(status))
                log.error("a worker for lane %s ended before it was ready: %s", lane, exit_text(status))

    def _retire_outdated(self) -> None:
        """Workers that run with other settings or another version leave after their job."""
        mark = settings_mark(self.settings)
        for row in self.roster.present():
            outdated = row.details.get("settings") != mark
            if outdated and not row.details.get("retire") and not row.details.get("inline"):
                self.roster.update(row.id, retire=True)

    def _end_workers(self) -> None:
        rows = [row for row in self.roster.present() if not row.details.get("inline") and row.identity.alive()]
        for row in rows:
            job_id = row.details.get("job")
            if job_id:
                self.queue.stop(
                    job_id, row.id, {"code": "stopped", "message": "The app was closed together with its workers."}
                )
            _signal(row.identity, signal.SIGTERM)
        until = time.monotonic() + 5
        while any(row.identity.alive() for row in rows) and time.monotonic() < until:
            for child in self._children.values():
                child.poll()
            time.sleep(0.05)
        for row in rows:
            _signal(row.identity, signal.SIGKILL, group=True)
        self._reap()
        for row in self.roster.present():
            if not row.identity.alive():
                self.roster.update(row.id, "left", job="")

    # --- cancel --------------------------------------------------------------------------------
    def _cancel_ladder(self) -> None:
        """The flag first; after the grace SIGINT; after twice the grace SIGKILL to the whole group.

        The row ends before the signal is sent, so that no death of a worker looks like a failure.
        """
        for row in self.roster.present():
            # A trainer saves before it leaves, and a pass of a large model takes its time.
            waits = self.settings.train_stop_seconds if row.lane == "training" else 0.0
            grace = waits + self.settings.cancel_grace_seconds
            job_id = row.details.get("job")
            age = self.queue.cancel_age_s(job_id) if job_id else None
            if not job_id or age is None or age < grace or row.details.get("inline"):
                continue
            if self.queue.get(job_id).state not in ENDED:
                self.queue.stop(
                    job_id,
                    row.id,
                    {"code": "cancelled", "message": "The job was cancelled; its worker was interrupted."},
                )
                _signal(row.identity, signal.SIGINT)
            elif age >= 2 * grace:
                log.warning("worker %d did not leave job %s and is killed", row.identity.pid, job_id)
                self.roster.update(row.id, "left", exit="killed after a cancellation")
                _signal(row.identity, signal.SIGKILL, group=True)


def reconcile(
    queue: Queue, roster: Roster, statuses: dict[int, int] | None = None, unreaped: Collection[int] = ()
) -> None:
    """Bury workers that are gone, and mark what they ran as lost. Right after a reboot as at any time.

    statuses: exit status by pid, for workers that were children of this process. unreaped: pids of children that
    have no status yet. A killed one with many threads looks dead before its status can be had, and without it nobody
    could say what ended it.
    """
    rows = {row.id: row for row in roster.all()}
    for row in list(rows.values()):
        if row.present and row.identity.pid not in unreaped and not row.identity.alive():
            row = roster.get(row.id) or row
            if not row.present:
                continue  # it left by itself while we looked
            # what it started must not outlive it, but a pid that was given out again is not ours
            if (
                row.identity.boot == boot_id()
                and process_start(row.identity.pid) is None
                and not row.details.get("inline")
            ):
                with contextlib.suppress(OSError):
                    os.killpg(row.identity.pid, signal.SIGKILL)
            job_id = row.details.get("job", "")
            ending = _ending(row, (statuses or {}).get(row.identity.pid), _tail(queue.workspace, job_id))
            expected = row.details.get("inline") or row.identity.boot != boot_id()
            roster.update(row.id, "left" if expected else "died", exit=ending, job="")
            rows[row.id] = roster.get(row.id) or row
    for job in queue.held():
        worker = rows.get(job.worker) or roster.get(job.worker)
        if worker is None or not worker.present:
            queue.lose(job.id, job.worker, _lost(job, worker, queue.workspace))


def _lost(job: Job, worker: WorkerRow | None, workspace: Workspace) -> dict[str, Any]:
    ending = worker.details.get("exit", "ended") if worker else "is not known any more"
    hint = "Start the job again. If it happens again, read its log with: t2v jobs logs " + job.id
    if "SIGKILL" in ending:
        hint = "The system may have run out of memory: ask for a smaller size or close other programs, then start the job again."
    return {
        "code": "worker_lost",
        "message": f"The process that ran this job {ending}.",
        "hint": hint,
        "type": "StudioError",
        "details": {"exit": ending, "log": _tail(workspace, job.id)},
    }


def _ending(row: WorkerRow, status: int | None, tail: list[str]) -> str:
    """How a worker ended, in words that follow "The process"."""
    if row.identity.boot != boot_id():
        return "ended when the machine was restarted"
    if status is not None:
        return exit_text(status)
    text = "\n".join(tail)
    # not our child: a crash still left its name in the log
    for phrase, name in (
        ("Segmentation fault", "SIGSEGV"),
        ("Aborted", "SIGABRT"),
        ("Bus error", "SIGBUS"),
        ("Floating", "SIGFPE"),
    ):
        if f"{_CRASH}{phrase}" in text:
            return f"was ended by {name}"
    return "ended without a word"


def exit_text(status: int) -> str:
    """An exit status of subprocess in words."""
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _tail(workspace: Workspace, job_id: str) -> list[str]:
    """The last lines of a job's log. Of a crash: what came before it, its name, and the stack of the thread that fell.

    The dump of a crash lists the other threads first, and after the stack the extension modules: they could push all
    else out of a plain tail.
    """
    lines = read_tail(workspace.job_log(job_id), _CRASH_LINES) if job_id else []
    crash = next((i for i in reversed(range(len(lines))) if lines[i].startswith(_CRASH)), None)
    if crash is None:
        return lines[-LOG_LINES:]
    dump = lines[crash + 1 :]
    start = next((i for i, line in enumerate(dump) if line.startswith("Current thread")), 0)
    stack = list(itertools.takewhile(str.strip, dump[start:]))
    return [*lines[max(0, crash - LOG_LINES // 2) : crash + 1], *stack[:LOG_LINES]]


def read_tail(path: Path, lines: int, limit_bytes: int = 256_000) -> list[str]:
    """The last lines of a log; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - limit_bytes))
            return file.read().decode("utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def prune_logs(workspace: Workspace, keep: int = KEPT_JOBS) -> None:
    """Delete all but the newest job logs; ids sort by time."""
    logs = sorted((workspace.run / "jobs").glob("job_*.log"))
    for path in logs[:-keep]:
        path.unlink(missing_ok=True)


def _signal(identity: ProcessIdentity, number: signal.Signals, group: bool = False) -> None:
    """Send a signal to that very process, or to its group; nothing where it has gone."""
    if identity.alive():
        with contextlib.suppress(OSError):
            if group:
                os.killpg(identity.pid, number)
            else:
                os.kill(identity.pid, number)


def worker_environment(settings: Settings, workspace: Workspace) -> dict[str, str]:
    """The environment of a worker: this one, with the app's settings and without its passwords."""
    environment = {name: value for name, value in os.environ.items() if name != "T2V_AUTH"}
    for name, value in settings.model_dump(mode="json", exclude={"auth"}).items():
        if value is not None:
            environment[f"T2V_{name.upper()}"] = str(value)
    if settings.home is not None:
        environment["T2V_HOME"] = str(workspace.outputs.parent)
    paths = [str(REPOSITORY), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["PYTHONUNBUFFERED"] = "1"
    # Before torch is imported. Clips of many shapes leave gaps in the card's memory; and pinned main memory is given out
    # in powers of two, which for the weights of a large model is half as much again.
    environment.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True,pinned_max_round_threshold_mb:1")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(settings.worker_threads)
    return environment
