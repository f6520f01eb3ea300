"""Counts, rates and curves against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from t2v_studio.engines.local.simulations.classification import confusion, score_examples


@pytest.mark.parametrize("samples", [10, 40, 200])
@pytest.mark.parametrize("seed", range(5))
def test_counts_and_rates_equal_scikit_learn(samples, seed):
    data = score_examples(samples, seed)
    for threshold in (0.0, 0.25, 0.5, 0.73, 1.0):
        counts = confusion(data.scores, data.labels, threshold)
        called = data.scores >= threshold
        expected = metrics.confusion_matrix(data.labels, called, labels=[False, True])
        assert [[counts.tn, counts.fp], [counts.fn, counts.tp]] == expected.tolist()
        assert counts.recall == pytest.approx(metrics.recall_score(data.labels, called))
        assert counts.accuracy == pytest.approx(metrics.accuracy_score(data.labels, called))
        assert counts.f1 == pytest.approx(metrics.f1_score(data.labels, called))
        if counts.precision is None:
            assert not called.any()
        else:
            assert counts.precision == pytest.approx(metrics.precision_score(data.labels, called))


@pytest.mark.parametrize("seed", range(8))
def test_roc_and_auc_equal_scikit_learn(seed):
    data = score_examples(40, seed)
    fpr, tpr, thresholds = metrics.roc_curve(data.labels, data.scores, drop_intermediate=False)
    assert data.roc[:, 0] == pytest.approx(fpr) and data.roc[:, 1] == pytest.approx(tpr)
    assert data.roc_thresholds[1:] == pytest.approx(thresholds[1:])
    assert data.auc == pytest.approx(metrics.roc_auc_score(data.labels, data.scores))


@pytest.mark.parametrize("seed", range(20))
def test_classes_overlap_but_can_be_told_apart(seed):
    data = score_examples(40, seed)
    assert 0.7 < data.auc < 0.995
    assert np.all(np.diff(data.scores) >= 0) and 15 <= data.labels.sum() <= 20
