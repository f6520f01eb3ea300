"""Gradient descent: a point that rolls down a valley, a path over level lines, several rates side by side."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from t2v_studio.engines.local.display import Item
from t2v_studio.engines.local.kinds import descent_panels as panels
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment, Stage
from t2v_studio.engines.local.kinds.numbers import readable
from t2v_studio.engines.local.kinds.timing import position
from t2v_studio.engines.local.simulations.descent import Descent, descend, function
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene
from t2v_studio.planning.visuals import GradientDescent

Runs = tuple[Descent, ...]


class GradientDescentKind:
    """The trace is one run, or one for each rate."""

    name = "gradient_descent"

    def simulate(self, scene: Scene, seed: int) -> Runs:
        params = cast(GradientDescent, scene.visual)
        target = function(params.function, plane=params.view == "contour")
        rates = params.rates if params.view == "rates" else [params.learning_rate]
        return tuple(descend(target, rate, params.steps, params.start) for rate in rates)

    def draw(self, scene: Scene, trace: Runs, moment: Moment, stage: Stage) -> list[Item]:
        place = _place(scene, trace, moment)
        params = cast(GradientDescent, scene.visual)
        if params.view == "rates":
            return panels.draw_rates(trace, place, stage)
        return panels.draw_run(trace[0], place, stage)

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]:
        params = cast(GradientDescent, scene.visual)
        if params.view == "rates":
            return []
        entries = [LegendEntry("step −η·gradient", palette.negative, "arrow")]
        if function(params.function, plane=params.view == "contour").dimension == 1:
            entries.insert(0, LegendEntry("tangent", palette.positive, "dash"))
        else:
            entries.append(LegendEntry("minimum", palette.positive, "diamond"))
        return [LegendEntry("now", palette.accent, "disc"), *entries]

    def caption(self, scene: Scene, trace: Runs, moment: Moment) -> str:
        step = int(_place(scene, trace, moment) + 1e-6)
        if len(trace) > 1:
            return f"after {step} step{'' if step == 1 else 's'}"
        run = trace[0]
        step = min(step, run.steps)
        point = run.points[step]
        if len(point) == 1:
            return f"step {step}:  x = {readable(point[0])},  f(x) = {readable(run.values[step])}"
        return f"step {step}:  ({readable(point[0])}, {readable(point[1])}),  f = {readable(run.values[step])}"

    def table(self, scene: Scene, trace: Runs) -> list[dict[str, Any]]:
        rows = []
        for run in trace:
            for step, (point, value, gradient) in enumerate(zip(run.points, run.values, run.gradients, strict=True)):
                row: dict[str, Any] = {"rate": run.rate, "step": step}
                row |= {f"x{i + 1}": float(x) for i, x in enumerate(point)} | {"f": float(value)}
                rows.append(row | {f"gradient{i + 1}": float(g) for i, g in enumerate(gradient)})
        return rows


@lru_cache(maxsize=64)
def _steps(trace: Runs) -> int:
    return max(run.steps for run in trace)


def _place(scene: Scene, trace: Runs, moment: Moment) -> float:
    return position(scene, moment, _steps(trace))
