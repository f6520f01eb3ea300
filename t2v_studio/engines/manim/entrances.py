"""How an item comes in when a kind does not say otherwise."""

from __future__ import annotations

from typing import Any

from manim import UP, Animation, Create, DrawBorderThenFill, FadeIn, GrowFromCenter, GrowFromPoint, Write
from manim.utils.rate_functions import ease_out_cubic, smooth

from t2v_studio.engines.local.display import Circle, Formula, Item, Polyline, Rect, Text

RISE = 0.12
"""Manim's units by which a text rises as it fades in."""


def entrance(item: Item, mobject: Any) -> Animation:
    """Lines are drawn, arrows grow from their tail, discs from their centre, texts rise, formulas are written."""
    if isinstance(item, Formula):
        return Write(mobject)
    if isinstance(item, Text):
        return FadeIn(mobject, shift=UP * RISE, rate_func=ease_out_cubic)
    if isinstance(item, Circle):
        return GrowFromCenter(mobject, rate_func=ease_out_cubic)
    if isinstance(item, Polyline) and not item.fill and not item.dash:
        if item.arrow:
            return GrowFromPoint(mobject, _tail(mobject), rate_func=smooth)
        return Create(mobject, rate_func=smooth)
    if isinstance(item, Rect) and not item.dash and item.name == "node":
        return DrawBorderThenFill(mobject)
    return FadeIn(mobject)


def _tail(arrow: Any) -> Any:
    return arrow.submobjects[0].get_start()
