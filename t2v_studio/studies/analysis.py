"""The paired analysis of a study: topics are the units, five criteria are one family.

Every statistic is a library call; what is ours is the order of the steps. Sources: Wilcoxon's signed-rank
test with Pratt's treatment of zeros (Pratt 1959), BCa bootstrap (Efron 1987), matched-pairs rank-biserial
correlation (Kerby 2014), Holm (1979), Krippendorff's alpha (Krippendorff 2018).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import plural
from t2v_studio.studies.ratings import arms

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

RESAMPLES = 9999
LEVEL = 0.95
FLOOR_TOPICS = 8
"""Below 8 topics no criterion can pass Holm over five: see `floor_topics`."""
FIRM_ALPHA, TENTATIVE_ALPHA = 0.80, 0.667
EXACT_TIED = 13
"""Most topics at which ties or zeros leave the Wilcoxon test exact: SciPy's own limit (2**13 sign patterns)."""
_DIGITS = 9
"""Differences of topic means are rounded, so that thirds do not break ties by rounding noise."""


@dataclass(frozen=True)
class CriterionResult:
    """One criterion. Gaps are treated minus control, on the scale of the rubric; None: undefined."""

    criterion: str
    topics: int
    mean_control: float
    sd_control: float | None
    mean_treated: float
    sd_treated: float | None
    gap: float
    ci_low: float | None
    ci_high: float | None
    p: float
    p_holm: float
    p_permutation: float
    rank_biserial: float | None
    win: int
    tie: int
    loss: int
    alpha: float | None
    alpha_low: float | None
    alpha_high: float | None
    alpha_preference: float | None
    verdict: str = ""


@dataclass(frozen=True)
class Analysis:
    """A study's numbers, with what they rest on."""

    control: str
    treated: str
    topics: int
    raters: int
    ratings: int
    cannot_judge: int
    criteria: list[CriterionResult]
    joint_rate: dict[str, float]
    warnings: list[str] = field(default_factory=list)
    seed: int = 0
    versions: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: a number that is undefined is None, never NaN."""
        return without_nan(asdict(self))


def without_nan(value: Any) -> Any:
    """The same data with None in place of numbers that are not finite: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return _finite(value) if isinstance(value, float) else value


def analyse(frame: pd.DataFrame, *, control: str = "", treated: str = "", seed: int = 0) -> Analysis:
    """Analyse checked ratings (see `ratings.check_ratings`).

    Raters are averaged within (topic, variant); the N differences of topic means are tested.
    """
    control, treated = arms(frame, control, treated)
    used = frame[frame["variant"].isin([control, treated])]
    names = list(dict.fromkeys(used["criterion"]))
    drafts = [_criterion(used[used["criterion"] == name], name, control, treated, seed) for name in names]
    criteria = _with_holm(drafts)
    scored = used.dropna(subset=["score"])
    topics = scored["topic"].nunique()
    return Analysis(
        control=control,
        treated=treated,
        topics=topics,
        raters=scored["rater"].nunique(),
        ratings=len(scored),
        cannot_judge=int(used["score"].isna().sum()),
        criteria=criteria,
        joint_rate={name: _joint_rate(scored[scored["variant"] == name]) for name in (control, treated)},
        warnings=_warnings(scored, topics, control, treated, criteria),
        seed=seed,
        versions={name: version(name) for name in ("scipy", "statsmodels", "evalica", "pandas", "numpy")},
    )


def topic_differences(frame: pd.DataFrame, control: str, treated: str) -> pd.DataFrame:
    """One row a topic that has both arms: the mean of each arm over raters, and `d`, treated minus control."""
    means = frame.dropna(subset=["score"]).groupby(["topic", "variant"])["score"].mean().unstack("variant")
    means = means.reindex(columns=[control, treated]).dropna().sort_index()
    means["d"] = (means[treated] - means[control]).round(_DIGITS)
    return means


def _criterion(rows: pd.DataFrame, name: str, control: str, treated: str, seed: int) -> CriterionResult:
    means = topic_differences(rows, control, treated)
    d = means["d"].to_numpy(dtype=float)
    low, high = mean_interval(d, seed)
    alpha, alpha_low, alpha_high = agreement(_clips(rows), seed)
    preference, _, _ = agreement(_preferences(rows, control, treated), seed)
    count = len(d)
    return CriterionResult(
        criterion=name,
        topics=count,
        mean_control=float(means[control].mean()),
        sd_control=float(means[control].std(ddof=1)) if count > 1 else None,
        mean_treated=float(means[treated].mean()),
        sd_treated=float(means[treated].std(ddof=1)) if count > 1 else None,
        gap=float(d.mean()) if count else float("nan"),
        ci_low=low,
        ci_high=high,
        p=wilcoxon_p(d),
        p_holm=1.0,
        p_permutation=sign_flip_p(d, seed),
        rank_biserial=rank_biserial(d),
        win=int((d > 0).sum()),
        tie=int((d == 0).sum()),
        loss=int((d < 0).sum()),
        alpha=alpha,
        alpha_low=alpha_low,
        alpha_high=alpha_high,
        alpha_preference=preference,
    )


def mean_interval(d: np.ndarray, seed: int) -> tuple[float | None, float | None]:
    """95 % BCa interval of the mean of `d`, shape (N,); (None, None) where nothing varies."""
    import numpy as np
    from scipy.stats import bootstrap

    if len(d) < 2 or np.ptp(d) == 0:
        return None, None
    result = bootstrap(
        (d,), np.mean, confidence_level=LEVEL, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(seed)
    )
    low, high = (float(end) for end in result.confidence_interval)
    return (low, high) if np.isfinite(low) and np.isfinite(high) else (None, None)


def wilcoxon_p(d: np.ndarray) -> float:
    """Two-sided Wilcoxon signed-rank p of the differences, zeros by Pratt; 1 where all are zero.

    The p of `scipy.stats.wilcoxon(d, zero_method="pratt", method="auto")`. With ties or zeros and few topics that is
    an exact permutation of the signs, in which SciPy ranks anew at each of the 2**N patterns; ranks do not change
    with a sign, so the same null is taken here over ranks that are given once, some sixty times as fast.
    """
    import numpy as np
    from scipy.stats import permutation_test, wilcoxon

    if len(d) == 0 or not d.any():
        return 1.0
    tied = not d.all() or len(np.unique(np.abs(d))) < len(d)
    if not tied or len(d) > EXACT_TIED:
        return float(wilcoxon(d, zero_method="pratt", method="auto").pvalue)
    return float(
        permutation_test((signed_ranks(d),), np.sum, permutation_type="samples", n_resamples=np.inf, axis=-1).pvalue
    )


def signed_ranks(d: np.ndarray) -> np.ndarray:
    """Mid-ranks of |d| along the last axis with the sign of d; a zero has a rank that counts for nothing (Pratt 1959)."""
    import numpy as np
    from scipy.stats import rankdata

    return np.asarray(np.sign(d) * rankdata(np.abs(d), axis=-1))


def sign_flip_p(d: np.ndarray, seed: int) -> float:
    """Two-sided sign-flip permutation p of the mean: exact up to 16 topics, else resampled."""
    import numpy as np
    from scipy.stats import permutation_test

    if len(d) < 2 or not d.any():
        return 1.0
    resamples = np.inf if len(d) <= 16 else RESAMPLES
    result = permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=resamples, rng=np.random.default_rng(seed)
    )
    return float(result.pvalue)


def rank_biserial(d: np.ndarray) -> float | None:
    """Matched-pairs rank-biserial correlation, -1 to 1: (2 W+ - T) / T over the differences that are not 0."""
    from scipy.stats import wilcoxon

    moved = d[d != 0]
    if len(moved) == 0:
        return None
    total = len(moved) * (len(moved) + 1) / 2
    positive = float(wilcoxon(moved, alternative="greater", method="asymptotic").statistic)
    return (2 * positive - total) / total


def agreement(table: pd.DataFrame, seed: int) -> tuple[float | None, float | None, float | None]:
    """Krippendorff's ordinal alpha and its 95 % interval.

    table: raters in rows, units in columns. (None, None, None) where it is undefined: one rater, no
    unit with two ratings, or every score the same.
    """
    import evalica
    import numpy as np

    table = table.loc[:, table.notna().sum() >= 2]
    values = table.to_numpy(dtype=float)
    seen = values[~np.isnan(values)]
    if table.shape[0] < 2 or seen.size == 0 or np.ptp(seen) == 0:
        return None, None, None
    result = evalica.alpha_bootstrap(
        table, distance="ordinal", n_resamples=1000, confidence_level=LEVEL, random_state=seed
    )
    return tuple(_finite(value) for value in (result.alpha, result.low, result.high))  # type: ignore[return-value]


def floor_topics(criteria: int) -> int:
    """Fewest topics with which a criterion can pass Holm over so many: the smallest two-sided p is 2 / 2**N."""
    topics = 1
    while criteria * 2 / 2**topics > 1 - LEVEL:
        topics += 1
    return topics


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _clips(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.pivot(index="rater", columns=["topic", "variant"], values="score")


def _preferences(rows: pd.DataFrame, control: str, treated: str) -> pd.DataFrame:
    """The sign of each rater's difference on each topic: raters in rows, topics in columns."""
    import numpy as np

    wide = rows.pivot(index=["rater", "topic"], columns="variant", values="score")
    signs = (
        np.sign((wide[treated] - wide[control]).round(_DIGITS))
        if {control, treated} <= set(wide)
        else wide.iloc[:, 0] * np.nan
    )
    return signs.unstack("topic")


def _with_holm(results: list[CriterionResult]) -> list[CriterionResult]:
    from dataclasses import replace

    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests([result.p for result in results], method="holm")[1]
    held = [replace(result, p_holm=float(p)) for result, p in zip(results, adjusted, strict=True)]
    return [replace(result, verdict=verdict(result)) for result in held]


def alpha_band(alpha: float | None) -> str:
    """What an alpha allows, in words."""
    if alpha is None:
        return "agreement undefined"
    if alpha >= FIRM_ALPHA:
        return "firm agreement"
    return "tentative agreement" if alpha >= TENTATIVE_ALPHA else "raters disagree: do not lean on this criterion"


def verdict(result: CriterionResult) -> str:
    """One plain sentence: what the numbers of a criterion allow one to say."""
    if result.topics < 2:
        return "Too few topics for any statement."
    if result.gap == 0:
        return f"No difference was seen; {alpha_band(result.alpha)}."
    side = "higher" if result.gap > 0 else "lower"
    if result.p_holm <= 1 - LEVEL:
        p = "below 0.001" if result.p_holm < 0.001 else f"{result.p_holm:.3f}"
        return f"The treated videos score {side} (Holm p {p}); {alpha_band(result.alpha)}."
    if result.ci_low is not None and result.ci_high is not None and result.ci_low <= 0 <= result.ci_high:
        return f"No reliable difference: the interval of the gap holds 0; {alpha_band(result.alpha)}."
    if result.p > 1 - LEVEL:
        return (
            f"Weak evidence: scores tend to be {side}, but the test does not bear it out; {alpha_band(result.alpha)}."
        )
    return f"Weak evidence: scores tend to be {side}, but not after Holm's correction; {alpha_band(result.alpha)}."


def _joint_rate(rows: pd.DataFrame) -> float:
    """Share of clips whose mean reaches 4 on every criterion."""
    means = rows.groupby(["topic", "criterion"])["score"].mean().unstack("criterion")
    return float((means >= 4).all(axis=1).mean()) if len(means) else float("nan")


def _warnings(
    scored: pd.DataFrame, topics: int, control: str, treated: str, criteria: list[CriterionResult]
) -> list[str]:
    found = []
    floor = floor_topics(len(criteria))
    if topics < floor:
        found.append(
            f"Only {topics} topics: with fewer than {floor} no criterion can be significant after Holm's correction "
            f"over {len(criteria)}."
        )
    if scored["rater"].nunique() < 2:
        found.append("One rater only: agreement cannot be computed.")
    whole = scored.groupby("topic")["variant"].nunique()
    for topic in sorted(whole[whole < 2].index):
        found.append(f"Topic {topic!r} lacks {control} or {treated} and is left out.")
    lone = int((scored.groupby(["rater", "topic", "criterion"])["variant"].nunique() < 2).sum())
    if lone:
        found.append(
            f"{plural(lone, 'rating')} {'has' if lone == 1 else 'have'} no counterpart by the same rater in the other variant: there a rater's leniency "
            "does not cancel."
        )
    weak = [result.criterion for result in criteria if result.alpha is not None and result.alpha < TENTATIVE_ALPHA]
    if weak:
        found.append(f"Agreement is low (alpha below {TENTATIVE_ALPHA}) on: {', '.join(weak)}.")
    return found
