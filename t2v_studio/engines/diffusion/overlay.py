"""Titles, formula, captions and progress over footage: video models cannot write, so the local engine's painter does.

Text stands on a scrim dense enough that it is readable over any picture. The layout is the local engine's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t2v_studio.engines.base import Canvas
from t2v_studio.planning.plan import Scene, ScenePlan

SCRIM = 0.86
"""Opacity of the ground under text: black or white footage behind it leaves ink at 9:1 or more."""
FADE = (0.6, 0.38, 0.2, 0.08)
"""Opacity of the scrim's edge towards the picture, in strips of FADE_STRIP units."""
FADE_STRIP = 5.0
EDGE = 24.0
"""Least distance of text from the frame's edge, in units."""
READING_S = 1.2
"""A step that is told in less shows its label alone: nobody reads a sentence in that time."""


def draw(
    frames: NDArray[np.uint8], plan: ScenePlan, index: int, canvas: Canvas, *, first: int = 0
) -> NDArray[np.uint8]:
    """Frames (F, H, W, 3) of scene `index` with its texts, as new arrays.

    first: number of the scene's frames before frames[0]. The source footer stands only where canvas.show_sources.
    """
    from t2v_studio.engines.local.painter import design_size
    from t2v_studio.engines.local.timeline import moments

    height, width = frames.shape[1:3]
    view = _View(plan, index, canvas, design_size(width, height))
    told = moments(view.scene, canvas.scene_frames[index])[first : first + len(frames)]
    made = np.empty_like(frames)
    held: tuple[Any, NDArray[np.uint8]] | None = None
    for number, (moment, step_frames) in enumerate(told):
        items = view.items(moment, step_frames / canvas.fps)
        if held is None or held[0] != items:
            held = (items, _painted(items, width, height))
        made[number] = _over(frames[number], held[1])
    return made


class _View:
    """One scene's display lists: the still part once, the moving part for each moment."""

    def __init__(self, plan: ScenePlan, index: int, canvas: Canvas, size: tuple[float, float]) -> None:
        from t2v_studio.engines.local import furniture
        from t2v_studio.engines.local.layout import arrange
        from t2v_studio.engines.local.theme import PALETTES

        self.scene = _labelled(plan.scenes[index])
        self.show_sources = canvas.show_sources and bool(plan.sources)
        palette = PALETTES[canvas.theme]
        self.palette = replace(palette, muted=palette.ink)  # small grey text is for paper, not for footage
        self.sources = {source.id: source for source in plan.sources}
        has_show = any(step.show for step in self.scene.steps)
        self.regions = _tightened(
            arrange(*size, legend=(), formula=self.scene.formula, has_show=has_show, show_sources=self.show_sources)
        )
        self.still = [
            *self._scrims(),
            *furniture.heading(self.regions, self.palette, "", self.scene.title),
            *furniture.formula(self.regions, self.palette, self.scene.formula),
        ]

    def items(self, moment: Any, step_seconds: float) -> tuple[Any, ...]:
        from t2v_studio.engines.local import furniture

        step = self.scene.steps[moment.step]
        if step_seconds < READING_S:
            moment = replace(moment, progress=1.0)
            caption = self._label_alone(step.show or step.say)
        else:
            caption = furniture.caption(
                self.regions,
                self.palette,
                step,
                moment,
                readout="",
                quoted=self.show_sources and bool(step.cites),
                step_seconds=step_seconds,
            )
        sources = [self.sources[cite] for cite in step.cites] if self.show_sources else []
        return (
            *self.still,
            *furniture.progress(self.regions, self.palette, len(self.scene.steps), moment),
            *caption,
            *furniture.footer(self.regions, self.palette, sources),
        )

    def _label_alone(self, text: str) -> Sequence[Any]:
        from t2v_studio.engines.local.display import Point, Text
        from t2v_studio.engines.local.layout import SHOW_SIZE
        from t2v_studio.engines.local.text import LINE_HEIGHT, fit

        box = self.regions.caption
        fitted = fit(text, box.w, box.h, SHOW_SIZE + 4, weight="bold", max_lines=2)
        top = box.centre.y - (len(fitted.lines) - 1) * fitted.size * LINE_HEIGHT / 2
        return [
            Text(
                at=Point(box.x, top + n * fitted.size * LINE_HEIGHT),
                text=line,
                size=fitted.size,
                colour=self.palette.ink,
                weight="bold",
                name="show",
            )
            for n, line in enumerate(fitted.lines)
        ]

    def _scrims(self) -> list[Any]:
        """A band above and one below, each with a soft edge towards the picture."""
        from t2v_studio.engines.local.display import Box, Rect

        frame, regions = self.regions.frame, self.regions
        over = max(regions.title.bottom, regions.progress.bottom) + 4
        under = min(box.y for box in (regions.caption, regions.formula) if box is not None) - 12
        bands = [Box(frame.x, frame.y, frame.w, over - frame.y), Box(frame.x, under, frame.w, frame.bottom - under)]
        strips = [(band, SCRIM) for band in bands]
        for n, alpha in enumerate(FADE):
            strips.append((Box(frame.x, over + n * FADE_STRIP, frame.w, FADE_STRIP), alpha))
            strips.append((Box(frame.x, under - (n + 1) * FADE_STRIP, frame.w, FADE_STRIP), alpha))
        return [
            Rect(box=box, fill=self.palette.paper, width=0, alpha=alpha, layer=-20, name="scrim")
            for box, alpha in strips
        ]


def _tightened(regions: Any) -> Any:
    """The local engine's layout with more of the picture free: no topic line, title beside progress, less margin below."""
    title = regions.title._replace(y=regions.kicker.y - 6)
    if regions.frame.w > regions.frame.h:
        title = title._replace(w=regions.title.w - regions.progress.w - EDGE)
    else:
        title = title._replace(y=regions.kicker.bottom)
    progress = regions.progress._replace(y=title.centre.y - regions.progress.h / 2)
    if regions.frame.w <= regions.frame.h:
        progress = regions.progress
    lower = {name: box for name in ("caption", "formula", "footer") if (box := getattr(regions, name)) is not None}
    down = max(0.0, regions.frame.bottom - EDGE - max(box.bottom for box in lower.values()))
    moved = {name: box._replace(y=box.y + down) for name, box in lower.items()}
    return replace(regions, title=title, progress=progress, **moved)


def _labelled(scene: Scene) -> Scene:
    return scene.model_copy(update={"formula": scene.formula.strip()})


def _painted(items: Sequence[Any], width: int, height: int) -> NDArray[np.uint8]:
    """The list on nothing: (H, W, 4), colours multiplied by their opacity."""
    import skia

    from t2v_studio.engines.local.display import SHORT_SIDE
    from t2v_studio.engines.local.painter import paint

    pixels = np.zeros((height, width, 4), np.uint8)
    surface = skia.Surface(pixels, colorType=skia.kRGBA_8888_ColorType, alphaType=skia.kPremul_AlphaType)
    canvas = surface.getCanvas()
    canvas.scale(min(width, height) / SHORT_SIDE, min(width, height) / SHORT_SIDE)
    paint(canvas, items)
    return pixels


def _over(frame: NDArray[np.uint8], painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The painted texts over one frame; rows without any are taken as they are."""
    made = frame.copy()
    rows = painted[..., 3].any(axis=1)
    clear = 255 - painted[rows, :, 3:].astype(np.uint16)
    behind = (frame[rows] * clear + 127) // 255
    made[rows] = np.minimum(painted[rows, :, :3] + behind, 255)
    return made
