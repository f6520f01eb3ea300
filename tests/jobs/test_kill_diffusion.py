"""A worker that is killed in the middle of a video of diffusion: nothing half-made, and nothing denoised twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from t2v_studio.jobs.model import Job
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster
from t2v_studio.jobs.supervisor import Supervisor
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.production import records
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

PATIENCE_S = 200.0


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.01)


def request() -> VideoRequest:
    """Three scenes of so many steps that the kill comes before the last one."""
    scenes = [
        Scene(id=f"s{n}", title=f"Ball {n}", steps=[Step(say="It rolls.")], prompt=f"Picture: ball {n} rolls.")
        for n in range(3)
    ]
    return VideoRequest(
        topic="slopes", engine="diffusion", model_id="tiny-wan", width=128, height=128, scene_frames=5, fps=8, steps=30,
        guidance=3.0, seed=4, fallback_local_on_fail=False, plan=ScenePlan(topic="slopes", scenes=scenes),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_video_leaves_its_latents_and_nothing_else(settings: Settings, workspace: Workspace) -> None:
    queue = Queue(workspace)
    spec = {"request": request().model_dump(mode="json"), "output": ""}
    latents = workspace.cache / "diffusion" / "latents"
    supervisor = Supervisor(settings, workspace)
    supervisor.start()
    try:
        first = queue.submit("video", "studio", spec)
        supervisor.wake()
        until(lambda: list(latents.glob("*.safetensors")) or queue.get(first.id).ended, "the first scene's latents")
        (worker,) = [row for row in Roster(queue).present() if row.lane == "studio"]
        os.kill(worker.identity.pid, signal.SIGKILL)
        lost = _ended(queue, first)
        assert lost.state == "lost" and lost.error is not None and "SIGKILL" in lost.error["message"]
        assert records.video_rows(workspace) == [] and records.rebuild_rows(workspace) == 0
        assert all(folder.name.startswith(records.UNFINISHED) for folder in workspace.videos.iterdir())
        assert not list(workspace.videos.glob("*/record.json"))

        again = _ended(queue, queue.submit("video", "studio", spec))
        assert again.state == "succeeded", again.error
    finally:
        supervisor.stop(workers=True)
    record = records.read_record(workspace.video(again.result["id"]) / records.RECORD)
    forwards = [scene.details["forwards"] for scene in record.scenes]
    assert forwards[0] == 0 and forwards[-1] == 60, "the first scene's latents were found, the last was never begun"
    assert [scene.retries for scene in record.scenes] == [[], [], []]
    assert not list(latents.glob("*.safetensors")), "with the video done, they go"
    queue.close()


def _ended(queue: Queue, job: Job) -> Job:
    until(lambda: queue.get(job.id).ended, f"the end of {job.kind}")
    return queue.get(job.id)
