"""The local engine: draws any plan on a CPU, faster than it plays, the same on every run."""

from __future__ import annotations

from typing import Any

from t2v_studio.engines.base import AnySize, Availability, Canvas, Frames, Provenance, StepReport
from t2v_studio.engines.local.timeline import moments
from t2v_studio.planning.plan import ScenePlan

VERSION = "1"
"""Changes when the same plan would be drawn differently; kept in the record."""

REPORT_EVERY = 8
"""Frames between two reports: a cancel is seen within a fraction of a second."""


class LocalEngine(AnySize):
    """Simulates, lays out and paints every scene of a plan."""

    name = "local"

    def availability(self, options: Any = None) -> Availability:
        try:
            import skia  # noqa: F401
            import ziamath  # noqa: F401

            from t2v_studio.engines.local.fonts import shape

            shape("a")
        except Exception as error:
            return Availability(
                False,
                f"The local engine cannot paint: {error}",
                "Run: make setup. On a bare server skia also needs the system libraries libegl1 and libgl1.",
            )
        return Availability(True)

    def render_scene(self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport) -> Frames:
        """RGBA frames of scene `index`. A frame that equals the one before is the same array object;
        frames must not be written to."""
        from t2v_studio.engines.local.composition import compose
        from t2v_studio.engines.local.painter import Raster, design_size

        width, height = design_size(canvas.width, canvas.height)
        view = compose(plan, index, width=width, height=height, theme=canvas.theme, show_sources=canvas.show_sources)
        frames = canvas.scene_frames[index]
        raster = Raster(canvas.width, canvas.height, view.palette.paper)
        for number, (moment, step_frames) in enumerate(moments(view.scene, frames)):
            if number % REPORT_EVERY == 0:
                report(number, frames)
            yield raster.frame(view.items(moment, step_frames / canvas.fps))
        report(frames, frames)

    def provenance(self, plan: ScenePlan, index: int, canvas: Canvas) -> Provenance:
        return Provenance(engine=self.name, model="local", revision=VERSION, seed=plan.seed)

    def notices(self, plan: ScenePlan, canvas: Canvas | None = None) -> list[str]:
        """What of a plan cannot be drawn as it stands, in words."""
        from t2v_studio.engines.local.fonts import undrawable
        from t2v_studio.engines.local.formula import outline

        texts = [plan.topic]
        for scene in plan.scenes:
            texts += [scene.title, *(step.say for step in scene.steps), *(step.show for step in scene.steps)]
        found = []
        missing = undrawable("".join(texts))
        if missing:
            found.append(f'No font has {", ".join(missing[:12])}: drawn as "?". Write these words in Latin letters.')
        for scene in plan.scenes:
            if scene.formula and outline(scene.formula).setter == "plain":
                found.append(f"Scene {scene.id}: the formula cannot be typeset and is shown as plain text.")
        return found
