"""Retrieval figures against hand-computed values and against another implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from t2v_studio.library.metrics import bootstrap_interval, hit_at, ndcg_at, recall_at, reciprocal_rank, summary


def test_by_hand() -> None:
    ranking, answers = [7, 3, 9, 1, 4], {3, 4, 8}
    assert recall_at(ranking, answers) == pytest.approx(2 / 3)
    assert recall_at(ranking, answers, depth=2) == pytest.approx(1 / 3)
    assert reciprocal_rank(ranking, answers) == pytest.approx(1 / 2)
    assert hit_at(ranking, answers) == 1.0
    assert hit_at(ranking, {8}) == 0.0
    gain = 1 / math.log2(3) + 1 / math.log2(6)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at(ranking, answers) == pytest.approx(gain / ideal)


def test_nothing_found_and_nothing_wanted() -> None:
    assert ndcg_at([], {1}) == recall_at([], {1}) == reciprocal_rank([], {1}) == hit_at([], {1}) == 0.0
    assert ndcg_at([1], set()) == recall_at([1], set()) == 0.0


def test_a_perfect_ranking_is_one_even_with_more_answers_than_places() -> None:
    assert ndcg_at(list(range(10)), set(range(25))) == pytest.approx(1.0)
    assert recall_at(list(range(10)), set(range(25))) == pytest.approx(10 / 25)


def test_as_sentence_transformers_computes_them() -> None:
    module = pytest.importorskip("sentence_transformers.sentence_transformer.evaluation")
    rng = np.random.default_rng(4)
    queries = {f"q{place}": "?" for place in range(25)}
    relevant = {
        name: {str(page) for page in rng.choice(60, size=rng.integers(1, 15), replace=False)} for name in queries
    }
    corpus = {str(page): "?" for page in range(60)}
    evaluator = module.InformationRetrievalEvaluator(
        queries,
        corpus,
        relevant,
        mrr_at_k=[10],
        ndcg_at_k=[10],
        precision_recall_at_k=[10],
        accuracy_at_k=[5],
        map_at_k=[10],
    )
    rankings = {name: [str(page) for page in rng.permutation(60)] for name in evaluator.queries_ids}
    results = [
        [{"corpus_id": page, "score": 1.0 - rank / 100} for rank, page in enumerate(rankings[name])]
        for name in evaluator.queries_ids
    ]
    theirs = evaluator.compute_metrics(results)
    pairs = [([int(p) for p in rankings[name]], {int(p) for p in relevant[name]}) for name in evaluator.queries_ids]
    ours = summary(pairs)
    assert ours["ndcg@10"]["mean"] == pytest.approx(theirs["ndcg@k"][10], abs=1e-4)
    assert ours["mrr@10"]["mean"] == pytest.approx(theirs["mrr@k"][10], abs=1e-4)
    assert ours["recall@10"]["mean"] == pytest.approx(theirs["recall@k"][10], abs=1e-4)
    assert ours["hit@5"]["mean"] == pytest.approx(theirs["accuracy@k"][5], abs=1e-4)


def test_intervals_hold_the_mean_and_shrink_with_more_queries() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.random(20).tolist(), rng.random(2000).tolist()
    low, high = bootstrap_interval(few)
    assert low < float(np.mean(few)) < high
    narrow = bootstrap_interval(many)
    assert narrow[1] - narrow[0] < (high - low) / 5
    assert bootstrap_interval(few) == (low, high)
    # the normal approximation, mean +- 1.96 standard errors, is close for 2000 values
    error = 1.96 * float(np.std(many)) / math.sqrt(2000)
    assert narrow == pytest.approx((float(np.mean(many)) - error, float(np.mean(many)) + error), abs=0.004)
