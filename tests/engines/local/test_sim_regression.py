"""Polynomial fits against numpy.polyfit, and the bias-variance identity."""

import numpy as np
import pytest

from t2v_studio.engines.local.simulations.regression import fit_polynomial, predict, study_fits, true_function


@pytest.mark.parametrize("degree", [0, 1, 3, 5, 9])
def test_fit_equals_polyfit(degree):
    run = study_fits([degree], 16, 0.25, 3)
    expected = np.polyval(np.polyfit(run.x, run.y, degree), run.grid)
    assert run.fits[degree] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_bias_variance_and_noise_add_up_to_the_error_on_fresh_data(seed):
    run = study_fits([1, 3, 9], 16, 0.25, seed)
    assert run.total == pytest.approx(run.expected_error, rel=0.06)


def test_bias_falls_variance_rises_and_the_best_degree_lies_between():
    run = study_fits([1, 3, 9], 16, 0.25, 0)
    assert run.bias2[1] > 10 * run.bias2[3] > 10 * run.bias2[9]
    assert (np.diff(run.variance[:10]) > 0).all()
    assert 3 <= run.best_degree <= 5


def test_variance_at_the_samples_is_noise_times_parameters_over_samples():
    """Ordinary least squares with fixed inputs: mean variance of the fitted values = sigma^2 p / n."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 1, 16))
    y = true_function(x)[:, None] + 0.25 * rng.standard_normal((16, 20000))
    for degree in (1, 3, 6):
        fitted = predict(fit_polynomial(x, y, degree), x)
        assert fitted.var(axis=0).mean() == pytest.approx(0.0625 * (degree + 1) / 16, rel=0.03)


def test_extremes_stay_finite():
    run = study_fits([12, 0], 6, 2.0, 1)
    assert np.isfinite(run.fits[12]).all() and run.degrees[-1] == 12
    quiet = study_fits([1, 3], 10, 0.0, 1)
    assert quiet.variance.max() < 1e-20 and quiet.noise2 == 0
