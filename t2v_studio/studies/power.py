"""How many topics and raters a gap needs: a study is simulated many times and tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from t2v_studio.studies.analysis import FLOOR_TOPICS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CRITERIA = 5
LEVEL = 0.05
RATER_SD = 0.8
TOPIC_SD = 0.5
RESAMPLES = 999
"""Sign flips a study: exact up to 9 topics, sampled above."""


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


def simulate(
    gap: float,
    topics: int,
    raters: int,
    *,
    studies: int = 120,
    seed: int = 0,
    rater_sd: float = RATER_SD,
    topic_sd: float = TOPIC_SD,
) -> Power:
    """Power per criterion of the sign-flip test when all five differ by `gap` points on average.

    rater_sd: noise of one score; topic_sd: how much the true gap varies from topic to topic.
    """
    import numpy as np
    from scipy.stats import permutation_test
    from statsmodels.stats.multitest import multipletests

    generator = np.random.default_rng(seed)
    d = np.stack([_differences(generator, gap, topics, raters, rater_sd, topic_sd) for _ in range(studies)])
    flipped = permutation_test(
        (d.reshape(-1, topics),),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        axis=-1,
        n_resamples=RESAMPLES,
        batch=50,
        rng=generator,
    )
    p = flipped.pvalue.reshape(studies, CRITERIA)
    hits = sum(int(multipletests(row, alpha=LEVEL, method="holm")[0].sum()) for row in p)
    share = hits / (studies * CRITERIA)
    note = (
        f"Below {FLOOR_TOPICS} topics nothing can be significant after Holm's correction."
        if topics < FLOOR_TOPICS
        else ""
    )
    error = (share * (1 - share) / (studies * CRITERIA)) ** 0.5
    return Power(topics, raters, gap, share, error, float(d.mean()), note)


def _differences(
    generator: np.random.Generator, gap: float, topics: int, raters: int, rater_sd: float, topic_sd: float
) -> NDArray[np.float64]:
    """Topic means of treated minus control, shape (criteria, topics), from scores rounded to 1 to 5."""
    import numpy as np

    level = generator.normal(3.0, 0.5, (CRITERIA, topics, 1))
    effect = generator.normal(gap, topic_sd, (CRITERIA, topics, 1))
    noise = generator.normal(0.0, rater_sd, (2, CRITERIA, topics, raters))
    control = np.clip(np.rint(level - effect / 2 + noise[0]), 1, 5)
    treated = np.clip(np.rint(level + effect / 2 + noise[1]), 1, 5)
    return np.round((treated - control).mean(axis=-1), 9)


def table(
    gap: float, topic_counts: list[int], rater_counts: list[int], *, studies: int = 120, seed: int = 0
) -> list[Power]:
    """`simulate` over a grid, topics in the outer loop."""
    return [
        simulate(gap, topics, raters, studies=studies, seed=seed) for topics in topic_counts for raters in rater_counts
    ]
