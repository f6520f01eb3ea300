"""One moment of a plan as a figure for a thesis: SVG, PDF or PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import skia

from t2v_studio.engines.base import Theme
from t2v_studio.engines.local.composition import Composition, compose
from t2v_studio.engines.local.display import SHORT_SIDE, Item
from t2v_studio.engines.local.painter import Raster, design_size, paint
from t2v_studio.engines.local.timeline import moment_at
from t2v_studio.errors import InputError
from t2v_studio.planning.plan import ScenePlan

SUFFIXES = (".svg", ".pdf", ".png")
POINTS_A_UNIT = 0.5
"""A 16:9 figure is 640 x 360 points in a PDF: about the width of a page."""


def figure(
    plan: ScenePlan,
    scene: int,
    at: float,
    output: Path,
    *,
    width: int = 1280,
    height: int = 720,
    theme: Theme = "light",
    show_sources: bool = True,
) -> Path:
    """Write the moment `at` (0 to 1) of scene `scene` (from 1); the suffix of `output` names the format.

    Raises InputError for another suffix, a scene that is not there or a moment outside 0 to 1.
    """
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            "bad_figure", f'output: "{output.name}" is no .svg, .pdf or .png file.', "Name a file that ends so."
        )
    if not 1 <= scene <= len(plan.scenes):
        raise InputError(
            "no_such_scene", f"scene: {scene} is not in the plan.", f"Give a number from 1 to {len(plan.scenes)}."
        )
    if not 0.0 <= at <= 1.0:
        raise InputError(
            "bad_moment", f"at: {at:g} is not a share of the scene.", "Give a number from 0 (start) to 1 (end)."
        )
    view = _composition(plan, scene - 1, width, height, theme, show_sources)
    items = view.items(*moment_at(view.scene, at))
    data = {".svg": _svg, ".pdf": _pdf, ".png": _png}[suffix](items, width, height, view)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    part.write_bytes(data)
    part.replace(output)
    return output


def _composition(plan: ScenePlan, index: int, width: int, height: int, theme: Theme, show_sources: bool) -> Composition:
    units = design_size(width, height)
    return compose(plan, index, width=units[0], height=units[1], theme=theme, show_sources=show_sources)


def _draw(canvas: Any, items: Sequence[Item], scale: float, paper: str) -> None:
    r, g, b = (int(paper[i : i + 2], 16) for i in (1, 3, 5))
    canvas.drawPaint(skia.Paint(Color=skia.Color(r, g, b)))
    canvas.scale(scale, scale)
    paint(canvas, items)


def _svg(items: Sequence[Item], width: int, height: int, view: Composition) -> bytes:
    """Text becomes outlines: the figure looks the same where the fonts are not installed."""
    stream = skia.DynamicMemoryWStream()
    canvas = skia.SVGCanvas.Make(skia.Rect.MakeWH(width, height), stream, skia.SVGCanvas.kConvertTextToPaths_Flag)
    _draw(canvas, items, min(width, height) / SHORT_SIDE, view.palette.paper)
    del canvas
    return _scalable(bytes(stream.detachAsData()), width, height)


def _scalable(svg: bytes, width: int, height: int) -> bytes:
    """A view box beside the size, so that a page can scale the figure."""
    head, tag, rest = svg.partition(b"<svg ")
    box = f'viewBox="0 0 {width} {height}" '.encode()
    return svg if b"viewBox" in rest.split(b">", 1)[0] else head + tag + box + rest


def _pdf(items: Sequence[Item], width: int, height: int, view: Composition) -> bytes:
    scale = POINTS_A_UNIT
    units = design_size(width, height)
    stream = skia.DynamicMemoryWStream()
    document = skia.PDF.MakeDocument(stream, Title=view.scene.title, Subject=view.plan.topic, Creator="T2V Studio")
    canvas = document.beginPage(units[0] * scale, units[1] * scale)
    _draw(canvas, items, scale, view.palette.paper)
    document.endPage()
    document.close()
    return bytes(stream.detachAsData())


def _png(items: Sequence[Item], width: int, height: int, view: Composition) -> bytes:
    from io import BytesIO

    from PIL import Image

    pixels = Raster(width, height, view.palette.paper).frame(items)
    held = BytesIO()
    Image.fromarray(pixels[:, :, :3]).save(held, "PNG", optimize=True)
    return held.getvalue()
