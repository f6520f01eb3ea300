"""The job kind "write_scenes": a language model writes Manim scenes, which are tried and shown before one is drawn."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from t2v_studio.errors import InputError
from t2v_studio.jobs.model import Context, Job
from t2v_studio.planning.plan import ScenePlan, parse_plan
from t2v_studio.production.request import parse_request


def write_scenes(context: Context, job: Job) -> dict[str, Any]:
    """Spec: request, plan, scenes (ids; empty: all). Result: scenes, a row each: id, index, scene, code, attempts,
    faults, fallback, seconds, model, held. Code that the request holds for a scene is tried as it stands."""
    from t2v_studio.engines.manim import dry_run, written
    from t2v_studio.production.settle import settled

    request, plan = parse_request(job.spec["request"]), parse_plan(job.spec["plan"])
    places = _places(plan, job.spec.get("scenes"))
    dry_run.ready(context.settings)
    engine = context.resident("engines")("manim")
    request, plan, canvas, _ = settled(request, plan, engine, context.settings)
    options = request.manim()
    rows = []
    with ExitStack() as stack:
        ask = None
        if any(not options.manim_code.get(plan.scenes[index].id, "").strip() for index in places):
            context.report("loading the model that writes")
            ask = stack.enter_context(written.author(options, context.settings))
        for done, index in enumerate(places):
            report = _Report(context, done, len(places))
            found = written.write_scene(plan, index, canvas, options, report, settings=context.settings, ask=ask)
            rows.append({"id": plan.scenes[index].id, "index": index, **found.as_dict()})
    return {"scenes": rows}


class _Report:
    """Progress counts scenes; in words it says what is done to one. Raises CancelledError."""

    def __init__(self, context: Context, done: int, total: int) -> None:
        self._context, self._done, self._total = context, done, total

    def __call__(self, done: int, total: int) -> None:
        self._context.check_cancelled()

    def say(self, text: str) -> None:
        self._context.report("writing scenes", self._done, self._total, text)


def _places(plan: ScenePlan, asked: list[str] | None) -> list[int]:
    """Places of the scenes that are to be written. Raises InputError for an id that the plan has not."""
    ids = [scene.id for scene in plan.scenes]
    unknown = [name for name in asked or [] if name not in ids]
    if unknown:
        raise InputError("unknown_scene", f"scenes: the plan has no scene {unknown[0]}.", f"It has: {', '.join(ids)}.")
    return [index for index, name in enumerate(ids) if not asked or name in asked]
