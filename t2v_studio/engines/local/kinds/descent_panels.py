"""The panels of gradient descent: a curve with its tangent, level lines with a path, the falling loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from t2v_studio.engines.local.display import Box, Circle, Item, Point, Polyline, Text
from t2v_studio.engines.local.easing import blend, mix, smooth, span
from t2v_studio.engines.local.kinds.axes import TOP, Axes, axis_items, clip_path, nice_ticks, plot_axes
from t2v_studio.engines.local.kinds.base import Stage
from t2v_studio.engines.local.kinds.edges import diamond
from t2v_studio.engines.local.kinds.numbers import compact
from t2v_studio.engines.local.simulations.descent import Descent
from t2v_studio.engines.local.theme import Palette

BALL = 13.0
NARROW = 250.0
"""A panel of rates under this width has its verdict on a second row."""
VERDICTS = {"crawling": "too slow", "converging": "converges", "oscillating": "oscillates", "diverging": "diverges"}


@dataclass(frozen=True, eq=False)
class Panel:
    """Axes of one run with everything on them that does not move."""

    axes: Axes
    still: tuple[Item, ...]


def draw_run(run: Descent, place: float, stage: Stage) -> list[Item]:
    """One run: its curve or level lines, and the loss by step beside or below it where there is room."""
    main, side = _split(stage, run)
    panel = _panel(run, main, stage, bool(side.w))
    items = [*panel.still, *_moving(run, panel, place, stage, detailed=True)]
    if side.w:
        items += _loss_chart(run, side, place, stage)
    return items


def _split(stage: Stage, run: Descent) -> tuple[Box, Box]:
    box = stage.box
    if box.w > 1.7 * box.h and box.w > 800:
        side = box.w * 0.32
        return Box(box.x, box.y, box.w - side - 36, box.h), Box(box.right - side, box.y, side, box.h)
    if box.h > box.w:
        share = box.h * 0.36
        return Box(box.x, box.y, box.w, box.h - share - 20), Box(box.x, box.bottom - share, box.w, share)
    return box, Box(0, 0, 0, 0)


@lru_cache(maxsize=32)
def _panel(run: Descent, box: Box, stage: Stage, labels: bool) -> Panel:
    return (
        _curve_panel(run, box, stage, labels)
        if run.function.dimension == 1
        else _contour_panel(run, box, stage, labels)
    )


def _window(run: Descent) -> tuple[float, float]:
    """The function's window, widened by points of the run that lie a little outside."""
    low, high = run.function.window[0]
    reach = (high - low) * 0.35
    near = [x for x in run.points[:, 0] if low - reach <= x <= high + reach] + [float(run.points[0, 0])]
    return min(low, *(x - 0.05 * (high - low) for x in near)), max(high, *(x + 0.05 * (high - low) for x in near))


def _curve_panel(run: Descent, box: Box, stage: Stage, labels: bool) -> Panel:
    low, high = _window(run)
    xs = np.linspace(low, high, 97)
    ys = run.function.value(xs[:, None])
    top = float(max(run.values[0] * 1.12, np.quantile(ys, 0.72)))
    bottom = float(ys.min()) - 0.13 * (top - float(ys.min()))
    y_ticks = nice_ticks(bottom, top, 4 if labels else 3)
    axes = plot_axes(box, (low, high), (bottom, top), stage, y_ticks)
    items = axis_items(axes, stage, nice_ticks(low, high, 6 if labels else 3), y_ticks, "x", "f(x)", grid=labels)
    for piece in axes.curve(xs, ys):
        items.append(Polyline(points=piece, stroke=stage.palette.ink, width=4, layer=1, name="curve"))
    return Panel(axes, tuple(items))


def _contour_panel(run: Descent, box: Box, stage: Stage, labels: bool) -> Panel:
    """Level lines at equal scales on both axes, so that the gradient stands at right angles to them."""
    (x0, x1), (y0, y1) = run.function.window
    y_ticks = nice_ticks(y0, y1, 4 if labels else 2)
    axes = plot_axes(box, (x0, x1), (y0, y1), stage, y_ticks, top=TOP if labels else 8.0)
    unit = min(axes.box.w / (x1 - x0), axes.box.h / (y1 - y0))
    wide = min(axes.box.w / unit, 1.5 * (x1 - x0))
    tall = min(axes.box.h / unit, 1.5 * (y1 - y0))
    inner = Box(
        axes.box.x + (axes.box.w - wide * unit) / 2,
        axes.box.y + (axes.box.h - tall * unit) / 2,
        wide * unit,
        tall * unit,
    )
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    axes = Axes(inner, (cx - wide / 2, cx + wide / 2), (cy - tall / 2, cy + tall / 2))
    items = _levels(run, axes, stage.palette)
    y_ticks = nice_ticks(*axes.y, 4 if labels else 3)
    items += axis_items(
        axes, stage, nice_ticks(*axes.x, 6 if labels else 3), y_ticks, "x", "y" if labels else "", grid=False
    )
    low = axes.at(*run.function.minimum)
    items.append(diamond(low, 9, stage.palette.positive, layer=2, stroke=stage.palette.surface))
    return Panel(axes, tuple(items))


def _levels(run: Descent, axes: Axes, palette: Palette) -> list[Item]:
    import contourpy

    xs, ys = np.linspace(*axes.x, 61), np.linspace(*axes.y, 61)
    values = run.function.value(np.stack(np.meshgrid(xs, ys), axis=-1))
    levels = np.quantile(values, np.linspace(0.025, 0.97, 10))
    maker = contourpy.contour_generator(xs, ys, values, fill_type="OuterCode", line_type="Separate")
    items: list[Item] = []
    for rank, level in enumerate(levels[::-1]):
        shade = blend(palette.surface, palette.accent_soft, 0.25 + 0.95 * rank / len(levels))
        areas: list[np.ndarray] = maker.filled(-math.inf, level)[0]  # type: ignore[assignment]
        for polygon in areas:
            points = _simplified([axes.at(float(x), float(y)) for x, y in polygon], 0.35)
            items.append(Polyline(points=points, closed=True, fill=shade, width=0, layer=-3, name="level area"))
        lines: list[np.ndarray] = maker.lines(level)  # type: ignore[assignment]
        for line in lines:
            points = _simplified([axes.at(float(x), float(y)) for x, y in line], 0.35)
            colour = blend(palette.line, palette.accent, 0.15 + 0.4 * rank / len(levels))
            items.append(Polyline(points=points, stroke=colour, width=1.5, layer=-2, name="level"))
    return items


def _simplified(points: list[Point], tolerance: float) -> tuple[Point, ...]:
    """Fewer points, none farther than the tolerance from the line (Douglas and Peucker, 1973)."""
    if len(points) < 3:
        return tuple(points)
    a, b = np.array(points[0]), np.array(points[-1])
    rest = np.array(points[1:-1]) - a
    length = float(np.hypot(*(b - a)))
    if length < 1e-9:
        distance = np.hypot(rest[:, 0], rest[:, 1])
    else:
        distance = np.abs(rest[:, 0] * (b - a)[1] - rest[:, 1] * (b - a)[0]) / length
    worst = int(distance.argmax())
    if distance[worst] <= tolerance:
        return points[0], points[-1]
    return _simplified(points[: worst + 2], tolerance)[:-1] + _simplified(points[worst + 1 :], tolerance)


def _moving(run: Descent, panel: Panel, place: float, stage: Stage, detailed: bool) -> list[Item]:
    """Trail, tangent, step arrow and the point itself; nothing moves once the point has left the picture."""
    axes, palette = panel.axes, stage.palette
    place = min(place, _exit(run, axes))
    step = min(int(place), run.steps)
    phase = place - step if step < run.steps else 0.0
    rolled = smooth(span(phase, 0.55 if detailed else 0.3, 0.95))
    here, there = run.points[step], run.points[min(step + 1, run.steps)]
    now = here + (there - here) * rolled
    items = _trail(run, panel, step, now, palette)
    if detailed:
        items += _tangent(run, axes, step, phase, palette) if len(here) == 1 else []
        items += _arrow(run, axes, step, smooth(span(phase, 0.15, 0.5)) * (1 - span(phase, 0.85, 1.0)), palette)
    y = float(run.function.value(now)) if len(now) == 1 else float(now[1])
    if axes.holds(float(now[0]), y):
        centre = axes.at(float(now[0]), y)
        items.append(Circle(centre=centre, radius=BALL if detailed else 10, fill=palette.accent,
                            stroke=palette.surface, width=3, layer=5, name="now"))  # fmt: skip
    elif detailed:
        items += _gone(axes, float(now[0]), y, palette)
    return items


@lru_cache(maxsize=64)
def _exit(run: Descent, axes: Axes) -> float:
    """The first step whose point lies outside the picture; infinite when none does."""
    outside = (k for k, p in enumerate(run.points) if not axes.holds(float(p[0]), _height(run, p)))
    return float(next(outside, math.inf))


def _height(run: Descent, point: np.ndarray) -> float:
    return float(run.function.value(point)) if len(point) == 1 else float(point[1])


def _trail(run: Descent, panel: Panel, step: int, now: np.ndarray, palette: Palette) -> list[Item]:
    axes = panel.axes
    items: list[Item] = []
    visited = [axes.at(float(p[0]), _height(run, p)) for p in run.points[: step + 1]]
    if run.function.dimension == 2:
        path = [*visited, axes.at(float(now[0]), float(now[1]))]
        for piece in clip_path(path, axes.box):
            items.append(Polyline(points=piece, stroke=palette.accent, width=4, layer=3, name="path"))
    for point, centre in zip(run.points, visited, strict=False):
        if axes.holds(float(point[0]), _height(run, point)):
            items.append(Circle(centre=centre, radius=6, fill=palette.surface, stroke=palette.accent, width=2.5,
                                layer=3, name="visited"))  # fmt: skip
    return items


def _tangent(run: Descent, axes: Axes, step: int, phase: float, palette: Palette) -> list[Item]:
    """The tangent at the point that the step starts from: its slope is the gradient."""
    shown = span(phase, 0.0, 0.15) * (1 - span(phase, 0.5, 0.7)) if step < run.steps else 1.0
    x, y, slope = float(run.points[step, 0]), float(run.values[step]), float(run.gradients[step, 0])
    if step == 0 and phase == 0:
        shown = 1.0
    if shown <= 0 or not axes.holds(x, y):
        return []
    centre = axes.at(x, y)
    dx = axes.box.w / (axes.x[1] - axes.x[0])
    dy = slope * axes.box.h / (axes.y[1] - axes.y[0])
    reach = 170.0 / math.hypot(dx, dy)
    ends = [Point(centre.x - reach * dx, centre.y + reach * dy), Point(centre.x + reach * dx, centre.y - reach * dy)]
    return [
        Polyline(
            points=piece,
            stroke=palette.positive,
            width=4,
            dash=(12.0, 7.0),
            layer=2,
            alpha=round(shown, 3),
            name="tangent",
        )
        for piece in clip_path(ends, axes.box)
    ]


def _arrow(run: Descent, axes: Axes, step: int, grown: float, palette: Palette) -> list[Item]:
    """The step -rate * gradient: along the x axis on a curve, across the plane on level lines."""
    if grown <= 0.02 or step >= run.steps:
        return []
    here, there = run.points[step], run.points[step + 1]
    tip = here + (there - here) * grown
    if len(here) == 1:
        y = _height(run, here)
        ends = [axes.at(float(here[0]), y), axes.at(float(tip[0]), y)]
    else:
        ends = [axes.at(float(here[0]), float(here[1])), axes.at(float(tip[0]), float(tip[1]))]
    pieces = clip_path(ends, axes.box)
    if not pieces or math.dist(pieces[0][0], pieces[0][-1]) < 16:
        return []
    return [Polyline(points=pieces[0], stroke=palette.negative, width=4.5, arrow="end", layer=4, name="step")]


def _gone(axes: Axes, x: float, y: float, palette: Palette) -> list[Item]:
    """The point has left the picture: say so where it left."""
    arrow = "↗" if x > (axes.x[0] + axes.x[1]) / 2 else "↖"
    text, at = f"left the picture {arrow}", Point(axes.box.centre.x, axes.box.y + 18)
    return [Text(at=at, text=text, size=26, colour=palette.negative, weight="bold", anchor="centre",
                 layer=5, name="flag")]  # fmt: skip


def _loss_chart(run: Descent, box: Box, place: float, stage: Stage) -> list[Item]:
    axes, still = _loss_axes(run, box, stage)
    palette = stage.palette
    step = min(int(place), run.steps)
    rolled = smooth(span(place - step, 0.55, 0.95)) if step < run.steps else 0.0
    points = [axes.at(k, float(run.values[k])) for k in range(step + 1)]
    items = list(still)
    if rolled > 0:
        points.append(axes.at(step + rolled, mix(float(run.values[step]), float(run.values[step + 1]), rolled)))
    for piece in clip_path(points, axes.box):
        items.append(Polyline(points=piece, stroke=palette.accent, width=4, layer=2, name="loss"))
    for point in points[: step + 1]:
        if axes.box.y - 1 <= point.y <= axes.box.bottom + 1 and run.steps <= 24:
            items.append(
                Circle(centre=point, radius=5, fill=palette.surface, stroke=palette.accent, width=2.5, layer=3)
            )
    head = points[-1]
    if axes.box.y - 1 <= head.y <= axes.box.bottom + 1:
        items.append(Circle(centre=head, radius=9, fill=palette.accent, stroke=palette.surface, width=2.5, layer=4))
    return items


@lru_cache(maxsize=32)
def _loss_axes(run: Descent, box: Box, stage: Stage) -> tuple[Axes, tuple[Item, ...]]:
    floor = float(run.function.value(np.array(run.function.minimum)))
    top = max(float(np.minimum(run.values, run.values[0] * 2.5 + 0.1).max()), floor + 1e-6)
    low = min(floor, 0.0)
    y_range = (low - 0.03 * (top - low), top + 0.06 * (top - low))
    y_ticks = nice_ticks(*y_range, 4)
    axes = plot_axes(box, (0, run.steps + 0.4), y_range, stage, y_ticks)
    x_ticks = [tick for tick in nice_ticks(0, run.steps, 4) if tick == int(tick)]
    return axes, tuple(axis_items(axes, stage, x_ticks, y_ticks, "step", "f at each step"))


def draw_rates(runs: tuple[Descent, ...], place: float, stage: Stage) -> list[Item]:
    """Small multiples that step together; each says how it went once that shows."""
    items: list[Item] = []
    for run, box in zip(runs, _cells(len(runs), stage.box), strict=True):
        panel = _rate_panel(runs, run, box, stage)
        items += panel.still
        items += _rate_motion(run, panel, place, stage)
        items += _rate_heading(run, box, place, max(r.steps for r in runs), stage)
    return items


def _cells(count: int, box: Box) -> list[Box]:
    gap = 28.0
    tall = box.h > 1.1 * box.w
    across = 1 if tall and count <= 3 else 2 if tall or (count == 4 and box.h > 0.62 * box.w) else count
    down = -(-count // across)
    w, h = (box.w - gap * (across - 1)) / across, (box.h - gap * (down - 1)) / down
    return [Box(box.x + (i % across) * (w + gap), box.y + (i // across) * (h + gap), w, h) for i in range(count)]


@lru_cache(maxsize=64)
def _rate_panel(runs: tuple[Descent, ...], run: Descent, box: Box, stage: Stage) -> Panel:
    head = 34.0 if box.w >= NARROW else 66.0
    inside = Box(box.x, box.y + head, box.w, box.h - head)
    if run.function.dimension == 2:
        return _contour_panel(run, inside, stage, False)
    low, high = _shared_window(runs)
    xs = np.linspace(low, high, 61)
    ys = run.function.value(xs[:, None])
    highest = max(float(r.values[np.abs(r.points[:, 0]) <= max(abs(low), abs(high))].max()) for r in runs)
    bottom, top = float(ys.min()), min(float(ys.max()), highest * 1.1 + 0.05)
    bottom -= 0.12 * (top - bottom)
    axes = plot_axes(inside, (low, high), (bottom, top), stage, [], top=12)
    items = axis_items(axes, stage, nice_ticks(low, high, 4), [], "x", "", grid=False)
    for piece in axes.curve(xs, ys):
        items.append(Polyline(points=piece, stroke=stage.palette.ink, width=3, layer=1, name="curve"))
    return Panel(axes, tuple(items))


def _shared_window(runs: tuple[Descent, ...]) -> tuple[float, float]:
    """One window for all rates; wider where a run diverges, so that some of its jumps are seen."""
    low, high = runs[0].function.window[0]
    start = float(runs[0].points[0, 0])
    low, high = min(low, start - 0.1), max(high, start + 0.1)
    wider = 0.3 * (high - low) if any(run.outcome == "diverging" for run in runs) else 0.0
    return low - wider, high + wider


def _rate_motion(run: Descent, panel: Panel, place: float, stage: Stage) -> list[Item]:
    """Points joined in order, so that a jump across the valley is seen; cut at the frame of the panel."""
    axes, palette = panel.axes, stage.palette
    items = _moving(run, panel, place, stage, detailed=False)
    if run.function.dimension == 2:
        return items
    place = min(place, _exit(run, axes))
    step = min(int(place), run.steps)
    rolled = smooth(span(place - step, 0.3, 0.95)) if step < run.steps else 0.0
    path = [Point(axes.px(float(p[0])), axes.py(_height(run, p))) for p in run.points[: step + 1]]
    if rolled > 0:
        now = run.points[step] + (run.points[step + 1] - run.points[step]) * rolled
        path.append(Point(axes.px(float(now[0])), axes.py(_height(run, now))))
    left = step >= _exit(run, axes)
    colour = palette.negative if run.outcome == "diverging" else palette.accent
    pieces = clip_path(path, axes.box) if len(path) > 1 else []
    for piece in pieces:
        items.append(Polyline(points=piece, stroke=colour, width=2.5, layer=2, name="path",
                              dash=(8.0, 5.0) if run.outcome == "diverging" else ()))  # fmt: skip
    if left and pieces:
        last = pieces[-1][-2:] if len(pieces[-1]) > 1 else pieces[-1]
        items.append(
            Polyline(points=tuple(last), stroke=palette.negative, width=3.5, arrow="end", layer=4, name="leaving")
        )
    return items


def _rate_heading(run: Descent, box: Box, place: float, steps: int, stage: Stage) -> list[Item]:
    palette = stage.palette
    y = box.y + 16
    items: list[Item] = [
        Text(
            at=Point(box.x, y), text=f"η = {compact(run.rate)}", size=28, colour=palette.ink, weight="bold", name="rate"
        )
    ]
    shown = span(place, 0.6 * steps, 0.75 * steps)
    if shown > 0:
        narrow = box.w < NARROW
        bad = run.outcome in ("diverging", "oscillating")
        mark = "✕ " if run.outcome == "diverging" else "↔ " if bad else "✓ " if run.outcome == "converging" else "… "
        colour = palette.negative if bad else palette.positive if run.outcome == "converging" else palette.muted
        at = Point(box.x, y + 32) if narrow else Point(box.right, y)
        items.append(Text(at=at, text=mark + VERDICTS[run.outcome], size=24 if narrow else 26, colour=colour, weight="bold",
                          anchor="left" if narrow else "right", alpha=round(shown, 3), name="verdict"))  # fmt: skip
    return items
