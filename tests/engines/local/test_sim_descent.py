"""Gradient descent against finite differences and closed forms."""

import numpy as np
import pytest

from t2v_studio.engines.local.simulations.descent import descend, function
from t2v_studio.errors import InputError, StudioError

NAMES = ["quadratic", "double_well", "ravine", "rosenbrock"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("plane", [False, True])
def test_gradient_equals_central_differences(name, plane):
    target = function(name, plane=plane)
    rng = np.random.default_rng(3)
    low, high = np.array(target.window).T
    for point in rng.uniform(low, high, (20, target.dimension)):
        step = 1e-5 * np.eye(target.dimension)
        numeric = [(target.value(point + e) - target.value(point - e)) / 2e-5 for e in step]
        assert target.gradient(point) == pytest.approx(np.array(numeric), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_point_is_the_last_one_minus_rate_times_gradient(name):
    run = descend(function(name, plane=True), 0.15, 20)
    assert run.points.shape == (21, 2)
    assert run.points[1:] == pytest.approx(run.points[:-1] - 0.15 * run.gradients[:-1])
    assert run.values == pytest.approx([float(run.function.value(p)) for p in run.points])


def test_quadratic_follows_its_closed_form_and_names_its_outcome():
    target = function("quadratic", plane=False)
    for rate, outcome in [(0.05, "crawling"), (0.3, "converging"), (1.0, "oscillating"), (1.05, "diverging")]:
        run = descend(target, rate, 12)
        assert run.points[:, 0] == pytest.approx(-2.0 * (1 - 2 * rate) ** np.arange(13))
        assert run.outcome == outcome


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("plane", [False, True])
def test_minimum_is_the_lowest_point_of_the_window(name, plane):
    target = function(name, plane=plane)
    axes = [np.linspace(low, high, 201) for low, high in target.window]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, target.dimension)
    floor = float(target.value(np.array(target.minimum)))
    assert floor <= target.value(points).min() + 1e-9
    assert np.abs(target.gradient(np.array(target.minimum))).max() < 1e-9
    start = descend(target, 0.1, 1).points[0]
    assert all(low <= x <= high for x, (low, high) in zip(start, target.window, strict=True))


def test_a_run_that_blows_up_stops_with_finite_numbers():
    run = descend(function("rosenbrock", plane=True), 3.0, 60)
    assert run.outcome == "diverging" and np.isfinite(run.points).all() and run.steps < 60


def test_the_default_start_of_the_double_well_ends_in_the_shallow_well():
    run = descend(function("double_well", plane=False), 0.15, 40)
    assert run.points[-1, 0] > 0 and run.gradients[-1, 0] == pytest.approx(0, abs=1e-3)
    assert run.function.minimum[0] < 0


def test_bad_names_and_starts_are_refused():
    with pytest.raises(StudioError, match="quadratik"):
        function("quadratik", plane=True)
    with pytest.raises(InputError, match=r"visual\.start"):
        descend(function("ravine", plane=True), 0.1, 3, [1.0])
