"""The Manim engine: template scenes, and scenes that a language model writes, each drawn by a child process."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from t2v_studio.engines.base import AnySize, Availability, Canvas, Frames, Provenance, SceneSettings, StepReport
from t2v_studio.engines.manim import installed, render
from t2v_studio.engines.manim.job import HarnessJob
from t2v_studio.engines.manim.options import ManimOptions
from t2v_studio.errors import CancelledError, StudioError
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.settings import Settings

VERSION = "1"
"""Changes when the same plan would be drawn differently by the templates; kept in the record."""


class ManimEngine(AnySize):
    """Every scene in a child of its own. What drew a scene last is kept for its provenance."""

    name = "manim"

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._drawn: dict[int, Provenance] = {}

    def availability(self, options: Any = None) -> Availability:
        return installed.availability()

    def render_scene(self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport) -> Frames:
        """RGBA frames of scene `index`; written code first where it is asked for, else the template."""
        written, why = self._written(plan, index, canvas, report)
        source = self._source(plan, index, written, why)
        if written is not None and written.fallback:
            written = None
        drawing = render.Drawing()
        with render.private_folder() as folder:
            job = _job(plan, index, canvas, folder)
            if written is not None:
                job = job.model_copy(
                    update={"plan": None, "code": written.code, "scene": written.scene, "seconds": written.seconds or None, "cage": True}
                )  # fmt: skip
            yield from render.frames(job, report, drawing)
        source.details["layout_faults"] = [fault.model_dump() for fault in drawing.report.faults]
        source.details["plays"] = drawing.report.plays
        self._drawn[index] = source

    def provenance(self, plan: ScenePlan, index: int, canvas: Canvas) -> Provenance:
        return self._drawn.pop(index)

    def notices(self, plan: ScenePlan, canvas: Canvas | None = None) -> list[str]:
        """What of a plan cannot be drawn as it stands, in words: templates have the local engine's letters."""
        from t2v_studio.engines.local.engine import LocalEngine

        return LocalEngine().notices(plan, canvas)

    def _written(self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport) -> tuple[Any, str]:
        """What was written, or None where nothing was asked; and why the template draws a scene that was to be written."""
        options = canvas.manim or ManimOptions()
        scene = plan.scenes[index]
        if options.manim_scenes != "written":
            return None, ""
        settings = canvas.settings_of(index)
        if settings.template:
            return None, settings.reason or "as its settings say"
        if options.manim_code.get(scene.id) == "":
            return None, "as asked"
        from t2v_studio.engines.manim.written import write_scene

        try:
            written = write_scene(plan, index, canvas, options, report, settings=self._settings)
        except CancelledError:
            raise
        except StudioError as error:
            return None, error.message
        return written, written.fallback

    def _source(self, plan: ScenePlan, index: int, written: Any, why: str) -> Provenance:
        kind = plan.scenes[index].visual.kind
        revision = f"manim {installed.manim_version()}, templates {VERSION}"
        if written is not None and not why:
            details: dict[str, Any] = {"written": written.as_dict(), "code_sha256": code_hash(written.code)}
            return Provenance(self.name, written.model or "written", revision, plan.seed, details=details)
        details = {"template": kind, "code_sha256": template_hash()}
        settings = {}
        if why:
            details["not_written"] = why
            details |= {"tried": written.as_dict()} if written is not None else {}
            settings = SceneSettings(template=True, reason=why).changes()
        return Provenance(self.name, f"template {kind}", revision, plan.seed, settings=settings, details=details)


def _job(plan: ScenePlan, index: int, canvas: Canvas, folder: Path) -> HarnessJob:
    """The template's job for a scene."""
    return HarnessJob(
        folder=str(folder), plan=plan.model_dump(mode="json"), index=index, width=canvas.width, height=canvas.height,
        fps=canvas.fps, frames=canvas.scene_frames[index], seed=plan.seed % 2**32, theme=canvas.theme,
        show_sources=canvas.show_sources,
    )  # fmt: skip


def code_hash(code: str) -> str:
    """SHA-256 of a scene's code."""
    return hashlib.sha256(code.encode("utf-8")).hexdigest()


@lru_cache(maxsize=1)
def template_hash() -> str:
    """SHA-256 over the sources of the templates and their base: the code that a template scene was drawn with."""
    folder = Path(__file__).parent
    files = sorted([*folder.glob("templates/*.py"), *(folder / f"{name}.py" for name in _BASE)])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


_BASE = ("board", "entrances", "matching", "outlines", "shapes", "stream", "template")


def template_code(plan: ScenePlan, index: int) -> str:
    """What a template scene is filled with, as a reader would write it: its class, its parameters, its steps."""
    scene = plan.scenes[index]
    visual = scene.visual.model_dump()
    kind = visual.pop("kind")
    lines = [f"# Scene {index + 1}: the studio's template for {kind}; no code is written for it.", f"kind = {kind!r}"]
    lines += [f"{name} = {value!r}" for name, value in visual.items()]
    lines += [f"title = {scene.title!r}", f"formula = {scene.formula!r}", f"seed = {plan.seed}", "steps = ["]
    lines += [f"    {{'show': {step.show!r}, 'say': {step.say!r}}}," for step in scene.steps]
    return "\n".join([*lines, "]", ""])
