"""A display list onto any skia canvas: pixels here, SVG and PDF in `figure`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import skia
from numpy.typing import NDArray

from t2v_studio.engines.local.display import (
    SHORT_SIDE,
    Box,
    Circle,
    DisplayList,
    Formula,
    Item,
    Point,
    Polyline,
    Rect,
    Text,
)
from t2v_studio.engines.local.fonts import REFERENCE_SIZE, shape, sized_font
from t2v_studio.engines.local.formula import measure_formula, outline
from t2v_studio.engines.local.text import text_box

HEAD_LENGTH = 4.2
HEAD_WIDTH = 3.6
"""Arrow head in line widths."""

MAX_BUFFERS = 8
_HELD_HERE = 2
"""References to a buffer that nobody else holds: its owner and the question itself."""

MAX_DAMAGE = 6
"""More changed regions than this are painted as one."""


def design_size(width: int, height: int) -> tuple[float, float]:
    """The frame in design units: the shorter side is SHORT_SIDE."""
    unit = SHORT_SIDE / min(width, height)
    return width * unit, height * unit


@lru_cache(maxsize=4096)
def _colour(value: str, alpha: float) -> int:
    r, g, b = (int(value[i : i + 2], 16) for i in (1, 3, 5))
    return skia.Color(r, g, b, round(255 * min(max(alpha, 0.0), 1.0)))


@lru_cache(maxsize=4096)
def _fill(colour: str, alpha: float) -> Any:
    return skia.Paint(Color=_colour(colour, alpha), AntiAlias=True, Style=skia.Paint.kFill_Style)


@lru_cache(maxsize=4096)
def _stroke(colour: str, alpha: float, width: float, dash: tuple[float, ...]) -> Any:
    paint = skia.Paint(
        Color=_colour(colour, alpha),
        AntiAlias=True,
        Style=skia.Paint.kStroke_Style,
        StrokeWidth=width,
        StrokeCap=skia.Paint.kButt_Cap if dash else skia.Paint.kRound_Cap,
        StrokeJoin=skia.Paint.kRound_Join,
    )
    if dash:
        intervals = list(dash) if len(dash) % 2 == 0 else [*dash, *dash]
        paint.setPathEffect(skia.DashPathEffect.Make(intervals, 0.0))
    return paint


@lru_cache(maxsize=4096)
def _line_path(points: tuple[Point, ...], closed: bool, smooth: bool) -> Any:
    path = skia.Path()
    if not points:
        return path
    if not smooth or len(points) < 3:
        path.addPoly([skia.Point(x, y) for x, y in points], closed)
        return path
    path.moveTo(*points[0])
    count = len(points)
    for i in range(count if closed else count - 1):
        before, here = points[i - 1] if closed or i else points[0], points[i]
        after = points[(i + 1) % count]
        beyond = points[(i + 2) % count] if closed or i + 2 < count else after
        path.cubicTo(
            here[0] + (after[0] - before[0]) / 6,
            here[1] + (after[1] - before[1]) / 6,
            after[0] - (beyond[0] - here[0]) / 6,
            after[1] - (beyond[1] - here[1]) / 6,
            after[0],
            after[1],
        )
    if closed:
        path.close()
    return path


@lru_cache(maxsize=4096)
def _text_blob(font_file: str, text: str, size: float) -> Any:
    return skia.TextBlob.MakeFromString(text, sized_font(font_file, size))


def _head(canvas: Any, tip: Point, tail: Point, item: Polyline) -> None:
    length = math.hypot(tip[0] - tail[0], tip[1] - tail[1])
    if length < 1e-6:
        return
    ux, uy = (tip[0] - tail[0]) / length, (tip[1] - tail[1]) / length
    long, half = _head_size(item.width)
    bx, by = tip[0] - ux * long, tip[1] - uy * long
    path = skia.Path()
    corners = [
        (tip[0], tip[1]),
        (bx - uy * half, by + ux * half),
        (bx + ux * long * 0.22, by + uy * long * 0.22),
        (bx + uy * half, by - ux * half),
    ]
    path.addPoly([skia.Point(x, y) for x, y in corners], True)
    canvas.drawPath(path, _fill(item.stroke, item.alpha))


def _head_size(width: float) -> tuple[float, float]:
    return max(width * HEAD_LENGTH, 11.0), max(width * HEAD_WIDTH, 9.5) / 2


def _pulled_back(points: tuple[Point, ...], distance: float) -> tuple[Point, ...]:
    """The last point moved back along its segment, so that the stroke ends inside the arrow head."""
    (x1, y1), (x2, y2) = points[-2], points[-1]
    length = math.hypot(x2 - x1, y2 - y1)
    if length <= distance or length < 1e-6:
        return points
    keep = (length - distance) / length
    return (*points[:-1], Point(x1 + (x2 - x1) * keep, y1 + (y2 - y1) * keep))


def _paint_polyline(canvas: Any, item: Polyline) -> None:
    points = item.points
    if item.fill and len(points) > 2:
        canvas.drawPath(_line_path(points, True, item.smooth), _fill(item.fill, item.alpha))
    if not item.stroke or item.width <= 0 or len(points) < 2:
        return
    if item.arrow:
        back = _head_size(item.width)[0] * 0.7
        points = _pulled_back(points, back)
        if item.arrow == "both":
            points = _pulled_back(points[::-1], back)[::-1]
    canvas.drawPath(
        _line_path(points, item.closed, item.smooth), _stroke(item.stroke, item.alpha, item.width, item.dash)
    )
    if item.arrow:
        _head(canvas, item.points[-1], item.points[-2], item)
        if item.arrow == "both":
            _head(canvas, item.points[0], item.points[1], item)


def _paint_circle(canvas: Any, item: Circle) -> None:
    if item.radius <= 0:
        return
    if item.fill:
        canvas.drawCircle(item.centre[0], item.centre[1], item.radius, _fill(item.fill, item.alpha))
    if item.stroke and item.width > 0:
        canvas.drawCircle(item.centre[0], item.centre[1], item.radius, _stroke(item.stroke, item.alpha, item.width, ()))


def _paint_rect(canvas: Any, item: Rect) -> None:
    if item.box.w <= 0 or item.box.h <= 0:
        return
    area = skia.Rect.MakeXYWH(*item.box)
    radius = min(item.radius, item.box.w / 2, item.box.h / 2)
    if item.fill:
        canvas.drawRoundRect(area, radius, radius, _fill(item.fill, item.alpha))
    if item.stroke and item.width > 0:
        canvas.drawRoundRect(area, radius, radius, _stroke(item.stroke, item.alpha, item.width, item.dash))


def _paint_text(canvas: Any, item: Text) -> None:
    line = shape(item.text, item.weight, item.italic, item.mono)
    unit = item.size / REFERENCE_SIZE
    left = item.at[0] - line.width * unit * {"left": 0.0, "centre": 0.5, "right": 1.0}[item.anchor]
    baseline = item.at[1] + line.cap_height * unit / 2
    paint = _fill(item.colour, item.alpha)
    for run in line.runs:
        blob = _text_blob(run.font_file, run.text, item.size * run.scale)
        if blob is not None:
            canvas.drawTextBlob(blob, left + run.x * unit, baseline, paint)


def _paint_formula(canvas: Any, item: Formula) -> None:
    box = formula_box(item)
    canvas.save()
    canvas.translate(box.x, box.y)
    canvas.scale(item.size / REFERENCE_SIZE, item.size / REFERENCE_SIZE)
    canvas.drawPath(outline(item.latex).path, _fill(item.colour, item.alpha))
    canvas.restore()


def formula_box(item: Formula) -> Box:
    """The box that a formula fills."""
    width, height = measure_formula(item.latex, item.size)
    left = item.at[0] - width * {"left": 0.0, "centre": 0.5, "right": 1.0}[item.anchor]
    return Box(left, item.at[1] - height / 2, width, height)


_PAINTERS: dict[type[Item], Any] = {
    Polyline: _paint_polyline,
    Circle: _paint_circle,
    Rect: _paint_rect,
    Text: _paint_text,
    Formula: _paint_formula,
}


def in_paint_order(items: Sequence[Item]) -> DisplayList:
    """Items by layer; within a layer as they stand."""
    return tuple(sorted(items, key=lambda item: item.layer))


def paint(canvas: Any, items: Sequence[Item]) -> None:
    """Paint a list in design units onto a canvas that is already scaled."""
    for item in in_paint_order(items):
        if item.alpha > 0.002:
            _PAINTERS[type(item)](canvas, item)


def item_bounds(item: Item) -> Box:
    """A box in units that holds all that an item paints, strokes and heads included."""
    if isinstance(item, Text):
        box = text_box(item.at[0], item.at[1], item.text, item.size, item.weight, item.italic, item.mono, item.anchor)
        return box.inset(-0.2 * item.size, -0.25 * item.size)
    if isinstance(item, Formula):
        return formula_box(item).inset(-2)
    if isinstance(item, Circle):
        reach = item.radius + item.width / 2 + 1
        return Box(item.centre[0] - reach, item.centre[1] - reach, 2 * reach, 2 * reach)
    if isinstance(item, Rect):
        return item.box.inset(-(item.width / 2 + 1))
    assert isinstance(item, Polyline)
    if not item.points:
        return Box(0, 0, 0, 0)
    xs, ys = [p[0] for p in item.points], [p[1] for p in item.points]
    reach = item.width / 2 + 1 + (_head_size(item.width)[1] if item.arrow else 0.0)
    if item.smooth:
        reach += max(max(xs) - min(xs), max(ys) - min(ys)) * 0.1
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)).inset(-reach)


class _Seen:
    """An item of the latest list: its bounds, and the numbers of the frames that showed it first and last."""

    __slots__ = ("bounds", "first", "item", "last")

    def __init__(self, item: Item, frame: int) -> None:
        self.item, self.bounds, self.first, self.last = item, item_bounds(item), frame, frame


@dataclass
class _Buffer:
    """An array that a frame was painted into, and the regions in which later frames differ from it."""

    pixels: NDArray[np.uint8]
    stale: list[Any]


class Raster:
    """Paints successive lists of one scene into RGBA arrays, only where they changed.

    `frame` returns an array of shape (height, width, 4), uint8; the very same object as before
    where the list is the same. An array that someone still holds is never written again; those
    that nobody holds are painted over. Skia smooths an edge that a region cuts slightly otherwise
    than a whole one: single edge pixels may differ from a picture that was painted at once, the
    same way on every run.
    """

    def __init__(self, width: int, height: int, paper: str) -> None:
        self.width, self.height, self.paper = width, height, paper
        self._scale = min(width, height) / SHORT_SIDE
        self._items: DisplayList = ()
        self._seen: dict[Item, _Seen] = {}
        self._shown: list[_Seen] = []
        self._number = 0
        self._pixels: NDArray[np.uint8] | None = None
        self._buffers: list[_Buffer] = []

    def frame(self, items: Sequence[Item]) -> NDArray[np.uint8]:
        ordered = in_paint_order([item for item in items if item.alpha > 0.002])
        if self._pixels is not None and ordered == self._items:
            return self._pixels
        self._number += 1
        shown = [self._entry(item) for item in ordered]
        areas = self._damage(shown)
        buffer = self._free_buffer()
        pixels = buffer.pixels
        if self._pixels is not None:
            for area in buffer.stale:
                rows, columns = slice(area.top(), area.bottom()), slice(area.left(), area.right())
                pixels[rows, columns] = self._pixels[rows, columns]
        self._paint(pixels, shown, areas)
        for other in self._buffers:
            for area in areas:
                _merge(other.stale, area.makeOffset(0, 0))
        buffer.stale = []
        for entry in self._shown:
            if entry.last != self._number:
                self._seen.pop(entry.item, None)
        self._items, self._shown, self._pixels = ordered, shown, pixels
        return pixels

    def _entry(self, item: Item) -> _Seen:
        entry = self._seen.get(item)
        if entry is None:
            entry = self._seen[item] = _Seen(item, self._number)
        entry.last = self._number
        return entry

    def _free_buffer(self) -> _Buffer:
        """An array that nobody outside holds: fresh memory costs more than painting into it."""
        for buffer in self._buffers:
            if buffer.pixels is not self._pixels and sys.getrefcount(buffer.pixels) <= _HELD_HERE:
                return buffer
        buffer = _Buffer(np.empty((self.height, self.width, 4), np.uint8), [self._whole()])
        if len(self._buffers) < MAX_BUFFERS:
            self._buffers.append(buffer)
        return buffer

    def _whole(self) -> Any:
        return skia.IRect.MakeWH(self.width, self.height)

    def _damage(self, shown: list[_Seen]) -> list[Any]:
        number, whole = self._number, self._whole()
        kept_before = [entry for entry in self._shown if entry.last == number]
        if self._pixels is None or kept_before != [entry for entry in shown if entry.first != number]:
            return [whole]
        changed = [entry.bounds for entry in self._shown if entry.last != number]
        changed += [entry.bounds for entry in shown if entry.first == number]
        areas: list[Any] = []
        for box in changed:
            area = self._pixel_area(box)
            if area.intersect(whole):
                _merge(areas, area)
        while len(areas) > MAX_DAMAGE:
            last = areas.pop()
            areas[-1].join(last)
        return areas

    def _pixel_area(self, box: Box) -> Any:
        s = self._scale
        return skia.IRect.MakeLTRB(
            math.floor(box.x * s) - 2,
            math.floor(box.y * s) - 2,
            math.ceil(box.right * s) + 2,
            math.ceil(box.bottom * s) + 2,
        )

    def _paint(self, pixels: NDArray[np.uint8], shown: list[_Seen], areas: list[Any]) -> None:
        canvas = skia.Surface(pixels).getCanvas()
        clear = skia.Paint(Color=_colour(self.paper, 1.0))
        s = self._scale
        for area in areas:
            canvas.save()
            canvas.clipRect(skia.Rect.Make(area))
            canvas.drawPaint(clear)
            canvas.scale(s, s)
            region = Box(area.left() / s, area.top() / s, area.width() / s, area.height() / s)
            for entry in shown:
                if _touch(region, entry.bounds):
                    _PAINTERS[type(entry.item)](canvas, entry.item)
            canvas.restore()


def _touch(a: Box, b: Box) -> bool:
    return a.x <= b.x + b.w and b.x <= a.x + a.w and a.y <= b.y + b.h and b.y <= a.y + a.h


def _merge(areas: list[Any], area: Any) -> None:
    """Adds a region, joined with those that it touches."""
    merged = True
    while merged:
        merged = False
        for i, other in enumerate(areas):
            if skia.IRect.Intersects(other, area):
                area.join(areas.pop(i))
                merged = True
                break
    areas.append(area)
