"""Whether the examiners' scores can be relied on: repeats, identical pairs, sides, guesses, exclusions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

IDENTICAL_GAP, IDENTICAL_CRITERIA = 1, 2
REPEAT_WITHIN, REPEAT_LEAST = 0.5, 6
MAIN_SHARE = 0.5
LEVEL = 0.95

EXCLUSION_RULES: list[dict[str, Any]] = [
    {
        "key": "identical",
        "text": f"An examiner who scores one video against itself more than {IDENTICAL_GAP} point apart on "
        f"{IDENTICAL_CRITERIA} criteria or more is left out.",
        "gap": IDENTICAL_GAP,
        "criteria": IDENTICAL_CRITERIA,
    },
    {
        "key": "repeats",
        "text": f"An examiner whose repeated scores ({REPEAT_LEAST} or more) come within one point of the first in fewer "
        f"than {REPEAT_WITHIN:.0%} of cases is left out.",
        "within": REPEAT_WITHIN,
        "least": REPEAT_LEAST,
    },
    {
        "key": "incomplete",
        "text": f"An examiner who submitted fewer than {MAIN_SHARE:.0%} of the scored pairs is left out.",
        "share": MAIN_SHARE,
    },
]
"""Part of the design hash: they cannot change after lock."""


def quality(scores: pd.DataFrame, screens: pd.DataFrame, guesses: pd.DataFrame) -> dict[str, Any]:
    """Checks of a closed study, over all raters and rater by rater.

    scores: rater, topic, kind, side, variant, criterion, score, of submitted screens. screens: one row a screen
    with rater, kind, done, watched, winner (left, tie, right or missing). guesses: rater, side, book_side.
    Returns raters[{rater, repeats, identical, sides, guesses, screens}], and for all repeats, guesses.
    """
    names = list(dict.fromkeys(screens["rater"]))
    rows = []
    for name in names:
        mine, seen = scores[scores["rater"] == name], screens[screens["rater"] == name]
        rows.append(
            {
                "rater": name,
                "screens": _screens(seen),
                "repeats": consistency(repeat_pairs(mine)),
                "identical": identical_gaps(mine),
                "sides": side_bias(mine, seen),
                "guesses": guessing(guesses[guesses["rater"] == name]),
            }
        )
    return {
        "raters": rows,
        "repeats": consistency(repeat_pairs(scores)),
        "guesses": guessing(guesses),
    }


def repeat_pairs(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a repeated score: rater, topic, variant, criterion, first, repeat. Only where both were scored."""
    key = ["rater", "topic", "variant", "criterion"]
    first = scores[scores["kind"] == "main"].set_index(key)["score"].rename("first")
    again = scores[scores["kind"] == "repeat"].set_index(key)["score"].rename("repeat")
    return first.to_frame().join(again, how="inner").dropna().reset_index()


def consistency(pairs: pd.DataFrame) -> dict[str, Any]:
    """n, exact and within_one (counts), their shares, and quadratic kappa (Cohen 1968; None: undefined)."""
    from sklearn.metrics import cohen_kappa_score

    count = len(pairs)
    if count == 0:
        return {"n": 0, "exact": 0, "within_one": 0, "exact_share": None, "within_one_share": None, "kappa": None}
    gap = (pairs["first"] - pairs["repeat"]).abs()
    exact, near = int((gap == 0).sum()), int((gap <= 1).sum())
    varied = pairs["first"].nunique() > 1 or pairs["repeat"].nunique() > 1
    kappa = None
    if count > 1 and varied:
        kappa = float(
            cohen_kappa_score(
                pairs["first"].astype(int), pairs["repeat"].astype(int), weights="quadratic", labels=[1, 2, 3, 4, 5]
            )
        )
    return {
        "n": count,
        "exact": exact,
        "within_one": near,
        "exact_share": exact / count,
        "within_one_share": near / count,
        "kappa": kappa,
    }


def identical_gaps(scores: pd.DataFrame) -> dict[str, Any]:
    """Left minus right on the pair of one clip with itself: gaps by criterion, and how many exceed one point."""
    same = scores[scores["kind"] == "identical"]
    wide = same.pivot_table(index="criterion", columns="side", values="score", sort=False)
    if not {"left", "right"} <= set(wide):
        return {"gaps": {}, "beyond": 0}
    gaps = (wide["left"] - wide["right"]).dropna()
    return {
        "gaps": {str(name): float(gap) for name, gap in sorted(gaps.items())},
        "beyond": int((gaps.abs() > IDENTICAL_GAP).sum()),
    }


def side_bias(scores: pd.DataFrame, screens: pd.DataFrame) -> dict[str, Any]:
    """Whether one side gets more: left minus right, averaged over the criteria of each scored pair.

    n, mean (of left minus right), p (Wilcoxon, zeros by Pratt), left_wins, right_wins, ties and left_share of
    the preferences that were no tie. A flag to look at; nothing is corrected.
    """
    from t2v_studio.studies.analysis import wilcoxon_p

    main = scores[scores["kind"] == "main"]
    wide = main.pivot_table(index=["topic", "criterion"], columns="side", values="score")
    result: dict[str, Any] = {"n": 0, "mean": None, "p": None}
    if {"left", "right"} <= set(wide):
        d = (wide["left"] - wide["right"]).dropna().groupby("topic").mean().round(9)
        if len(d):
            result = {"n": len(d), "mean": float(d.mean()), "p": wilcoxon_p(d.to_numpy(dtype=float))}
    winners = screens[(screens["kind"] == "main") & screens["done"]]["winner"]
    left, right = int((winners == "left").sum()), int((winners == "right").sum())
    share = left / (left + right) if left + right else None
    return result | {
        "left_wins": left, "right_wins": right, "ties": int((winners == "tie").sum()), "left_share": share
    }  # fmt: skip


def guessing(guesses: pd.DataFrame) -> dict[str, Any]:
    """right, wrong, unsure, share of right ones with its Wilson interval, and the binomial p against one half.

    Each guess counts alone, though one examiner gives several: the interval is a little too narrow.
    """
    from scipy.stats import binomtest

    unsure = int((guesses["side"] == "unsure").sum())
    said = guesses[guesses["side"] != "unsure"]
    right, count = int((said["side"] == said["book_side"]).sum()), len(said)
    result = {"right": right, "wrong": count - right, "unsure": unsure}
    if count == 0:
        return result | {"share": None, "ci_low": None, "ci_high": None, "p": None}
    test = binomtest(right, count)
    interval = test.proportion_ci(LEVEL, method="wilson")
    return result | {
        "share": right / count, "ci_low": float(interval.low), "ci_high": float(interval.high), "p": float(test.pvalue)
    }  # fmt: skip


def preferences(screens: pd.DataFrame, treated: str) -> dict[str, Any]:
    """Overall preference on the scored pairs: each vote, and the majority of each topic, which is tested.

    screens: also topic, left and right (the arm shown there). votes and topics: win, tie, loss of the treated arm;
    topics also p (binomial, ties left out), share, ci_low, ci_high (Wilson) and net, (win - loss) / n.
    """
    import numpy as np
    import pandas as pd
    from scipy.stats import binomtest

    said = screens[(screens["kind"] == "main") & screens["done"] & screens["winner"].notna()]
    shown = np.where(said["winner"] == "left", said["left"], said["right"])
    sign = np.where(said["winner"] == "tie", 0, np.where(shown == treated, 1, -1))
    votes = pd.Series(sign, index=said["topic"].to_numpy(), dtype=int)
    majority = np.sign(votes.groupby(level=0).sum())
    win, loss = int((majority > 0).sum()), int((majority < 0).sum())
    tested: dict[str, Any] = {"p": None, "share": None, "ci_low": None, "ci_high": None, "net": None}
    if len(majority):
        tested["net"] = (win - loss) / len(majority)
    if win + loss:
        test = binomtest(win, win + loss)
        interval = test.proportion_ci(LEVEL, method="wilson")
        tested |= {"p": float(test.pvalue), "share": win / (win + loss)}
        tested |= {"ci_low": float(interval.low), "ci_high": float(interval.high)}
    return {
        "votes": {"win": int((votes > 0).sum()), "tie": int((votes == 0).sum()), "loss": int((votes < 0).sum())},
        "topics": {"win": win, "tie": int((majority == 0).sum()), "loss": loss} | tested,
    }


def excluded(report: dict[str, Any], rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of rater, rule, text for every rule of the locked design that a rater breaks.

    report: of `quality`. Raters who submitted nothing appear too, by the rule on completeness.
    """
    broken = {"identical": _identical_broken, "repeats": _repeats_broken, "incomplete": _incomplete}
    return [
        {"rater": row["rater"], "rule": rule["key"], "text": rule["text"]}
        for row in report["raters"]
        for rule in rules
        if broken[rule["key"]](row, rule)
    ]


def _identical_broken(row: dict[str, Any], rule: dict[str, Any]) -> bool:
    return sum(abs(gap) > rule["gap"] for gap in row["identical"]["gaps"].values()) >= rule["criteria"]


def _repeats_broken(row: dict[str, Any], rule: dict[str, Any]) -> bool:
    repeats = row["repeats"]
    return bool(repeats["n"] >= rule["least"] and repeats["within_one"] / repeats["n"] < rule["within"])


def _incomplete(row: dict[str, Any], rule: dict[str, Any]) -> bool:
    screens = row["screens"]
    return bool(screens["main_done"] < rule["share"] * screens["main"])


def _screens(seen: pd.DataFrame) -> dict[str, int]:
    main = seen[seen["kind"] == "main"]
    return {
        "screens": len(seen),
        "done": int(seen["done"].sum()),
        "main": len(main),
        "main_done": int(main["done"].sum()),
        "unwatched": int((seen["done"] & ~seen["watched"]).sum()),
    }
