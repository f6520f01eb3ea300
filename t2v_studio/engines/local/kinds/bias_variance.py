"""Bias and variance: fits of rising degree, their spread over data sets, and the curve of the error."""

from __future__ import annotations

from typing import Any, cast

from t2v_studio.engines.local.display import Item
from t2v_studio.engines.local.kinds import fit_panels as panels
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment, Stage
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.kinds.timing import position, turn
from t2v_studio.engines.local.simulations.regression import BiasVarianceRun, study_fits
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene
from t2v_studio.planning.visuals import BiasVariance

ACTS = ("data", "fits", "spread", "curve")


class BiasVarianceKind:
    """The trace is the whole study: fits, spread and curves come from the same data."""

    name = "bias_variance"

    def simulate(self, scene: Scene, seed: int) -> BiasVarianceRun:
        params = cast(BiasVariance, scene.visual)
        return study_fits(sorted(set(params.degrees)), params.samples, params.noise, seed)

    def draw(self, scene: Scene, trace: BiasVarianceRun, moment: Moment, stage: Stage) -> list[Item]:
        act, progress = _moment(scene, moment)
        draw = {
            "data": panels.draw_data,
            "fits": panels.draw_fits,
            "spread": panels.draw_spread,
            "curve": panels.draw_curve,
        }
        return draw[act](trace, progress, stage)

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]:
        if cast(BiasVariance, scene.visual).phase == "curve":
            return []
        return [LegendEntry("true function", palette.muted, "dash"), LegendEntry("samples", palette.ink, "disc")][
            : 1 if cast(BiasVariance, scene.visual).phase == "spread" else 2
        ]

    def caption(self, scene: Scene, trace: BiasVarianceRun, moment: Moment) -> str:
        act, progress = _moment(scene, moment)
        if act == "data":
            return f"{len(trace.x)} noisy samples"
        if act == "curve":
            if progress < 0.75:
                return "error = bias² + variance + noise"
            return f"lowest at degree {trace.best_degree}: {number(float(trace.total[trace.best_degree]), 3)}"
        degrees = sorted(trace.fits)
        index, _ = turn(progress * len(degrees), len(degrees))
        degree = degrees[index]
        if act == "fits":
            return f"degree {degree}: training error {number(training_error(trace, degree), 3)}"
        return f"degree {degree}:  bias² {number(float(trace.bias2[degree]), 3)},  variance {number(float(trace.variance[degree]), 3)}"

    def table(self, scene: Scene, trace: BiasVarianceRun) -> list[dict[str, Any]]:
        return [
            {
                "degree": d, "bias2": float(trace.bias2[d]), "variance": float(trace.variance[d]), "noise": trace.noise2,
                "total": float(trace.total[d]), "measured_error": float(trace.expected_error[d]),
            }
            for d in trace.degrees
        ]  # fmt: skip


def training_error(trace: BiasVarianceRun, degree: int) -> float:
    """Mean squared residual of the first data set's fit."""
    from t2v_studio.engines.local.simulations.regression import fit_polynomial, predict

    return float(((predict(fit_polynomial(trace.x, trace.y, degree), trace.x) - trace.y) ** 2).mean())


def _moment(scene: Scene, moment: Moment) -> tuple[str, float]:
    phase = cast(BiasVariance, scene.visual).phase
    if phase != "full":
        return phase, position(scene, moment, 1)
    index, progress = turn(position(scene, moment, len(ACTS)), len(ACTS))
    return ACTS[index], progress
