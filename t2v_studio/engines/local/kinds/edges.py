"""Edges between nodes, what travels along them, and where their labels go."""

from __future__ import annotations

import math
from collections.abc import Iterable

from t2v_studio.engines.local.display import Box, Circle, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import mix
from t2v_studio.engines.local.theme import Palette


def along(a: Point, b: Point, t: float) -> Point:
    return Point(round(mix(a.x, b.x, t), 2), round(mix(a.y, b.y, t), 2))


def between_rims(a: Point, b: Point, start: float, end: float) -> tuple[Point, Point]:
    """The segment from a to b, shortened by a distance at either end."""
    length = math.hypot(b.x - a.x, b.y - a.y) or 1.0
    return along(a, b, start / length), along(a, b, 1 - end / length)


def pulse(a: Point, b: Point, t: float, colour: str, size: float = 8.0, shape: str = "disc", layer: int = 3) -> Item:
    """A value on its way: a disc forward, a diamond backward."""
    centre = along(a, b, t)
    if shape == "disc":
        return Circle(centre=centre, radius=size, fill=colour, layer=layer, name="pulse")
    return diamond(centre, size * 1.2, colour, layer)


def diamond(centre: Point, size: float, colour: str, layer: int = 3, stroke: str = "") -> Item:
    x, y = centre
    corners = (Point(x, y - size), Point(x + size, y), Point(x, y + size), Point(x - size, y))
    return Polyline(points=corners, closed=True, fill=colour, stroke=stroke, width=2, layer=layer, name="pulse")


def label_box(text_width: float, centre: Point, size: float) -> Box:
    """The box that a centred label needs, with a little air."""
    return Box(centre.x - text_width / 2 - 4, centre.y - size * 0.5 - 1, text_width + 8, size + 2)


def tag(text: str, centre: Point, width: float, palette: Palette, size: float, *, colour: str = "", backing: str = "",
        weight: str = "regular", layer: int = 4, alpha: float = 1.0, name: str = "label") -> list[Item]:  # fmt: skip
    """A label on a patch of paper, so that the edge under it does not cross the letters."""
    patch = label_box(width, centre, size)
    return [
        Rect(box=patch, radius=6, fill=backing or palette.surface, layer=layer, alpha=alpha, name=f"{name} patch"),
        Text(at=centre, text=text, size=size, colour=colour or palette.ink, anchor="centre", weight=weight,  # type: ignore[arg-type]
             layer=layer, alpha=alpha, name=name),
    ]  # fmt: skip


def free_place(places: Iterable[Point], width: float, size: float, taken: list[Box], inside: Box) -> Point | None:
    """The first of some places where a label of that width touches nothing taken and stays inside."""
    for place in places:
        box = label_box(width, place, size)
        if inside.contains(box, 0.0) and not any(box.overlap(other) > 0 for other in taken):
            return place
    return None


def distance_to_segment(p: Point, a: Point, b: Point) -> float:
    dx, dy = b.x - a.x, b.y - a.y
    t = min(max(((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy or 1.0), 0.0), 1.0)
    return math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy)
