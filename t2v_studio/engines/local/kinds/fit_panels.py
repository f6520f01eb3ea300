"""The panels of bias and variance: samples, fits, the spread of fits, the curve of the error."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np

from t2v_studio.engines.local.display import MIN_TEXT, Box, Circle, Item, Point, Polyline, Text
from t2v_studio.engines.local.easing import smooth, span
from t2v_studio.engines.local.kinds.axes import Axes, axis_items, nice_ticks, plot_axes
from t2v_studio.engines.local.kinds.base import Stage
from t2v_studio.engines.local.kinds.edges import diamond
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.kinds.timing import part
from t2v_studio.engines.local.simulations.regression import BiasVarianceRun

DASHES: tuple[tuple[float, ...], ...] = ((), (14.0, 6.0), (4.0, 5.0), (16.0, 5.0, 4.0, 5.0))


def _y_range(run: BiasVarianceRun) -> tuple[float, float]:
    low, high = min(float(run.y.min()), -1.1), max(float(run.y.max()), 1.1)
    return low - 0.12 * (high - low), high + 0.12 * (high - low)


@lru_cache(maxsize=32)
def _scatter(run: BiasVarianceRun, box: Box, stage: Stage, small: bool) -> tuple[Axes, tuple[Item, ...]]:
    """Axes with the true function."""
    y_range = _y_range(run)
    y_ticks = [] if small else nice_ticks(*y_range, 4)
    axes = plot_axes(box, (-0.02, 1.02), y_range, stage, y_ticks, top=10 if small else 36)
    items = axis_items(
        axes, stage, [0, 0.5, 1] if small else nice_ticks(0, 1, 5), y_ticks, "x", "" if small else "y", grid=not small
    )
    for piece in axes.curve(run.grid, run.truth):
        items.append(
            Polyline(points=piece, stroke=stage.palette.muted, width=3, dash=(10.0, 7.0), layer=1, name="truth")
        )
    return axes, tuple(items)


def _samples(run: BiasVarianceRun, axes: Axes, shown: float, stage: Stage) -> list[Item]:
    """The samples; while they appear they drop from the true function to where the noise puts them."""
    palette, count = stage.palette, len(run.x)
    items: list[Item] = []
    for i, (x, y) in enumerate(zip(run.x, run.y, strict=True)):
        fallen = smooth(span(shown * (count + 3) - i, 0.0, 3.0))
        if fallen <= 0 or not axes.holds(float(x), float(y)):
            continue
        truth = float(np.sin(2 * np.pi * x))
        centre = axes.at(float(x), truth + (float(y) - truth) * fallen)
        if 0 < fallen < 1:
            items.append(
                Polyline(points=(axes.at(float(x), truth), centre), stroke=palette.warm, width=2, layer=1, name="noise")
            )
        items.append(
            Circle(centre=centre, radius=6.5, fill=palette.ink, stroke=palette.surface, width=2, layer=3, name="sample")
        )
    return items


def draw_data(run: BiasVarianceRun, progress: float, stage: Stage) -> list[Item]:
    axes, still = _scatter(run, stage.box, stage, False)
    return [*still, *_samples(run, axes, progress, stage)]


def _colour(stage: Stage, index: int) -> str:
    palette = stage.palette
    return (palette.negative, palette.positive, palette.accent, palette.ink)[index % 4]


def draw_fits(run: BiasVarianceRun, progress: float, stage: Stage) -> list[Item]:
    """One curve after the other over the same samples, each labelled at its right end."""
    degrees = sorted(run.fits)
    label = stage.measure("degree 12", 26, "bold") + 14
    box = stage.box
    axes, still = _scatter(run, Box(box.x, box.y, box.w - label, box.h), stage, False)
    items = [*still, *_samples(run, axes, 1.0, stage)]
    ends = _spread_labels(
        [axes.py(float(run.fits[d][-1])) for d in degrees], 32.0, axes.box.y + 12, axes.box.bottom - 12
    )
    for i, degree in enumerate(degrees):
        drawn = smooth(span(part(progress * len(degrees), i), 0.05, 0.85))
        if drawn <= 0:
            continue
        colour = _colour(stage, i)
        for piece in _grown(run, axes, degree, max(2, round(drawn * len(run.grid)))):
            items.append(Polyline(points=piece, stroke=colour, width=4.5, dash=DASHES[i % 4], layer=2, name="fit"))
        shown = span(drawn, 0.85, 1.0)
        if shown > 0:
            items.append(Text(at=Point(axes.box.right + 16, ends[i]), text=f"degree {degree}", size=26, colour=colour, weight="bold",
                              alpha=shown, layer=4, name="fit label"))  # fmt: skip
    return items


@lru_cache(maxsize=512)
def _grown(run: BiasVarianceRun, axes: Axes, degree: int, count: int) -> list[tuple[Point, ...]]:
    return axes.curve(run.grid[:count], run.fits[degree][:count])


def _spread_labels(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Heights near the wanted ones, at least a gap apart, in the same order."""
    order = np.argsort(wanted, kind="stable")
    placed = np.clip(np.array(wanted, dtype=float), low, high)
    for _ in range(60):
        for a, b in itertools.pairwise(order):
            short = gap - (placed[b] - placed[a])
            if short > 0:
                placed[a] -= short / 2
                placed[b] += short / 2
        if len(order):
            placed[order[0]] = max(placed[order[0]], low)
            placed[order[-1]] = min(placed[order[-1]], high)
    return [round(float(y), 2) for y in placed]


def draw_spread(run: BiasVarianceRun, progress: float, stage: Stage) -> list[Item]:
    """Side by side for each degree: fits to other data sets of the same kind, and their mean."""
    degrees = sorted(run.spread)
    items: list[Item] = []
    for i, (degree, box) in enumerate(zip(degrees, _cells(len(degrees), stage.box), strict=True)):
        items += _spread_panel(run, degree, box, part(progress * len(degrees), i), _colour(stage, i), stage)
    return items


def _cells(count: int, box: Box) -> list[Box]:
    gap = 26.0
    across = 1 if box.h > 1.1 * box.w and count <= 3 else 2 if box.h > 1.1 * box.w else count
    down = -(-count // across)
    w, h = (box.w - gap * (across - 1)) / across, (box.h - gap * (down - 1)) / down
    return [Box(box.x + (i % across) * (w + gap), box.y + (i // across) * (h + gap), w, h) for i in range(count)]


def _spread_panel(run: BiasVarianceRun, degree: int, box: Box, shown: float, colour: str, stage: Stage) -> list[Item]:
    wide = box.w > 470
    foot = 0.0 if wide else 58.0 if box.h > 280 else 0.0
    axes, still = _scatter(run, Box(box.x, box.y + 34, box.w, box.h - 34 - foot), stage, True)
    items: list[Item] = [
        *still,
        Text(
            at=Point(box.x, box.y + 16), text=f"degree {degree}", size=26, colour=colour, weight="bold", name="degree"
        ),
    ]
    pieces = _spread_pieces(run, degree, axes)
    count = round(smooth(span(shown, 0.0, 0.7)) * len(pieces))
    for piece_group in pieces[:count]:
        for piece in piece_group:
            items.append(Polyline(points=piece, stroke=colour, width=1.5, alpha=0.4, name="fit"))
    known = span(shown, 0.7, 0.9)
    if known > 0:
        for piece in axes.curve(run.grid[::3], run.means[degree][::3]):
            items.append(Polyline(points=piece, stroke=colour, width=5, layer=2, alpha=known, name="mean"))
        items += _spread_numbers(run, degree, box, known, wide, foot, stage)
    return items


def _spread_numbers(
    run: BiasVarianceRun, degree: int, box: Box, known: float, wide: bool, foot: float, stage: Stage
) -> list[Item]:
    palette = stage.palette
    bias, variance = (
        f"bias² {number(float(run.bias2[degree]), 3)}",
        f"variance {number(float(run.variance[degree]), 3)}",
    )
    if wide:
        lines = [(f"{bias}   {variance}", Point(box.right, box.y + 16), "right")]
    elif foot:
        lines = [(bias, Point(box.x, box.bottom - 42), "left"), (variance, Point(box.x, box.bottom - 13), "left")]
    else:
        return []
    return [
        Text(at=at, text=text, size=MIN_TEXT, colour=palette.ink, anchor=anchor, alpha=known, name="numbers")  # type: ignore[arg-type]
        for text, at, anchor in lines
    ]


@lru_cache(maxsize=32)
def _spread_pieces(run: BiasVarianceRun, degree: int, axes: Axes) -> tuple[tuple[tuple[Point, ...], ...], ...]:
    return tuple(tuple(axes.curve(run.grid[::3], fit[::3])) for fit in run.spread[degree])


def draw_curve(run: BiasVarianceRun, progress: float, stage: Stage) -> list[Item]:
    """Squared bias falls, variance rises, their sum with the noise has a lowest point."""
    _palette, box = stage.palette, stage.box
    curves = _curves(run, stage)
    label = max(stage.measure(name, 26, "bold") for name, *_ in curves) + 16
    axes, still = _curve_axes(run, box, stage, label)
    items = list(still)
    ends = _spread_labels(
        [axes.py(min(float(v[-1]), axes.y[1])) for _, v, *_ in curves], 32.0, axes.box.y + 6, axes.box.bottom - 10
    )
    for i, (name, values, colour, dash, width) in enumerate(curves):
        drawn = smooth(span(part(progress * 5, i), 0.0, 0.8))
        if drawn <= 0:
            continue
        reach = drawn * (len(values) - 1)
        whole = int(reach)
        xs = [float(d) for d in run.degrees[: whole + 1]]
        ys = [float(v) for v in values[: whole + 1]]
        if whole < len(values) - 1:
            xs.append(reach)
            ys.append(float(values[whole] + (values[whole + 1] - values[whole]) * (reach - whole)))
        for piece in axes.curve(xs, ys) if len(xs) > 1 else []:
            items.append(Polyline(points=piece, stroke=colour, width=width, dash=dash, layer=2, name="curve"))
        if drawn >= 0.9:
            items.append(Text(at=Point(axes.box.right + 16, ends[i]), text=name, size=26, colour=colour, weight="bold",
                              alpha=span(drawn, 0.9, 1.0), layer=3, name="curve label"))  # fmt: skip
    return items + _sweet_spot(run, axes, span(progress, 0.8, 0.92), stage)


def _curves(run: BiasVarianceRun, stage: Stage) -> list[tuple[str, np.ndarray, str, tuple[float, ...], float]]:
    palette = stage.palette
    noise = np.full(len(run.degrees), run.noise2)
    return [
        ("bias²", run.bias2, palette.negative, (14.0, 6.0), 4.0),
        ("variance", run.variance, palette.accent, (4.0, 5.0), 4.0),
        ("noise", noise, palette.muted, (2.0, 6.0), 3.0),
        ("test error", run.total, palette.ink, (), 5.0),
    ]


@lru_cache(maxsize=32)
def _curve_axes(run: BiasVarianceRun, box: Box, stage: Stage, label: float) -> tuple[Axes, tuple[Item, ...]]:
    best = float(run.total.min())
    top = max(1.12 * float(run.total[min(1, len(run.total) - 1)]), 2.2 * best, 1e-3)
    y_ticks = nice_ticks(0, top, 4)
    axes = plot_axes(Box(box.x, box.y, box.w - label, box.h), (0, run.degrees[-1]), (0, top), stage, y_ticks)
    x_ticks = [float(d) for d in run.degrees if run.degrees[-1] <= 10 or d % 2 == 0]
    return axes, tuple(axis_items(axes, stage, x_ticks, y_ticks, "degree" if box.w > 800 else "", "error"))


def _sweet_spot(run: BiasVarianceRun, axes: Axes, shown: float, stage: Stage) -> list[Item]:
    if shown <= 0:
        return []
    palette, degree = stage.palette, run.best_degree
    x, y = axes.px(degree), axes.py(float(run.total[degree]))
    text = f"lowest error: degree {degree}"
    width = stage.measure(text, 26, "bold")
    after = x + 12 + width <= axes.box.right
    return [
        Polyline(points=(Point(x, axes.box.y + 2), Point(x, axes.box.bottom)), stroke=palette.positive, width=2.5, dash=(6.0, 6.0),
                 alpha=shown, layer=1, name="best"),
        diamond(Point(x, y), 12, palette.positive, 4, palette.surface),
        Text(at=Point(x + 12 if after else x - 12, axes.box.y + 14), text=text, size=26, colour=palette.positive, weight="bold",
             anchor="left" if after else "right",
             alpha=shown, layer=3, name="best label"),
    ]  # fmt: skip
