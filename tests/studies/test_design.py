"""The plan is balanced, counterbalanced and the same for the same seed; power behaves as the theory says."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from t2v_studio.errors import InputError
from t2v_studio.studies import analysis, power
from t2v_studio.studies.design import design_hash, plan_assignments, repeats_for, williams_square

ARMS = ("no_rag", "rag_semantic")


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 7, 12])
def test_the_square_is_latin_and_balanced(size: int) -> None:
    rows = williams_square(size)
    copies = 1 if size % 2 == 0 else 2
    assert len(rows) == size * copies
    for column in zip(*rows, strict=True):
        assert Counter(column) == dict.fromkeys(range(size), copies)
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert set(follows.values()) == {copies} and len(follows) == size * (size - 1)


@pytest.mark.parametrize(("topics", "raters"), [(2, 1), (3, 2), (6, 3), (7, 4), (12, 5)])
def test_every_rater_sees_every_topic_once_and_the_checks_as_planned(topics: int, raters: int) -> None:
    keys = [f"t{i}" for i in range(topics)]
    plan = plan_assignments(keys, raters, ARMS, seed=11)
    for rater in range(raters):
        mine = [screen for screen in plan if screen.rater == rater]
        assert [screen.position for screen in mine] == list(range(len(mine)))
        kinds = Counter(screen.kind for screen in mine)
        assert kinds["main"] == topics and kinds["identical"] == 1 and kinds["practice"] == min(2, topics)
        assert sorted(screen.topic for screen in mine if screen.kind == "main") == sorted(keys)
        assert all(screen.kind == "practice" for screen in mine[: kinds["practice"]])
        for screen in mine:
            assert (screen.left == screen.right) == (screen.kind == "identical")


def test_repeats_come_late_with_swapped_sides() -> None:
    keys = [f"t{i}" for i in range(12)]
    for rater in range(6):
        mine = [screen for screen in plan_assignments(keys, 6, ARMS, seed=3) if screen.rater == rater]
        first = {screen.topic: screen for screen in mine if screen.kind == "main"}
        repeats = [screen for screen in mine if screen.kind == "repeat"]
        assert len(repeats) == repeats_for(12) == 2
        for again in repeats:
            assert again.position - first[again.topic].position >= 6
            assert (again.left, again.right) == (first[again.topic].right, first[again.topic].left)


def test_sides_are_counterbalanced_over_topics_and_over_raters() -> None:
    keys = [f"t{i}" for i in range(8)]
    main = [screen for screen in plan_assignments(keys, 4, ARMS, seed=5) if screen.kind == "main"]
    for rater in range(4):
        assert sum(screen.left == ARMS[1] for screen in main if screen.rater == rater) == 4
    for key in keys:
        assert sum(screen.left == ARMS[1] for screen in main if screen.topic == key) == 2


def test_the_same_seed_gives_the_same_plan() -> None:
    keys = ["a", "b", "c", "d"]
    one, two = plan_assignments(keys, 3, ARMS, seed=1), plan_assignments(keys, 3, ARMS, seed=1)
    assert one == two != plan_assignments(keys, 3, ARMS, seed=2)
    assert design_hash({"plan": [screen.model_dump() for screen in one], "b": 1}) == design_hash(
        {"b": 1, "plan": [screen.model_dump() for screen in two]}
    )


def test_too_few_topics_are_refused() -> None:
    with pytest.raises(InputError, match="at least 2 topics"):
        plan_assignments(["only"], 3, ARMS, seed=0)
    with pytest.raises(InputError, match="same key"):
        plan_assignments(["a", "a"], 3, ARMS, seed=0)


def test_power_grows_with_gap_and_topics_and_is_zero_below_eight() -> None:
    assert power.simulate(3.0, 7, 5, studies=10).power == 0
    assert power.simulate(0.0, 12, 3).power < 0.02
    assert "nothing can be significant" in power.simulate(1.0, 4, 2, studies=2).note
    few, many = power.simulate(1.0, 10, 5, studies=20), power.simulate(1.0, 10, 500, studies=20)
    assert many.power >= few.power, "many raters are simulated in parts"


@pytest.mark.parametrize(
    ("gap", "raters", "expected"),
    [
        (0.5, 3, {8: 0.03, 10: 0.10, 12: 0.16, 16: 0.30, 20: 0.45, 30: 0.75}),
        (0.5, 5, {8: 0.07, 10: 0.16, 12: 0.26, 16: 0.48, 20: 0.64, 30: 0.92}),
        (1.0, 3, {8: 0.28, 10: 0.73, 12: 0.90, 16: 0.98, 20: 1.00}),
    ],
)
def test_power_agrees_with_the_published_simulation(gap: float, raters: int, expected: dict[int, float]) -> None:
    """Specification, section 2.1: an exact sign-flip test, 600 studies a cell, so a standard error near 0.01 on each side."""
    found = {topics: power.simulate(gap, topics, raters).power for topics in expected}
    assert found == pytest.approx(expected, abs=0.06)


def test_the_planner_tests_as_the_analysis_does() -> None:
    generator = np.random.default_rng(4)
    for topics in (5, 9, 14):
        d = np.round(generator.integers(-2, 4, (12, topics)) / 3, 9)
        d[0] = 0
        expected = [analysis.wilcoxon_p(row) for row in d]
        assert power.wilcoxon_p(d) == pytest.approx(expected, abs=1e-12)
    p = generator.random((8, 5)) * 0.03
    expected = [multipletests(row, method="holm", alpha=0.05)[0].sum() for row in p]
    assert list(power.holm_rejects(p).sum(axis=-1)) == expected
