"""Jobs in this process: the same rows without workers, and what the facade's `wait` makes of them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from t2v_studio import errors
from t2v_studio import studio as studio_module
from t2v_studio.jobs.context import JobContext, Residents
from t2v_studio.jobs.executors import InlineExecutor
from t2v_studio.jobs.model import Context, Job, Next
from t2v_studio.jobs.processes import boot_id, own_identity, process_start
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster
from t2v_studio.jobs.running import error_form, raise_error
from t2v_studio.jobs.supervisor import exit_text, prune_logs, reconcile, supervised, worker_environment
from t2v_studio.jobs.worker import settings_mark
from t2v_studio.production.request import parse_request
from t2v_studio.settings import Settings, load_settings
from t2v_studio.studio import Studio
from t2v_studio.workspace import Workspace


def steps(context: Context, job: Job) -> dict[str, Any]:
    for step in range(1, 4):
        context.report("stepping", step, 3, f"step {step}")
    logging.getLogger("t2v_studio.probe").error("a line for the log")
    return {"steps": 3}


def stages(context: Context, job: Job) -> dict[str, Any] | Next:
    return Next("studio", {"from": job.lane}) if job.lane == "library" else job.carry


def bad(context: Context, job: Job) -> dict[str, Any]:
    raise errors.LimitError("too_much", "It is too much.", "Ask for less.", most=3)


def stubborn(context: Context, job: Job) -> dict[str, Any]:
    raise KeyboardInterrupt


def endless(context: Context, job: Job) -> dict[str, Any]:
    while True:
        context.report("waiting")
        time.sleep(0.01)


PROBES = {"steps": steps, "stages": stages, "bad": bad, "stubborn": stubborn, "endless": endless, "search": steps}


@pytest.fixture
def studio(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.setattr(studio_module, "HANDLERS", PROBES)
    return Studio(settings)


def submit(studio: Studio, kind: str, lane: Any = "library") -> Job:
    return studio._submit(kind, lane, {}, kind)


def test_wait_does_the_work_where_nobody_else_would(studio: Studio) -> None:
    seen: list[tuple[str, int]] = []
    job = studio.wait(submit(studio, "steps").id, lambda row: seen.append((row.stage, row.step)))
    assert (job.state, job.result, job.stage, job.step, job.total) == ("succeeded", {"steps": 3}, "stepping", 3, 3)
    assert ("stepping", 1) in seen
    assert ("stepping", 3) in seen
    assert "a line for the log" in studio.log(job.id)
    assert not Roster(Queue(studio.workspace)).present()


def test_both_stages_run_inline(studio: Studio) -> None:
    job = studio.wait(submit(studio, "stages").id)
    assert (job.lane, job.result) == ("studio", {"from": "library"})
    assert job.carry == {}, "what was carried is not kept twice"


def test_the_error_comes_out_as_what_it_was(studio: Studio) -> None:
    job = submit(studio, "bad")
    with pytest.raises(errors.LimitError) as caught:
        studio.wait(job.id)
    assert caught.value.as_dict() == {
        "code": "too_much",
        "message": "It is too much.",
        "hint": "Ask for less.",
        "details": {"most": 3},
    }
    assert caught.value.exit_code == 6
    with pytest.raises(errors.LimitError):
        studio.wait(job.id)


def test_the_keyboard_cancels_and_goes_on_up(studio: Studio) -> None:
    job = submit(studio, "stubborn")
    with pytest.raises(KeyboardInterrupt):
        studio.wait(job.id)
    assert studio.job(job.id).state == "cancelled"
    with pytest.raises(errors.CancelledError):
        studio.wait(job.id)


def test_cancel_from_another_thread(studio: Studio) -> None:
    job = submit(studio, "endless")
    cancelled = threading.Event()

    def watch(row: Job) -> None:
        if row.stage and not cancelled.is_set():
            cancelled.set()
            Studio(studio.settings).cancel(row.id)

    with pytest.raises(errors.CancelledError):
        studio.wait(job.id, watch)
    assert studio.job(job.id).state == "cancelled"
    assert studio.cancel(job.id).state == "cancelled"


def test_a_language_model_shows_its_tokens_and_is_cancelled_in_the_middle_of_an_answer(settings: Settings) -> None:
    studio = Studio(settings)
    wish = {"topic": "gradient descent", "use_llm_planner": True, "planner_model_id": "tiny-llama"}
    job = studio.submit_plan(parse_request(wish))
    said: list[str] = []

    def watch(row: Job) -> None:
        if "tokens" in row.message:
            said.append(row.message)
            Studio(settings).cancel(row.id)

    with pytest.raises(errors.CancelledError):
        studio.wait(job.id, watch)
    ended = studio.job(job.id)
    assert ended.state == "cancelled" and len(said) == 1
    assert re.fullmatch(r"the language model has written \d{1,3} tokens", said[0])


def test_cancel_while_queued(studio: Studio) -> None:
    job = submit(studio, "steps")
    assert studio.cancel(job.id).state == "cancelled"
    with pytest.raises(errors.CancelledError):
        studio.wait(job.id)
    assert studio.job(job.id).started_at is None


def test_lists_leave_searches_out_and_unknown_ids_are_named(studio: Studio) -> None:
    studio.wait(submit(studio, "search").id)
    kept = submit(studio, "steps")
    assert [job.id for job in studio.jobs()] == [kept.id]
    assert [job.id for job in studio.jobs(active=True)] == [kept.id]
    studio.wait(kept.id)
    assert studio.jobs(active=True) == []
    with pytest.raises(errors.NotFoundError):
        studio.job("job_nothing000")
    with pytest.raises(errors.NotFoundError):
        studio.log("../../etc/passwd")


def test_an_inline_app_serves_both_lanes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio_module, "HANDLERS", PROBES)
    app = Studio(settings.model_copy(update={"executor": "inline"}))
    app.start()
    try:
        assert app.health()["supervised"]
        page = Studio(settings)
        assert page.wait(submit(page, "stages").id, timeout_s=60).result == {"from": "library"}
        long_job = submit(page, "endless", "studio")
        assert page.wait(submit(page, "steps").id, timeout_s=60).state == "succeeded", "the other lane goes on"
        while page.job(long_job.id).stage == "":
            time.sleep(0.01)
        app.stop(workers=True)
        assert page.job(long_job.id).state == "cancelled"
    finally:
        app.stop(workers=True)
    assert not supervised(app.workspace)


def test_a_wait_that_takes_too_long_leaves_the_job(studio: Studio, settings: Settings) -> None:
    app = Studio(settings.model_copy(update={"executor": "inline"}))
    app.start()
    try:
        job = submit(studio, "endless")
        with pytest.raises(errors.LimitError, match=r"within 0\.2 s"):
            studio.wait(job.id, timeout_s=0.2)
        assert not studio.job(job.id).ended
    finally:
        app.stop(workers=True)


def _die_in_the_middle(home: Path) -> None:
    workspace = Workspace.at(home)

    def die(context: Context, job: Job) -> dict[str, Any]:
        context.report("dying")
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    queue = Queue(workspace)
    job = queue.submit("die", "library", {})
    InlineExecutor(Settings(home=home, _env_file=None), workspace, {"die": die}, {}).run(job.id)


def test_a_command_that_was_killed_leaves_no_job_running(studio: Studio) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_die_in_the_middle, args=(studio.workspace.outputs.parent,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (job,) = studio.jobs()
    assert job.state == "lost"
    assert job.error is not None
    assert job.error["code"] == "worker_lost"
    assert not Roster(Queue(studio.workspace)).paused("library"), "a killed command is no dying worker"


def test_rows_of_an_earlier_boot_are_lost(workspace: Workspace) -> None:
    queue = Queue(workspace)
    roster = Roster(queue)
    identity = own_identity()
    worker = roster.enter("studio", type(identity)(identity.pid, identity.start, "another boot"))
    job = queue.submit("steps", "studio", {})
    assert queue.claim("studio", worker)
    queue.begin(job.id, worker)
    reconcile(queue, roster)
    lost = queue.get(job.id)
    assert lost.state == "lost"
    assert lost.error is not None
    assert "restarted" in lost.error["message"]
    assert roster.present() == []


def test_a_pid_that_was_given_out_again_is_not_the_worker(workspace: Workspace) -> None:
    queue = Queue(workspace)
    roster = Roster(queue)
    identity = own_identity()
    roster.enter("studio", type(identity)(identity.pid, "1", boot_id()))
    reconcile(queue, roster)
    assert [row.state for row in roster.all()] == ["died"]
    assert process_start(os.getpid()) == identity.start, "the process that has the pid now was not touched"


def test_progress_is_written_at_most_four_times_a_second(
    workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(workspace)
    job = queue.submit("steps", "library", {})
    assert queue.claim("library", "w")
    queue.begin(job.id, "w")
    written: list[tuple[str, int]] = []
    progress = queue.progress
    monkeypatch.setattr(queue, "progress", lambda *row: written.append((row[2], row[3])) or progress(*row))
    clock = [0.0]
    monkeypatch.setattr("t2v_studio.jobs.context.time.monotonic", lambda: clock[0])
    context = JobContext(queue, settings, job, "w", Residents(settings, workspace, {}))
    for step in range(1, 101):
        clock[0] += 0.01
        context.report("drawing", step, 100)
    assert written[0] == ("drawing", 1)
    assert written[-1] == ("drawing", 100), "the last step is never left out"
    assert 4 <= len(written) <= 6
    stage_started = queue.get(job.id).stage_started_at
    context.report("encoding")
    assert written[-1] == ("encoding", 0), "a new stage shows at once"
    assert queue.get(job.id).stage_started_at >= stage_started


def test_a_row_that_was_taken_away_stops_its_old_worker(workspace: Workspace, settings: Settings) -> None:
    queue = Queue(workspace)
    job = queue.submit("steps", "library", {})
    assert queue.claim("library", "old")
    queue.begin(job.id, "old")
    context = JobContext(queue, settings, job, "old", Residents(settings, workspace, {}))
    queue.lose(job.id, "old", {"code": "worker_lost", "message": "It is gone."})
    with pytest.raises(errors.CancelledError):
        context.report("drawing", 1, 2)
    assert not queue.succeed(job.id, "old", {})
    assert queue.get(job.id).state == "lost"


def test_old_searches_and_logs_are_forgotten(workspace: Workspace) -> None:
    queue = Queue(workspace)
    for kind in ("search", "steps"):
        queue.request_cancel(queue.submit(kind, "library", {}).id)
    waiting = queue.submit("search", "library", {})
    queue.prune(("search",), older_than_s=-1)
    assert [job.kind for job in queue.jobs()] == ["search", "steps"]
    assert queue.jobs()[0].id == waiting.id
    for _ in range(3):
        queue.request_cancel(queue.submit("steps", "library", {}).id)
    queue.keep_newest(2)
    assert [job.state for job in queue.jobs()] == ["cancelled", "cancelled", "queued"], "what waits is never forgotten"
    folder = workspace.run / "jobs"
    folder.mkdir()
    for number in range(12):
        (folder / f"job_{number:08x}aaaa.log").touch()
    prune_logs(workspace, keep=5)
    assert len(list(folder.iterdir())) == 5
    assert (folder / "job_0000000baaaa.log").exists()


def test_a_worker_sees_the_settings_of_its_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2V_AUTH", "me:secret")
    settings = load_settings(
        home=tmp_path / "home", rag_top_k=9, chroma_url="", embedding_dtype="float32", auth="me:secret"
    )
    environment = worker_environment(settings, Workspace.at(settings.home))
    assert not any("secret" in value for value in environment.values())
    for name in list(os.environ):
        if name.startswith("T2V_"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    seen = load_settings()
    assert settings_mark(seen) == settings_mark(settings)
    assert (seen.rag_top_k, seen.auth) == (9, "")
    assert Workspace.at(seen.home) == Workspace.at(settings.home)
    assert settings_mark(seen.model_copy(update={"rag_top_k": 8})) != settings_mark(settings)


def test_exit_statuses_in_words() -> None:
    assert exit_text(-11) == "was ended by SIGSEGV"
    assert exit_text(-9) == "was ended by SIGKILL"
    assert exit_text(3) == "ended with exit code 3"
    assert exit_text(-250) == "was ended by signal 250"


def test_out_of_memory_on_a_card_is_told_apart(workspace: Workspace) -> None:
    class OutOfMemoryError(RuntimeError):
        """torch's name for it."""

    form = error_form(OutOfMemoryError("CUDA out of memory"), "video")
    assert form["code"] == "out_of_memory"
    assert "graphics card" in form["message"]
    assert "smaller" in form["hint"]
    queue = Queue(workspace)
    job = queue.submit("video", "studio", {})
    queue.claim("studio", "w")
    queue.fail(job.id, "w", form)
    with pytest.raises(errors.LimitError):
        raise_error(queue.get(job.id))
