"""A job as a card: state, stage, progress, time left, error with its hint, log, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime

from t2v_studio.jobs.model import Job
from t2v_studio.ui import markup

STATES = {
    "queued": ("Waiting", ""),
    "starting": ("Starting", "run"),
    "running": ("Running", "run"),
    "succeeded": ("Done", "good"),
    "failed": ("Failed", "bad"),
    "cancelled": ("Cancelled", ""),
    "lost": ("Lost", "bad"),
}

KINDS = {"plan": "Plan", "video": "Video", "ingest": "Book"}
"""Kinds whose titles do not say what they are."""


def heading(job: Job) -> str:
    """What the job is about, as it is called everywhere."""
    kind = KINDS.get(job.kind, "")
    title = job.title or job.kind
    return title if not kind or title.lower().startswith(("add ", kind.lower())) else f"{kind}: {title}"


def seconds_left(job: Job, now: datetime | None = None) -> float | None:
    """Time left in the present stage, as its worker reckoned it at the last step; None before there is a pace, and
    once that time is over without another step."""
    ends = markup.moment(job.stage_ends_at)
    if job.kind == "pack" and job.carry:
        return None  # its steps run over all stages, and its message says the time left
    if job.state != "running" or ends is None:
        return None
    left = (ends - (now or datetime.now(UTC))).total_seconds()
    return left if left >= 1.0 else None


def progress(job: Job) -> str:
    """Bar and one line: stage, step of total, time left. Empty once the job has ended."""
    if job.ended:
        return ""
    stage = job.stage or ("In the queue" if job.state == "queued" else "Starting")
    count = f"{job.step:,} of {job.total:,}" if job.total else ""
    left = seconds_left(job)
    parts = [
        stage[:1].upper() + stage[1:],
        count,
        f"about {markup.duration(round(left))} left" if left else "",
        job.message,
    ]
    if job.cancel_requested:
        parts = ["Stopping at the next step"]
    line = " · ".join(part for part in parts if part)
    return f'{markup.bar(job.step, job.total, job.title)}<p class="t2-stage">{markup.text(line)}</p>'


def failure(job: Job) -> str:
    """Message and hint of a job that failed or was lost."""
    if job.state not in ("failed", "lost"):
        return ""
    error = job.error or {}
    return markup.notice(
        str(error.get("message") or "The work stopped without a word."), str(error.get("hint") or "See its log.")
    )


def outcome(job: Job) -> tuple[str, str]:
    """What `job` made, as (kind, id): a video, pair, pack, report (its results), plan or book; two empty texts for anything else."""
    if job.state != "succeeded":
        return "", ""
    found = job.result
    if job.kind == "pack":
        return "pack", str(found["run"])
    if job.kind == "report":
        return "results", str(found["study"])
    if "no_rag" in found and found.get("id"):
        return "pair", str(found["id"])
    if "video" in found and found.get("id"):
        return "video", str(found["id"])
    if "plan" in found:
        return "plan", job.id
    if found.get("book") and "kept" in found:
        return "book", str(found["book"])
    return "", ""


def card(job: Job, log: str | None = None) -> str:
    """The card. `log` is the tail of its log where the reader has opened it."""
    name, kind = STATES.get(job.state, (job.state, ""))
    made, made_id = outcome(job)
    buttons = []
    if not job.ended and not job.cancel_requested:
        buttons.append(markup.button("Cancel", "cancel", kind="quiet", job=job.id))
    if made:
        buttons.append(markup.button(f"Open {made}", "open", kind="quiet strong", what=made, id=made_id))
    buttons.append(markup.button("Hide log" if log is not None else "Log", "log", kind="quiet", job=job.id))
    tail = (
        f'<pre class="t2-log" tabindex="0" aria-label="Log">{markup.text(log or "Nothing logged yet.")}</pre>'
        if log is not None
        else ""
    )
    when = markup.day(job.ended_at) if job.ended else ""
    return (
        f'<article class="t2-job {kind}"><header><span class="t2-job-title" title="{markup.text(heading(job))}">{markup.text(heading(job))}</span>'
        f"{markup.chip(name, kind)}</header>{progress(job)}{failure(job)}"
        f'<div class="t2-foot"><span class="t2-when">{markup.text(when)}</span>{"".join(buttons)}</div>{tail}</article>'
    )


def live(job: Job) -> str:
    """A running job at the head of its tab, with a button that stops it. Listen with `markup.CLICKS`."""
    stop = "" if job.cancel_requested else markup.button("Cancel", "cancel", job=job.id)
    return (
        f'<div class="t2-hit t2-live"><header><b>{markup.text(heading(job))}</b>{stop}</header>{progress(job)}'
        f'<p class="t2-muted">It goes on if you close this page.</p></div>'
    )
