"""Gradient descent on known functions of one or two variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import InputError, unknown_name

Vector = NDArray[np.float64]

BLOW_UP = 1e6
"""A run stops here: later points would only overflow."""


@dataclass(frozen=True)
class Function:
    """A function with its gradient, and where to look at it.

    `value` takes arrays of shape (..., d) and gives (...,); `gradient` keeps the shape.
    `window` is (low, high) for each dimension; `start` shows the idea; `minimum` is the lowest point.
    """

    name: str
    value: Callable[[Vector], Vector]
    gradient: Callable[[Vector], Vector]
    window: tuple[tuple[float, float], ...]
    start: tuple[float, ...]
    minimum: tuple[float, ...]
    latex: str

    @property
    def dimension(self) -> int:
        return len(self.window)


def _stack(*parts: Vector) -> Vector:
    return np.stack(parts, axis=-1)


def _quadratic_1d() -> Function:
    return Function(
        "quadratic", lambda p: p[..., 0] ** 2, lambda p: 2 * p, ((-2.4, 2.4),), (-2.0,), (0.0,), r"f(x) = x^2"
    )


def _quadratic_2d() -> Function:
    return Function(
        "quadratic",
        lambda p: p[..., 0] ** 2 + 0.4 * p[..., 1] ** 2,
        lambda p: _stack(2 * p[..., 0], 0.8 * p[..., 1]),
        ((-2.4, 2.4), (-2.4, 2.4)),
        (-2.0, 1.9),
        (0.0, 0.0),
        r"f(x, y) = x^2 + 0.4\,y^2",
    )


_WELL_LOW = float(np.min(np.roots([1.0, 0.0, -1.0, 0.15]).real))


def _double_well_1d() -> Function:
    return Function(
        "double_well",
        lambda p: (p[..., 0] ** 2 - 1) ** 2 / 4 + 0.15 * p[..., 0],
        lambda p: p * (p**2 - 1) + 0.15,
        ((-1.9, 1.9),),
        (1.75,),
        (_WELL_LOW,),
        r"f(x) = \frac{1}{4}(x^2 - 1)^2 + 0.15\,x",
    )


def _double_well_2d() -> Function:
    return Function(
        "double_well",
        lambda p: (p[..., 0] ** 2 - 1) ** 2 / 4 + 0.15 * p[..., 0] + 0.5 * p[..., 1] ** 2,
        lambda p: _stack(p[..., 0] * (p[..., 0] ** 2 - 1) + 0.15, p[..., 1]),
        ((-1.9, 1.9), (-1.4, 1.4)),
        (0.3, 1.2),
        (_WELL_LOW, 0.0),
        r"f(x, y) = \frac{1}{4}(x^2 - 1)^2 + 0.15\,x + \frac{1}{2} y^2",
    )


def _ravine() -> Function:
    return Function(
        "ravine",
        lambda p: 0.25 * p[..., 0] ** 2 + 5 * p[..., 1] ** 2,
        lambda p: _stack(0.5 * p[..., 0], 10 * p[..., 1]),
        ((-4.4, 2.2), (-1.25, 1.25)),
        (-4.0, 1.0),
        (0.0, 0.0),
        r"f(x, y) = \frac{1}{4} x^2 + 5\,y^2",
    )


def _rosenbrock() -> Function:
    """Rosenbrock's valley (1960), flattened (3 for 100, all times 0.2) so that usual rates do not diverge."""

    def gradient(p: Vector) -> Vector:
        x, y = p[..., 0], p[..., 1]
        return 0.2 * _stack(-2 * (1 - x) - 12 * x * (y - x**2), 6 * (y - x**2))

    return Function(
        "rosenbrock",
        lambda p: 0.2 * ((1 - p[..., 0]) ** 2 + 3 * (p[..., 1] - p[..., 0] ** 2) ** 2),
        gradient,
        ((-1.8, 1.8), (-0.9, 2.3)),
        (-1.4, 0.2),
        (1.0, 1.0),
        r"f(x, y) = 0.2\,(1 - x)^2 + 0.6\,(y - x^2)^2",
    )


_LINES = {"quadratic": _quadratic_1d, "double_well": _double_well_1d}
_PLANES = {
    "quadratic": _quadratic_2d,
    "double_well": _double_well_2d,
    "ravine": _ravine,
    "rosenbrock": _rosenbrock,
}


def function(name: str, *, plane: bool) -> Function:
    """The function of that name, over a line or a plane.

    Ravine and Rosenbrock's valley exist over the plane alone and are given so in either case.
    """
    if name not in _PLANES:
        raise unknown_name("visual.function", name, list(_PLANES))
    return _LINES[name]() if name in _LINES and not plane else _PLANES[name]()


@dataclass(frozen=True, eq=False)
class Descent:
    """One run: K + 1 points with values and gradients; point k + 1 = point k - rate * gradient k.

    points, gradients: (K + 1, d); values: (K + 1,). outcome: converging, crawling, oscillating or diverging.
    """

    function: Function
    rate: float
    points: Vector
    values: Vector
    gradients: Vector
    outcome: str

    @property
    def steps(self) -> int:
        return len(self.points) - 1


def descend(target: Function, rate: float, steps: int, start: list[float] | tuple[float, ...] = ()) -> Descent:
    """Run gradient descent. Raises InputError when `start` has the wrong number of coordinates."""
    if start and len(start) < target.dimension:
        raise InputError(
            "bad_start",
            f"visual.start: {len(start)} coordinate(s) given, {target.name} over the plane needs {target.dimension}.",
            "Give one number for each axis, or leave it empty.",
        )
    point = np.array(start[: target.dimension] if start else target.start, dtype=np.float64)
    points, gradients = [point], [target.gradient(point)]
    for _ in range(steps):
        if np.abs(points[-1]).max() > BLOW_UP:
            break
        points.append(points[-1] - rate * gradients[-1])
        gradients.append(target.gradient(points[-1]))
    run = np.array(points)
    values = target.value(run)
    return Descent(target, rate, run, values, np.array(gradients), _outcome(target, run, values, np.array(gradients)))


def _outcome(target: Function, points: Vector, values: Vector, gradients: Vector) -> str:
    if np.abs(points[-1]).max() > BLOW_UP or values[-1] > 1.02 * values[0] + 1e-12:
        return "diverging"
    turned = (gradients[1:] * gradients[:-1]).sum(axis=1) < 0
    if len(turned) > 2 and turned[-3:].all() and np.linalg.norm(gradients[-1]) > 0.25 * np.linalg.norm(gradients[0]):
        return "oscillating"
    floor = float(target.value(np.array(target.minimum)))
    small = np.linalg.norm(gradients[-1]) <= 0.1 * np.linalg.norm(gradients[0])
    done = values[-1] - floor <= 0.02 * (values[0] - floor)
    return "converging" if small or done else "crawling"
