"""Classification metrics: a threshold moves over scores; counts, precision, recall and ROC follow."""

from __future__ import annotations

import itertools
from typing import Any, cast

from t2v_studio.engines.local.display import Item
from t2v_studio.engines.local.easing import mix, smooth
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment, Stage
from t2v_studio.engines.local.kinds.metric_panels import View, draw_view
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.kinds.timing import position, turn
from t2v_studio.engines.local.simulations.classification import Classification, confusion, score_examples
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene
from t2v_studio.planning.visuals import ClassificationMetrics

ACTS = ("scores", "confusion", "precision_recall", "roc")
SWEEP = ((0.0, None), (0.08, None), (0.34, 0.88), (0.74, 0.12), (1.0, None))
TRACE = ((0.0, None), (0.12, 1.0), (0.78, 0.0), (1.0, None))
"""Where the threshold stands at parts of an act; None is the plan's own threshold."""


class ClassificationMetricsKind:
    """The trace is the scored examples with their ROC curve."""

    name = "classification_metrics"

    def simulate(self, scene: Scene, seed: int) -> Classification:
        return score_examples(cast(ClassificationMetrics, scene.visual).samples, seed)

    def draw(self, scene: Scene, trace: Classification, moment: Moment, stage: Stage) -> list[Item]:
        return draw_view(trace, _view(scene, moment), stage)

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]:
        return [
            LegendEntry("actual positive", palette.accent, "disc"),
            LegendEntry("actual negative", palette.negative, "square"),
            LegendEntry("called wrongly: hollow", palette.muted, "ring"),
        ]

    def caption(self, scene: Scene, trace: Classification, moment: Moment) -> str:
        view = _view(scene, moment)
        counts = confusion(trace.scores, trace.labels, view.threshold)
        if view.act == "scores":
            return f"{len(trace.scores)} examples, {int(trace.labels.sum())} positive"
        if view.act == "confusion":
            return f"threshold {number(view.threshold)}:  accuracy {number(counts.accuracy)}"
        if view.act == "precision_recall":
            precision = "–" if counts.precision is None else number(counts.precision)
            return f"threshold {number(view.threshold)}:  precision {precision},  recall {number(counts.recall)}"
        return f"false positive rate {number(counts.false_positive_rate)},  recall {number(counts.recall)}"

    def table(self, scene: Scene, trace: Classification) -> list[dict[str, Any]]:
        rows = []
        for threshold in trace.roc_thresholds:
            counts = confusion(trace.scores, trace.labels, float(threshold))
            rows.append(
                {
                    "threshold": float(threshold),
                    "tp": counts.tp,
                    "fp": counts.fp,
                    "fn": counts.fn,
                    "tn": counts.tn,
                    "precision": counts.precision,
                    "recall": counts.recall,
                    "false_positive_rate": counts.false_positive_rate,
                    "f1": counts.f1,
                    "auc": trace.auc,
                }
            )
        return rows


def _view(scene: Scene, moment: Moment) -> View:
    params = cast(ClassificationMetrics, scene.visual)
    if params.phase == "full":
        index, progress = turn(position(scene, moment, len(ACTS)), len(ACTS))
        act = ACTS[index]
    else:
        act, progress = params.phase, position(scene, moment, 1)
    if act == "scores":
        return View(act, progress, params.threshold, 1.0)
    path = [(at, params.threshold if value is None else value) for at, value in (TRACE if act == "roc" else SWEEP)]
    return View(act, progress, _along(path, progress), _lowest(path, progress))


def _along(path: list[tuple[float, float]], progress: float) -> float:
    for (a, first), (b, last) in itertools.pairwise(path):
        if progress <= b:
            return round(mix(first, last, smooth((progress - a) / (b - a))), 4)
    return path[-1][1]


def _lowest(path: list[tuple[float, float]], progress: float) -> float:
    """The lowest threshold since it stood at the top: how far the ROC curve is traced."""
    top, bottom = path[1][0], path[2][0]
    if progress <= top:
        return 1.0
    return 0.0 if progress >= bottom else _along(path, progress)
