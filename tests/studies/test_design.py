"""The plan is balanced, counterbalanced and the same for the same seed; power behaves as the theory says."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from t2v_studio.errors import InputError
from t2v_studio.studies import power
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
    large, small = power.simulate(1.0, 16, 3, studies=40), power.simulate(0.45, 16, 3, studies=40)
    assert large.power > 0.85 > small.power > 0.1
    assert power.simulate(0.0, 12, 3, studies=40).power < 0.05
    assert "nothing can be significant" in power.simulate(1.0, 4, 2, studies=2).note
