"""Attention against torch's scaled_dot_product_attention and scipy's softmax."""

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax

from t2v_studio.engines.local.simulations.attention import attend

TOKENS = ["the", "cat", "sat", "on", "the", "mat"]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dimension", [2, 4, 8])
def test_weights_and_output_equal_torch(causal, seed, dimension):
    torch = pytest.importorskip("torch")
    run = attend(TOKENS, dimension, causal, seed)
    q, k, v = (torch.tensor(m)[None] for m in (run.queries, run.keys, run.values))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)[0].numpy()
    assert run.output == pytest.approx(expected)
    assert run.weights.sum(axis=1) == pytest.approx(np.ones(len(TOKENS)))
    assert run.weights == pytest.approx(scipy_softmax(np.where(run.mask, -np.inf, run.scores), axis=1))
    assert (run.weights[run.mask] == 0).all() and run.mask.sum() == (15 if causal else 0)


def test_vectors_show_as_they_are_and_equal_tokens_are_equal():
    run = attend(TOKENS, 4, False, 1)
    for matrix in (run.queries, run.keys, run.values):
        assert matrix == pytest.approx(np.round(matrix, 1), abs=0)
        assert matrix[0] == pytest.approx(matrix[4], abs=0)
    assert not np.allclose(run.queries, run.keys)


@pytest.mark.parametrize("seed", range(10))
def test_rows_are_neither_flat_nor_one_hot_everywhere(seed):
    weights = attend(["the", "cat", "sat", "down"], 4, False, seed).weights
    assert 0.3 < weights.max(axis=1).mean() < 0.97
