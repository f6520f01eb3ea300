"""Typeset formulas as outlines: ziamath first, matplotlib's mathtext next, plain text last."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

from t2v_studio.engines.local.fonts import REFERENCE_SIZE, shape, sized_font

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outline:
    """A formula as one path with its top left at (0, 0), at REFERENCE_SIZE. `setter`: ziamath, mathtext or plain."""

    path: Any
    width: float
    height: float
    setter: str


@lru_cache(maxsize=512)
def outline(latex: str) -> Outline:
    """The outline of a LaTeX formula (without dollar signs). Never fails: the plain text stands in."""
    for name, setter in (("ziamath", _ziamath), ("mathtext", _mathtext)):
        try:
            path = setter(latex)
        except Exception as error:
            log.info("formula: %s cannot set %r (%s)", name, latex, error)
            continue
        if path is not None and not path.isEmpty():
            return _at_origin(path, name)
    return _at_origin(_plain(latex), "plain")


def measure_formula(latex: str, size: float) -> tuple[float, float]:
    """Width and height of a formula in units."""
    drawn = outline(latex)
    return drawn.width * size / REFERENCE_SIZE, drawn.height * size / REFERENCE_SIZE


def _at_origin(path: Any, setter: str) -> Outline:
    import skia

    bounds = path.computeTightBounds()
    path.transform(skia.Matrix.Translate(-bounds.left(), -bounds.top()))
    return Outline(path, bounds.width(), bounds.height(), setter)


def _ziamath(latex: str) -> Any:
    import skia
    import ziamath

    before = ziamath.config.svg2
    ziamath.config.svg2 = False
    try:
        root = ElementTree.fromstring(ziamath.Latex(latex, size=REFERENCE_SIZE).svg())
    finally:
        ziamath.config.svg2 = before
    path = skia.Path()
    for element in root.iter():
        tag = element.tag.rsplit("}", 1)[-1]
        if tag == "path":
            _append_svg_path(path, element.attrib["d"])
        elif tag == "rect":
            x, y, w, h = (float(element.attrib[key]) for key in ("x", "y", "width", "height"))
            path.addRect(skia.Rect.MakeXYWH(x, y, w, h))
        elif tag == "line":
            _append_line(path, element.attrib)
    return path


def _append_line(path: Any, attributes: dict[str, str]) -> None:
    import skia

    x1, y1, x2, y2 = (float(attributes[key]) for key in ("x1", "y1", "x2", "y2"))
    half = float(attributes.get("stroke-width", "4")) / 2
    path.addRect(skia.Rect.MakeLTRB(min(x1, x2) - half, min(y1, y2) - half, max(x1, x2) + half, max(y1, y2) + half))


def _append_svg_path(path: Any, data: str) -> None:
    """Adds absolute M, L, Q, C and Z commands, the only ones that ziamath writes."""
    counts = {"M": 2, "L": 2, "Q": 4, "C": 6, "Z": 0}
    adders = {"M": path.moveTo, "L": path.lineTo, "Q": path.quadTo, "C": path.cubicTo}
    tokens = re.findall(r"[A-Za-z]|-?\d*\.?\d+(?:e-?\d+)?", data)
    position, command = 0, "M"
    while position < len(tokens):
        if tokens[position].isalpha():
            command = tokens[position]
            position += 1
        if command == "Z":
            path.close()
            continue
        count = counts[command]
        adders[command](*(float(token) for token in tokens[position : position + count]))
        position += count


def _mathtext(latex: str) -> Any:
    import skia
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path as Outlines
    from matplotlib.textpath import TextPath

    source = TextPath((0, 0), f"${latex}$", size=REFERENCE_SIZE, prop=FontProperties(math_fontfamily="stix"))
    path = skia.Path()
    for points, code in source.iter_segments(curves=True, simplify=False):
        values = [float(v) * (-1 if i % 2 else 1) for i, v in enumerate(points)]
        if code == Outlines.MOVETO:
            path.moveTo(*values)
        elif code == Outlines.LINETO:
            path.lineTo(*values)
        elif code == Outlines.CURVE3:
            path.quadTo(*values)
        elif code == Outlines.CURVE4:
            path.cubicTo(*values)
        elif code == Outlines.CLOSEPOLY:
            path.close()
    return path


def _plain(latex: str) -> Any:
    import skia

    path = skia.Path()
    for run in shape(latex or "?").runs:
        font = sized_font(run.font_file, REFERENCE_SIZE * run.scale)
        glyphs = font.textToGlyphs(run.text)
        x = run.x
        for glyph, advance in zip(glyphs, font.getWidths(glyphs), strict=True):
            piece = font.getPath(glyph)
            if piece is not None:
                path.addPath(piece, x, 0.0)
            x += advance
    return path
