"""The drawer at the foot of every tab: what runs, what waits, what came of the rest. Rebuilt from the rows."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import job_card
from t2v_studio.ui.components.header import state_line
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import PACE_BUSY_S, PACE_IDLE_S, QUIET, Page, target

SHOWN, LOG_LINES = 15, 40
UNSEEN_KINDS = frozenset({"search"})
DRAWER = (
    markup.CLICKS
    + """
const set = (open) => {
  element.classList.toggle('open', open);
  const bar = element.querySelector('.t2-drawer-bar');
  if (bar) bar.setAttribute('aria-expanded', open);
};
element.addEventListener('click', (event) => {
  if (event.target.closest('.t2-drawer-bar')) set(!element.classList.contains('open'));
});
element.addEventListener('keydown', (event) => { if (event.key === 'Escape') set(false); });
watch('value', () => set(element.classList.contains('open')));
if (new URLSearchParams(location.search).has('job')) set(true);
"""
)


def drawer(jobs: list[Job], logs: dict[str, str]) -> str:
    """The whole drawer: a bar that is always seen, and the cards behind it."""
    active = [job for job in jobs if not job.ended]
    cards = "".join(job_card.card(job, logs.get(job.id)) for job in jobs)
    if not jobs:
        cards = markup.empty("No jobs yet", "Books that you add and videos that you make show their progress here.")
    return (
        f'<button type="button" class="t2-drawer-bar" aria-expanded="false" aria-controls="t2-jobs-list">{_summary(active, jobs)}</button>'
        f'<section id="t2-jobs-list" class="t2-drawer-list" aria-label="Jobs">{cards}</section>'
    )


OPENING = (
    '<button type="button" class="t2-drawer-bar" aria-expanded="false"><b>Jobs</b>'
    '<span class="t2-drawer-line">opening</span></button>'
)
"""The drawer before its rows have been read."""


def _summary(active: list[Job], jobs: list[Job]) -> str:
    busy = bool(active)
    if busy:
        lead = next((job for job in active if job.state == "running"), active[0])
        share = f"{100 * lead.step // lead.total} %" if lead.total else (lead.stage or "waiting")
        words = f"{job_card.heading(lead)} · {share}" + (f" · {len(active) - 1} more" if len(active) > 1 else "")
    else:
        words = f"{job_card.STATES[jobs[0].state][0]}: {job_card.heading(jobs[0])}" if jobs else "nothing running"
    # The same elements in every state: a click whose target is replaced half-way would be lost.
    spinner = f'<span class="t2-spin {"" if busy else "off"}" aria-hidden="true"></span>'
    return f'<b>Jobs</b>{spinner}<span class="t2-drawer-line">{markup.text(words)}</span>'


def build(studio: Studio, page: Page, first_job: gr.State) -> gr.HTML:
    """The drawer and its listeners: timer, load, cancel, log, open."""
    panel = gr.HTML(OPENING, js_on_load=DRAWER, elem_id="jobs-panel", apply_default_css=False)
    shown = page.rows
    pace = gr.State(PACE_BUSY_S)
    log_of = gr.State("")

    def view(before: str, pace_s: float, open_log: str) -> tuple[Any, ...]:
        jobs = [job for job in studio.jobs(limit=SHOWN * 2) if job.kind not in UNSEEN_KINDS or job.state == "failed"][
            :SHOWN
        ]
        logs = {open_log: studio.log(open_log, LOG_LINES)} if any(job.id == open_log for job in jobs) else {}
        markup_now = drawer(jobs, logs)
        wanted = PACE_BUSY_S if any(not job.ended for job in jobs) else PACE_IDLE_S
        return (
            gr.skip() if markup_now == before else markup_now,
            markup_now,
            gr.skip() if wanted == pace_s else gr.Timer(wanted),
            wanted,
        )

    ended = gr.State(-1)
    outputs = [panel, shown, page.timer, pace]

    @guarded
    def recount(before: int) -> Any:
        """The header's line, when something has ended since it was written."""
        now = sum(job.ended for job in studio.jobs(limit=SHOWN * 2))
        return gr.skip() if now == before else (state_line(studio), now)

    @guarded
    def tick(before: str, pace_s: float, open_log: str) -> Any:
        return view(before, pace_s, open_log)

    @guarded
    def act(before: str, pace_s: float, open_log: str, event: gr.EventData) -> Any:
        sent = event._data or {}
        name = str(sent.get("job", ""))
        if sent.get("act") == "cancel":
            studio.cancel(name)
        elif sent.get("act") == "log":
            open_log = "" if open_log == name else studio.job(name).id
        elif sent.get("act") == "open":
            return (gr.skip(),) * 4 + (open_log, target(str(sent.get("what")), str(sent.get("id"))))
        return (*view(before, pace_s, open_log), open_log, gr.skip())

    @guarded
    def opened(before: str, pace_s: float, wanted_job: str) -> Any:
        return (*view("", pace_s, wanted_job), wanted_job)

    page.timer.tick(tick, [shown, pace, log_of], outputs, trigger_mode="once", **QUIET)
    shown.change(recount, ended, [page.header, ended], **QUIET)
    panel.click(act, [shown, pace, log_of], [*outputs, log_of, page.opened], **QUIET)
    first_job.change(opened, [shown, pace, first_job], [*outputs, log_of], **QUIET)
    page.on_load(tick, [gr.State(""), pace, log_of], outputs)
    return panel
