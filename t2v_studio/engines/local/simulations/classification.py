"""Scores of two classes, a threshold, and what follows: confusion matrix, precision, recall, ROC, AUC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold; a score at or above it is called positive."""

    threshold: float
    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP); None when nothing is called positive."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float:
        return self.tp / (self.tp + self.fn)

    @property
    def false_positive_rate(self) -> float:
        return self.fp / (self.fp + self.tn)

    @property
    def accuracy(self) -> float:
        return (self.tp + self.tn) / (self.tp + self.fp + self.fn + self.tn)

    @property
    def f1(self) -> float:
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn)


@dataclass(frozen=True, eq=False)
class Classification:
    """scores: (n,) in (0, 1), two decimals, ascending; labels: (n,) of bool.

    roc: one (false positive rate, recall) per distinct threshold from above the highest score down, starting at
    (0, 0) and ending at (1, 1); roc_thresholds: the thresholds that give them (the first is infinity).
    """

    scores: Vector
    labels: NDArray[np.bool_]
    roc: NDArray[np.float64]
    roc_thresholds: Vector
    auc: float


def score_examples(samples: int, seed: int) -> Classification:
    """Seeded scores of overlapping classes, a little under half of them positive."""
    rng = np.random.default_rng([seed, samples])
    positives = max(3, round(0.45 * samples))
    logits = np.concatenate([rng.normal(0.95, 1.05, positives), rng.normal(-0.95, 1.05, samples - positives)])
    scores = np.clip(np.round(1 / (1 + np.exp(-logits)), 2), 0.02, 0.98)
    labels = np.arange(samples) < positives
    order = np.lexsort((labels, scores))
    scores, labels = scores[order], labels[order]
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    counts = [confusion(scores, labels, float(threshold)) for threshold in thresholds]
    roc = np.array([(count.false_positive_rate, count.recall) for count in counts])
    return Classification(scores, labels, roc, thresholds, area(roc))


def confusion(scores: Vector, labels: NDArray[np.bool_], threshold: float) -> Confusion:
    """Counts of the four cases at a threshold."""
    called = scores >= threshold
    return Confusion(
        threshold,
        tp=int((called & labels).sum()),
        fp=int((called & ~labels).sum()),
        fn=int((~called & labels).sum()),
        tn=int((~called & ~labels).sum()),
    )


def area(roc: NDArray[np.float64]) -> float:
    """Area under the points of the ROC curve by the trapezoid rule."""
    widths, heights = np.diff(roc[:, 0]), (roc[1:, 1] + roc[:-1, 1]) / 2
    return float((widths * heights).sum())
