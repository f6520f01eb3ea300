"""Where the cards and links of a process stand: flow, cycle, timeline and map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from t2v_studio.engines.local.display import Box, Point
from t2v_studio.engines.local.text import fit, measure

BADGE = 20.0
"""Radius of the number on a card."""

PAD = 18.0
LABEL_SIZE = 34.0
LABEL_SIZES = {1: 50.0, 2: 42.0, 3: 38.0, 4: 36.0}
WIDE = 900.0
"""A stage from this width on reads from left to right, a narrower one from top to bottom."""

LIFT = 5.0
"""The active card grows by this on every side; links end clear of it."""

CLEAR = LIFT + 5.0

Path = tuple[Point, ...]


@dataclass(frozen=True)
class Plan:
    """Cards in order; the link that leads to each card (empty for none); lines and words that always stand."""

    cards: tuple[Box, ...]
    links: tuple[Path, ...]
    arrows: bool = True
    closing: Path = ()
    """The link from the last card back to the first, in a cycle."""
    axis: Path = ()
    marks: tuple[Point, ...] = ()
    centre: Box | None = None


def text_area(card: Box, flat: bool) -> Box:
    """The part of a card that its label may fill: beside the number in a flat card, below it in a tall one."""
    if flat:
        left = card.x + PAD * 0.8 + 2 * BADGE + 12
        return Box(left, card.y + 5, card.right - PAD * 0.7 - left, card.h - 10)
    top = card.y + PAD + 2 * BADGE + 8
    return Box(card.x + PAD, top, card.w - 2 * PAD, card.bottom - PAD * 0.6 - top)


@dataclass(frozen=True)
class Lettering:
    """How labels stand on their cards: beside or below the number, at one size; `lost` counts cut or broken ones."""

    flat: bool
    size: float
    lost: int


@lru_cache(maxsize=256)
def lettering(labels: tuple[str, ...], cards: tuple[Box, ...]) -> Lettering:
    """The better of the two ways for these labels: nothing lost first, then the larger letters."""
    largest = LABEL_SIZES.get(len(labels), LABEL_SIZE)
    ways = [True] if cards[0].h < 116 else [True, False] if cards[0].w > 2.2 * cards[0].h else [False, True]
    found = [_lettered(labels, cards, flat, largest) for flat in ways]
    return max(found, key=lambda way: (-way.lost, way.size))


def _lettered(labels: tuple[str, ...], cards: tuple[Box, ...], flat: bool, largest: float) -> Lettering:
    size, lost = largest, 0
    for label, card in zip(labels, cards, strict=True):
        area = text_area(card, flat)
        fitted = fit(label, area.w, area.h, largest, weight="bold")
        broken = any(measure(word, fitted.size, "bold") > area.w for word in label.split())
        size, lost = min(size, fitted.size), lost + (fitted.cut or broken or area.h < size)
    return Lettering(flat, size, lost)


def place(layout: str, labels: tuple[str, ...], box: Box, centre: str) -> Plan:
    """Cards and links of one of the four layouts inside a box."""
    box = box.inset(LIFT + 5)
    wide = box.w >= WIDE
    if layout == "cycle" and len(labels) > 1:
        return _ring(labels, box) or (
            _racetrack(labels, box, bool(centre)) if wide else _tall_racetrack(labels, box, bool(centre))
        )
    if layout == "timeline" and len(labels) > 1:
        if wide:
            return _timeline(labels, box)
        if box.h / len(labels) >= 60:
            return _upright_timeline(labels, box)
    if layout == "map":
        return _map(labels, box) if wide else _trunk(labels, box)
    return _flow(labels, box) if wide else _columns(labels, box)


def _grid(
    count: int, columns: int, box: Box, gap_x: float, gap_y: float, widest: float, tallest: float
) -> tuple[Box, ...]:
    """Rows of equal cards, read row by row; the last row is centred."""
    rows = math.ceil(count / columns)
    w = min(widest, (box.w - gap_x * (columns - 1)) / columns)
    h = min(tallest, (box.h - gap_y * (rows - 1)) / rows)
    top = box.centre.y - (rows * h + (rows - 1) * gap_y) / 2
    cards = []
    for i in range(count):
        row, column = divmod(i, columns)
        in_row = min(columns, count - row * columns)
        left = box.centre.x - (in_row * w + (in_row - 1) * gap_x) / 2
        cards.append(Box(left + column * (w + gap_x), top + row * (h + gap_y), w, h))
    return tuple(cards)


def _chain(cards: Sequence[Box]) -> tuple[Path, ...]:
    return tuple(() if i == 0 else _link(cards[i - 1], cards[i]) for i in range(len(cards)))


def _flow(labels: tuple[str, ...], box: Box) -> Plan:
    """Left to right, in one row or two: whichever shows the labels larger."""
    best: tuple[float, tuple[Box, ...]] | None = None
    for rows in (1, 2):
        columns = math.ceil(len(labels) / rows)
        cards = _grid(len(labels), columns, box, 56.0, 52.0, 470.0 if len(labels) > 1 else 760.0, 270.0)
        letters = lettering(labels, cards)
        score = letters.size - 14 * letters.lost - 5.0 * (rows - 1) - 2.0 * (-len(labels) % columns)
        if best is None or score > best[0]:
            best = (score, cards)
    assert best is not None
    return Plan(best[1], _chain(best[1]))


def _columns(labels: tuple[str, ...], box: Box) -> Plan:
    """Top to bottom, in one column or two: for narrow frames."""
    count = len(labels)
    best: tuple[float, Plan] | None = None
    for columns in (1, 2) if count > 3 else (1,):
        rows = math.ceil(count / columns)
        gap_y = min(44.0, max(12.0 if box.h / rows < 72 else 26.0, box.h * 0.06))
        gap_x = 60.0
        w = (box.w - gap_x * (columns - 1)) / columns
        h = min(220.0, (box.h - gap_y * (rows - 1)) / rows)
        top = box.centre.y - (rows * h + (rows - 1) * gap_y) / 2
        cards = tuple(
            Box(box.x + (i // rows) * (w + gap_x), top + (i % rows) * (h + gap_y), w, h) for i in range(count)
        )
        letters = lettering(labels, cards)
        score = letters.size - 14 * letters.lost - 4.0 * (columns - 1)
        links = tuple(() if i == 0 else _side_link(cards[i - 1], cards[i]) for i in range(count))
        if best is None or score > best[0]:
            best = (score, Plan(cards, links))
    assert best is not None
    return best[1]


def _link(a: Box, b: Box) -> Path:
    """From the edge of one card to the edge of another: straight where they face each other, else in an elbow."""
    if abs(a.centre.y - b.centre.y) < 1:
        sign = 1 if b.x > a.x else -1
        start = a.right if sign > 0 else a.x
        end = b.x if sign > 0 else b.right
        return (Point(start + sign * CLEAR, a.centre.y), Point(end - sign * CLEAR, b.centre.y))
    sign = 1 if b.y > a.y else -1
    room = b.y - a.bottom if sign > 0 else a.y - b.bottom
    clear = min(CLEAR, room / 8)
    start_y = a.bottom + clear if sign > 0 else a.y - clear
    end_y = b.y - clear if sign > 0 else b.bottom + clear
    if abs(a.centre.x - b.centre.x) < 1:
        return (Point(a.centre.x, start_y), Point(b.centre.x, end_y))
    middle = (a.bottom + b.y) / 2 if sign > 0 else (a.y + b.bottom) / 2
    return (Point(a.centre.x, start_y), Point(a.centre.x, middle), Point(b.centre.x, middle), Point(b.centre.x, end_y))


def _ring(labels: tuple[str, ...], box: Box) -> Plan | None:
    """Cards on an ellipse, joined by its arcs; None where they would touch."""
    count = len(labels)
    if count < 3 or count > 6 or box.h > 1.05 * box.w:
        return None
    w = min(300.0, box.w * 0.31)
    h = min(110.0, box.h * 0.27)
    rx, ry = min((box.w - w) / 2, 2.3 * (box.h - h) / 2), (box.h - h) / 2
    angles = [-math.pi / 2 + 2 * math.pi * i / count for i in range(count)]
    cards = tuple(
        Box(box.centre.x + rx * math.cos(a) - w / 2, box.centre.y + ry * math.sin(a) - h / 2, w, h) for a in angles
    )
    apart = all(cards[i].inset(-14).overlap(cards[j].inset(-14)) == 0 for i in range(count) for j in range(i))
    if not apart or lettering(labels, cards).lost:
        return None
    arcs = [
        _arc(box, rx, ry, angles[i - 1], angles[i - 1] + 2 * math.pi / count, cards[i - 1], cards[i])
        for i in range(count)
    ]
    if any(len(arc) < 2 for arc in arcs):
        return None
    centre = Box(box.centre.x - rx * 0.42, box.centre.y - 44, rx * 0.84, 88)
    track = [(rx * math.cos(t), ry * math.sin(t)) for t in (2 * math.pi * n / 72 for n in range(73))]
    axis = tuple(Point(box.centre.x + x, box.centre.y + y) for x, y in track)
    return Plan(cards, ((), *arcs[1:]), closing=arcs[0], axis=axis, centre=centre)


def _arc(box: Box, rx: float, ry: float, start: float, end: float, a: Box, b: Box) -> Path:
    steps = 48
    points = [
        Point(box.centre.x + rx * math.cos(t), box.centre.y + ry * math.sin(t))
        for t in (start + (end - start) * i / steps for i in range(steps + 1))
    ]
    grown = (a.inset(-CLEAR), b.inset(-CLEAR))
    return tuple(p for p in points if not any(g.contains(Box(p.x, p.y, 0, 0), 0) for g in grown))


def _racetrack(labels: tuple[str, ...], box: Box, has_centre: bool) -> Plan:
    """Two rows that are walked round; the word of the centre stands between them."""
    count = len(labels)
    columns = math.ceil(count / 2)
    middle = 96.0 if has_centre else 64.0
    h = min(160.0, (box.h - middle) / 2)
    gap = 54.0
    w = min(340.0, (box.w - gap * (columns - 1)) / columns)
    left = box.centre.x - (columns * w + (columns - 1) * gap) / 2
    top = box.centre.y - h - middle / 2
    cards = [Box(left + i * (w + gap), top, w, h) for i in range(columns)]
    cards += [
        Box(left + i * (w + gap), top + h + middle, w, h)
        for i in range(columns - 1, columns - 1 - (count - columns), -1)
    ]
    first, last = cards[0], cards[-1]
    closing = _link(last, first)
    if last.x > first.x:
        corner = Point(first.centre.x, last.centre.y)
        closing = (Point(last.x - CLEAR, last.centre.y), corner, Point(first.centre.x, first.bottom + CLEAR))
    inside = Box(first.centre.x + 30, box.centre.y - 30, max(columns - 1, 0.6) * (w + gap) - 60, 60)
    return Plan(tuple(cards), _chain(cards), closing=closing, centre=inside)


def _tall_racetrack(labels: tuple[str, ...], box: Box, has_centre: bool) -> Plan:
    """Down one column and up the other; the word of the centre stands on top where there is room."""
    count = len(labels)
    rows = math.ceil(count / 2)
    has_centre = has_centre and box.h / rows > 100
    head = 56.0 if has_centre else 0.0
    gap_x, gap_y = 64.0, 28.0
    w = min(380.0, (box.w - gap_x) / 2)
    h = min(190.0, (box.h - head - gap_y * (rows - 1)) / rows)
    pitch = h + gap_y
    top = box.centre.y - (rows * h + (rows - 1) * gap_y + head) / 2 + head
    left_x, right_x = box.centre.x - gap_x / 2 - w, box.centre.x + gap_x / 2
    shift = pitch / 2 if count % 2 else 0.0
    cards = [Box(left_x, top + i * pitch, w, h) for i in range(rows)]
    cards += [Box(right_x, top + i * pitch + shift, w, h) for i in reversed(range(count - rows))]
    links = tuple(() if i == 0 else _side_link(cards[i - 1], cards[i]) for i in range(count))
    closing = _side_link(cards[-1], cards[0]) if count > 2 else ()
    return Plan(tuple(cards), links, closing=closing, centre=Box(box.x, top - head, box.w, 48) if has_centre else None)


def _side_link(a: Box, b: Box) -> Path:
    if abs(a.centre.x - b.centre.x) < 1 or abs(a.centre.y - b.centre.y) < 1:
        return _link(a, b)
    sign = 1 if b.x > a.x else -1
    start = a.right if sign > 0 else a.x
    end = b.x if sign > 0 else b.right
    middle = (start + end) / 2
    return (
        Point(start + sign * CLEAR, a.centre.y),
        Point(middle, a.centre.y),
        Point(middle, b.centre.y),
        Point(end - sign * CLEAR, b.centre.y),
    )


def _timeline(labels: tuple[str, ...], box: Box) -> Plan:
    """Marks on a line from left to right, cards by turns above and below."""
    count = len(labels)
    pitch = box.w / (count + (0 if count < 3 else 0.6))
    w = min(330.0, 2 * pitch - 28 if count > 2 else pitch - 40)
    h = min(150.0, (box.h - 96) / 2)
    y = box.centre.y
    span = pitch * (count - 1)
    inset = min((box.w - span) / 2, w / 2)
    xs = [box.x + inset + i * (box.w - 2 * inset) / (count - 1) for i in range(count)]
    w = min(w, 2 * (xs[1] - xs[0]) - 24) if count > 2 else w
    cards = []
    for i, x in enumerate(xs):
        left = min(max(x - w / 2, box.x), box.right - w)
        cards.append(Box(left, y - 48 - h if i % 2 == 0 else y + 48, w, h))
    marks = tuple(Point(x, y) for x in xs)
    links: tuple[Path, ...] = ((), *((marks[i - 1], marks[i]) for i in range(1, count)))
    return Plan(tuple(cards), links, arrows=False, axis=(Point(box.x, y), Point(box.right, y)), marks=marks)


def _upright_timeline(labels: tuple[str, ...], box: Box) -> Plan:
    count = len(labels)
    gap = 22.0
    h = min(130.0, (box.h - gap * (count - 1)) / count)
    top = box.centre.y - (count * h + (count - 1) * gap) / 2
    x = box.x + 22
    cards = tuple(Box(box.x + 58, top + i * (h + gap), box.w - 58, h) for i in range(count))
    marks = tuple(Point(x, card.centre.y) for card in cards)
    links: tuple[Path, ...] = ((), *((marks[i - 1], marks[i]) for i in range(1, count)))
    return Plan(cards, links, arrows=False, axis=(Point(x, top), Point(x, cards[-1].bottom)), marks=marks)


def _map(labels: tuple[str, ...], box: Box) -> Plan:
    """The word of the centre in the middle, cards to its left and right."""
    count = len(labels)
    half = math.ceil(count / 2)
    centre_w = min(280.0, box.w * 0.26)
    w = min(380.0, (box.w - centre_w - 2 * 70) / 2)
    centre = Box(box.centre.x - centre_w / 2, box.centre.y - 62, centre_w, 124)
    gap = 22.0
    h = min(130.0, (box.h - gap * (half - 1)) / half)
    cards: list[Box] = []
    for side, members in ((-1, half), (1, count - half)):
        top = box.centre.y - (members * h + (members - 1) * gap) / 2
        left = box.right - w if side > 0 else box.x
        cards += [Box(left, top + i * (h + gap), w, h) for i in range(members)]
    links = tuple(_spoke(centre, card) for card in cards)
    return Plan(tuple(cards), links, arrows=False, centre=centre)


def _spoke(centre: Box, card: Box) -> Path:
    sign = 1 if card.centre.x > centre.centre.x else -1
    start = Point(centre.right if sign > 0 else centre.x, centre.centre.y)
    end = Point((card.x if sign > 0 else card.right) - sign * LIFT, card.centre.y)
    return _bend(start, end)


def _bend(start: Point, end: Point) -> Path:
    """An S-shaped curve that leaves and arrives level."""
    points = []
    for i in range(25):
        t = i / 24
        points.append(Point(start.x + (end.x - start.x) * t, start.y + (end.y - start.y) * t * t * (3 - 2 * t)))
    return tuple(points)


def _trunk(labels: tuple[str, ...], box: Box) -> Plan:
    """The word of the centre on top, cards in two columns on a trunk: for narrow frames."""
    count = len(labels)
    rows = math.ceil(count / 2)
    tight = box.h / rows < 120
    head_h, head_gap, gap_x, gap_y = (46.0, 12.0, 60.0, 8.0) if tight else (64.0, 34.0, 60.0, 26.0)
    h = min(200.0, (box.h - head_h - head_gap - gap_y * (rows - 1)) / rows)
    used = head_h + head_gap + rows * h + (rows - 1) * gap_y
    top = box.centre.y - used / 2
    centre = Box(box.x + box.w * 0.14, top, box.w * 0.72, head_h)
    area = Box(box.x, top + head_h + head_gap, box.w, used - head_h - head_gap)
    w = (area.w - gap_x) / 2
    x = area.centre.x
    cards = []
    links: list[Path] = []
    for i in range(count):
        row, column = divmod(i, 2)
        card = Box(area.x if column == 0 else area.right - w, area.y + row * (h + gap_y), w, h)
        edge = card.right + LIFT if column == 0 else card.x - LIFT
        cards.append(card)
        links.append((Point(x, centre.bottom), Point(x, card.centre.y), Point(edge, card.centre.y)))
    return Plan(tuple(cards), tuple(links), arrows=False, centre=centre)


def along(path: Sequence[Point], t: float) -> tuple[Path, Point]:
    """The first share `t` of a path by length, and the point where it ends."""
    lengths = [math.dist(path[i - 1], path[i]) for i in range(1, len(path))]
    left = sum(lengths) * min(max(t, 0.0), 1.0)
    kept = [path[0]]
    for i, length in enumerate(lengths, start=1):
        if length >= left or i == len(lengths):
            share = left / length if length else 1.0
            a, b = path[i - 1], path[i]
            end = Point(a[0] + (b[0] - a[0]) * min(share, 1.0), a[1] + (b[1] - a[1]) * min(share, 1.0))
            return (*kept, end), end
        kept.append(path[i])
        left -= length
    return tuple(kept), kept[-1]
