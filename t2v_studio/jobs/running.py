"""One job from claim to its terminal row: the same code in a worker and inline."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from t2v_studio.errors import CancelledError, StudioError
from t2v_studio.jobs.context import JobContext
from t2v_studio.jobs.model import Context, Job, Next
from t2v_studio.jobs.queue import Queue
from t2v_studio.planning.chat_model import listened

log = logging.getLogger(__name__)

Handler = Callable[[Context, Job], dict[str, Any] | Next]
"""Does the work of one kind of job: JSON-able result, or the next lane with what it needs there."""
Handlers = Mapping[str, Handler]

MEMORY_HINTS = {
    "video": "Ask for a smaller width and height, fewer frames a second or fewer seconds, and close other programs.",
    "pair": "Ask for a smaller width and height, fewer frames a second or fewer seconds, and close other programs.",
    "ingest": "Close other programs, lower T2V_WORKER_THREADS, or split the book and add the parts.",
}
_MEMORY_HINT = "Close other programs, or lower T2V_RAG_CANDIDATE_K and T2V_WORKER_THREADS."


class Interrupted(KeyboardInterrupt):
    """SIGINT while a job ran: not an Exception, so that no library's `except Exception` swallows it."""


def run_job(queue: Queue, job: Job, worker: str, handlers: Handlers, context: JobContext) -> None:
    """Run a claimed job and write how it ended. Only KeyboardInterrupt and SystemExit come out.

    A Python error or lack of memory leaves the process, and what it keeps loaded, alive.
    """
    if not queue.begin(job.id, worker):
        queue.stop(job.id, worker)
        return
    try:
        context.check_cancelled()
        with listened(context.heard):
            outcome = _handler(handlers, job.kind)(context, job)
        if isinstance(outcome, Next):
            queue.hand_over(job.id, worker, outcome.lane, outcome.carry)
        else:
            json.dumps(outcome)
            queue.succeed(job.id, worker, outcome)
    except CancelledError as error:
        queue.stop(job.id, worker, error_form(error))
    except (KeyboardInterrupt, SystemExit):
        queue.stop(job.id, worker, error_form(CancelledError()))
        raise
    except BaseException as error:
        # what a person can act on is shown to them; the traceback is for the job's log alone
        level = logging.INFO if isinstance(error, StudioError) else logging.ERROR
        log.log(level, "job %s (%s) failed", job.id, job.kind, exc_info=error)
        queue.fail(job.id, worker, error_form(error, job.kind))


def _handler(handlers: Handlers, kind: str) -> Handler:
    if kind not in handlers:
        raise StudioError(
            "unknown_kind",
            f"There is no way to do a job of kind {kind!r}.",
            "Restart the app: its workers are older than its page.",
        )
    return handlers[kind]


def error_form(error: BaseException, kind: str = "") -> dict[str, Any]:
    """What the row keeps of an exception: code, message, hint, type and details."""
    if isinstance(error, StudioError):
        return error.as_dict() | {"type": type(error).__name__}
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        where = "the graphics card's memory" if type(error).__name__ == "OutOfMemoryError" else "memory"
        return {
            "code": "out_of_memory",
            "message": f"The job needed more than {where} holds.",
            "hint": MEMORY_HINTS.get(kind, _MEMORY_HINT),
            "type": "LimitError",
        }
    return {
        "code": "internal",
        "message": f"{type(error).__name__}: {error}",
        "hint": "This is a defect. Read the job's log with: t2v jobs logs JOB",
        "type": "StudioError",
    }


def raise_error(job: Job) -> None:
    """Raise the error of an ended job as the StudioError that it was; nothing for a success."""
    if job.state == "succeeded":
        return
    form = job.error or {}
    if job.state == "cancelled":
        raise CancelledError()
    from t2v_studio import errors

    kind = getattr(errors, form.get("type", ""), StudioError)
    usable = isinstance(kind, type) and issubclass(kind, StudioError) and kind is not CancelledError
    code, message = form.get("code", job.state), form.get("message", f"The job is {job.state}.")
    error = (kind if usable else StudioError)(code, message, form.get("hint", ""))
    error.details = form.get("details") or {}
    raise error
