"""What examiners said about each clip, and which topics are kept for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean

from t2v_studio.database import reading
from t2v_studio.datasets.rows import slug
from t2v_studio.errors import NotFoundError, StudioError
from t2v_studio.production.packs_run import write_whole
from t2v_studio.production.pairs import CONTROL, TREATED, read_pair
from t2v_studio.production.record import VideoRecord
from t2v_studio.studies.store_states import OPEN, REVEALED
from t2v_studio.workspace import Workspace

SCORES_VERSION = 1
"""Goes up when the choice of scores that count changes."""


@dataclass
class ClipScore:
    """Scores of one clip, over all closed studies that showed it."""

    by_criterion: dict[str, list[float]] = field(default_factory=dict)

    @property
    def means(self) -> dict[str, float]:
        return {name: round(fmean(given), 4) for name, given in self.by_criterion.items()}

    @property
    def overall(self) -> float | None:
        """Mean of the criteria's means, so that a skipped scale does not tip it."""
        return round(fmean(self.means.values()), 4) if self.by_criterion else None

    @property
    def count(self) -> int:
        return sum(len(given) for given in self.by_criterion.values())


def clip_scores(workspace: Workspace) -> dict[str, ClipScore]:
    """Video id to its scores in closed studies, from submitted scored pairs.

    Examiners whom a study's own locked rules exclude do not count; "cannot judge" is no score.
    """
    found: dict[str, ClipScore] = {}
    for study_id in _studies(workspace, REVEALED):
        for video_id, criterion, score in _remembered(workspace, study_id):
            found.setdefault(video_id, ClipScore()).by_criterion.setdefault(criterion, []).append(score)
    return found


def _remembered(workspace: Workspace, study_id: str) -> list[tuple[str, str, float]]:
    """`_given`, kept in the cache: a closed study never changes, and its rules take scipy and scikit-learn to apply."""
    kept = workspace.cache / "scores" / f"{study_id}-{SCORES_VERSION}.json"
    try:
        return [(str(video), str(criterion), float(score)) for video, criterion, score in json.loads(kept.read_text())]
    except (OSError, ValueError, TypeError):
        given = _given(workspace, study_id)
        write_whole(kept, json.dumps(given))
        return given


def _given(workspace: Workspace, study_id: str) -> list[tuple[str, str, float]]:
    """(video id, criterion, score) of one closed study."""
    from t2v_studio.studies.outcome import Tables
    from t2v_studio.studies.quality import excluded, quality

    tables = Tables(workspace, study_id)
    ratings = tables.ratings().dropna(subset=["score"])
    if ratings.empty:
        return []
    report = quality(tables.submitted(), tables.screens, tables.guesses)
    out = {row["rater"] for row in excluded(report, tables.design["exclusion_rules"])}
    with reading(workspace.database) as connection:
        rows = connection.execute("SELECT topic_key, variant, video_id FROM clip WHERE study_id = ?", (study_id,))
        videos = {(row["topic_key"], row["variant"]): row["video_id"] for row in rows}
    kept = ratings[~ratings["rater"].isin(out)]
    return [
        (videos[row.topic, row.variant], str(row.criterion), float(row.score)) for row in kept.itertuples(index=False)
    ]


def family_of(record: VideoRecord) -> str:
    """Topic and seed: the clips of a family show the same simulated data or the same noise, in both arms of a pair."""
    seed = record.request.seed if record.request.seed is not None else record.plan.seed
    return f"{slug(record.plan.topic)}-{seed}"


@dataclass(frozen=True)
class Held:
    """A family that a study keeps out of training."""

    study_id: str
    title: str
    state: str


def held_families(workspace: Workspace, studies: Iterable[str] = ()) -> dict[str, Held]:
    """Families of the studies named, and of all that examiners are scoring now. Raises NotFoundError for an unknown one."""
    chosen = list(dict.fromkeys([*studies, *_studies(workspace, OPEN)]))
    found: dict[str, Held] = {}
    for study_id in chosen:
        with reading(workspace.database) as connection:
            study = connection.execute("SELECT id, title, state FROM study WHERE id = ?", (study_id,)).fetchone()
            pairs = connection.execute("SELECT pair_id FROM topic WHERE study_id = ?", (study_id,)).fetchall()
        if study is None:
            raise NotFoundError("unknown_study", f"There is no study {study_id!r}.", "List them with: t2v study list")
        for row in pairs:
            for family in _families(workspace, row["pair_id"]):
                found.setdefault(family, Held(study["id"], study["title"], study["state"]))
    return found


def _families(workspace: Workspace, pair_id: str) -> set[str]:
    try:
        pair = read_pair(workspace, pair_id)
    except StudioError:  # the pair was deleted, and its clips with it
        return set()
    return {family_of(pair[arm]) for arm in (CONTROL, TREATED)}


def _studies(workspace: Workspace, states: tuple[str, ...]) -> list[str]:
    with reading(workspace.database) as connection:
        marks = ", ".join("?" for _ in states)
        rows = connection.execute(f"SELECT id FROM study WHERE state IN ({marks}) ORDER BY created_at, id", states)
        return [row["id"] for row in rows]
