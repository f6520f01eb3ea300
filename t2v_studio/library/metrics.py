"""Figures of a ranking against the pages that answer a query, and how sure one can be of their mean.

A ranking is a list of distinct pages, best first. Definitions as in Järvelin and Kekäläinen, "Cumulated gain-based
evaluation of IR techniques" (2002), with gain 1 for a page that answers and 0 for any other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

DEPTH = 10
HIT_DEPTH = 5


def recall_at(ranking: Sequence[int], answers: Collection[int], depth: int = DEPTH) -> float:
    """Share of the answering pages among the first `depth`."""
    wanted = set(answers)
    return len(wanted & set(ranking[:depth])) / len(wanted) if wanted else 0.0


def hit_at(ranking: Sequence[int], answers: Collection[int], depth: int = HIT_DEPTH) -> float:
    """1 where any answering page is among the first `depth`."""
    return float(bool(set(answers) & set(ranking[:depth])))


def reciprocal_rank(ranking: Sequence[int], answers: Collection[int], depth: int = DEPTH) -> float:
    """1 / rank of the first answering page; 0 where none is among the first `depth`."""
    wanted = set(answers)
    return next((1.0 / rank for rank, page in enumerate(ranking[:depth], start=1) if page in wanted), 0.0)


def ndcg_at(ranking: Sequence[int], answers: Collection[int], depth: int = DEPTH) -> float:
    """Discounted cumulated gain of the first `depth`, over that of a perfect ranking."""
    wanted = set(answers)
    gain = sum(1.0 / np.log2(rank + 1) for rank, page in enumerate(ranking[:depth], start=1) if page in wanted)
    ideal = sum(1.0 / np.log2(rank + 1) for rank in range(1, min(depth, len(wanted)) + 1))
    return float(gain / ideal) if ideal else 0.0


def bootstrap_interval(
    values: Sequence[float], *, level: float = 0.95, rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean over resampled queries (Efron and Tibshirani 1993, chapter 13)."""
    if not values:
        return (0.0, 0.0)
    sample = np.asarray(values, dtype=float)
    draws = np.random.default_rng(seed).integers(0, len(sample), size=(rounds, len(sample)))
    low, high = np.quantile(sample[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def summary(
    rankings: Sequence[tuple[Sequence[int], Collection[int]]],
) -> dict[str, dict[str, float | list[float]] | int]:
    """Means with their 95 % intervals over (ranking, answers) pairs: hit@5, MRR@10, recall@10, nDCG@10."""
    figures = {
        f"hit@{HIT_DEPTH}": [hit_at(ranking, answers) for ranking, answers in rankings],
        f"mrr@{DEPTH}": [reciprocal_rank(ranking, answers) for ranking, answers in rankings],
        f"recall@{DEPTH}": [recall_at(ranking, answers) for ranking, answers in rankings],
        f"ndcg@{DEPTH}": [ndcg_at(ranking, answers) for ranking, answers in rankings],
    }
    table: dict[str, dict[str, float | list[float]] | int] = {"queries": len(rankings)}
    for name, values in figures.items():
        low, high = bootstrap_interval(values)
        mean = float(np.mean(values)) if values else 0.0
        table[name] = {"mean": round(mean, 4), "interval": [round(low, 4), round(high, 4)]}
    return table
