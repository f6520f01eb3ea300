"""Who has the card: a training waits for whoever draws, in this process or another, and nobody draws beside it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from t2v_studio.errors import BusyError, CancelledError
from t2v_studio.jobs import card, handlers
from t2v_studio.jobs.card import card_for_training, card_lock, card_wanted, require_free_card
from t2v_studio.jobs.context import JobContext, Residents
from t2v_studio.jobs.executors import InlineExecutor
from t2v_studio.jobs.handlers import HANDLERS, LOADERS
from t2v_studio.jobs.locks import FileLock
from t2v_studio.jobs.model import Context, Job
from t2v_studio.jobs.processes import ProcessIdentity, own_identity, process_start
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.production.request import parse_request
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio
from t2v_studio.workspace import Workspace

PATIENCE_S = 60.0
SCENES = [Scene(id=f"s{n}", title="Ball", steps=[Step(say="It rolls.")], prompt="A ball rolls.") for n in (1, 2)]
TINY = {
    "topic": "slopes", "engine": "diffusion", "model_id": "tiny-wan", "width": 128, "height": 128, "scene_frames": 5,
    "fps": 8, "steps": 2, "text_overlay": False, "plan": ScenePlan(topic="slopes", scenes=SCENES),
}  # fmt: skip
PACK = """\
name: two
title: Two topics
variants: [no_rag]
defaults: {model_id: tiny-wan, width: 128, height: 128, scene_frames: 5, fps: 8, steps: 2, text_overlay: false}
topics:
  - {slug: first, topic: gradient descent, template: gradient_descent, seed: 1}
  - {slug: second, topic: backpropagation, template: backpropagation, seed: 2}
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "POLL_S", 0.02)


@pytest.fixture
def queue(workspace: Workspace) -> Queue:
    return Queue(workspace)


@pytest.fixture
def other() -> Iterator[ProcessIdentity]:
    """A process that lives until the test ends or kills it."""
    child = subprocess.Popen(["sleep", "600"])
    yield ProcessIdentity(child.pid, process_start(child.pid) or "", own_identity().boot)
    child.kill()
    child.wait()


class Training:
    """A training that asks for the card in a thread of its own, and keeps it until it is let go."""

    def __init__(self, settings: Settings, queue: Queue) -> None:
        self.has_it, self._let_go, self.error = threading.Event(), threading.Event(), None
        self.job = queue.submit("train", "training", {})
        self._queue, self._settings = queue, settings
        worker = Roster(queue).enter("training", own_identity())
        assert queue.claim("training", worker) and queue.begin(self.job.id, worker)
        residents = Residents(settings, queue.workspace, LOADERS)
        self.context = JobContext(queue, settings, self.job, worker, residents)
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            with card_for_training(self.context, count=1):
                self.has_it.set()
                self._let_go.wait(PATIENCE_S)
        except CancelledError as error:
            self.error = error

    def waits(self) -> bool:
        """Whether it says that it waits, and goes on waiting."""
        until(lambda: self._queue.get(self.job.id).stage or self.has_it.is_set(), "the training's first words")
        time.sleep(5 * card.POLL_S)
        row = self._queue.get(self.job.id)
        return not self.has_it.is_set() and row.stage == "waiting for the engine to leave the card"

    def end(self) -> None:
        self._let_go.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.01)


def drawing(queue: Queue, identity: ProcessIdentity, lane: Any = "studio") -> str:
    """The row of a command without an app that does a job of `lane`: it has one row for all lanes."""
    worker = Roster(queue).enter("library", identity, inline=True)
    job = queue.submit("video", lane, {})
    assert queue.claim(lane, worker, job_id=job.id) and queue.begin(job.id, worker)
    Roster(queue).update(worker, "busy", job=job.id)
    return worker


# --- processes beside this one ------------------------------------------------------------------
def test_a_training_waits_for_a_command_that_draws(settings: Settings, queue: Queue, other: ProcessIdentity) -> None:
    worker = drawing(queue, other)
    training = Training(settings, queue)
    assert training.waits()
    with pytest.raises(BusyError):
        require_free_card(queue.workspace)
    Roster(queue).update(worker, "left", job="")
    assert training.has_it.wait(PATIENCE_S)
    training.end()


def test_a_training_waits_for_the_studio_lane_of_an_app_that_works_inline(
    settings: Settings, queue: Queue, other: ProcessIdentity
) -> None:
    roster = Roster(queue)
    worker = roster.enter("studio", other, inline=True)
    roster.update(worker, "busy", job="job_one")
    training = Training(settings, queue)
    assert training.waits()
    roster.update(worker, "busy", job="job_two")
    assert training.has_it.wait(PATIENCE_S), "a job that began after it is refused the card, so it need not end"
    training.end()


def test_a_command_that_was_killed_keeps_no_card(settings: Settings, queue: Queue, other: ProcessIdentity) -> None:
    worker = drawing(queue, other)
    training = Training(settings, queue)
    assert training.waits()
    subprocess.run(["kill", "-9", str(other.pid)], check=True)
    assert training.has_it.wait(PATIENCE_S)
    row = Roster(queue).get(worker)
    assert row is not None and row.state == "busy", "nobody has buried it yet"
    training.end()


def test_the_wait_for_a_command_can_be_cancelled(settings: Settings, queue: Queue, other: ProcessIdentity) -> None:
    drawing(queue, other)
    training = Training(settings, queue)
    assert training.waits()
    queue.request_cancel(training.job.id)
    training.end()
    assert training.error is not None and not training.has_it.is_set()
    assert not card_wanted(queue.workspace)


def test_who_does_not_draw_is_not_waited_for(settings: Settings, queue: Queue, other: ProcessIdentity) -> None:
    """A book that is added, a model that comes down, a process with nothing to do, and the training's own row."""
    drawing(queue, other, "library")
    drawing(queue, other, "files")
    roster = Roster(queue)
    roster.update(roster.enter("studio", other, inline=True), "idle", job="")
    training = Training(settings, queue)
    roster.update(roster.enter("library", own_identity(), inline=True), "busy", job=training.job.id)
    assert training.has_it.wait(PATIENCE_S)
    training.end()


# --- this process -------------------------------------------------------------------------------
def test_an_app_that_works_inline_takes_its_model_off_the_card(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded and idle, and in the middle of a video: the training of the same process finds the card empty both times."""
    loaded: list[Any] = []

    def train(context: Context, job: Job) -> dict[str, Any]:
        loaded.append(context.resident("engines").status())
        with card_for_training(context, count=1):
            loaded.append(context.resident("engines").status())
        return {}

    monkeypatch.setitem(HANDLERS, "train", train)
    studio = Studio(settings.model_copy(update={"executor": "inline"}))
    studio.start()
    try:
        studio.wait(studio.submit_video(parse_request(TINY)).id)
        studio.wait(studio._submit("train", "training", {}).id)
        (before, after) = loaded
        assert before and before[0]["model"] == "tiny-wan" and after == []

        loaded.clear()
        video = studio.submit_video(parse_request(TINY | {"steps": 6}))
        until(lambda: studio.job(video.id).stage == "render" or studio.job(video.id).ended, "the first step")
        training = studio._submit("train", "training", {})
        until(lambda: studio.job(training.id).stage, "the training's first words")
        assert studio.job(video.id).state == "running"
        studio.wait(training.id)
        assert loaded[0] and loaded[1] == []
        assert studio.job(video.id).state == "succeeded", "it was drawn to its end"
    finally:
        studio.stop()


def test_a_process_that_lives_on_gives_the_card_up_before_it_says_that_it_is_idle(
    settings: Settings, workspace: Workspace, queue: Queue
) -> None:
    seen: list[str] = []

    class Holder:
        def release_gpu(self) -> bool:
            seen.extend(row.state for row in Roster(queue).present())
            return True

    def draw(context: Context, job: Job) -> dict[str, Any]:
        context.resident("engines")
        return {}

    executor = InlineExecutor(settings, workspace, {"video": draw}, {"engines": lambda *_: Holder()})
    executor.run(queue.submit("video", "studio", {}).id)
    assert seen == [], "while nobody wants it, the model stays for the next video"
    lock = FileLock(card_lock(workspace))
    assert lock.acquire()
    executor.run(queue.submit("video", "studio", {}).id)
    lock.release()
    assert seen == ["busy"]


def test_a_training_that_waits_does_not_end_the_pack_that_it_waits_for(settings: Settings, tmp_path: Path) -> None:
    studio = Studio(settings)
    (tmp_path / "two.yaml").write_text(PACK, encoding="utf-8")
    lock = FileLock(card_lock(studio.workspace))

    def asks(job: Job) -> None:
        if job.lane == "studio" and job.stage:
            lock.acquire()

    made = studio.wait(studio.packs.submit_pack(str(tmp_path / "two.yaml"), engine="diffusion").id, asks).result
    assert lock.held and made["state"] == "finished"
    assert made["counts"] == {"topics": 2, "ok": 2, "refused": 0, "failed": 0, "open": 0}
    lock.release()


def test_every_kind_of_job_is_submitted_by_somebody() -> None:
    """A handler that nobody asks for is dead."""
    package = Path(handlers.__file__).parents[1]
    written = "\n".join(
        path.read_text(encoding="utf-8") for path in package.rglob("*.py") if path.name != "handlers.py"
    )
    assert [kind for kind in HANDLERS if f'"{kind}"' not in written] == []
