"""Which item of the next picture is which of this one."""

from __future__ import annotations

from typing import Any

from t2v_studio.engines.local.display import Circle, Formula, Item, Point, Polyline, Rect, Text

Shown = tuple[Item, Any]
Ranked = tuple[int, Item]

FAR = 260.0
"""Design units beyond which two items are not taken for the same one that moved."""


def matched(
    shown: list[Shown], target: list[Ranked]
) -> tuple[list[tuple[Shown, Ranked]], list[tuple[Shown, Ranked]], list[Ranked], list[Shown]]:
    """(kept, changed, new, gone): equal items stay; others of one kind and name are paired by nearness."""
    waiting: dict[Item, list[Shown]] = {}
    for one in shown:
        waiting.setdefault(one[0], []).append(one)
    kept: list[tuple[Shown, Ranked]] = []
    open_targets: list[Ranked] = []
    for ranked in target:
        same = waiting.get(ranked[1])
        if same:
            kept.append((same.pop(), ranked))
        else:
            open_targets.append(ranked)
    left = [one for group in waiting.values() for one in group]
    changed, new = [], []
    for ranked in open_targets:
        best = min((one for one in left if _alike(one[0], ranked[1])), key=lambda one: _distance(one[0], ranked[1]), default=None)  # fmt: skip
        if best is None or _distance(best[0], ranked[1]) > FAR:
            new.append(ranked)
        else:
            left.remove(best)
            changed.append((best, ranked))
    return kept, changed, new, left


def _alike(one: Item, two: Item) -> bool:
    if type(one) is not type(two) or one.name != two.name:
        return False
    if isinstance(one, Polyline) and isinstance(two, Polyline):
        return bool(one.arrow) == bool(two.arrow) and bool(one.dash) == bool(two.dash)
    if isinstance(one, Rect) and isinstance(two, Rect):
        return bool(one.dash) == bool(two.dash)
    return True


def centre(item: Item) -> Point:
    """Where an item stands, in design units."""
    if isinstance(item, Circle):
        return item.centre
    if isinstance(item, Rect):
        return item.box.centre
    if isinstance(item, Text | Formula):
        return item.at
    assert isinstance(item, Polyline)
    xs, ys = [p[0] for p in item.points], [p[1] for p in item.points]
    return Point((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)


def _distance(one: Item, two: Item) -> float:
    a, b = centre(one), centre(two)
    return float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)
