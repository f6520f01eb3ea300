"""What a request leaves open, decided once and said in words."""

from __future__ import annotations

import secrets
from typing import Any

from t2v_studio.engines.base import Canvas, Engine, even_size
from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.engines.diffusion.presets import preset
from t2v_studio.planning.language import english_notice
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.timing import scene_frames
from t2v_studio.production.request import LENGTHS, VideoRequest, parse_request, unread
from t2v_studio.settings import Settings

COURSE = {"width": 832, "height": 480, "fps": 10.0}
COURSE_SCENE_FRAMES = 17
_LONGEST_SCENE_S = 120.0


def seeded(request: VideoRequest) -> VideoRequest:
    """The request with a seed: its own, its plan's, or one drawn now. Call it before planning."""
    if request.seed is not None:
        return request
    seed = request.plan.seed if request.plan is not None else secrets.randbelow(2**31)
    return request.model_copy(update={"seed": seed})


def lesson(request: VideoRequest) -> LessonRequest:
    """The part of a request that planning reads. The request has its seed already."""
    assert request.seed is not None, "seeded() comes before planning"
    shared = {name: getattr(request, name) for name in LessonRequest.model_fields if name in VideoRequest.model_fields}
    return LessonRequest(**shared, template=request.course_template)


def settled(
    request: VideoRequest,
    plan: ScenePlan,
    engine: Engine,
    settings: Settings | None = None,
    *,
    recorded: bool = False,
) -> tuple[VideoRequest, ScenePlan, Canvas, list[str]]:
    """Seed, size, rate and length filled in; the plan, canvas and notices that go with them.

    Made again from what is returned, the video has the same number of frames in every scene, even
    if reading times are reckoned differently by then: where those decided, the plan says the seconds.
    settings: name the model where a request for diffusion leaves it open. recorded: the request is a record's, in which
    an empty field is what the video was made with; the LoRA's card and preset are not asked again.
    """
    if request.seed is None:
        request = request.model_copy(update={"seed": plan.seed})
    elif plan.seed != request.seed:
        plan = plan.model_copy(update={"seed": request.seed})  # the asked seed draws, not the plan file's
    diffusion = engine.name == "diffusion"
    said: list[str] = []
    if diffusion:
        request = _named(request, settings)
        if not (recorded and request.lora_scale is not None):  # records of old versions left the LoRA open
            request, said = _with_adapter(request, engine)
        request, untaken = _taken(request, engine)
        said = [*said, *untaken]
    options = request.diffusion() if diffusion else None
    usual = {**engine.default_canvas(options), **(_course(diffusion) if request.course_mode else {})}
    size, notices = _size(request, engine, usual, options)
    asked = _length(request, usual)
    frames, rounded = scene_frames(plan, size["fps"], rule=lambda count: engine.frame_rule(count, options), **asked)
    notices = [*_remarks(request, diffusion), *said, *notices, *rounded]
    if not asked:
        plan = _with_seconds(plan, frames, size["fps"])
    elif "seconds" in asked:
        asked = {"frames": max(1, round(asked["seconds"] * size["fps"]))}
    request = parse_request({**dict(request), **size, **_numbers(request, usual), "seconds": None, **asked})
    canvas = Canvas(
        width=size["width"],
        height=size["height"],
        fps=size["fps"],
        scene_frames=frames,
        seed=request.seed or 0,
        theme=request.theme,
        show_sources=request.show_sources,
        steps=request.steps,
        guidance=request.guidance,
        options=request.diffusion() if diffusion else None,
        manim=request.manim() if engine.name == "manim" else None,
    )
    return request, plan, canvas, notices


def _numbers(request: VideoRequest, usual: dict[str, Any]) -> dict[str, Any]:
    """Steps and guidance, for engines that have them."""
    names = [name for name in ("steps", "guidance") if name in usual and getattr(request, name) is None]
    return {name: usual[name] for name in names}


def _named(request: VideoRequest, settings: Settings | None) -> VideoRequest:
    """With the model that is meant where none is named, so that the record says it."""
    return request.model_copy(update={"model_id": request.model_id or (settings.model_id if settings else "")})


def _with_adapter(request: VideoRequest, engine: Any) -> tuple[VideoRequest, list[str]]:
    """With what the LoRA's card and preset say where the request leaves it open, so that a record holds it whatever
    becomes of the card."""
    asked = getattr(engine, "of_adapter", None)
    found, preset = asked(request.diffusion()) if asked else ({}, None)
    if preset is None:
        return request.model_copy(update=found), []
    if preset.fps is not None and request.fps is None:
        found["fps"] = preset.fps
    if (
        preset.frames is not None
        and request.quality is None
        and all(getattr(request, name) is None for name in LENGTHS)
    ):
        found["scene_frames"] = preset.frames
    numbers = ("fps", "scene_frames", "steps", "guidance", "flow_shift")
    set_now = [f"{name.replace('_', ' ')} {found[name]:g}" for name in numbers if name in found]
    said = f"LoRA preset {preset.name}: {', '.join(set_now)}; what you set yourself wins."
    return request.model_copy(update=found), [said] if set_now else []


def _taken(request: VideoRequest, engine: Any) -> tuple[VideoRequest, list[str]]:
    """Without the choices that the model's family has no use for, so that nothing is recorded that was not done."""
    asked = getattr(engine, "left_out", None)
    left_out: dict[str, str] = asked(request.diffusion()) if asked else {}
    return request.model_copy(update=dict.fromkeys(left_out)), list(left_out.values())


def _course(diffusion: bool) -> dict[str, Any]:
    """Size and rate of course clips; for diffusion also steps and guidance."""
    return preset("course").sets.given() if diffusion else COURSE


def _remarks(request: VideoRequest, diffusion: bool) -> list[str]:
    """What the preset sets, what the engine does not read, and what is not English, in words."""
    fields = (("Topic", request.topic), ("Objective", request.objective), ("Audience", request.audience))
    found = [notice for name, text in fields if (notice := english_notice(name, text))]
    if diffusion:
        return [preset(request.preset).said(request), *found] if request.preset else found
    return [*found, *unread(request)]


def _size(
    request: VideoRequest, engine: Engine, usual: dict[str, Any], options: DiffusionOptions | None
) -> tuple[dict[str, Any], list[str]]:
    """Width and height that the engine can make, and frames a second."""
    width, height = request.width, request.height
    notices = []
    if width is None and height is None:
        width, height = int(usual["width"]), int(usual["height"])
    elif width is None or height is None:
        shape = usual["width"] / usual["height"]
        width, height = width or round((height or 0) * shape), height or round((width or 0) / shape)
        notices.append(f"Only one side was given: {width}x{height} keeps the usual shape.")
    made = engine.size_rule(width, height, options)
    if made != (width, height):
        why = "H.264 needs even sizes" if made == even_size(width, height) else "The engine cannot make every size"
        notices.append(f"{why}: {width}x{height} became {made[0]}x{made[1]}.")
    return {"width": made[0], "height": made[1], "fps": float(request.fps or usual["fps"])}, notices


def _length(request: VideoRequest, usual: dict[str, Any]) -> dict[str, Any]:
    """The one length that was asked for, the engine's own, or none."""
    for name in LENGTHS:
        if getattr(request, name) is not None:
            return {name: getattr(request, name)}
    if request.course_mode:
        return {"scene_frames": COURSE_SCENE_FRAMES}
    return {"scene_frames": usual["scene_frames"]} if "scene_frames" in usual else {}


def _with_seconds(plan: ScenePlan, frames: tuple[int, ...], fps: float) -> ScenePlan:
    if max(frames) / fps > _LONGEST_SCENE_S:
        return plan
    scenes = [
        scene.model_copy(update={"seconds": count / fps}) for scene, count in zip(plan.scenes, frames, strict=True)
    ]
    return plan.model_copy(update={"scenes": scenes})
