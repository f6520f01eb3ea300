"""Scaled dot-product attention (Vaswani et al., 2017, equation 1) over a few tokens."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AttentionPass:
    """queries, keys, values, output: (n, d); scores (scaled, before the mask), weights: (n, n); mask: True = hidden."""

    tokens: tuple[str, ...]
    queries: Matrix
    keys: Matrix
    values: Matrix
    scores: Matrix
    mask: NDArray[np.bool_]
    weights: Matrix
    output: Matrix


def attend(tokens: list[str], dimension: int, causal: bool, seed: int) -> AttentionPass:
    """Seeded projections of seeded embeddings; equal tokens have equal vectors.

    Q, K and V have one decimal, so that a reader can recompute the scores from what is shown.
    """
    rng = np.random.default_rng([seed, dimension])
    projections = rng.normal(0, 1 / np.sqrt(dimension), (3, dimension, dimension))
    embeddings = np.array([_embedding(token, dimension, seed) for token in tokens])
    queries, keys, values = (np.round(1.25 * embeddings @ projection, 1) + 0.0 for projection in projections)
    scores = queries @ keys.T / np.sqrt(dimension)
    mask = np.triu(np.ones_like(scores, dtype=bool), 1) if causal else np.zeros_like(scores, dtype=bool)
    weights = softmax(np.where(mask, -np.inf, scores))
    return AttentionPass(tuple(tokens), queries, keys, values, scores, mask, weights, weights @ values)


def softmax(rows: Matrix) -> Matrix:
    """Row by row, with the row's maximum subtracted first."""
    power = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))


def _embedding(token: str, dimension: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng([seed, zlib.crc32(token.encode("utf-8"))]).normal(0, 1.1, dimension)
