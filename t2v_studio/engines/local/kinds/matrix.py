"""Heat cells, tables and strips of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from t2v_studio.engines.local.display import MIN_TEXT, Box, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import blend
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.theme import Palette


@lru_cache(maxsize=8192)
def signed_shade(value: float, largest: float, palette: Palette) -> str:
    """Blue for positive, orange for negative, pale near zero; the number or the stripe says the sign as well."""
    strength = min(abs(value) / largest, 1.0) if largest else 0.0
    return blend(palette.surface, palette.accent if value >= 0 else palette.negative, 0.06 + 0.4 * strength)


@lru_cache(maxsize=8192)
def share_shade(value: float, palette: Palette) -> str:
    """0 is paper, 1 is the accent."""
    return blend(palette.surface, palette.accent, 0.06 + 0.42 * min(max(value, 0.0), 1.0))


def cell(
    box: Box, fill: str, palette: Palette, text: str = "", *, size: float = MIN_TEXT, border: str = "", alpha: float = 1.0,
    weight: str = "regular", width: float = 1.0, layer: int = 0, name: str = "cell",
) -> list[Item]:  # fmt: skip
    items: list[Item] = [
        Rect(
            box=box,
            radius=3,
            fill=fill,
            stroke=border or palette.line,
            width=width,
            alpha=alpha,
            layer=layer,
            name=name,
        )
    ]
    if text:
        items.append(Text(at=box.centre, text=text, size=size, colour=palette.ink, weight=weight,  # type: ignore[arg-type]
                          anchor="centre", alpha=alpha, layer=layer + 1, name=name))  # fmt: skip
    return items


def strip(
    box: Box, values: Sequence[float], largest: float, palette: Palette, *, upright: bool = False, numbers: bool = False,
    alpha: float = 1.0, border: str = "", name: str = "vector",
) -> list[Item]:  # fmt: skip
    """A vector as cells in a row or, upright, in a column; without numbers a bar marks what is negative."""
    return list(_strip(box, tuple(values), largest, palette, upright, numbers, alpha, border, name))


@lru_cache(maxsize=2048)
def _strip(
    box: Box, values: tuple[float, ...], largest: float, palette: Palette, upright: bool, numbers: bool, alpha: float,
    border: str, name: str,
) -> tuple[Item, ...]:  # fmt: skip
    items: list[Item] = []
    count = len(values)
    for i, value in enumerate(values):
        one = (
            Box(box.x, box.y + i * box.h / count, box.w, box.h / count)
            if upright
            else Box(box.x + i * box.w / count, box.y, box.w / count, box.h)
        )
        fill = signed_shade(float(value), largest, palette)
        items += cell(one, fill, palette, number(float(value), 1) if numbers else "", alpha=alpha, name=name)
        if value < 0 and not numbers:
            inner = min(one.w, one.h) * 0.28
            items.append(Polyline(points=(Point(one.centre.x - inner, one.centre.y), Point(one.centre.x + inner, one.centre.y)),
                                  stroke=palette.ink, width=2, alpha=alpha, layer=1, name="minus"))  # fmt: skip
    if border:
        items.append(Rect(box=box.inset(-2), radius=5, stroke=border, width=3.5, alpha=alpha, layer=2, name="focus"))
    return tuple(items)


def cross(box: Box, palette: Palette, layer: int = 1) -> list[Item]:
    """A cell that is crossed out."""
    inner = box.inset(box.w * 0.3, box.h * 0.28)
    return [
        Rect(box=box, radius=3, fill=blend(palette.surface, palette.line, 0.5), stroke=palette.line, width=1, layer=layer - 1,
             name="masked"),
        Polyline(points=(Point(inner.x, inner.y), Point(inner.right, inner.bottom)), stroke=palette.muted, width=2, layer=layer),
        Polyline(points=(Point(inner.x, inner.bottom), Point(inner.right, inner.y)), stroke=palette.muted, width=2, layer=layer),
    ]  # fmt: skip
