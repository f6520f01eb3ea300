"""Text and formulas as Manim mobjects, from the typefaces and the typesetter of the local engine: no LaTeX, no
font of the system, the same outline on every machine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from manim import VMobject
from numpy.typing import NDArray

from t2v_studio.engines.local.fonts import REFERENCE_SIZE, shape, sized_font
from t2v_studio.engines.local.formula import outline

UNITS = 90.0
"""Design units in one of Manim's."""
EM = 0.0153
"""Height of one em in Manim's units for each point of a font size: so a size means here what it means in Text."""

Points = NDArray[np.float64]


def cubics(path: Any) -> Points:
    """A skia path as Manim's points: four to a cubic, subpaths one after the other, y upwards, in path units."""
    import skia

    curves: list[tuple[tuple[float, float], ...]] = []
    start = here = (0.0, 0.0)
    verbs = skia.Path
    for verb, raw in path:
        points = [(float(p.x()), float(p.y())) for p in raw]
        if verb == verbs.kMove_Verb:
            start = here = points[0]
        elif verb == verbs.kLine_Verb:
            curves.append(_line(points[0], points[1]))
            here = points[1]
        elif verb in (verbs.kQuad_Verb, verbs.kConic_Verb):
            curves.append(_quadratic(*points[:3]))
            here = points[2]
        elif verb == verbs.kCubic_Verb:
            curves.append(tuple(points))
            here = points[3]
        elif verb == verbs.kClose_Verb and here != start:
            curves.append(_line(here, start))
            here = start
    flat = np.zeros((4 * len(curves), 3))
    if curves:
        flat[:, :2] = np.array(curves).reshape(-1, 2) * (1, -1)
    return flat


def _line(a: tuple[float, float], b: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    third = ((b[0] - a[0]) / 3, (b[1] - a[1]) / 3)
    return a, (a[0] + third[0], a[1] + third[1]), (b[0] - third[0], b[1] - third[1]), b


def _quadratic(
    a: tuple[float, float], c: tuple[float, float], b: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    toward = lambda p: (p[0] + 2 / 3 * (c[0] - p[0]), p[1] + 2 / 3 * (c[1] - p[1]))  # noqa: E731
    return a, toward(a), toward(b), b


@lru_cache(maxsize=2048)
def _glyph(font_file: str, glyph: int) -> Points:
    path = sized_font(font_file, REFERENCE_SIZE).getPath(glyph)
    return cubics(path) if path is not None else np.zeros((0, 3))


@lru_cache(maxsize=2048)
def _written(text: str, weight: str, italic: bool, mono: bool) -> tuple[Points, float, float]:
    """Points of a line from its left end on the baseline, its width and the height of a capital, at REFERENCE_SIZE."""
    line = shape(text, weight, italic, mono)
    parts = []
    for run in line.runs:
        font = sized_font(run.font_file, REFERENCE_SIZE)
        glyphs = font.textToGlyphs(run.text)
        x = run.x
        for glyph, advance in zip(glyphs, font.getWidths(glyphs), strict=True):
            drawn = _glyph(run.font_file, glyph)
            if len(drawn):
                parts.append(drawn * run.scale + (x, 0, 0))
            x += advance * run.scale
    return (np.concatenate(parts) if parts else np.zeros((0, 3))), line.width, line.cap_height


class Lettering(VMobject):
    """One line of text in the house's typeface, as one mobject. size: in design units; the em is size / 90."""

    def __init__(self, text: str, size: float = 26.0, color: Any = "#ffffff", weight: str = "regular", *,
                 italic: bool = False, mono: bool = False, opacity: float = 1.0, **kwargs: Any) -> None:  # fmt: skip
        super().__init__(fill_color=color, fill_opacity=opacity, stroke_width=0, **kwargs)
        self.text = text
        points, width, capital = _written(text, weight, italic, mono)
        unit = size / REFERENCE_SIZE / UNITS
        self.capital, self.line_width = capital * unit, width * unit
        self.set_points(points * unit)
        self._tall = self.height

    def capital_height(self) -> float:
        """Height of a capital, after whatever scaling was done."""
        return float(self.capital * (self.height / self._tall if self._tall else 1.0))


class Formula(VMobject):
    """A formula in LaTeX notation, without dollar signs, centred on the origin; set by ziamath, so no LaTeX is needed.

    font_size: as in Manim's Text. What cannot be set is written as plain text.
    """

    def __init__(self, latex: str, font_size: float = 48.0, color: Any = "#ffffff", **kwargs: Any) -> None:
        super().__init__(fill_color=color, fill_opacity=1.0, stroke_width=0, **kwargs)
        self.text = latex
        drawn = outline(latex)
        unit = font_size * EM / REFERENCE_SIZE
        self.capital = 0.66 * REFERENCE_SIZE * unit
        self.set_points((_formula_points(latex) - (drawn.width / 2, -drawn.height / 2, 0)) * unit)
        self._tall = self.height

    def capital_height(self) -> float:
        return float(self.capital * (self.height / self._tall if self._tall else 1.0))


@lru_cache(maxsize=256)
def _formula_points(latex: str) -> Points:
    return cubics(outline(latex).path)
