"""The states of a job: the whole table, and claims, cancellations and crashes in any order."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import sampled_from

from t2v_studio.jobs.model import ENDED
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.states import EVENTS, STATES, IllegalTransition, sources, transition
from t2v_studio.workspace import Workspace

TABLE = {
    # state: the outcome of each event, in the order of EVENTS; "" is refused
    #           claim      begin      progress   hand_over cancel       succeed      fail      stop         lose
    "queued":   ["starting", "",       "",        "",       "cancelled", "",          "",       "",          ""],
    "starting": ["",         "running", "",       "",       "starting",  "",          "failed", "cancelled", "lost"],
    "running":  ["",         "",       "running", "queued", "running",   "succeeded", "failed", "cancelled", "lost"],
    "succeeded": [""] * 9,
    "failed":    [""] * 9,
    "cancelled": [""] * 9,
    "lost":      [""] * 9,
}  # fmt: skip


def test_the_table_names_every_state_and_event() -> None:
    assert set(TABLE) == set(STATES)
    assert EVENTS == ("claim", "begin", "progress", "hand_over", "cancel", "succeed", "fail", "stop", "lose")


@pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)))
def test_transition_follows_the_table(state, event) -> None:
    expected = TABLE[state][EVENTS.index(event)]
    if expected:
        assert transition(state, event) == expected
        assert state in sources(event)
    else:
        with pytest.raises(IllegalTransition):
            transition(state, event)
        assert state not in sources(event)


class QueueMachine(RuleBasedStateMachine):
    """Two workers and a person on one job; the model is the table alone."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.queue = Queue(Workspace.at(Path(self.folder.name)))
        self.job_id = self.queue.submit("probe", "library", {"password": "open sesame"}).id
        self.state = "queued"
        self.lane = "library"
        self.holder = ""
        self.flagged = False
        self.ended_at = None

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.queue.close()
            self.folder.cleanup()

    def follow(self, moved: bool, worker: str, event: str) -> None:
        allowed = TABLE[self.state][EVENTS.index(event)]
        assert moved == bool(allowed and worker == self.holder), (self.state, event, worker, self.holder)
        if moved:
            self.state = allowed

    @rule(worker=sampled_from("ab"), lane=sampled_from(["library", "studio"]))
    def claim(self, worker: str, lane: str) -> None:
        job = self.queue.claim(lane, worker)
        assert (job is not None) == (self.state == "queued" and lane == self.lane)
        if job is not None:
            self.state, self.holder = "starting", worker

    @rule(worker=sampled_from("ab"))
    def begin(self, worker: str) -> None:
        self.follow(self.queue.begin(self.job_id, worker), worker, "begin")

    @rule(worker=sampled_from("ab"))
    def progress(self, worker: str) -> None:
        self.follow(self.queue.progress(self.job_id, worker, "drawing", 1, 9, ""), worker, "progress")

    @rule()
    def cancel(self) -> None:
        self.queue.request_cancel(self.job_id)
        if self.state not in ENDED:
            self.state, self.flagged = TABLE[self.state][EVENTS.index("cancel")], True

    @rule(worker=sampled_from("ab"))
    def succeed(self, worker: str) -> None:
        self.follow(self.queue.succeed(self.job_id, worker, {"done": True}), worker, "succeed")

    @rule(worker=sampled_from("ab"))
    def fail(self, worker: str) -> None:
        self.follow(self.queue.fail(self.job_id, worker, {"code": "broken", "message": "It broke."}), worker, "fail")

    @rule(worker=sampled_from("ab"))
    def lose(self, worker: str) -> None:
        self.follow(self.queue.lose(self.job_id, worker, {"code": "worker_lost", "message": "Gone."}), worker, "lose")

    @rule(worker=sampled_from("ab"))
    def stop(self, worker: str) -> None:
        self.follow(self.queue.stop(self.job_id, worker), worker, "stop")

    @precondition(lambda self: self.lane == "library")
    @rule(worker=sampled_from("ab"))
    def hand_over(self, worker: str) -> None:
        moved = self.queue.hand_over(self.job_id, worker, "studio", {"plan": 1})
        held = worker == self.holder
        if self.flagged and held and self.state in ("starting", "running"):
            assert moved
            self.state = "cancelled"
        elif moved:
            assert held and self.state == "running"
            self.state, self.lane, self.holder = "queued", "studio", ""
        else:
            assert not held or self.state != "running"

    @invariant()
    def row_agrees(self) -> None:
        if not hasattr(self, "queue"):
            return
        job = self.queue.get(self.job_id)
        assert (job.state, job.lane) == (self.state, self.lane)
        assert job.cancel_requested == self.flagged
        assert (job.ended_at is not None) == (job.state in ENDED)
        if job.ended:
            assert self.ended_at in (None, job.ended_at), "an ended job moved again"
            self.ended_at = job.ended_at
            assert job.spec["password"] == ""
        else:
            assert self.queue.must_stop(self.job_id, self.holder) == self.flagged


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = hypothesis_settings(max_examples=40, stateful_step_count=14, deadline=None)
