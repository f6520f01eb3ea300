"""Golden values from the literature and from library documentation, and the degenerate inputs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from t2v_studio.errors import InputError
from t2v_studio.studies.analysis import agreement, analyse, mean_interval, rank_biserial, sign_flip_p, wilcoxon_p
from t2v_studio.studies.ratings import check_ratings

SCIPY_DOC = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], dtype=float)
EXAMPLE_C = pd.DataFrame(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
)
"""Krippendorff (2011), four coders and twelve units."""


def ratings(gaps: dict[str, list[float]], raters: int = 3, base: float = 2.0) -> pd.DataFrame:
    rows = []
    for criterion, values in gaps.items():
        for topic, gap in enumerate(values):
            for rater in range(raters):
                for variant, score in (("no_rag", base), ("rag_semantic", base + gap)):
                    rows.append((f"r{rater}", f"t{topic:02d}", variant, criterion, score))
    return check_ratings(pd.DataFrame(rows, columns=["rater", "topic", "variant", "criterion", "score"]))


def test_wilcoxon_and_effect_size_of_the_scipy_example() -> None:
    assert wilcoxon_p(SCIPY_DOC) == pytest.approx(0.041259765625)
    assert rank_biserial(SCIPY_DOC) == pytest.approx(0.6)
    assert sign_flip_p(SCIPY_DOC, 0) == pytest.approx(0.0526733, abs=1e-6)
    assert SCIPY_DOC.mean() == pytest.approx(20.9333, abs=1e-4)


def test_wilcoxon_with_zeros_by_pratt() -> None:
    x = np.array([20, 22, 19, 20, 22, 18, 24, 20, 19, 24, 26, 13], dtype=float)
    y = np.array([38, 37, 33, 29, 14, 12, 20, 22, 17, 25, 26, 16], dtype=float)
    assert wilcoxon_p(x - y) == pytest.approx(0.2919921875)


def test_ties_and_zeros_give_the_p_of_scipy_itself() -> None:
    from scipy.stats import wilcoxon

    generator = np.random.default_rng(3)
    for count in (1, 2, 5, 8, 8, 9, 15):
        d = np.round(generator.choice([-2, -1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1, 2], count), 9)
        expected = wilcoxon(d, zero_method="pratt").pvalue if d.any() else 1.0
        assert wilcoxon_p(d) == pytest.approx(expected, abs=1e-12), d


def test_ordinal_alpha_of_krippendorffs_example() -> None:
    import evalica

    assert evalica.alpha(EXAMPLE_C, distance="ordinal").alpha == pytest.approx(0.815388, abs=1e-6)
    alpha, low, high = agreement(EXAMPLE_C, seed=42)
    assert alpha == pytest.approx(0.815388, abs=1e-6)
    assert (low, high) == (pytest.approx(0.6226, abs=1e-3), pytest.approx(0.9272, abs=1e-3))


def test_holm_over_the_criteria() -> None:
    from statsmodels.stats.multitest import multipletests

    assert multipletests([0.50, 0.003, 0.32, 0.054, 0.0003], method="holm")[1] == pytest.approx(
        [0.64, 0.012, 0.64, 0.162, 0.0015]
    )
    result = analyse(ratings({"one": [1.0] * 8, "two": [0.0] * 8, "three": [1, -1, 1, -1, 1, -1, 1, -1]}))
    by_name = {row.criterion: row for row in result.criteria}
    assert by_name["one"].p == pytest.approx(2 / 2**8)
    assert by_name["one"].p_holm == pytest.approx(3 * 2 / 2**8)
    assert by_name["two"].p_holm == 1.0


def test_five_topics_all_better_cannot_be_significant() -> None:
    result = analyse(ratings({"clarity": [0.5, 1, 1.5, 2, 1]}))
    assert result.criteria[0].p == pytest.approx(0.0625)
    assert (result.criteria[0].win, result.criteria[0].tie, result.criteria[0].loss) == (5, 0, 0)
    assert any("Only 5 topics" in warning for warning in result.warnings)


def test_a_constant_gap_has_no_interval_and_all_ties_have_p_one() -> None:
    assert mean_interval(np.ones(6), 0) == (None, None)
    row = analyse(ratings({"clarity": [0.0] * 6})).criteria[0]
    assert (row.p, row.gap, row.tie, row.rank_biserial, row.alpha) == (1.0, 0.0, 6, None, None)
    assert "No difference was seen" in row.verdict


def test_one_rater_has_no_agreement() -> None:
    result = analyse(ratings({"clarity": [1, 0, 1, 2]}, raters=1))
    assert result.criteria[0].alpha is None
    assert any("One rater only" in warning for warning in result.warnings)


def test_topic_means_are_the_units_not_the_rows() -> None:
    many, few = ratings({"clarity": [1, 0.5, 0, 2]}, raters=9), ratings({"clarity": [1, 0.5, 0, 2]}, raters=2)
    assert analyse(many).criteria[0].p == analyse(few).criteria[0].p
    assert analyse(many).criteria[0].topics == 4


def test_the_order_of_rows_changes_nothing() -> None:
    frame = ratings({"a": [1, 0.5, 0, 2, -1], "b": [0, 1, 1, -1, 0]})
    frame.loc[::7, "score"] = np.nan
    first = {row.criterion: row for row in analyse(frame).criteria}
    for row in analyse(frame.sample(frac=1, random_state=3)).criteria:
        assert row == first[row.criterion]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": "6"}, "outside 1 to 5"),
        ({"score": "good"}, "no number"),
        ({"topic": " "}, "is empty"),
        ({"rater": "r1"}, "repeats an earlier row"),
    ],
)
def test_a_bad_row_is_named(change: dict[str, str], words: str) -> None:
    rows = [
        {"rater": "r1", "topic": "t", "variant": "no_rag", "criterion": "c", "score": "3"},
        {"rater": "r2", "topic": "t", "variant": "no_rag", "criterion": "c", "score": "3"} | change,
    ]
    with pytest.raises(InputError, match=words) as caught:
        check_ratings(pd.DataFrame(rows))
    assert "Row 3" in caught.value.message


def test_missing_columns_and_a_third_variant_are_refused() -> None:
    with pytest.raises(InputError, match="lacks the columns topic, variant"):
        check_ratings(pd.DataFrame({"rater": ["a"], "criterion": ["c"], "score": ["1"]}))
    frame = ratings({"c": [1, 1]})
    third = frame.assign(variant="other")
    with pytest.raises(InputError, match="3 variants"):
        analyse(pd.concat([frame, third]))


def test_wilson_interval_and_binomial_p() -> None:
    from scipy.stats import binomtest

    test = binomtest(12, 17)
    interval = test.proportion_ci(0.95, method="wilson")
    assert (interval.low, interval.high) == (pytest.approx(0.46867, abs=1e-5), pytest.approx(0.86720, abs=1e-5))
    assert test.pvalue == pytest.approx(0.143463, abs=1e-6)


def test_guesses_and_preferences_use_those_calls() -> None:
    from t2v_studio.studies.quality import guessing

    guesses = pd.DataFrame({"side": ["left"] * 12 + ["right"] * 5 + ["unsure"], "book_side": ["left"] * 18})
    found = guessing(guesses)
    assert (found["right"], found["wrong"], found["unsure"]) == (12, 5, 1)
    assert (found["ci_low"], found["p"]) == (pytest.approx(0.46867, abs=1e-5), pytest.approx(0.143463, abs=1e-6))


def test_weighted_kappa_of_repeats_is_that_of_the_textbook_formula() -> None:
    """1 - sum(w o) / sum(w e) with w = (i - j)^2 (Cohen 1968), written out on a small table."""
    from t2v_studio.studies.quality import consistency

    first, again = np.array([1, 2, 3, 4, 5, 5, 3, 2]), np.array([1, 3, 3, 4, 4, 5, 2, 2])
    expected = np.mean([(a - b) ** 2 for a in first for b in again])
    found = consistency(pd.DataFrame({"first": first, "repeat": again}))
    assert found["kappa"] == pytest.approx(1 - np.mean((first - again) ** 2) / expected)
    assert (found["exact"], found["within_one"]) == (5, 8)


def test_bca_interval_leans_with_skewed_differences() -> None:
    low, high = mean_interval(SCIPY_DOC, 0)
    assert low is not None and high is not None
    assert low < SCIPY_DOC.mean() < high
    assert (low, high) == mean_interval(SCIPY_DOC, 0)
    assert SCIPY_DOC.mean() - low > high - SCIPY_DOC.mean(), "the two large negative values stretch the lower end"
    mirrored = mean_interval(-SCIPY_DOC, 0)
    assert mirrored == (pytest.approx(-high, abs=1), pytest.approx(-low, abs=1))


def test_the_floor_of_topics_follows_from_the_number_of_criteria() -> None:
    from t2v_studio.studies.analysis import floor_topics

    assert [floor_topics(count) for count in (1, 2, 5)] == [6, 7, 8]


def test_a_score_without_its_counterpart_is_said() -> None:
    frame = ratings({"clarity": [1, 0, 1, 2]})
    frame.loc[(frame["rater"] == "r0") & (frame["topic"] == "t01") & (frame["variant"] == "no_rag"), "score"] = np.nan
    assert any("1 rating has no counterpart" in warning for warning in analyse(frame).warnings)
