"""The author's desk: a study from draft to table. `Studio.studies` is one of these."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.database import reading, writing
from t2v_studio.settings import Settings
from t2v_studio.studies import answers, screens, store
from t2v_studio.studies.progress import Report, nothing
from t2v_studio.studies.rubric import rubric
from t2v_studio.studies.store_states import (
    DRAFT,
    REVEALED,
    audit,
    audit_rows,
    require,
    require_revealed,
    step,
    study_row,
)
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


class StudyDesk:
    """Studies of one workspace: draft -> locked -> collecting -> closed -> unblinded.

    Rows are plain dicts, ready for JSON. Means stay hidden (ConflictError code `still_blind`) until a study is closed.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self.settings = settings
        self.workspace = workspace

    def create(self, title: str, pair_ids: list[str], *, pack: str = "", seed: int | None = None) -> dict[str, Any]:
        """A draft from finished pairs (of a pack, say). One topic a pair; objective and title are all that raters see."""
        return self.study(store.create(self.workspace, title, pair_ids, pack=pack, seed=seed))

    def edit(self, study_id: str, **changes: Any) -> dict[str, Any]:
        """Change a draft: title, topics (key -> title, objective), add (pair ids), remove (keys). See `store.edit`."""
        store.edit(self.workspace, study_id, **changes)
        return self.study(study_id)

    def new_version(self, study_id: str, reason: str) -> dict[str, Any]:
        """A draft with the topics of a study that is locked or over; the reason stands in both audit logs."""
        return self.study(store.new_version(self.workspace, study_id, reason))

    def delete_draft(self, study_id: str) -> None:
        """Remove a draft; a study that was locked stays."""
        store.delete_draft(self.workspace, study_id)

    def studies(self) -> list[dict[str, Any]]:
        """Rows: id, title, state, topics, raters, done, screens, created_at, design_sha256."""
        return store.study_rows(self.workspace)

    def study(self, study_id: str) -> dict[str, Any]:
        """One row with topics[], raters[] (pseudonym, done, screens, last_seen), checks[] and the rubric.

        places: how many examiners may still be invited. checks: of a draft; empty later. topics[] carry pair_id
        and, once the study is locked, nothing about arms. audit[] is the log of every step.
        """
        row: dict[str, Any] = {}
        with reading(self.workspace.database) as connection:
            study = study_row(connection, study_id)
            row = {name: study[name] for name in study.keys() if name != "design"}  # noqa: SIM118
            row["topics"] = store.topic_rows(connection, study_id)
            row["raters"] = store.rater_rows(connection, study_id)
            row["audit"] = audit_rows(connection, study_id)
        row["places"] = sum(not rater["invited"] for rater in row["raters"])
        row["screens"] = sum(rater["screens"] for rater in row["raters"])
        row["done"] = sum(rater["done"] for rater in row["raters"])
        draft = row["state"] == DRAFT
        row["checks"] = self.checks(study_id) if draft else []
        row["rubric"] = rubric() if draft else json.loads(study["design"])["rubric"]
        return row

    def checks(self, study_id: str) -> list[dict[str, Any]]:
        """What stands in the way of locking: rows of level (block, warn), topic, code, message, can_override."""
        from t2v_studio.studies.checks import check_rows

        with reading(self.workspace.database) as connection:
            study, topics = study_row(connection, study_id), store.topic_rows(connection, study_id)
        return check_rows(self.workspace, study["title"], topics)

    def power(self, gap: float, topics: list[int], raters: list[int]) -> list[dict[str, Any]]:
        """The planner's table: topics, raters, power, standard_error, note."""
        from t2v_studio.studies.power import table

        return [asdict(row) for row in table(gap, topics, raters)]

    def lock(self, study_id: str, *, raters: int, overrides: dict[str, str] | None = None) -> dict[str, Any]:
        """Freeze topics, clips, rubric and assignments; blinded copies are made here. overrides: topic key -> reason.

        Raises ConflictError study_blocked with the standing checks in details.
        """
        from t2v_studio.studies.locking import lock

        lock(self.workspace, study_id, raters=raters, overrides=overrides)
        return self.study(study_id)

    def preregistration(self, study_id: str) -> str:
        """The locked design as Markdown, for the thesis' appendix or a registry."""
        from t2v_studio.studies.locking import preregistration

        return preregistration(self.workspace, study_id)

    def invite(self, study_id: str, pseudonym: str = "") -> dict[str, Any]:
        """The next free place: rater, pseudonym, token (shown once), path (/rate/?token=...)."""
        return screens.invite(self.workspace, study_id, pseudonym)

    def invite_again(self, study_id: str, pseudonym: str) -> dict[str, Any]:
        """A new link for an examiner who lost theirs; the old one ends. Shape as `invite`."""
        return screens.invite(self.workspace, study_id, pseudonym, again=True)

    def close(self, study_id: str) -> dict[str, Any]:
        """End the collection: nothing is written any more, means may be seen. The log is held against the tables."""
        from t2v_studio.studies.locking import back_up

        with writing(self.workspace.database) as connection:
            study = study_row(connection, study_id)
            step(connection, study, "close", log_differs=answers.differences(connection, study_id))
        back_up(self.workspace, study_id, "close")
        return self.study(study_id)

    def unblind(self, study_id: str) -> dict[str, Any]:
        """Reveal which side was which arm on each screen (see `key`). Only a closed study."""
        with writing(self.workspace.database) as connection:
            step(connection, study_row(connection, study_id), "unblind")
        return self.study(study_id)

    def key(self, study_id: str) -> list[dict[str, Any]]:
        """Every screen of an unblinded study: rater, position, kind, topic, left, right (arms), winner, done, watched."""
        from t2v_studio.studies.outcome import Tables

        tables = Tables(self.workspace, study_id)
        require(tables.row, (REVEALED[1],), "show its key")
        return tables.screens.astype(object).where(tables.screens.notna(), None).to_dict("records")

    def analysis(self, study_id: str) -> dict[str, Any]:
        """The numbers of a closed study, with and without exclusions, quality checks and guesses of the arm.

        Keys: see `outcome.analysis`.
        """
        from t2v_studio.studies.outcome import analysis

        return analysis(self.workspace, study_id)

    def ratings(self, study_id: str) -> pd.DataFrame:
        """What the analysis is made from: rater, topic, variant, criterion, score."""
        from t2v_studio.studies.outcome import ratings

        return ratings(self.workspace, study_id)

    def export(self, study_id: str, folder: Path) -> list[Path]:
        """Scores (long and wide), ratings, screens, events, audit log and design as files. See `outcome.export`."""
        from t2v_studio.studies.outcome import export, note_export

        written = export(self.workspace, study_id, folder)
        note_export(self.workspace, study_id, "tables")
        return written

    def report(self, study_id: str, folder: Path, report: Report = nothing) -> list[Path]:
        """Tables, figures, methods paragraph and bundle. Raises ConflictError still_blind before close.

        The clips are measured at the first report, which takes a while; the results are kept. `Studio.studies` does
        it as a job: see `submit_report`.
        """
        from t2v_studio.studies.outcome import note_export
        from t2v_studio.studies.report import study_source, write

        measures = self.measures(study_id, report)
        report("analysing")
        written = write(folder, study_source(self.workspace, study_id, measures), report)
        note_export(self.workspace, study_id, "report")
        return written

    def measures(self, study_id: str, report: Report = nothing) -> list[dict[str, Any]]:
        """Automatic measures of a closed study's clips: rows as of `measures.measured`."""
        from t2v_studio.studies.measures import measured

        texts = {row["key"]: f"{row['title']}. {row['objective']}" for row in self.study(study_id)["topics"]}
        weights = self.settings.clip_weights
        return measured(self.workspace, self.clips(study_id), texts, weights=weights, report=report)

    def report_again(self, bundle: Path, folder: Path) -> list[Path]:
        """The report of a bundle, computed anew from the ratings in it."""
        from t2v_studio.studies.report import report_again

        return report_again(bundle, folder)

    def clips(self, study_id: str) -> list[dict[str, Any]]:
        """Clips of a closed study: id, topic, variant, video_id, sha256, blind_sha256, path, fps, frames, verdict."""
        with reading(self.workspace.database) as connection:
            require_revealed(study_row(connection, study_id))
            found = connection.execute(
                "SELECT id, topic_key AS topic, variant, video_id, sha256, blind_sha256, path, fps, frames, duration_s, "
                "width, height, verdict FROM clip WHERE study_id = ? ORDER BY topic_key, variant",
                (study_id,),
            )
            return [dict(row) for row in found]

    def note(self, study_id: str, what: str, **details: Any) -> None:
        """One line in the audit log, such as an export or a report."""
        with writing(self.workspace.database) as connection:
            study_row(connection, study_id)
            audit(connection, study_id, what, **details)

    # --- tables made elsewhere, and bundles: no study of this workspace is touched ------------------
    def analyse_table(
        self, path: Path, *, control: str = "", treated: str = "", seed: int = 0, folder: Path | None = None
    ) -> dict[str, Any]:
        """The analysis of a CSV of ratings (rater, topic, variant, criterion, score); with `folder`, its report too."""
        from t2v_studio.studies.report import analyse_table

        return analyse_table(path, control=control, treated=treated, seed=seed, folder=folder)

    def metrics(self, paths: list[Path], *, text: str = "", clip_weights: Path | None = None) -> list[dict[str, Any]]:
        """Automatic measures of videos: one row each of video, sha256, frames, fps, width, height, measures[]."""
        from t2v_studio.video.metrics import measure_clip

        weights = clip_weights or self.settings.clip_weights
        return [measure_clip(path, text=text, clip_weights=weights) for path in paths]

    # --- what the examiner's app calls; nothing here names an arm --------------------------------
    def enter(self, token: str) -> dict[str, Any]:
        """The rater behind a token: rater, pseudonym, study title, open, consent, screens, done, position to resume
        at (from 0; None when all are done), finished. Else NotFoundError."""
        return screens.enter(self.workspace, token)

    def rater(self, token: str) -> str:
        """The id of the rater behind a token, for every request after `enter`. Raises NotFoundError."""
        return screens.holder(self.workspace, token)

    def consent(self, rater: str) -> dict[str, Any]:
        """Note that the examiner agreed to take part."""
        return screens.consent(self.workspace, rater)

    def screen(self, rater: str, position: int) -> dict[str, Any]:
        """One screen: assignment, position, screens, topic, objective, practice (bool), left/right media tokens and
        lengths, fps, frames, the rubric's criteria with anchors, and what has been answered so far with revisions.

        Keys: see `screens.screen`. Positions count from 0.
        """
        return screens.screen(self.workspace, rater, position)

    def save(self, rater: str, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Append events (each with the uuid made in the browser; a known uuid changes nothing). Returns saved_at, revisions,
        and conflicts where another window was newer.

        Fields of an event: see `answers.Event`. revisions: uuid -> revision, which the next event is `based_on`.
        """
        return answers.save(self.workspace, rater, events)

    def submit(self, rater: str, assignment: str) -> dict[str, Any]:
        """Mark a screen as done. Raises InputError naming what is still open (an untouched scale is not an answer).

        Returns assignment, done, screens, next (position of the first open screen, None at the end), warnings.
        """
        return answers.submit(self.workspace, rater, assignment)

    def last_questions(self, rater: str) -> dict[str, Any]:
        """When all screens are done: the guess of the arm for each pair. Keys: see `screens.last_questions`."""
        return screens.last_questions(self.workspace, rater)

    def finish(self, rater: str) -> dict[str, Any]:
        """The examiner is through. Scores can still be changed until the author closes the study."""
        return answers.finish(self.workspace, rater)

    def media(self, rater: str, token: str) -> Path:
        """The blinded copy behind a media token, if this rater may see it. Else NotFoundError."""
        return screens.media(self.workspace, rater, token)
