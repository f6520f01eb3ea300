"""The panels of classification metrics: scores with a threshold, confusion matrix, rates, ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from t2v_studio.engines.local.display import MIN_TEXT, Box, Circle, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import blend, smooth, span
from t2v_studio.engines.local.kinds.axes import Axes, axis_items, plot_axes
from t2v_studio.engines.local.kinds.base import Stage
from t2v_studio.engines.local.kinds.edges import tag
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.simulations.classification import Classification, Confusion, confusion

HEAD = 34.0
FOOT = 40.0


@dataclass(frozen=True)
class View:
    """act: scores, confusion, precision_recall or roc; `traced`: the lowest threshold that the ROC curve has reached."""

    act: str
    progress: float
    threshold: float
    traced: float


@dataclass(frozen=True, eq=False)
class Lanes:
    """Two lanes over one score axis. dots: a place for each example; floor of the upper lane; still items."""

    box: Box
    dots: tuple[Point, ...]
    radius: float
    still: tuple[Item, ...]

    def px(self, score: float) -> float:
        return self.box.x + score * self.box.w


def draw_view(data: Classification, view: View, stage: Stage) -> list[Item]:
    left, right = _split(stage.box, view.act)
    lanes = _lanes(data, left, stage)
    items = [*lanes.still, *_dots(data, lanes, view, stage), *_threshold(lanes, left, view, stage)]
    counts = confusion(data.scores, data.labels, view.threshold)
    if view.act == "confusion":
        items += _matrix(counts, right, stage)
    elif view.act == "precision_recall":
        items += _rates(counts, right, stage)
    elif view.act == "roc":
        items += _roc(data, counts, right, view, stage)
    return items


def _split(box: Box, act: str) -> tuple[Box, Box]:
    if act == "scores":
        return box, Box(box.right, box.y, 0, 0)
    if box.h > box.w:
        share = box.h * 0.5
        return Box(box.x, box.y, box.w, box.h - share - 26), Box(box.x, box.bottom - share, box.w, share)
    wide = box.w > 800
    share = min(box.w * 0.42, 470.0) if wide else box.w * 0.5
    if act == "roc":
        share = min(share, box.h + 30)
    gap = 44.0 if wide else 22.0
    return Box(box.x, box.y, box.w - share - gap, box.h), Box(box.right - share, box.y, share, box.h)


@lru_cache(maxsize=32)
def _lanes(data: Classification, box: Box, stage: Stage) -> Lanes:
    """Dots at their exact scores, heaped up where they would touch."""
    palette = stage.palette
    inner = Box(box.x + 6, box.y + HEAD, box.w - 12, box.h - HEAD - FOOT)
    lane = inner.h / 2
    room = lane - 34
    radius = 12.0
    while True:
        levels = [_heap(data.scores[data.labels == side], 2 * radius / inner.w) for side in (True, False)]
        tallest = max(level for side in levels for level in side) + 1
        if tallest * 2 * radius <= room or radius <= 3:
            break
        radius -= 0.5
    floors = {True: inner.y + lane - 3, False: inner.bottom - 3}
    heaps = {True: iter(levels[0]), False: iter(levels[1])}
    dots = []
    for score, label in zip(data.scores, data.labels, strict=True):
        level = next(heaps[bool(label)])
        y = floors[bool(label)] - radius - level * min(2 * radius, room / tallest)
        dots.append(Point(round(inner.x + float(score) * inner.w, 2), round(y, 2)))
    items: list[Item] = []
    for side, name in ((True, "actual positive"), (False, "actual negative")):
        top = inner.y if side else inner.y + lane
        wide = stage.measure(name, MIN_TEXT, "regular")
        items += tag(name, Point(inner.x + wide / 2 + 2, top + 18), wide, palette, MIN_TEXT,
                     colour=palette.accent if side else palette.negative, layer=4, name="lane")  # fmt: skip
        floor = floors[side] + 3
        items.append(
            Polyline(
                points=(Point(inner.x, floor), Point(inner.right, floor)), stroke=palette.muted, width=2, name="floor"
            )
        )
    label = "score"
    for tick in (0, 0.25, 0.5, 0.75, 1) if inner.w > 400 else (0, 0.5, 1):
        x = inner.x + tick * inner.w
        items.append(
            Polyline(points=(Point(x, inner.bottom), Point(x, inner.bottom + 7)), stroke=palette.muted, width=2)
        )
        text = f"{tick:g}"
        at = min(
            max(x, box.x + stage.measure(text, MIN_TEXT, "regular") / 2),
            box.right - stage.measure(text, MIN_TEXT, "regular") / 2,
        )
        items.append(
            Text(
                at=Point(at, inner.bottom + 24),
                text=text,
                size=MIN_TEXT,
                colour=palette.muted,
                anchor="centre",
                name="tick",
            )
        )
    spot = 0.875 if inner.w > 400 else 0.75
    items.append(Text(at=Point(inner.x + spot * inner.w, inner.bottom + 24), text=label, size=MIN_TEXT, colour=palette.muted,
                      anchor="centre", name="axis"))  # fmt: skip
    return Lanes(inner, tuple(dots), radius, tuple(items))


def _heap(scores: np.ndarray, width: float) -> list[int]:
    """For ascending scores the lowest level on which none lies closer than a width."""
    ends: list[float] = []
    levels = []
    for score in scores:
        level = next((i for i, end in enumerate(ends) if score - end >= width), len(ends))
        ends[level : level + 1] = [float(score)]
        levels.append(level)
    return levels


def _dots(data: Classification, lanes: Lanes, view: View, stage: Stage) -> list[Item]:
    """Positives are discs, negatives squares; what is called wrongly is hollow."""
    palette = stage.palette
    shown = view.progress / 0.55 if view.act == "scores" else 9.0
    judged = view.act != "scores" or view.progress > 0.95
    items: list[Item] = []
    count = len(data.scores)
    for i, (score, label, place) in enumerate(zip(data.scores, data.labels, lanes.dots, strict=True)):
        arrived = smooth(span(shown * (count + 4) - i, 0.0, 4.0))
        if arrived <= 0:
            continue
        wrong = judged and (score >= view.threshold) != label
        colour = palette.accent if label else palette.negative
        fill = palette.surface if wrong else colour
        y = place.y - (1 - arrived) * 26
        r = lanes.radius - 1.5
        if label:
            items.append(Circle(centre=Point(place.x, y), radius=r, fill=fill, stroke=colour, width=2.5, alpha=arrived, layer=2,
                                name="example"))  # fmt: skip
        else:
            box = Box(place.x - r, y - r, 2 * r, 2 * r)
            items.append(
                Rect(box=box, radius=2, fill=fill, stroke=colour, width=2.5, alpha=arrived, layer=2, name="example")
            )
    return items


def _threshold(lanes: Lanes, box: Box, view: View, stage: Stage) -> list[Item]:
    """The threshold line; what lies right of it is called positive."""
    palette = stage.palette
    here = view.threshold
    alpha = 1.0
    if view.act == "scores":
        come = smooth(span(view.progress, 0.62, 0.95))
        if come <= 0:
            return []
        here, alpha = 1 + (view.threshold - 1) * come, span(view.progress, 0.62, 0.7)
    x = round(lanes.px(here), 2)
    text = f"threshold {number(here)}"
    width = stage.measure("threshold 0.00", MIN_TEXT, "bold")
    at = min(max(x, box.x + width / 2), box.right - width / 2)
    called = Box(x, lanes.box.y, max(lanes.box.right - x, 0), lanes.box.h)
    return [
        Rect(box=called, fill=palette.accent_soft, width=0, alpha=0.5 * alpha, layer=-5, name="called positive"),
        Polyline(points=(Point(x, lanes.box.y - 4), Point(x, lanes.box.bottom + 4)), stroke=palette.ink, width=3, layer=3, alpha=alpha,
                 name="threshold"),
        Text(at=Point(at, box.y + 12), text=text, size=MIN_TEXT, colour=palette.ink, weight="bold", anchor="centre", layer=3,
             alpha=alpha, name="threshold label"),
    ]  # fmt: skip


def _matrix(counts: Confusion, box: Box, stage: Stage) -> list[Item]:
    """Rows: what is true; columns: what is called."""
    palette = stage.palette
    wide = box.w > 400
    label = 118.0 if wide else 78.0
    names = ("positive", "negative") if wide else ("pos.", "neg.")
    head = 66.0 if box.h > 280 else 36.0
    w, h = (box.w - label) / 2, min((box.h - head) / 2, 150.0)
    top = box.y + head + max(0.0, (box.h - head - 2 * h) / 2 - 6)
    items: list[Item] = []
    if head > 40:
        items.append(Text(at=Point(box.x + label + w, top - 50), text="called", size=MIN_TEXT, colour=palette.muted, anchor="centre",
                          name="matrix"))  # fmt: skip
    for i, name in enumerate(names):
        items.append(Text(at=Point(box.x + label + (i + 0.5) * w, top - 18), text=name, size=MIN_TEXT, colour=palette.muted,
                          anchor="centre", name="matrix"))  # fmt: skip
        items.append(
            Text(
                at=Point(box.x, top + (i + 0.5) * h + 13), text=name, size=MIN_TEXT, colour=palette.muted, name="matrix"
            )
        )
        items.append(
            Text(
                at=Point(box.x, top + (i + 0.5) * h - 15),
                text="actual",
                size=MIN_TEXT,
                colour=palette.muted,
                name="matrix",
            )
        )
    total = counts.tp + counts.fp + counts.fn + counts.tn
    cells = ((("TP", counts.tp, True), ("FN", counts.fn, False)), (("FP", counts.fp, False), ("TN", counts.tn, True)))
    for row, pair in enumerate(cells):
        for column, (name, value, right) in enumerate(pair):
            place = Box(box.x + label + column * w + 3, top + row * h + 3, w - 6, h - 6)
            hue = palette.positive if right else palette.negative
            fill = blend(palette.surface, hue, 0.08 + 0.4 * min(1.0, 1.6 * value / total))
            items.append(Rect(box=place, radius=10, fill=fill, stroke=hue, width=2.5, name="cell"))
            items.append(Text(at=Point(place.centre.x, place.centre.y + (8 if h > 80 else 0)), text=str(value), size=42 if h > 80 else 32,
                              colour=palette.ink, weight="bold", anchor="centre", layer=1, name="count"))  # fmt: skip
            items.append(
                Text(
                    at=Point(place.x + 9, place.y + 18),
                    text=name,
                    size=MIN_TEXT,
                    colour=palette.ink,
                    layer=1,
                    name="case",
                )
            )
    return items


def _rates(counts: Confusion, box: Box, stage: Stage) -> list[Item]:
    """Precision and recall as fractions and bars, with their harmonic mean."""
    palette = stage.palette
    called, actual = counts.tp + counts.fp, counts.tp + counts.fn
    rows = [
        ("precision", "TP / called positive", counts.tp, called, palette.positive),
        ("recall", "TP / actual positive", counts.tp, actual, palette.accent),
    ]
    items: list[Item] = []
    wide = box.w > 400
    pitch = min(box.h / (3 if box.h > 280 else 2.6), 140.0)
    top = box.y + (box.h - pitch * (3 if box.h > 280 else 2.6)) / 2
    for i, (name, meaning, above, below, colour) in enumerate(rows):
        y = top + i * pitch + 14
        share = above / below if below else 0.0
        value = f"{above} / {below} = {number(share)}" if below else "nothing is called positive"
        items.append(Text(at=Point(box.x, y), text=name, size=28, colour=colour, weight="bold", name="rate"))
        items.append(Text(at=Point(box.right, y), text=value if wide or below else "none called", size=26, colour=palette.ink,
                          weight="bold", anchor="right", name="rate value"))  # fmt: skip
        bar = Box(box.x, y + 22, box.w, 24)
        items.append(Rect(box=bar, radius=6, fill=palette.paper, stroke=palette.line, width=1.5, name="bar"))
        if share > 0:
            items.append(
                Rect(
                    box=Box(bar.x, bar.y, round(bar.w * share, 2), bar.h),
                    radius=6,
                    fill=colour,
                    width=0,
                    layer=1,
                    name="bar",
                )
            )
        if pitch > 92:
            items.append(
                Text(at=Point(box.x, y + 66), text=meaning, size=MIN_TEXT, colour=palette.muted, name="meaning")
            )
    y = top + 2 * pitch + 14
    items.append(Text(at=Point(box.x, y), text="F1", size=28, colour=palette.ink, weight="bold", name="rate"))
    items.append(Text(at=Point(box.right, y), text=number(counts.f1), size=26, colour=palette.ink, weight="bold", anchor="right",
                      name="rate value"))  # fmt: skip
    if box.h > 280:
        bar = Box(box.x, y + 22, box.w, 24)
        items.append(Rect(box=bar, radius=6, fill=palette.paper, stroke=palette.line, width=1.5, name="bar"))
        items.append(Rect(box=Box(bar.x, bar.y, max(round(bar.w * counts.f1, 2), 0.5), bar.h), radius=6, fill=palette.ink, width=0,
                          layer=1, name="bar"))  # fmt: skip
    return items


@lru_cache(maxsize=32)
def _roc_axes(box: Box, stage: Stage) -> tuple[Axes, tuple[Item, ...]]:
    ticks = [0.0, 0.5, 1.0]
    axes = plot_axes(box, (0, 1), (0, 1), stage, ticks, top=36)
    side = min(axes.box.w - 12, axes.box.h)
    aside = (axes.box.w - side) / 2 if box.w > 1.3 * side else 0.0
    inner = Box(axes.box.x + aside, axes.box.bottom - side, side, side)
    axes = Axes(inner, (0, 1), (0, 1))
    label = "false positive rate" if side > 280 else "FPR"
    items = axis_items(axes, stage, ticks, ticks, label, "recall")
    items.append(
        Polyline(
            points=(axes.at(0, 0), axes.at(1, 1)), stroke=stage.palette.muted, width=2, dash=(7.0, 7.0), name="chance"
        )
    )
    return axes, tuple(items)


def _roc(data: Classification, counts: Confusion, box: Box, view: View, stage: Stage) -> list[Item]:
    """The curve as far as the threshold has come down, and the point of the threshold now."""
    palette = stage.palette
    axes, still = _roc_axes(box, stage)
    items = list(still)
    reached = int((data.roc_thresholds >= view.traced).sum()) if view.traced < 1 else 1
    points = tuple(axes.at(float(x), float(y)) for x, y in data.roc[:reached])
    whole = reached == len(data.roc)
    if whole:
        area = (*points, axes.at(1, 0), axes.at(0, 0))
        items.append(Polyline(points=area, closed=True, fill=palette.accent_soft, width=0, layer=-1, name="area"))
        text = f"AUC = {number(data.auc)}"
        at = axes.at(0.62, 0.22)
        items.append(Text(at=at, text=text, size=28 if axes.box.w > 200 else 24, colour=palette.ink, weight="bold", anchor="centre",
                          layer=2, name="auc"))  # fmt: skip
    if len(points) > 1:
        items.append(Polyline(points=points, stroke=palette.accent, width=5, layer=2, name="roc"))
    here = axes.at(counts.false_positive_rate, counts.recall)
    items.append(Circle(centre=here, radius=11, fill=palette.warm, stroke=palette.ink, width=3, layer=4, name="now"))
    return items
