"""Real worker processes under a real supervisor: what a person's job survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from t2v_studio.jobs.model import Job
from t2v_studio.jobs.processes import process_start
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster
from t2v_studio.jobs.supervisor import Supervisor, supervised, worker_environment
from t2v_studio.jobs.worker import EXIT_DUPLICATE
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

HERE = Path(__file__).parent
COMMAND = [sys.executable, str(HERE / "probe_worker.py")]
PATIENCE_S = 40.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; how long it takes decides nothing, only that it comes."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.02)


@pytest.fixture
def queue(workspace: Workspace) -> Iterator[Queue]:
    queue = Queue(workspace)
    yield queue
    queue.close()


@pytest.fixture
def supervisor(settings: Settings, workspace: Workspace) -> Iterator[Supervisor]:
    supervisor = Supervisor(settings, workspace, COMMAND)
    supervisor.start()
    yield supervisor
    supervisor.stop(workers=True)


def ended(queue: Queue, job: Job) -> Job:
    until(lambda: queue.get(job.id).ended, f"the end of {job.kind}")
    return queue.get(job.id)


def running(queue: Queue, job: Job) -> Job:
    until(lambda: queue.get(job.id).stage != "", f"the first report of {job.kind}")
    return queue.get(job.id)


def test_jobs_of_a_lane_run_in_one_resident_process(supervisor: Supervisor, queue: Queue) -> None:
    jobs = [queue.submit("nothing", "studio", {}) for _ in range(3)]
    supervisor.wake()
    pids = {ended(queue, job).result["pid"] for job in jobs}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert os.getsid(pids.pop()) != os.getsid(0), "a worker must outlive the terminal of the app"


def test_a_job_moves_to_the_next_lane_with_what_it_carries(supervisor: Supervisor, queue: Queue) -> None:
    job = ended(queue, queue.submit("two_lanes", "library", {}))
    assert job.state == "succeeded"
    assert job.lane == "studio"
    assert job.result["planned_by"] != job.result["drawn_by"]


def test_a_segfault_is_named_and_the_next_job_runs(supervisor: Supervisor, queue: Queue) -> None:
    first = queue.submit("segfault", "studio", {})
    second = queue.submit("nothing", "studio", {})
    lost = ended(queue, first)
    assert lost.state == "lost"
    assert lost.error is not None
    assert "SIGSEGV" in lost.error["message"]
    log = "\n".join(lost.error["details"]["log"])
    assert "last words" in log
    assert "in segfault" in log, "the stack of the thread that fell"
    assert "Thread 0x" not in log.split("Current thread 0x")[0], "and of no other"
    assert ended(queue, second).state == "succeeded"
    assert supervised(supervisor.workspace)


def test_a_kill_from_outside_hints_at_memory(supervisor: Supervisor, queue: Queue) -> None:
    lost = ended(queue, queue.submit("killed", "studio", {}))
    assert lost.state == "lost"
    assert lost.error is not None
    assert "SIGKILL" in lost.error["message"]
    assert "memory" in lost.error["hint"]


def test_errors_leave_the_worker_alive(supervisor: Supervisor, queue: Queue) -> None:
    kinds = ("nothing", "memory", "broken", "refused", "unserialisable", "no_such_kind", "nothing")
    jobs = [ended(queue, queue.submit(kind, "studio", {})) for kind in kinds]
    assert [job.state for job in jobs] == ["succeeded", *["failed"] * 5, "succeeded"]
    assert jobs[0].result["pid"] == jobs[-1].result["pid"]
    _, out_of_memory, broken, refused, unserialisable, unknown, _ = (job.error or {} for job in jobs)
    assert out_of_memory["code"] == "out_of_memory"
    assert "T2V_" in out_of_memory["hint"]
    assert broken["code"] == "internal"
    assert "no number is that large" in broken["message"]
    assert refused == {
        "code": "bad_probe",
        "message": "probe: it is bad.",
        "hint": "Give a good one.",
        "type": "InputError",
        "details": {"depth": 3},
    }
    assert unserialisable["code"] == "internal"
    assert unknown["code"] == "unknown_kind"
    log = supervisor.workspace.job_log(jobs[2].id).read_text()
    assert "ZeroDivisionError" in log
    assert "Traceback" in log


def test_cancel_takes_effect_at_the_next_step(supervisor: Supervisor, queue: Queue, tmp_path: Path) -> None:
    job = queue.submit("steps", "studio", {"gate": str(tmp_path / "never")})
    running(queue, job)
    asked_at = time.monotonic()
    queue.request_cancel(job.id)
    cancelled = ended(queue, job)
    assert cancelled.state == "cancelled"
    assert time.monotonic() - asked_at < 2.0, "the issue's own bound"
    assert ended(queue, queue.submit("nothing", "studio", {})).state == "succeeded"


def test_cancel_while_queued_ends_at_once(supervisor: Supervisor, queue: Queue, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = queue.submit("steps", "studio", {"gate": str(gate)})
    running(queue, first)
    waiting = queue.submit("nothing", "studio", {})
    assert queue.request_cancel(waiting.id).state == "cancelled"
    gate.touch()
    assert ended(queue, first).state == "succeeded"
    assert queue.get(waiting.id).started_at is None


def test_reload_in_the_middle_rebuilds_from_the_row(supervisor: Supervisor, queue: Queue, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = queue.submit("steps", "studio", {"gate": str(gate), "steps": 3}, title="a reload")
    running(queue, job)
    fresh = Queue(supervisor.workspace)
    seen = fresh.jobs(active=True)
    assert [(one.id, one.title, one.state) for one in seen] == [(job.id, "a reload", "running")]
    assert seen[0].stage in ("stepping", "waiting")
    gate.touch()
    assert ended(fresh, job).result["steps"] == 3
    fresh.close()


def test_two_submitters_see_one_queue(supervisor: Supervisor, queue: Queue, workspace: Workspace) -> None:
    other = Queue(workspace)
    first, second = queue.submit("nothing", "studio", {}), other.submit("nothing", "studio", {})
    assert ended(other, first).state == ended(queue, second).state == "succeeded"
    assert [job.id for job in queue.jobs()] == [job.id for job in other.jobs()] == [second.id, first.id]
    other.close()


def test_a_search_does_not_wait_for_a_long_job(supervisor: Supervisor, queue: Queue, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    long_job = queue.submit("steps", "library", {"gate": str(gate)})
    running(queue, long_job)
    assert ended(queue, queue.submit("search", "library", {"queries": ["x"]})).result == {"results": ["x"]}
    assert not queue.get(long_job.id).ended
    gate.touch()
    assert ended(queue, long_job).state == "succeeded"


def test_sigint_reaches_a_job_that_never_looks_at_its_flag(workspace: Workspace, queue: Queue) -> None:
    settings = Settings(home=workspace.outputs.parent, cancel_grace_seconds=3.0, _env_file=None)
    supervisor = Supervisor(settings, workspace, COMMAND)
    supervisor.start()
    try:
        job = queue.submit("deaf", "studio", {})
        holder = running(queue, job).worker
        queue.request_cancel(job.id)
        assert ended(queue, job).state == "cancelled"
        after = ended(queue, queue.submit("nothing", "studio", {}))
        assert after.state == "succeeded"
        assert after.worker == holder, "SIGINT frees the worker; it is not replaced"
    finally:
        supervisor.stop(workers=True)


def test_sigkill_follows_where_sigint_is_ignored(workspace: Workspace, queue: Queue) -> None:
    settings = Settings(home=workspace.outputs.parent, cancel_grace_seconds=0.3, _env_file=None)
    supervisor = Supervisor(settings, workspace, COMMAND)
    supervisor.start()
    try:
        job = queue.submit("stone", "studio", {})
        holder = running(queue, job).worker
        queue.request_cancel(job.id)
        assert ended(queue, job).state == "cancelled"
        after = ended(queue, queue.submit("nothing", "studio", {}))
        assert after.state == "succeeded"
        assert after.worker != holder
        assert queue.get(job.id).state == "cancelled", "a kill after a cancellation is no loss"
        assert not supervisor.roster.paused("studio")
    finally:
        supervisor.stop(workers=True)


def test_the_breaker_stops_starting_workers_that_keep_dying(supervisor: Supervisor, queue: Queue) -> None:
    for _ in range(3):
        assert ended(queue, queue.submit("killed", "studio", {})).state == "lost"
    until(lambda: supervisor.roster.paused("studio"), "the breaker")
    waiting = queue.submit("nothing", "studio", {})
    for _ in range(3):
        supervisor.tick()
    assert queue.get(waiting.id).state == "queued"
    assert ended(queue, queue.submit("nothing", "library", {})).state == "succeeded", "the other lane goes on"
    supervisor.roster.forgive()
    assert ended(queue, waiting).state == "succeeded"


def test_a_worker_that_cannot_start_opens_the_breaker(settings: Settings, workspace: Workspace, queue: Queue) -> None:
    supervisor = Supervisor(settings, workspace, [sys.executable, "-c", "raise SystemExit(3)"])
    supervisor.start()
    try:
        job = queue.submit("nothing", "studio", {})
        until(lambda: supervisor.roster.paused("studio"), "the breaker")
        assert queue.get(job.id).state == "queued"
        assert {row.details["exit"] for row in supervisor.roster.all()} == {"ended with exit code 3"}
    finally:
        supervisor.stop(workers=True)


def test_a_second_worker_of_a_lane_is_refused(supervisor: Supervisor, queue: Queue, settings: Settings) -> None:
    assert ended(queue, queue.submit("nothing", "studio", {})).state == "succeeded"
    environment = worker_environment(settings, supervisor.workspace)
    second = subprocess.run(
        [*COMMAND, "--lane", "studio"], env=environment, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert second.returncode == EXIT_DUPLICATE


def test_the_app_is_killed_and_a_new_one_adopts_the_worker(
    settings: Settings, workspace: Workspace, queue: Queue, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    app = subprocess.Popen(
        [sys.executable, str(HERE / "probe_app.py")],
        env=worker_environment(settings, workspace),
        start_new_session=True,
    )
    try:
        job = queue.submit("steps", "studio", {"gate": str(gate)})
        before = running(queue, job)
        app.send_signal(signal.SIGKILL)
        app.wait()
        assert not supervised(workspace)
        supervisor = Supervisor(settings, workspace, COMMAND)
        supervisor.start()
        try:
            supervisor.tick()
            assert queue.get(job.id).state == "running"
            gate.touch()
            after = ended(queue, job)
            assert after.state == "succeeded"
            assert after.worker == before.worker
            again = ended(queue, queue.submit("nothing", "studio", {}))
            assert again.result["pid"] == after.result["pid"], "the adopted worker takes the next job"
            crashed = ended(queue, queue.submit("segfault", "studio", {}))
            assert crashed.error is not None
            assert "SIGSEGV" in crashed.error["message"], "named from the log: it is not this app's child"
        finally:
            supervisor.stop(workers=True)
    finally:
        app.kill()
        app.wait()


def test_a_second_app_stands_by_and_takes_over(settings: Settings, workspace: Workspace, queue: Queue) -> None:
    first, second = Supervisor(settings, workspace, COMMAND), Supervisor(settings, workspace, COMMAND)
    first.start()
    second.start()
    try:
        job = ended(queue, queue.submit("nothing", "studio", {}))
        first.stop()
        again = ended(queue, queue.submit("nothing", "studio", {}))
        assert again.result["pid"] == job.result["pid"]
        until(lambda: supervised(workspace), "the second app")
    finally:
        first.stop()
        second.stop(workers=True)


def test_new_settings_retire_a_running_worker(workspace: Workspace, settings: Settings, queue: Queue) -> None:
    old = Supervisor(settings, workspace, COMMAND)
    old.start()
    first = ended(queue, queue.submit("nothing", "studio", {}))
    old.stop()
    changed = Supervisor(settings.model_copy(update={"rag_top_k": 7}), workspace, COMMAND)
    changed.start()
    try:
        until(lambda: process_start(first.result["pid"]) is None, "the old worker's leave")
        assert ended(queue, queue.submit("nothing", "studio", {})).result["pid"] != first.result["pid"]
        assert not changed.roster.paused("studio")
    finally:
        changed.stop(workers=True)


def test_two_workspaces_never_touch_each_other(tmp_path: Path) -> None:
    homes = [Settings(home=tmp_path / name, _env_file=None) for name in ("one", "two")]
    places = [Workspace.at(one.home) for one in homes]
    supervisors = [Supervisor(one, place, COMMAND) for one, place in zip(homes, places, strict=True)]
    queues = [Queue(place) for place in places]
    try:
        for supervisor in supervisors:
            supervisor.start()
        jobs = [ended(queue, queue.submit("nothing", "studio", {})) for queue in queues]
        assert [job.result["home"] for job in jobs] == [str(place.outputs.parent) for place in places]
        assert jobs[0].result["pid"] != jobs[1].result["pid"]
        assert [len(queue.jobs()) for queue in queues] == [1, 1]
    finally:
        for supervisor in supervisors:
            supervisor.stop(workers=True)


def test_closing_with_workers_leaves_no_process_behind(
    settings: Settings, workspace: Workspace, queue: Queue, tmp_path: Path
) -> None:
    supervisor = Supervisor(settings, workspace, COMMAND)
    supervisor.start()
    job = queue.submit("steps", "studio", {"gate": str(tmp_path / "never")})
    running(queue, job)
    pid = Roster(queue).present("studio")[0].identity.pid
    supervisor.stop(workers=True)
    assert process_start(pid) is None
    assert queue.get(job.id).state == "cancelled"
    assert not Roster(queue).present()
