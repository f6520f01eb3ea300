"""When a stage should end: reckoned at each step, never later for waiting, and from where a stage began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from t2v_studio.jobs.context import JobContext, Residents
from t2v_studio.jobs.pace import Pace
from t2v_studio.jobs.queue import Queue
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

START = datetime(2026, 1, 1, tzinfo=UTC)


class Told:
    """What a pace says, by seconds after the start."""

    def __init__(self) -> None:
        self.pace = Pace()

    def left(self, at_s: float, stage: str, step: int, total: int) -> float | None:
        now = START + timedelta(seconds=at_s)
        ends = self.pace.ends(stage, step, total, now)
        return None if ends is None else (ends - now).total_seconds()


def test_waiting_without_a_step_only_takes_from_what_is_left() -> None:
    told = Told()
    assert [told.left(at, "render", step, 10) for at, step in ((0, 0), (0.5, 1), (10, 2))] == [None, None, 40]
    waiting = [told.left(at, "render", 2, 10) for at in (11, 20, 60, 600)]
    assert waiting == [39, 30, -10, -550]


def test_the_second_video_of_a_pair_counts_from_its_own_beginning() -> None:
    told = Told()
    told.left(0, "render", 0, 20)
    told.left(100, "render", 9, 20)
    told.left(101, "load", 10, 20)
    assert told.left(150, "render", 10, 20) is None, "nothing is known of it yet"
    assert told.left(160, "render", 11, 20) == 90, "not eleven steps in ten seconds"


def test_quick_steps_after_a_slow_one_do_not_raise_hopes() -> None:
    told, at, left = Told(), 0.0, []
    told.left(0, "render", 0, 40)
    for step in range(1, 31):  # three quick steps, then one of seven seconds, as a scene that is decoded
        at += 7 if step % 4 == 0 else 1
        left.append((told.left(at, "render", step, 40), at))
    whole = left[3:]
    assert all(found is not None and abs(found + at - 100) < 10 for found, at in whole), "a scene takes ten seconds"
    assert all(later[0] <= earlier[0] for earlier, later in pairwise(whole)), "it never grows"


def test_a_step_back_is_no_step_and_another_total_begins_anew() -> None:
    told = Told()
    told.left(0, "render", 0, 10)
    before = told.left(20, "render", 4, 10)
    assert before == 30 and told.left(21, "render", 3, 10) == 29
    assert told.left(22, "render", 3, 99) is None


def test_the_row_holds_the_end_of_the_stage_and_other_words_are_written_at_once(
    settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("t2v_studio.jobs.context.time.monotonic", lambda: 0.0)
    queue = Queue(workspace)
    job = queue.submit("video", "studio", {}, title="x")
    queue.claim("studio", "w1")
    queue.begin(job.id, "w1")
    context = JobContext(queue, settings, queue.get(job.id), "w1", Residents(settings, workspace, {}))
    context.report("render", 0, 10, "scene 1 of 2")
    assert queue.get(job.id).stage_ends_at is None
    context.report("render", 3, 10, "scene 1 of 2")
    assert queue.get(job.id).step == 0, "a step within the quarter of a second waits"
    context.report("render", 3, 10, "scene 1 of 2 (decoding)")
    row = queue.get(job.id)
    assert (row.step, row.message) == (3, "scene 1 of 2 (decoding)")
    context.report("render", 4, 10, "scene 9 of 2 (decoding)")
    assert queue.get(job.id).step == 3, "another number is no other word"
    ends = datetime.now(UTC) + timedelta(seconds=9)
    queue.progress(job.id, "w1", "render", 5, 10, "", ends)
    assert queue.get(job.id).stage_ends_at == ends.isoformat(timespec="milliseconds")
