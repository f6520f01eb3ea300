"""One scene of a finished video drawn again, the others taken over from its film: a new video, joined and sealed anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from t2v_studio.engines.base import Availability, Canvas, Engine, Frames, Provenance, SceneSettings, StepReport
from t2v_studio.errors import InputError, StudioError
from t2v_studio.planning.plan import Scene, ScenePlan
from t2v_studio.production.likeness import require_same_adapter
from t2v_studio.production.produce import AsRecorded, produce
from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.production.request import VideoRequest
from t2v_studio.video import decode

REPORT_EVERY = 8


def redraw(
    record: VideoRecord,
    number: int,
    folder: Path,
    *,
    engine: Engine,
    scene: Scene | None = None,
    seed: int | None = None,
    code: str | None = None,
    **surroundings: Any,
) -> VideoRecord:
    """Scene `number` (from 1) of a record drawn again; a new video with as many frames in every scene.

    folder: where the record's video is. scene: the plan's scene as edited, with the same id. seed: another one for this
    scene alone, for engines that draw from noise. code: of a written Manim scene; "" takes the template. surroundings:
    as of `produce`. Raises InputError for what does not fit, ConflictError adapter_changed, StudioError where the film is gone.
    """
    index = checked(record, number, edited=scene, seed=seed, code=code)
    require_same_adapter(record, surroundings["workspace"])
    plan = _planned(record, index, scene)
    settings: list[SceneSettings | None] = [None] * len(record.scenes)
    settings[index] = SceneSettings(seed=seed)
    request = _request(record, index, plan, code)
    film = folder / record.files["video"]
    if not film.is_file():
        raise StudioError("film_gone", f"The film of {record.id} is not there any more.", "Make the video again.")
    return produce(
        request,
        AsRecorded(plan, record.evidence, record.grounding, [_said(record, number)]),
        engine=KeptScenes(engine, record, film, index),
        scene_settings=tuple(settings),
        **surroundings,
    )


def checked(
    record: VideoRecord, number: int, *, edited: Scene | None = None, seed: int | None = None, code: str | None = None
) -> int:
    """The index of the scene. Raises InputError for what cannot be drawn again so."""
    count, engine = len(record.scenes), record.request.engine
    if not 1 <= number <= count:
        raise InputError("no_scene", f"--scene: {record.id} has no scene {number}.", f"Give 1 to {count}.")
    if record.pair_id:
        raise InputError(
            "in_a_pair",
            f"{record.id} is an arm of a pair: one scene drawn again would set the arms apart.",
            "Make the pair again instead.",
        )
    if edited is not None and edited.id != record.plan.scenes[number - 1].id:
        known = record.plan.scenes[number - 1].id
        raise InputError("other_scene", f"--plan: scene {number} is {edited.id}, not {known}.", "Edit a plan of this video.")  # fmt: skip
    if seed is not None and engine != "diffusion":
        raise InputError(
            "no_seed", f"--seed: the engine {engine} takes the plan's seed, alike in all scenes.", "Leave it out."
        )
    if code is not None and engine != "manim":
        raise InputError("not_manim", f"--code: the engine {engine} of {record.id} reads no code.", "Leave it out.")
    return number - 1


def _request(record: VideoRecord, index: int, plan: ScenePlan, code: str | None) -> VideoRequest:
    """The record's request with the new plan and code; the lengths stand in the plan's scenes."""
    request = record.request
    changes: dict[str, Any] = {"plan": plan} if request.plan is not None else {}
    if not request.course_mode and request.scene_frames is None:
        changes |= {"seconds": None, "frames": None}
    if code is not None:
        changes |= {"manim_scenes": "written", "manim_code": _codes(record, index, code)}
    elif request.manim_code:
        id_ = record.scenes[index].id
        changes["manim_code"] = {name: text for name, text in request.manim_code.items() if name != id_}
    return request.model_copy(update=changes)


def _said(record: VideoRecord, number: int) -> str:
    others = [str(n) for n in range(1, len(record.scenes) + 1) if n != number]
    taken = f"; scenes {', '.join(others)} were taken over from its film" if others else ""
    return f"Scene {number} of {record.id} was drawn again{taken}."


def _codes(record: VideoRecord, index: int, code: str) -> dict[str, str]:
    """The code of every scene: those of the record, templates where it had none, and the new one."""
    known = {one.id: record.request.manim_code.get(one.id, "") for one in record.scenes}
    return known | {record.scenes[index].id: code}


def _planned(record: VideoRecord, index: int, scene: Scene | None) -> ScenePlan:
    """The plan with the edited scene; each scene as long as it was."""
    old = record.plan.scenes
    scenes = [scene if scene is not None and n == index else one for n, one in enumerate(old)]
    timed = [
        one.model_copy(update={"seconds": made.frames / record.fps})
        for one, made in zip(scenes, record.scenes, strict=True)
    ]
    return record.plan.model_copy(update={"scenes": timed})


class KeptScenes:
    """An engine that draws one scene and takes the others from a film."""

    def __init__(self, engine: Engine, record: VideoRecord, film: Path, index: int) -> None:
        self.engine, self.record, self.film, self.index = engine, record, film, index
        self.name = engine.name

    def availability(self, options: Any = None) -> Availability:
        return self.engine.availability(options)

    def default_canvas(self, options: Any = None) -> dict[str, Any]:
        return self.engine.default_canvas(options)

    def frame_rule(self, frames: int, options: Any = None) -> int:
        return self.engine.frame_rule(frames, options)

    def size_rule(self, width: int, height: int, options: Any = None) -> tuple[int, int]:
        return self.engine.size_rule(width, height, options)

    def prepare(self, plan: ScenePlan, canvas: Canvas, report: Callable[..., None]) -> None:
        prepare = getattr(self.engine, "prepare", None)
        if prepare is not None:
            prepare(plan, canvas, report)

    def finish(self, done: bool) -> None:
        finish = getattr(self.engine, "finish", None)
        if finish is not None:
            finish(done)

    def notices(self, plan: ScenePlan, canvas: Canvas) -> list[str]:
        say = getattr(self.engine, "notices", None)
        return list(say(plan, canvas)) if say is not None else []

    def render_scene(self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport) -> Frames:
        """The scene drawn, or its frames as they stand in the film; all RGB, as the film's are."""
        if index == self.index:
            yield from _without_alpha(self.engine.render_scene(plan, index, canvas, report))
            return
        wanted = canvas.scene_frames[index]
        first = sum(canvas.scene_frames[:index])
        count = 0
        for number, frame in enumerate(decode.frames(self.film, limit=first + wanted)):
            if number % REPORT_EVERY == 0:
                report(max(0, number - first), wanted)
            if number >= first:
                count += 1
                yield frame
        if count < wanted:
            raise StudioError("film_short", f"The film of {self.record.id} ends before scene {index + 1}.", "Make the video again.")  # fmt: skip

    def provenance(self, plan: ScenePlan, index: int, canvas: Canvas) -> Provenance:
        if index == self.index:
            return self.engine.provenance(plan, index, canvas)
        return _kept(self.record.scenes[index], self.record.id)


def _without_alpha(frames: Frames) -> Frames:
    """The same frames in RGB; one that is repeated stays one array."""
    last = made = None
    for frame in frames:
        if made is None or frame is not last:
            last, made = frame, np.ascontiguousarray(frame[:, :, :3])
        yield made


def _kept(scene: SceneRecord, video_id: str) -> Provenance:
    """As the old record says, and from which film."""
    source = Provenance(
        scene.engine, scene.model, scene.revision, scene.seed, list(scene.retries), scene.fallback, dict(scene.settings)
    )
    return replace(source, details={**scene.details, "taken_from": scene.details.get("taken_from", video_id)})
