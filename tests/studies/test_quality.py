"""Checks of the examiners on tables whose answer is known."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from t2v_studio.studies.quality import (
    EXCLUSION_RULES,
    consistency,
    excluded,
    guessing,
    identical_gaps,
    preferences,
    quality,
    repeat_pairs,
    side_bias,
)

COLUMNS = ["rater", "topic", "kind", "side", "variant", "criterion", "score"]


def scores(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def screens(rows: list[dict]) -> pd.DataFrame:
    usual = {"rater": "ada", "kind": "main", "done": True, "watched": True, "winner": None, "topic": "t"}
    return pd.DataFrame([usual | row for row in rows])


def test_guesses_are_held_against_one_half() -> None:
    """Wilson's interval of 12 out of 17 and the exact binomial p: reference values of the notes."""
    frame = pd.DataFrame({"side": ["left"] * 17 + ["unsure"] * 2, "book_side": ["left"] * 12 + ["right"] * 7})
    found = guessing(frame)
    assert (found["right"], found["wrong"], found["unsure"]) == (12, 5, 2)
    assert (found["ci_low"], found["ci_high"]) == (pytest.approx(0.46867, abs=1e-5), pytest.approx(0.86720, abs=1e-5))
    assert found["p"] == pytest.approx(0.143463, abs=1e-6)


@pytest.mark.parametrize(
    ("first", "again", "kappa"),
    [
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], 1.0),
        ([1, 5, 1, 5], [5, 1, 5, 1], -1.0),
        # By hand: observed mean squared gap 0.5, expected from the margins 1.25 + 1.5 + 0.5**2 = 3.
        ([1, 2, 3, 4], [2, 2, 3, 5], 1 - 0.5 / 3),
        ([3, 3, 3], [3, 3, 3], None),
    ],
)
def test_self_consistency(first: list[int], again: list[int], kappa: float | None) -> None:
    found = consistency(pd.DataFrame({"first": first, "repeat": again}, dtype=float))
    assert found["n"] == len(first)
    assert found["exact"] == sum(a == b for a, b in zip(first, again, strict=True))
    assert found["kappa"] == (None if kappa is None else pytest.approx(kappa))


def test_no_repeats_are_undefined_and_not_perfect() -> None:
    found = consistency(pd.DataFrame({"first": [], "repeat": []}))
    assert found["n"] == 0 and found["kappa"] is None and found["exact_share"] is None


def test_repeats_are_matched_by_arm_and_not_by_side() -> None:
    frame = scores(
        [
            ("ada", "t", "main", "left", "no_rag", "clarity", 2),
            ("ada", "t", "main", "right", "rag_semantic", "clarity", 5),
            ("ada", "t", "repeat", "left", "rag_semantic", "clarity", 4),
            ("ada", "t", "repeat", "right", "no_rag", "clarity", None),
        ]
    )
    pairs = repeat_pairs(frame)
    assert pairs[["variant", "first", "repeat"]].values.tolist() == [["rag_semantic", 5.0, 4.0]]


def test_side_bias_has_a_sign() -> None:
    rows = [
        ("ada", f"t{n}", "main", side, side, "clarity", 4 if side == "left" else 3)
        for n in range(8)
        for side in ("left", "right")
    ]
    found = side_bias(scores(rows), screens([{"winner": "left"}] * 6 + [{"winner": "right"}, {"winner": "tie"}]))
    assert found["n"] == 8 and found["mean"] == 1.0 and found["p"] == pytest.approx(2 / 2**8)
    assert found["left_share"] == pytest.approx(6 / 7) and found["ties"] == 1


def test_a_topic_has_one_vote_in_the_test_of_preferences() -> None:
    arms = {"left": "rag_semantic", "right": "no_rag"}
    votes = {"a": ["left"] * 3, "b": ["left", "left", "right"], "c": ["left", "right"], "d": ["right", "tie"]}
    frame = screens([{"topic": topic, "winner": winner} | arms for topic, all_ in votes.items() for winner in all_])
    found = preferences(frame, "rag_semantic")
    assert found["votes"] == {"win": 6, "tie": 1, "loss": 3}
    assert {name: found["topics"][name] for name in ("win", "tie", "loss")} == {"win": 2, "tie": 1, "loss": 1}
    assert found["topics"]["net"] == 0.25
    empty = preferences(frame[frame["kind"] == "practice"], "rag_semantic")
    assert empty["topics"]["p"] is None and empty["votes"] == {"win": 0, "tie": 0, "loss": 0}


@pytest.mark.parametrize(
    ("left", "right", "broken"),
    [([5, 5, 3], [3, 3, 3], True), ([5, 3, 3], [3, 3, 3], False), ([4, 4, 4], [3, 3, 3], False)],
)
def test_the_rule_on_identical_pairs(left: list[int], right: list[int], broken: bool) -> None:
    rows = [
        ("ada", "t", "identical", side, "no_rag", f"c{n}", value)
        for side, values in (("left", left), ("right", right))
        for n, value in enumerate(values)
    ]
    frame = scores(rows)
    assert identical_gaps(frame)["gaps"]["c0"] == left[0] - right[0]
    report = quality(frame, screens([{}]), pd.DataFrame({"rater": [], "side": [], "book_side": []}))
    assert [row["rule"] for row in excluded(report, EXCLUSION_RULES)] == (["identical"] if broken else [])


@pytest.mark.parametrize(("far", "count", "broken"), [(4, 6, True), (3, 6, False), (5, 5, False)])
def test_the_rule_on_repeats(far: int, count: int, broken: bool) -> None:
    rows = []
    for n in range(count):
        rows.append(("ada", f"t{n}", "main", "left", "no_rag", "clarity", 5))
        rows.append(("ada", f"t{n}", "repeat", "left", "no_rag", "clarity", 2 if n < far else 4))
    report = quality(scores(rows), screens([{}]), pd.DataFrame({"rater": [], "side": [], "book_side": []}))
    assert [row["rule"] for row in excluded(report, EXCLUSION_RULES)] == (["repeats"] if broken else [])


@pytest.mark.parametrize(("done", "broken"), [(3, True), (4, False)])
def test_the_rule_on_completeness(done: int, broken: bool) -> None:
    seen = screens([{"done": n < done} for n in range(8)])
    report = quality(scores([]), seen, pd.DataFrame({"rater": [], "side": [], "book_side": []}))
    assert [row["rule"] for row in excluded(report, EXCLUSION_RULES)] == (["incomplete"] if broken else [])


def test_the_desk_is_imported_without_its_heavy_parts() -> None:
    code = "import sys, t2v_studio.studies.desk; print([m for m in ('torch', 'pandas', 'scipy', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
