"""Drawing a multilayer perceptron with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from t2v_studio.engines.local.display import MIN_TEXT, Box, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import blend, mix, smooth, span
from t2v_studio.engines.local.kinds.base import Stage
from t2v_studio.engines.local.kinds.edges import along, free_place, label_box, pulse, tag
from t2v_studio.engines.local.kinds.numbers import number, subscript
from t2v_studio.engines.local.simulations.network import NetworkPass

LOSS_WIDTH = 168.0
HEADING = 34.0


@dataclass(frozen=True)
class Picture:
    """How far each act of the step is, 0 to 1."""

    forward: float
    loss: float
    backward: float
    update: float


@dataclass(frozen=True, eq=False)
class Plan:
    """Where the units, the loss and the weight labels stand. labels and changes (old → new) of a layer are
    by (to, from); empty where there is no room."""

    units: tuple[tuple[Point, ...], ...]
    size: tuple[float, float]
    loss: Box
    labels: tuple[dict[tuple[int, int], Point], ...]
    changes: tuple[dict[tuple[int, int], Point], ...]
    sublabels: bool
    widest: float
    still: tuple[Item, ...]


def draw_picture(run: NetworkPass, at: Picture, stage: Stage) -> list[Item]:
    plan = _plan(run, stage)
    items = [*plan.still, *_edges(run, plan, at, stage)]
    items += _units(run, plan, at, stage)
    items += _forward_pulses(run, plan, at, stage)
    items += _backward_pulses(run, plan, at, stage)
    items += _loss(run, plan, at, stage)
    return items


@lru_cache(maxsize=32)
def _plan(run: NetworkPass, stage: Stage) -> Plan:
    box = stage.box
    narrow = box.w < 800
    loss_width = 128.0 if narrow else LOSS_WIDTH
    most = max(run.sizes)
    room = box.h - HEADING
    pitch = min(room / most, 170.0)
    sublabels = pitch >= 98
    high = min(64.0, pitch - (36 if sublabels else 8))
    wide = max(high, 82.0) if high < 78 else high
    left, right = box.x + 40 + wide / 2, box.right - loss_width - (34 if narrow else 90) - wide / 2
    xs = np.linspace(left, right, len(run.sizes))
    middle = box.y + HEADING + room / 2 - (12 if sublabels else 0)
    units = tuple(
        tuple(
            Point(round(float(x), 1), round(middle + (i - (count - 1) / 2) * _pitch(count, room, pitch), 1))
            for i in range(count)
        )
        for x, count in zip(xs, run.sizes, strict=True)
    )
    loss_box = Box(box.right - loss_width - 2, middle - 72, loss_width, 144)
    return Plan(
        units, (wide, high), loss_box, _weight_places(run, units, (wide, high), stage, sublabels, "−0.00"),
        _weight_places(run, units, (wide, high), stage, sublabels, "−0.000 → −0.000"), sublabels,
        stage.measure("−0.00", MIN_TEXT, "regular"), tuple(_headings(run, units, loss_box, stage)),
    )  # fmt: skip


def _pitch(count: int, room: float, pitch: float) -> float:
    """Layers of few units stand farther apart."""
    return min(room / count, max(pitch, 150.0)) if count > 1 else pitch


def _headings(run: NetworkPass, units: tuple[tuple[Point, ...], ...], loss: Box, stage: Stage) -> list[Item]:
    palette, y = stage.palette, stage.box.y + 14
    last = len(run.sizes) - 1
    names = ["input" if i == 0 else "output" if i == last else "hidden" for i in range(last + 1)]
    items: list[Item] = [
        Text(at=Point(column[0].x, y), text=name, size=MIN_TEXT, colour=palette.muted, anchor="centre", name="layer")
        for column, name in zip(units, names, strict=True)
    ]
    for i, place in enumerate(units[0]):
        items.append(Text(at=Point(stage.box.x, place.y), text=f"x{subscript(i + 1)}", size=26, colour=palette.ink,
                          italic=True, name="input"))  # fmt: skip
    for place in units[-1]:
        items.append(Polyline(points=(Point(place.x + 46, place.y), Point(loss.x - 4, loss.centre.y)), stroke=palette.line,
                              width=2.5, arrow="end", name="to loss"))  # fmt: skip
    return items


def _weight_places(
    run: NetworkPass,
    units: tuple[tuple[Point, ...], ...],
    size: tuple[float, float],
    stage: Stage,
    sublabels: bool,
    sample: str,
) -> tuple[dict[tuple[int, int], Point], ...]:
    """Places for the weight labels of a layer; none at all where one of them finds no room."""
    width = stage.measure(sample, MIN_TEXT, "regular")
    taken = [Box(p.x - size[0] / 2, p.y - size[1] / 2, *size) for column in units for p in column]
    if sublabels:
        taken += [Box(p.x - 46, p.y + size[1] / 2, 92, 32) for column in units[1:] for p in column]
    layers = []
    for layer, weight in enumerate(run.weights):
        mine: dict[tuple[int, int], Point] = {}
        boxes = list(taken)
        for to, source in np.ndindex(weight.shape):
            a, b = units[layer][source], units[layer + 1][to]
            places = [along(a, b, t) for t in (0.3, 0.36, 0.42, 0.5, 0.58, 0.64, 0.7, 0.26)]
            place = free_place(places, width, MIN_TEXT, boxes, stage.box)
            if place is None:
                mine = {}
                break
            mine[to, source] = place
            boxes.append(label_box(width, place, MIN_TEXT))
        layers.append(mine)
    return tuple(layers)


def _weights_now(run: NetworkPass, layer: int, update: float) -> np.ndarray:
    return np.asarray(run.weights[layer] + smooth(update) * (run.new_weights[layer] - run.weights[layer]))


def _edges(run: NetworkPass, plan: Plan, at: Picture, stage: Stage) -> list[Item]:
    palette = stage.palette
    items: list[Item] = []
    moved = span(at.update, 0.15, 0.75)
    for layer in range(len(run.weights)):
        weights = _weights_now(run, layer, moved)
        for to, source in np.ndindex(weights.shape):
            weight = float(weights[to, source])
            a, b = plan.units[layer][source], plan.units[layer + 1][to]
            sign = weight >= 0
            items.append(Polyline(
                points=(a, b), stroke=palette.positive if sign else palette.negative, width=round(1.2 + 3.2 * min(abs(weight), 2), 2),
                dash=() if sign else (9.0, 6.0), alpha=0.75, name="weight",
            ))  # fmt: skip
            items += _weight_label(run, plan, at, stage, (layer, to, source), weight)
    return items


def _weight_label(
    run: NetworkPass, plan: Plan, at: Picture, stage: Stage, edge: tuple[int, int, int], weight: float
) -> list[Item]:
    """The weight; while it changes, the old one and the new one where both fit."""
    layer, to, source = edge
    place, text, wide = plan.labels[layer].get((to, source)), number(weight), plan.widest
    if at.update > 0.02 and plan.changes[layer]:
        place = plan.changes[layer][to, source]
        text = f"{number(float(run.weights[layer][to, source]), 3)} → {number(weight, 3)}"
        wide = stage.measure("−0.000 → −0.000", MIN_TEXT, "regular")
    if place is None:
        return []
    backing = stage.palette.highlight if at.update > 0.02 else stage.palette.surface
    return tag(text, place, wide, stage.palette, MIN_TEXT, backing=backing, name="weight label")


def _layer_done(progress: float, layer: int, layers: int) -> tuple[float, float]:
    """(how far the pulses into a weight layer are, how far its units have filled)."""
    share = progress * layers - layer
    return smooth(span(share, 0.05, 0.65)), smooth(span(share, 0.6, 0.95))


def _units(run: NetworkPass, plan: Plan, at: Picture, stage: Stage) -> list[Item]:
    palette = stage.palette
    wide, high = plan.size
    layers = len(run.weights)
    items: list[Item] = []
    for column, places in enumerate(plan.units):
        filled = 1.0 if column == 0 else _layer_done(at.forward, column - 1, layers)[1]
        back = _layer_done(at.backward, layers - column, layers)[1] if column else 0.0
        for unit, place in enumerate(places):
            value = float(run.activations[column][unit])
            if column == layers and at.update > 0:
                value = mix(value, float(run.new_output[unit]), smooth(span(at.update, 0.75, 0.95)))
            shade = blend(palette.surface, palette.accent, 0.38 * filled * min(abs(value), 1.0))
            shape = Box(place.x - wide / 2, place.y - high / 2, wide, high)
            items.append(Rect(box=shape, radius=high / 2, fill=shade, stroke=palette.warm if back > 0.5 else palette.accent,
                              width=4 if back > 0.5 else 2.5, layer=5, name="unit"))  # fmt: skip
            if filled > 0:
                items.append(Text(at=place, text=number(value), size=MIN_TEXT, colour=palette.ink, weight="bold",
                                  anchor="centre", layer=6, alpha=filled, name="value"))  # fmt: skip
            if column:
                items += _sublabel(run, plan, at, stage, column, unit, filled, back)
    return items


def _sublabel(
    run: NetworkPass, plan: Plan, at: Picture, stage: Stage, column: int, unit: int, filled: float, back: float
) -> list[Item]:
    """Under a unit: its bias on the way forward, its delta on the way back."""
    palette, place = stage.palette, plan.units[column][unit]
    spot = Point(place.x, place.y + plan.size[1] / 2 + 18)
    if not plan.sublabels:
        return []
    if back > 0:
        text, colour, alpha = f"δ {number(run.deltas[column - 1][unit], 3)}", palette.negative, back
    else:
        text, colour, alpha = f"b {number(run.biases[column - 1][unit])}", palette.muted, 1.0
    return tag(text, spot, stage.measure(text, MIN_TEXT, "regular"), palette, MIN_TEXT, colour=colour, alpha=alpha, layer=6,
               name="delta" if back else "bias")  # fmt: skip


def _forward_pulses(run: NetworkPass, plan: Plan, at: Picture, stage: Stage) -> list[Item]:
    items: list[Item] = []
    if not 0 < at.forward < 1:
        return items
    for layer, weight in enumerate(run.weights):
        moving, _ = _layer_done(at.forward, layer, len(run.weights))
        if 0 < moving < 1:
            for to, source in np.ndindex(weight.shape):
                size = 7 + 7 * min(abs(float(run.activations[layer][source] * weight[to, source])), 1.0)
                items.append(
                    pulse(
                        plan.units[layer][source],
                        plan.units[layer + 1][to],
                        moving,
                        stage.palette.accent,
                        size,
                        layer=3,
                    )
                )
    return items


def _backward_pulses(run: NetworkPass, plan: Plan, at: Picture, stage: Stage) -> list[Item]:
    items: list[Item] = []
    layers = len(run.weights)
    if not 0 < at.backward < 1:
        return items
    for back in range(layers):
        moving, _ = _layer_done(at.backward, back, layers)
        if not 0 < moving < 1:
            continue
        if back == 0:
            items += [
                pulse(plan.loss.centre, place, moving, stage.palette.warm, 10, "diamond", layer=3)
                for place in plan.units[-1]
            ]
            continue
        column = layers - back
        for to, source in np.ndindex(run.weights[column].shape):
            items.append(
                pulse(
                    plan.units[column + 1][to],
                    plan.units[column][source],
                    moving,
                    stage.palette.warm,
                    9,
                    "diamond",
                    layer=3,
                )
            )
    return items


def _loss(run: NetworkPass, plan: Plan, at: Picture, stage: Stage) -> list[Item]:
    """The loss: target, then the number once the output is compared with it."""
    palette, box = stage.palette, plan.loss
    lit = smooth(span(at.loss, 0.3, 0.7))
    items: list[Item] = [
        Rect(box=box, radius=14, fill=blend(palette.surface, palette.highlight, lit), stroke=palette.warm if lit > 0.5 else palette.line,
             width=2.5, layer=5, name="loss")
    ]  # fmt: skip
    shown = ", ".join(number(t, 1) for t in run.target[:2])
    rows = [("target", palette.muted, "regular"), (shown, palette.ink, "bold")]
    if lit > 0:
        loss = mix(run.loss, run.new_loss, smooth(span(at.update, 0.75, 0.95)))
        rows += [("loss", palette.muted, "regular"), (number(loss, 3), palette.negative, "bold")]
    beside = all(
        stage.measure(rows[i][0] + "  " + rows[i + 1][0], MIN_TEXT, "bold") <= box.w - 24
        for i in range(0, len(rows), 2)
    )
    pitch = 34.0
    lines = len(rows) // 2 if beside else len(rows)
    for i, (text, colour, weight) in enumerate(rows):
        y = box.centre.y + ((i // 2 if beside else i) - (lines - 1) / 2) * pitch
        x = box.x + 12 if i % 2 == 0 else box.right - 12
        items.append(Text(at=Point(x, y), text=text, size=MIN_TEXT, colour=colour, weight=weight,  # type: ignore[arg-type]
                          anchor="left" if i % 2 == 0 else "right", layer=6, alpha=1.0 if i < 2 else lit, name="loss"))  # fmt: skip
    return items
