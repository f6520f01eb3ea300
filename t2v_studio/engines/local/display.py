"""The display list: what a frame shows, as pure data, before anything is painted.

Coordinates are design units with the origin at the top left. The frame's shorter side is always
720 units, so 1280x720 and 832x480 share one layout and 9:16 gets another: a painter multiplies by
shorter side in pixels / 720. Items are frozen and hashable, so that equal lists are drawn once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

SHORT_SIDE = 720.0
MIN_TEXT = 24.0
"""Smallest text, in units: 1/30 of the shorter side."""

Colour = str
"""#rrggbb. Opacity is the item's own `alpha`."""


class Point(NamedTuple):
    x: float
    y: float


class Box(NamedTuple):
    """A rectangle: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        return self.x + self.w

    @property
    def bottom(self) -> float:
        return self.y + self.h

    @property
    def centre(self) -> Point:
        return Point(self.x + self.w / 2, self.y + self.h / 2)

    def inset(self, dx: float, dy: float | None = None) -> Box:
        dy = dx if dy is None else dy
        return Box(self.x + dx, self.y + dy, max(self.w - 2 * dx, 0.0), max(self.h - 2 * dy, 0.0))

    def contains(self, other: Box, slack: float = 0.5) -> bool:
        return (
            other.x >= self.x - slack
            and other.y >= self.y - slack
            and other.right <= self.right + slack
            and other.bottom <= self.bottom + slack
        )

    def overlap(self, other: Box) -> float:
        """Shared area in square units."""
        w = min(self.right, other.right) - max(self.x, other.x)
        h = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(w, 0.0) * max(h, 0.0)


@dataclass(frozen=True, kw_only=True)
class Item:
    """What all items share. `layer` orders painting; `name` tells the linter and tests what this is."""

    layer: int = 0
    alpha: float = 1.0
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Polyline(Item):
    """An open or closed path through points; `smooth` draws a Catmull-Rom curve through them."""

    points: tuple[Point, ...]
    stroke: Colour = ""
    width: float = 2.0
    dash: tuple[float, ...] = ()
    closed: bool = False
    fill: Colour = ""
    smooth: bool = False
    arrow: Literal["", "end", "both"] = ""


@dataclass(frozen=True, kw_only=True)
class Circle(Item):
    centre: Point
    radius: float
    fill: Colour = ""
    stroke: Colour = ""
    width: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Rect(Item):
    box: Box
    radius: float = 0.0
    fill: Colour = ""
    stroke: Colour = ""
    width: float = 2.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Text(Item):
    """One line of text. `at` is the anchor on the baseline's row: left, centre or right; y is the
    vertical middle of the capital letters, so that text sits centred on a given y."""

    at: Point
    text: str
    size: float
    colour: Colour
    weight: Literal["regular", "bold"] = "regular"
    italic: bool = False
    mono: bool = False
    anchor: Literal["left", "centre", "right"] = "left"


@dataclass(frozen=True, kw_only=True)
class Formula(Item):
    """A typeset formula. `at` is its anchor point, vertically centred."""

    at: Point
    latex: str
    size: float
    colour: Colour
    anchor: Literal["left", "centre", "right"] = "centre"


DisplayList = tuple[Item, ...]
