"""Items of the local engine's display list as Manim mobjects: the same picture, in Manim's hands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from manim import Circle as Ring
from manim import DashedVMobject, Mobject, VGroup, VMobject
from manim.constants import CapStyleType, LineJointType

from t2v_studio.engines.local.display import Circle, Formula, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.manim import outlines
from t2v_studio.engines.manim.outlines import EM, UNITS, Lettering

STROKE = 100.0 / UNITS
"""Manim's stroke width for one design unit."""
_KAPPA = 0.5522847498
HEAD_LENGTH, HEAD_WIDTH = 4.2, 3.6
"""Arrow head in line widths, as the local engine draws it."""


class Sheet:
    """Turns items into mobjects for a frame of width x height design units."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height

    def at(self, x: float, y: float) -> Any:
        """A place in design units (origin top left, y down) as Manim's point."""
        return np.array([(x - self.width / 2) / UNITS, (self.height / 2 - y) / UNITS, 0.0])

    def mobject(self, item: Item, rank: int) -> Mobject:
        """The mobject of an item; rank orders what lies above what."""
        made = _MAKERS[type(item)](self, item)
        made.lint_name = item.name  # type: ignore[attr-defined]
        return made.set_z_index(item.layer * 1000 + rank)  # type: ignore[no-any-return]

    def _polyline(self, item: Polyline) -> VMobject:
        points = [self.at(*point) for point in item.points]
        if len(points) < 2:
            return VMobject(stroke_width=0)
        if not item.arrow:
            return self._path(item, points)
        head, half = _head_size(item.width)
        trunk = _shortened(points, head * 0.7 / UNITS)
        if item.arrow == "both":
            trunk = _shortened(trunk[::-1], head * 0.7 / UNITS)[::-1]
        group = VGroup(self._path(item, trunk), self._head(item, points[-1], points[-2], head, half))
        if item.arrow == "both":
            group.add(self._head(item, points[0], points[1], head, half))
        return group

    def _path(self, item: Polyline, points: list[Any]) -> VMobject:
        line = VMobject(
            stroke_color=item.stroke or "#000000", stroke_width=item.width * STROKE if item.stroke else 0,
            stroke_opacity=item.alpha, fill_color=item.fill or "#000000", fill_opacity=item.alpha if item.fill else 0.0,
            joint_type=LineJointType.ROUND, cap_style=CapStyleType.BUTT if item.dash else CapStyleType.ROUND,
        )  # fmt: skip
        around = [*points, points[0]] if item.closed else points
        if item.smooth and len(points) > 2:
            line.set_points(_catmull_rom(around, item.closed))
        else:
            line.set_points_as_corners(np.array(around))
        return _dashed(line, item.dash)

    def _head(self, item: Polyline, tip: Any, tail: Any, long: float, half: float) -> VMobject:
        way = tip - tail
        length = float(np.linalg.norm(way)) or 1.0
        u = way / length
        n = np.array([-u[1], u[0], 0.0])
        long, half = long / UNITS, half / UNITS
        base = tip - u * long
        corners = [tip, base + n * half, base + u * long * 0.22, base - n * half, tip]
        head = VMobject(stroke_width=0, fill_color=item.stroke, fill_opacity=item.alpha)
        return head.set_points_as_corners(np.array(corners))

    def _circle(self, item: Circle) -> VMobject:
        ring = Ring(radius=max(item.radius, 0.01) / UNITS)
        ring.set_fill(item.fill or "#000000", item.alpha if item.fill else 0.0)
        ring.set_stroke(item.stroke or "#000000", item.width * STROKE if item.stroke else 0, item.alpha)
        return ring.move_to(self.at(*item.centre))

    def _rect(self, item: Rect) -> VMobject:
        made = VMobject(
            fill_color=item.fill or "#000000", fill_opacity=item.alpha if item.fill else 0.0,
            stroke_color=item.stroke or "#000000", stroke_width=item.width * STROKE if item.stroke else 0,
            stroke_opacity=item.alpha, cap_style=CapStyleType.BUTT,
        )  # fmt: skip
        box = item.box
        radius = max(min(item.radius, box.w / 2, box.h / 2), 0.0)
        made.set_points(np.array([self.at(*p) for p in _rounded(box.x, box.y, box.right, box.bottom, radius)]))
        return _dashed(made, item.dash)

    def _text(self, item: Text) -> VMobject:
        line = Lettering(item.text, item.size, item.colour, item.weight, italic=item.italic, mono=item.mono,
                         opacity=item.alpha)  # fmt: skip
        left = item.at[0] - line.line_width * UNITS * {"left": 0.0, "centre": 0.5, "right": 1.0}[item.anchor]
        return line.shift(self.at(left, item.at[1] + line.capital * UNITS / 2))

    def _formula(self, item: Formula) -> VMobject:
        made = outlines.Formula(item.latex, item.size / UNITS / EM, item.colour)
        made.set_fill(item.colour, item.alpha)
        shift = {"left": 0.5, "centre": 0.0, "right": -0.5}[item.anchor] * made.width
        return made.shift(self.at(*item.at) + np.array([shift, 0.0, 0.0]))


_MAKERS: dict[type[Item], Any] = {
    Polyline: Sheet._polyline, Circle: Sheet._circle, Rect: Sheet._rect, Text: Sheet._text, Formula: Sheet._formula,
}  # fmt: skip


def _dashed(line: VMobject, dash: tuple[float, ...]) -> VMobject:
    """Dashes of a path as one mobject (one for each dash is slow to draw); none where it is too short to have two."""
    if not dash:
        return line
    period = sum(dash) / UNITS
    count = round(line.get_arc_length() / period)
    if count < 2:
        return line
    pieces = DashedVMobject(line, num_dashes=count, dashed_ratio=dash[0] / sum(dash))
    dashes = VMobject().match_style(line).set_fill(opacity=0)
    dashes.cap_style = CapStyleType.BUTT
    dashes.set_points(np.concatenate([piece.points for piece in pieces.family_members_with_points()]))
    if line.get_fill_opacity() > 0:
        return VGroup(line.copy().set_stroke(width=0), dashes)
    return dashes


def _head_size(width: float) -> tuple[float, float]:
    return max(width * HEAD_LENGTH, 11.0), max(width * HEAD_WIDTH, 9.5) / 2


def _shortened(points: list[Any], distance: float) -> list[Any]:
    """The last point moved back along its segment, so that the stroke ends inside the arrow head."""
    way = points[-1] - points[-2]
    length = float(np.linalg.norm(way))
    if length <= distance or length < 1e-6:
        return points
    return [*points[:-1], points[-2] + way * ((length - distance) / length)]


def _catmull_rom(points: list[Any], closed: bool) -> Any:
    """Cubics through points; a closed path names its first point again at the end."""
    count = len(points) - 1
    curves = []
    for i in range(count):
        here, after = points[i], points[i + 1]
        before = points[i - 1] if i else (points[count - 1] if closed else here)
        beyond = points[i + 2] if i + 2 <= count else (points[1] if closed else after)
        curves += [here, here + (after - before) / 6, after - (beyond - here) / 6, after]
    return np.array(curves)


def _rounded(left: float, top: float, right: float, bottom: float, r: float) -> list[Point]:
    """A rectangle with round corners as cubics, clockwise from the top left, in design units."""
    k = r * (1 - _KAPPA)
    corners = [
        ((right - r, top), (right - k, top), (right, top + k), (right, top + r)),
        ((right, bottom - r), (right, bottom - k), (right - k, bottom), (right - r, bottom)),
        ((left + r, bottom), (left + k, bottom), (left, bottom - k), (left, bottom - r)),
        ((left, top + r), (left, top + k), (left + k, top), (left + r, top)),
    ]
    here = (left + r, top)
    points: list[tuple[float, float]] = []
    for corner in corners:
        points += _straight(here, corner[0])
        if r > 0:
            points += corner
        here = corner[3]
    return [Point(*point) for point in points]


def _straight(a: tuple[float, float], b: tuple[float, float]) -> list[tuple[float, float]]:
    if math.dist(a, b) < 1e-9:
        return []
    return [(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for t in (0.0, 1 / 3, 2 / 3, 1.0)]
