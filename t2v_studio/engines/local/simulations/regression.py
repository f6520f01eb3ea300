"""Polynomials fitted to noisy samples: squared bias, variance and expected error by Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

DATA_SETS = 300
"""Data sets drawn for bias and variance."""
SHOWN = 24
"""Fits of these that are drawn."""
GRID = 121
HIGHEST = 13
"""Highest degree of the error curve, where there are samples enough."""


@dataclass(frozen=True, eq=False)
class BiasVarianceRun:
    """What one scene needs, x in [0, 1].

    x, y: the first data set (n,); grid, truth: (GRID,); fits[degree]: its fit on the grid;
    spread[degree]: (SHOWN, GRID) fits of other data sets; means[degree]: (GRID,) mean over all of them;
    degrees: 0 to the highest; bias2, variance, expected_error: one number a degree, averaged over the grid;
    expected_error is measured on fresh noisy targets, noise2 is the noise's variance.
    """

    x: Vector
    y: Vector
    grid: Vector
    truth: Vector
    fits: dict[int, Vector]
    spread: dict[int, Matrix]
    means: dict[int, Vector]
    degrees: tuple[int, ...]
    bias2: Vector
    variance: Vector
    noise2: float
    expected_error: Vector

    @property
    def total(self) -> Vector:
        return np.asarray(self.bias2 + self.variance + self.noise2)

    @property
    def best_degree(self) -> int:
        return self.degrees[int(np.argmin(self.total))]


def true_function(x: Vector) -> Vector:
    """One and a bit waves: too bent for a line, plain for a cubic."""
    return np.asarray(np.sin(2 * np.pi * x))


def fit_polynomial(x: Vector, y: Vector, degree: int) -> Vector:
    """Least-squares coefficients in Chebyshev's basis on [0, 1] mapped to [-1, 1], lowest first.

    y may be (n,) or (n, sets). Where the degree exceeds the samples, the shortest solution is taken.
    """
    basis = chebyshev.chebvander(2 * x - 1, degree)
    return np.asarray(np.linalg.lstsq(basis, y, rcond=None)[0])


def predict(coefficients: Vector, x: Vector) -> Vector:
    """(points,) or, for several sets of coefficients, (sets, points)."""
    return np.asarray(chebyshev.chebval(2 * x - 1, coefficients))


def study_fits(shown_degrees: list[int], samples: int, noise: float, seed: int) -> BiasVarianceRun:
    """Fit every degree to many data sets: same x, fresh noise. Highest degree: HIGHEST, or the highest shown."""
    rng = np.random.default_rng([seed, samples, round(noise * 1000)])
    x = (np.arange(samples) + rng.uniform(0.15, 0.85, samples)) / samples
    grid = np.linspace(float(x[0]), float(x[-1]), GRID)
    truth = true_function(grid)
    y = true_function(x) + noise * rng.standard_normal(samples)
    others = true_function(x)[:, None] + noise * rng.standard_normal((samples, DATA_SETS))
    fresh = truth + noise * rng.standard_normal((DATA_SETS, GRID))
    degrees = tuple(range(max(min(HIGHEST, samples - 2), *shown_degrees, 0) + 1))
    bias2, variance, error, spread, means = [], [], [], {}, {}
    for degree in degrees:
        predictions = predict(fit_polynomial(x, others, degree), grid)
        mean = predictions.mean(axis=0)
        bias2.append(float(((mean - truth) ** 2).mean()))
        variance.append(float(predictions.var(axis=0).mean()))
        error.append(float(((predictions - fresh) ** 2).mean()))
        if degree in shown_degrees:
            spread[degree], means[degree] = predictions[:SHOWN], mean
    fits = {degree: predict(fit_polynomial(x, y, degree), grid) for degree in shown_degrees}
    return BiasVarianceRun(
        x, y, grid, truth, fits, spread, means, degrees, np.array(bias2), np.array(variance), noise**2, np.array(error)
    )
