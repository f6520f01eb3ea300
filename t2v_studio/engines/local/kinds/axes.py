"""Axes with ticks, and curves clipped to them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from t2v_studio.engines.local.display import MIN_TEXT, Box, Formula, Item, Point, Polyline, Text
from t2v_studio.engines.local.kinds.base import Stage
from t2v_studio.engines.local.kinds.numbers import compact
from t2v_studio.engines.local.theme import Palette

TICK = 7.0
BOTTOM = 40.0
TOP = 38.0


@dataclass(frozen=True)
class Axes:
    """A plotting area and its ranges, (low, high) each."""

    box: Box
    x: tuple[float, float]
    y: tuple[float, float]

    def px(self, x: float) -> float:
        return self.box.x + (x - self.x[0]) / (self.x[1] - self.x[0]) * self.box.w

    def py(self, y: float) -> float:
        return self.box.bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * self.box.h

    def at(self, x: float, y: float) -> Point:
        return Point(round(self.px(x), 2), round(self.py(y), 2))

    def holds(self, x: float, y: float) -> bool:
        return self.x[0] <= x <= self.x[1] and self.y[0] <= y <= self.y[1]

    def curve(self, xs: Iterable[float], ys: Iterable[float]) -> list[tuple[Point, ...]]:
        """The pieces of a curve that lie inside."""
        return clip_path([Point(self.px(float(x)), self.py(float(y))) for x, y in zip(xs, ys, strict=True)], self.box)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers in a range: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def plot_axes(
    box: Box, x: tuple[float, float], y: tuple[float, float], stage: Stage, y_ticks: Sequence[float], top: float = TOP
) -> Axes:
    """Axes inside `box` with room for tick labels at the left and below, and a heading of `top` units above."""
    widest = max((stage.measure(compact(tick), MIN_TEXT, "regular") for tick in y_ticks), default=0.0)
    left = widest + TICK + 6 if y_ticks else 4.0
    return Axes(Box(box.x + left, box.y + top, box.w - left - 8, box.h - top - BOTTOM), x, y)


def axis_items(
    axes: Axes, stage: Stage, x_ticks: Sequence[float], y_ticks: Sequence[float],
    x_label: str = "", y_label: str = "", grid: bool = True,
) -> list[Item]:  # fmt: skip
    """Axis lines, ticks, grid and labels: the x label ends the tick row, the y label stands on top of its axis."""
    palette, box = stage.palette, axes.box
    items: list[Item] = []
    label_left = box.right + 8
    if x_label:
        label_left = box.right + 8 - stage.measure(x_label, MIN_TEXT, "regular")
        items.append(_label(x_label, Point(box.right + 8, box.bottom + 24), palette, "right"))
    if y_label:
        items.append(_label(y_label, Point(box.x - TICK, box.y - 20), palette, "left"))
    for tick in x_ticks:
        x = axes.px(tick)
        text = compact(tick)
        half = stage.measure(text, MIN_TEXT, "regular") / 2
        items.append(
            Polyline(points=(Point(x, box.bottom), Point(x, box.bottom + TICK)), stroke=palette.muted, width=2)
        )
        if x + half < label_left - 8 or (not x_label and x + half <= box.right + 9):
            items.append(
                _label(text, Point(max(x, box.x - 4 + half) if not y_ticks else x, box.bottom + 24), palette, "centre")
            )
    for tick in y_ticks:
        y = axes.py(tick)
        if grid and y < box.bottom - 1:
            items.append(
                Polyline(points=(Point(box.x, y), Point(box.right, y)), stroke=palette.line, width=1, layer=-1)
            )
        items.append(_label(compact(tick), Point(box.x - TICK - 3, y), palette, "right"))
    corner = (Point(box.x, box.y), Point(box.x, box.bottom), Point(box.right, box.bottom))
    items.append(Polyline(points=corner, stroke=palette.muted, width=2))
    return items


def _label(text: str, at: Point, palette: Palette, anchor: str) -> Item:
    return Text(at=at, text=text, size=MIN_TEXT, colour=palette.muted, anchor=anchor, name="tick")  # type: ignore[arg-type]


def clip_path(points: Sequence[Point], box: Box) -> list[tuple[Point, ...]]:
    """The pieces of a polyline inside a box, cut where it crosses the border."""
    pieces: list[list[Point]] = []
    for a, b in itertools.pairwise(points):
        inside = clip_segment(a, b, box)
        if inside is None:
            continue
        first, last = inside
        if pieces and pieces[-1][-1] == first:
            pieces[-1].append(last)
        else:
            pieces.append([first, last])
    return [tuple(piece) for piece in pieces]


def clip_segment(a: Point, b: Point, box: Box) -> tuple[Point, Point] | None:
    """The part of a segment inside a box (Liang and Barsky, 1984); None when it misses."""
    low, high = 0.0, 1.0
    dx, dy = b.x - a.x, b.y - a.y
    for direction, gap in ((-dx, a.x - box.x), (dx, box.right - a.x), (-dy, a.y - box.y), (dy, box.bottom - a.y)):
        if abs(direction) < 1e-12:
            if gap < 0:
                return None
            continue
        t = gap / direction
        low, high = (max(low, t), high) if direction < 0 else (low, min(high, t))
    if low > high:
        return None
    ends = [Point(round(a.x + t * dx, 2), round(a.y + t * dy, 2)) for t in (low, high)]
    return ends[0], ends[1]


def formula_label(latex: str, at: Point, size: float, palette: Palette, anchor: str = "left") -> Item:
    return Formula(at=at, latex=latex, size=size, colour=palette.ink, anchor=anchor, name="formula")  # type: ignore[arg-type]
