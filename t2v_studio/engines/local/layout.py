"""Where everything stands in the frame: named regions for 16:9, 1:1 and 9:16.

Regions depend on the shape of the frame, the kind of diagram, its legend and its formula, never on
the texts of the steps: both arms of a pair get the same regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from t2v_studio.engines.local.display import MIN_TEXT, Box
from t2v_studio.engines.local.formula import measure_formula
from t2v_studio.engines.local.kinds.base import LegendEntry
from t2v_studio.engines.local.text import LINE_HEIGHT, measure

LEGEND_SIZE = 24.0
LEGEND_ROW = 34.0
LEGEND_MARK = 40.0
LEGEND_GAP = 34.0
FORMULA_SIZE = 34.0
FORMULA_SMALLEST = 22.0
SAY_SIZE = 26.0
SHOW_SIZE = 28.0
GAP = 12.0


@dataclass(frozen=True)
class Regions:
    """Boxes in design units. `card` is the sheet that holds the stage; regions that are empty are None."""

    frame: Box
    kicker: Box
    progress: Box
    title: Box
    title_size: float
    card: Box
    stage: Box
    legend: Box | None
    caption: Box
    say_lines: int
    has_show: bool
    formula: Box | None
    footer: Box | None


@dataclass(frozen=True)
class _Shape:
    margin: float
    top: float
    title_height: float
    title_size: float
    say_lines: int
    progress_width: float


_WIDE = _Shape(margin=52, top=26, title_height=50, title_size=40, say_lines=2, progress_width=330)
_SQUARE = _Shape(margin=36, top=22, title_height=68, title_size=34, say_lines=2, progress_width=250)
_TALL = _Shape(margin=40, top=44, title_height=92, title_size=42, say_lines=3, progress_width=270)
_KICKER_ROW = 30.0
_FOOTER = 46.0


def shape_of(width: float, height: float) -> str:
    """wide, square or tall."""
    ratio = width / height
    return "wide" if ratio > 1.25 else "tall" if ratio < 0.8 else "square"


def legend_rows(entries: Sequence[LegendEntry], width: float) -> list[list[LegendEntry]]:
    """Entries flowed into rows of a width."""
    rows: list[list[LegendEntry]] = []
    used = 0.0
    for entry in entries:
        need = LEGEND_MARK + min(measure(entry.label, LEGEND_SIZE), width - LEGEND_MARK)
        if rows and used + LEGEND_GAP + need <= width:
            rows[-1].append(entry)
            used += LEGEND_GAP + need
        else:
            rows.append([entry])
            used = need
    return rows


def arrange(
    width: float, height: float, *, legend: Sequence[LegendEntry], formula: str, has_show: bool, show_sources: bool
) -> Regions:
    """The regions of a scene. `has_show`: the caption has a bold line above what is said."""
    shape = {"wide": _WIDE, "square": _SQUARE, "tall": _TALL}[shape_of(width, height)]
    m, inner = shape.margin, width - 2 * shape.margin
    kicker = Box(m, shape.top, inner - shape.progress_width - 24, _KICKER_ROW)
    progress = Box(width - m - shape.progress_width, shape.top, shape.progress_width, _KICKER_ROW)
    title = Box(m, shape.top + _KICKER_ROW + 2, inner, shape.title_height)

    footer = Box(m, height - _FOOTER, inner, 34.0) if show_sources else None
    bottom = height - (_FOOTER + 4 if show_sources else 28.0)
    beside = shape is _WIDE and bool(formula)
    say_lines = shape.say_lines if has_show or (shape is _WIDE and not beside) else shape.say_lines + 1
    caption_height = (SHOW_SIZE * LINE_HEIGHT if has_show else 0.0) + say_lines * SAY_SIZE * LINE_HEIGHT
    caption = Box(m, bottom - caption_height, inner, caption_height)

    formula_box: Box | None = None
    floor = caption.y - GAP
    if formula:
        formula_box, caption, floor = _place_formula(formula, caption, floor, shape is _WIDE)
    legend_box: Box | None = None
    if legend:
        rows = len(legend_rows(legend, inner))
        legend_box = Box(m, floor - rows * LEGEND_ROW + 4, inner, rows * LEGEND_ROW)
        floor = legend_box.y - 6
    top = title.bottom + GAP - 2
    card = Box(m - 8, top, inner + 16, floor - top)
    return Regions(
        frame=Box(0, 0, width, height),
        kicker=kicker,
        progress=progress,
        title=title,
        title_size=shape.title_size,
        card=card,
        stage=card.inset(20, 16),
        legend=legend_box,
        caption=caption,
        say_lines=say_lines,
        has_show=has_show,
        formula=formula_box,
        footer=footer,
    )


def _place_formula(formula: str, caption: Box, floor: float, wide: bool) -> tuple[Box, Box, float]:
    """Beside the caption where it fits there, else a strip of its own above it."""
    natural_width, natural_height = measure_formula(formula, FORMULA_SIZE)
    if wide:
        share = min(max(natural_width + 56, 220.0), caption.w * 0.42)
        scale = min(1.0, (share - 40) / natural_width, (caption.h - 12) / natural_height)
        if scale * FORMULA_SIZE >= FORMULA_SMALLEST:
            beside = Box(caption.right - share + 8, caption.y, share, caption.h)
            return beside, Box(caption.x, caption.y, caption.w - share - 16, caption.h), floor
    scale = min(1.0, (caption.w - 40) / natural_width)
    tallest = 92.0 if caption.y < 700 else 110.0
    height = min(max(natural_height * scale + 14, MIN_TEXT + 20), tallest)
    strip = Box(caption.x - 8, floor - height, caption.w + 16, height)
    return strip, caption, strip.y - GAP
