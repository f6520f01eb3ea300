"""How many topics and raters a gap needs: a study is simulated many times, and each one is tested as a real one is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from t2v_studio.studies.analysis import EXACT_TIED, FLOOR_TOPICS, LEVEL, signed_ranks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CRITERIA = 5
RATER_SD = 0.8
TOPIC_SD = 0.5
STUDIES = 600
AT_ONCE = 2_000_000
"""Scores that are held in memory at a time."""
_NOISE = 1e-9
"""Sums of ranks that differ by less are equal."""


@dataclass(frozen=True)
class Power:
    """Share of simulated studies in which a criterion is significant after Holm over five.

    standard_error: of that share. seen_gap: the mean gap on the 1 to 5 scale, which is smaller than
    the latent one because scores are rounded and end at 1 and 5.
    """

    topics: int
    raters: int
    gap: float
    power: float
    standard_error: float
    seen_gap: float
    note: str = ""


@lru_cache(maxsize=512)
def simulate(
    gap: float,
    topics: int,
    raters: int,
    *,
    studies: int = STUDIES,
    seed: int = 0,
    rater_sd: float = RATER_SD,
    topic_sd: float = TOPIC_SD,
) -> Power:
    """Power per criterion of the analysis' own test, Wilcoxon's, when all five differ by `gap` points on average.

    rater_sd: noise of one score; topic_sd: how much the true gap varies from topic to topic.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    step = max(1, AT_ONCE // (CRITERIA * topics * raters))
    sizes = [min(step, studies - done) for done in range(0, studies, step)]
    d = np.concatenate([_differences(generator, gap, (size, topics, raters), rater_sd, topic_sd) for size in sizes])
    p = wilcoxon_p(d.reshape(-1, topics)).reshape(studies, CRITERIA)
    share = float(holm_rejects(p).mean())
    note = (
        f"Below {FLOOR_TOPICS} topics nothing can be significant after Holm's correction."
        if topics < FLOOR_TOPICS
        else ""
    )
    error = (share * (1 - share) / (studies * CRITERIA)) ** 0.5
    return Power(topics, raters, gap, share, error, float(d.mean()), note)


def _differences(
    generator: np.random.Generator, gap: float, shape: tuple[int, int, int], rater_sd: float, topic_sd: float
) -> NDArray[np.float64]:
    """Topic means of treated minus control from scores rounded to 1 to 5.

    shape: studies, topics, raters. Returns (studies, criteria, topics).
    """
    import numpy as np

    studies, topics, raters = shape
    level = generator.normal(3.0, 0.5, (studies, CRITERIA, topics, 1))
    effect = generator.normal(gap, topic_sd, (studies, CRITERIA, topics, 1))
    noise = generator.normal(0.0, rater_sd, (2, studies, CRITERIA, topics, raters))
    control = np.clip(np.rint(level - effect / 2 + noise[0]), 1, 5)
    treated = np.clip(np.rint(level + effect / 2 + noise[1]), 1, 5)
    return np.asarray(np.round((treated - control).mean(axis=-1), 9))


def wilcoxon_p(d: NDArray[np.float64]) -> NDArray[np.float64]:
    """`analysis.wilcoxon_p` of many studies at once: d has shape (tests, topics).

    Ties are the rule in means of a few ratings, so up to EXACT_TIED topics the null is enumerated, and above it
    SciPy's normal approximation is taken, as SciPy itself does then.
    """
    import numpy as np
    from scipy.stats import wilcoxon

    moved = d.any(axis=-1)
    p = np.ones(len(d))
    if d.shape[-1] <= EXACT_TIED:
        p[moved] = exact_p(signed_ranks(d[moved]))
    elif moved.any():
        p[moved] = wilcoxon(d[moved], zero_method="pratt", method="asymptotic", axis=-1).pvalue
    return p


def exact_p(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exact two-sided p of the sum of each row when every sign may flip: shape (tests, n), n up to about 16.

    The null is symmetric, so half of the 2**n patterns are enough: the first sign stays.
    """
    import numpy as np

    count = values.shape[-1]
    bits = np.arange(2 ** (count - 1))[:, None] >> np.arange(count - 1) & 1
    signs = np.hstack([np.ones((len(bits), 1)), 1.0 - 2.0 * bits])
    batch = max(1, AT_ONCE // len(signs))
    parts = [values[start : start + batch] for start in range(0, len(values), batch)]
    reached = [
        (np.abs(signs @ part.T) >= np.abs(part.sum(axis=-1)) - _NOISE).mean(axis=0) for part in parts if len(part)
    ]
    return np.concatenate(reached) if reached else np.ones(0)


def holm_rejects(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """How many of each row Holm's step-down rejects, as flags in ascending order of p: shape (studies, criteria)."""
    import numpy as np

    family = p.shape[-1]
    passed = np.sort(p, axis=-1) <= (1 - LEVEL) / np.arange(family, 0, -1)
    return np.asarray(np.logical_and.accumulate(passed, axis=-1))


def table(
    gap: float, topic_counts: list[int], rater_counts: list[int], *, studies: int = STUDIES, seed: int = 0
) -> list[Power]:
    """`simulate` over a grid, topics in the outer loop."""
    return [
        simulate(gap, topics, raters, studies=studies, seed=seed) for topics in topic_counts for raters in rater_counts
    ]
