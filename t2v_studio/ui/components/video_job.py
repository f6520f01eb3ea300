"""The job that the Generate page starts: its request from form and plan, and what the page tells of it."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

from t2v_studio.errors import InputError, NotFoundError
from t2v_studio.jobs.model import Job
from t2v_studio.planning.plan import ScenePlan, parse_plan
from t2v_studio.production.request import VideoRequest
from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup, plan_table
from t2v_studio.ui.components import diffusion_form, job_card

Film = dict[str, Any] | None
"""A target that the page was given."""


def submit_request(
    studio: Studio,
    what: str,
    values: dict[str, Any],
    made: dict[str, Any] | None,
    rows: list[list[Any]],
    codes: dict[str, str] | None = None,
) -> Job:
    """Queue a plan, a video or a pair. made: the plan that a video is made from; codes: of its Manim scenes."""
    diffusion_form.check(studio, values)
    if what == "plan":
        return studio.submit_plan(form.request_from(values))
    if what == "pair":
        return studio.submit_pair(form.request_from({**values, "use_rag": True}))
    if made is None:
        return studio.submit_video(form.request_from(values))
    return studio.submit_video(planned({**values, "manim_code": codes or {}}, parse_plan(made), rows))


def drawn_plan(
    values: dict[str, Any], made: dict[str, Any] | None, rows: list[list[Any]], codes: dict[str, str] | None
) -> dict[str, Any] | None:
    """The plan on the page where it is of what the form asks for. One of something else, which came with an earlier
    film and holds no work of the person, makes way for a new one. codes: of Manim scenes, those that are such work.

    Raises InputError where edits would be lost.
    """
    if made is None:
        return None
    plan = parse_plan(made)
    topic = str(values.get("topic") or "").strip()
    if topic and topic != plan.topic:
        lost = (
            "plan_of_other_topic",
            "The plan below holds your edits, and the form asks for another topic.",
            "Press Plan for this topic, or discard the plan.",
        )
    elif bool(values.get("use_rag")) != (plan.retrieval is not None or bool(plan.sources)):
        lost = (
            "plan_of_other_arm",
            'The plan below holds your edits, and was made with "Use my books" set the other way.',
            "Press Plan again, or discard the plan.",
        )
    else:
        return made
    if plan_table.is_edited(plan, rows) or any((codes or {}).values()):
        raise InputError(*lost)
    return None


def own_codes(studio: Studio, codes: dict[str, str], *films: Film) -> dict[str, str]:
    """The code of Manim scenes, where it is not just what came with the plan of one of the films on the page.

    films: targets that the page was last given.
    """
    for film in films:
        with contextlib.suppress(NotFoundError):
            if film and film["kind"] in ("video", "again") and studio.video(film["id"]).request.manim_code == codes:
                return {}
    return codes


def planned(values: dict[str, Any], plan: ScenePlan, rows: list[list[Any]]) -> VideoRequest:
    """The request that draws the edited plan."""
    plan = plan_table.edited(plan, rows)
    timed = all(scene.seconds for scene in plan.scenes)
    length = {"seconds": None, "frames": None, "scene_frames": None} if timed else {}
    return form.request_from({**values, "topic": plan.topic, **length}, plan=plan)


def status_of(job: Job) -> str:
    """Progress with a cancel button, or how the job ended where that is not a result."""
    if job.state == "succeeded":
        return ""
    if job.ended:
        return job_card.failure(job) or markup.notice(
            "Cancelled. Nothing was kept; your form is as you left it.", kind="info"
        )
    stop = "" if job.cancel_requested else markup.button("Cancel", "cancel", job=job.id)
    return (
        f'<div class="t2-hit t2-live"><header><b>{markup.text(job_card.heading(job))}</b>{stop}</header>{job_card.progress(job)}'
        f'<p class="t2-muted">It goes on if you close this page.</p></div>'
    )


def is_read(told: str, following: str) -> bool:
    """Whether the status tells how an earlier job ended, and no other one is followed."""
    return not following and "t2-notice" in (told or "")


def preview_of(studio: Studio, job: Job) -> str:
    """The picture that the job last named, carried in the page; it must lie in outputs."""
    if not job.preview or job.ended:
        return ""
    path = (studio.workspace.outputs.parent / job.preview).resolve()
    if not studio.workspace.contains(path) or path.suffix.lower() not in (".png", ".webp", ".jpg", ".jpeg"):
        return ""
    try:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError:
        return ""
    kind = {"jpg": "jpeg"}.get(path.suffix[1:].lower(), path.suffix[1:].lower())
    return f'<img class="t2-preview" alt="The video so far" src="data:image/{kind};base64,{data}">'
