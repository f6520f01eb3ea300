"""What the tabs share: the handles that one tab uses to reach another, and the waiting for a job."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio

PACE_BUSY_S, PACE_IDLE_S = 1.0, 10.0
SHORT_WAIT_S, SHORT_STEP_S = 2.5, 0.05


@dataclass
class Page:
    """Handles of the shell.

    `rows` changes whenever a job's row does: a tab that follows a job listens to it, and writes "" to it
    after queueing one, so that even the quickest job is noticed. `opened` and `again` carry a `target`
    from one tab to another.
    """

    studio: Studio
    tabs: gr.Tabs
    timer: gr.Timer
    rows: gr.State
    opened: gr.State
    again: gr.State
    viewer: gr.HTML
    header: gr.HTML
    kept: gr.BrowserState
    tab: gr.Tab | None = None
    loads: list[dict[str, Any]] = field(default_factory=list)

    def on_load(self, handler: Any, inputs: Any = None, outputs: Any = None) -> None:
        """`handler` runs when a page is opened or reloaded."""
        self.loads.append({"fn": handler, "inputs": inputs, "outputs": outputs})


TO_TOP = "() => window.scrollTo({top: 0, behavior: 'smooth'})"
"""Script that follows a choice whose answer appears at the head of the page."""
TO_OUTCOME = """() => {
  const outcome = document.getElementById("outcome");
  const below = outcome && outcome.getBoundingClientRect().left < 100;
  if (below) outcome.scrollIntoView({block: "start", behavior: "smooth"});
  else window.scrollTo({top: 0, behavior: "smooth"});
}"""
"""The same for the video on its way: on a phone it stands below the form, not beside it."""
OFF, ON = ["t2-off"], ["t2-on"]
"""Classes of a column that comes and goes. Gradio 6.31 forgets a video's value when its column's `visible` changes."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
"""For listeners that only read rows or write one. They go through the queue, because Gradio 6.31 brings neither
a toast nor the change of a State to the page when a listener has `queue=False`."""


def target(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """A value for `opened` or `again`; the stamp makes the same choice count twice."""
    return {"kind": kind, "id": name, "stamp": time.monotonic_ns(), **more}


def busy() -> Any:
    """The timer at its quick pace, for handlers that have just queued a job."""
    return gr.Timer(PACE_BUSY_S)


def settle(studio: Studio, job: Job, seconds: float = SHORT_WAIT_S) -> Job:
    """The job once it has ended, or as it stands after `seconds`: quick work answers at once, long work goes on."""
    until = time.monotonic() + seconds
    while not job.ended and time.monotonic() < until:
        time.sleep(SHORT_STEP_S)
        job = studio.job(job.id)
    return job
