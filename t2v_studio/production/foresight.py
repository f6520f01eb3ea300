"""What a request will come to, said before anything is drawn: length, size, work, and whatever is rounded."""

from __future__ import annotations

from typing import Any

from t2v_studio.engines.base import Canvas, Engine
from t2v_studio.errors import UnavailableError, plural
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.planner import plan_topic
from t2v_studio.production.request import VideoRequest
from t2v_studio.production.settle import lesson, seeded, settled
from t2v_studio.settings import Settings

OPEN_LENGTH = "The length changes with what is said in the end; Plan tells it."


def foretold(request: VideoRequest, engine: Engine, settings: Settings) -> list[str]:
    """Sentences on the video that a request asks for; nothing is loaded, searched or asked of a language model.

    Without a plan the scenes are those of the request's template. Raises StudioError for what cannot be made.
    """
    request = seeded(request)
    if request.plan is not None:
        return _ahead(request, request.plan, engine, settings)[2]
    bare = request.model_copy(update={"use_rag": False, "use_llm_planner": False})
    plan = plan_topic(lesson(bare), settings, None).plan
    made, _, said = _ahead(request, plan, engine, settings)
    timed = made.frames is not None or made.scene_frames is not None
    return said if timed or bare == request else [*said, OPEN_LENGTH]


def prompts_ahead(
    request: VideoRequest, plan: ScenePlan, engine: Engine, settings: Settings
) -> tuple[list[str], list[dict[str, Any]]]:
    """The sentences of `foretold` for a plan, and its prompts as the model's tokenizer reads them, where it has one.

    trimmed in a prompt's row is False where the model is not on this disk: then it is the whole of its parts.
    """
    _, canvas, said = _ahead(request, plan, engine, settings)
    if getattr(engine, "final_prompts", None) is None:
        return said, []
    reader: Any = engine
    try:
        prompts, trimmed = reader.final_prompts(plan, canvas), True
    except UnavailableError as error:
        said.append(f"{error.message} {error.hint}".strip())
        prompts, trimmed = reader.untrimmed_prompts(plan, canvas), False
    said += [notice for prompt in prompts for notice in prompt.notices]
    return said, [one.as_row() | {"trimmed": trimmed} for one in prompts]


def _ahead(
    request: VideoRequest, plan: ScenePlan, engine: Engine, settings: Settings
) -> tuple[VideoRequest, Canvas, list[str]]:
    request, _, canvas, notices = settled(request, plan, engine, settings)
    beyond = getattr(engine, "range_notices", None)
    return request, canvas, [_size(canvas, engine), *notices, *(beyond(canvas) if beyond else [])]


def _size(canvas: Canvas, engine: Any) -> str:
    """Scenes, frames, seconds and size; for diffusion also the passes of the model."""
    frames, count = canvas.scene_frames, len(canvas.scene_frames)
    each = f"{plural(frames[0], 'frame')} each" if len(set(frames)) == 1 else f"{sum(frames)} frames"
    said = (
        f"{plural(count, 'scene')}, {each}, {canvas.fps:g} fps: "
        f"{sum(frames) / canvas.fps:.1f} s at {canvas.width}x{canvas.height}"
    )
    options = canvas.options
    if options is None:
        return f"{said}."
    passes = engine.passes(canvas)
    work = "1 pass" if passes == 1 else f"{passes} passes"
    cached = ", which the step cache shortens" if options.step_cache != "off" else ""
    return (
        f"{said}; {options.model_id}, {plural(canvas.steps or 0, 'step')}, guidance {canvas.guidance:g}: "
        f"{work} of the model{cached}."
    )
