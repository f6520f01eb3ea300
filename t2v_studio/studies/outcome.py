"""A closed study as tables: ratings, screens, guesses; the analysis with and without exclusions; exports."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.database import reading, writing
from t2v_studio.production.pairs import CONTROL, TREATED
from t2v_studio.studies.answers import WATCHED_SHARE
from t2v_studio.studies.quality import excluded, preferences, quality
from t2v_studio.studies.ratings import COLUMNS
from t2v_studio.studies.store_states import audit, audit_rows, require_revealed, study_row
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

_SCORES = """SELECT pseudonym AS rater, assignment.topic_key AS topic, assignment.kind AS kind, position, score.side AS side,
    clip.variant AS variant, score.criterion AS criterion, score.value AS score, score.reason AS reason,
    score.comment AS comment, remark.text AS remark, score.revision AS revision, assignment.status = 'done' AS done,
    criterion.ordinal AS ordinal
    FROM score JOIN assignment ON assignment.id = score.assignment_id JOIN rater ON rater.id = rater_id
    JOIN clip ON clip.id = CASE score.side WHEN 'left' THEN left_clip ELSE right_clip END
    JOIN criterion ON criterion.study_id = assignment.study_id AND criterion.key = score.criterion
    LEFT JOIN remark ON remark.assignment_id = assignment.id AND remark.side = score.side
    WHERE assignment.study_id = ?
    ORDER BY number, position, score.side, criterion.ordinal"""

_SCREENS = """SELECT pseudonym AS rater, assignment.topic_key AS topic, kind, position, status = 'done' AS done, submitted_at,
    one.variant AS "left", two.variant AS "right", winner, preference.confidence AS confidence,
    opened_at, one.duration_s AS duration_s,
    (SELECT count(*) FROM exposure WHERE exposure.assignment_id = assignment.id AND (failed OR (reached_end AND
        (julianday(submitted_at) - julianday(opened_at)) * 86400 >= ? * one.duration_s))) = 2 AS watched
    FROM assignment JOIN rater ON rater.id = rater_id
    JOIN clip AS one ON one.id = left_clip JOIN clip AS two ON two.id = right_clip
    LEFT JOIN preference ON preference.assignment_id = assignment.id
    LEFT JOIN opening ON opening.assignment_id = assignment.id
    WHERE assignment.study_id = ? ORDER BY number, position"""

_GUESSES = """SELECT pseudonym AS rater, assignment.topic_key AS topic, guess.side AS side, guess.confidence AS confidence,
    CASE WHEN one.variant = ? THEN 'left' ELSE 'right' END AS book_side
    FROM guess JOIN assignment ON assignment.id = guess.assignment_id JOIN rater ON rater.id = rater_id
    JOIN clip AS one ON one.id = left_clip WHERE assignment.study_id = ? AND assignment.kind = 'main'
    ORDER BY number, position"""

_LONG = ("rater", "position", "kind", "topic", "side", "variant", "criterion", "score", "cannot_judge", "comment",
         "remark", "submitted", "revision")  # fmt: skip


class Tables:
    """The frames of one closed study: scores, screens, guesses. Raises ConflictError still_blind before close."""

    def __init__(self, workspace: Workspace, study_id: str) -> None:
        with reading(workspace.database) as connection:
            self.row = study_row(connection, study_id)
            require_revealed(self.row)
            self.scores = _frame(connection.execute(_SCORES, (study_id,)))
            self.screens = _frame(connection.execute(_SCREENS, (WATCHED_SHARE, study_id)))
            self.guesses = _frame(connection.execute(_GUESSES, (TREATED, study_id)))
            self.audit = audit_rows(connection, study_id)
        self._settle()
        self.design: dict[str, Any] = json.loads(self.row["design"])

    def _settle(self) -> None:
        import pandas as pd

        self.scores["done"] = self.scores["done"].astype(bool)
        self.scores["score"] = pd.to_numeric(self.scores["score"])
        for name in ("done", "watched"):
            self.screens[name] = self.screens[name].astype(bool)

    def as_records(self) -> dict[str, Any]:
        """What `analysis_of` needs, as JSON data: rows of scores, screens and guesses, and facts of the study."""
        frames = {name: _records(getattr(self, name)) for name in ("scores", "screens", "guesses")}
        return frames | {"study": {name: self.row[name] for name in _FACTS}}

    def ratings(self) -> pd.DataFrame:
        """rater, topic, variant, criterion, score of submitted scored pairs; "cannot judge" is missing."""
        main = self.scores[(self.scores["kind"] == "main") & self.scores["done"]]
        return main.loc[:, list(COLUMNS)].reset_index(drop=True)

    def submitted(self) -> pd.DataFrame:
        return self.scores[self.scores["done"]]


_FACTS = ("id", "title", "state", "design_sha256", "closed_at")


class StoredTables(Tables):
    """The same tables from `Tables.as_records` and the locked design: no workspace is needed."""

    def __init__(self, records: dict[str, Any], design: dict[str, Any]) -> None:
        import pandas as pd

        self.row = records["study"]
        self.scores, self.screens, self.guesses = (
            pd.DataFrame(records[name]["rows"], columns=records[name]["columns"])
            for name in ("scores", "screens", "guesses")
        )
        self._settle()
        self.audit = []
        self.design = design


def _records(frame: pd.DataFrame) -> dict[str, Any]:
    plain = frame.astype(object).where(frame.notna(), None)
    return {"columns": list(frame.columns), "rows": plain.to_numpy().tolist()}


def ratings(workspace: Workspace, study_id: str) -> pd.DataFrame:
    """The ratings that are analysed: rater, topic, variant, criterion, score. Raises ConflictError still_blind."""
    return Tables(workspace, study_id).ratings()


def analysis(workspace: Workspace, study_id: str) -> dict[str, Any]:
    """The numbers of a closed study.

    study, title, state, design_sha256, analysis_version, control, treated; all and kept: `Analysis.as_dict()` of
    every rater and without the excluded ones (kept is None where nobody is left); excluded[{rater, rule, text}];
    preferences_all and preferences_kept; quality (see `quality.quality`); guesses; screens_open (how many were not
    submitted and are not counted). Practice, repeated and identical pairs are left out of all and kept.
    Raises ConflictError still_blind, InputError scores_empty where nobody submitted a scored pair.
    """
    return analysis_of(Tables(workspace, study_id))


def analysis_of(tables: Tables) -> dict[str, Any]:
    """See `analysis`."""
    from t2v_studio.studies.analysis import analyse
    from t2v_studio.studies.ratings import check_ratings

    design = tables.design
    frame = check_ratings(tables.ratings())
    report = quality(tables.submitted(), tables.screens, tables.guesses)
    broken = excluded(report, design["exclusion_rules"])
    out = {row["rater"] for row in broken}
    kept = frame[~frame["rater"].isin(out)]
    options = {"control": CONTROL, "treated": TREATED, "seed": design["seed"]}
    scored = tables.screens[tables.screens["kind"] == "main"]
    usable = not kept.empty and bool(kept["score"].notna().any()) and kept["variant"].nunique() == 2
    return {
        "study": tables.row["id"],
        "title": tables.row["title"],
        "state": tables.row["state"],
        "design_sha256": tables.row["design_sha256"],
        "analysis_version": design["analysis_version"],
        "control": CONTROL,
        "treated": TREATED,
        "all": analyse(frame, **options).as_dict(),
        "kept": analyse(kept, **options).as_dict() if usable else None,
        "excluded": broken,
        "preferences_all": preferences(tables.screens, TREATED),
        "preferences_kept": preferences(tables.screens[~tables.screens["rater"].isin(out)], TREATED),
        "quality": report,
        "guesses": report["guesses"],
        "screens_open": int((~scored["done"]).sum()),
    }


def export(workspace: Workspace, study_id: str, folder: Path) -> list[Path]:
    """Write scores_long.csv, scores_wide.csv, ratings.csv, screens.csv, events.jsonl, design.json, audit.jsonl.

    The same data gives the same bytes: rows are sorted, lines end in a line feed. Raises ConflictError still_blind.
    """
    files = texts(workspace, Tables(workspace, study_id))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        written.append(folder / name)
    return written


def texts(workspace: Workspace, tables: Tables) -> dict[str, str]:
    """The files of `export`, name -> text."""
    with reading(workspace.database) as connection:
        log = [dict(row) for row in connection.execute(_EVENTS, (tables.row["id"],))]
    return {
        "scores_long.csv": long_csv(tables),
        "scores_wide.csv": wide_csv(tables),
        "ratings.csv": ratings_csv(tables),
        "screens.csv": screens_csv(tables),
        "events.jsonl": "".join(f"{json.dumps(row, sort_keys=True, ensure_ascii=False)}\n" for row in log),
        "audit.jsonl": "".join(f"{json.dumps(row, sort_keys=True, ensure_ascii=False)}\n" for row in tables.audit),
        "design.json": json.dumps(tables.design, sort_keys=True, ensure_ascii=False, indent=2) + "\n",
    }


def note_export(workspace: Workspace, study_id: str, what: str) -> None:
    """One line in the audit log. Apart from `export`, which would otherwise never give the same bytes twice."""
    with writing(workspace.database) as connection:
        audit(connection, study_id, "export", what_was=what)


_EVENTS = """SELECT seq, uuid, pseudonym AS rater, position, score_event.kind, side, criterion, value, reason, comment,
    details, client_ts, server_ts, revision, schema_version
    FROM score_event JOIN rater ON rater.id = score_event.rater_id
    JOIN assignment ON assignment.id = score_event.assignment_id WHERE score_event.study_id = ? ORDER BY seq"""


def long_csv(tables: Tables) -> str:
    """One line a score, of every screen; columns as in _LONG."""
    rows = [
        {
            **{
                name: row[name]
                for name in ("rater", "position", "kind", "topic", "side", "variant", "criterion", "revision")
            },
            "score": _score(row["score"]),
            "cannot_judge": int(row["reason"] == "cannot_judge"),
            "comment": row["comment"],
            "remark": _text(row["remark"]),
            "submitted": int(row["done"]),
        }
        for row in tables.scores.to_dict("records")
    ]
    return _csv(_LONG, rows)


def wide_csv(tables: Tables) -> str:
    """One line a screen: a column for each criterion on each side, the preference and both arms."""
    names = [criterion["key"] for criterion in tables.design["rubric"]["criteria"]]
    columns = [f"{name}_{side}" for name in names for side in ("left", "right")]
    cells: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in tables.scores.to_dict("records"):
        text = "cannot judge" if row["reason"] else _score(row["score"])
        cells.setdefault((row["rater"], row["position"]), {})[f"{row['criterion']}_{row['side']}"] = text
    head = ("rater", "position", "kind", "topic", "left", "right", "done", "winner", "confidence")
    rows = [
        {**dict.fromkeys(columns, ""), **_screen(row), **cells.get((row["rater"], row["position"]), {})}
        for row in tables.screens.to_dict("records")
    ]
    return _csv((*head, *columns), [{name: row[name] for name in (*head, *columns)} for row in rows])


def ratings_csv(tables: Tables) -> str:
    """The table that `t2v study analyse` reads: what the analysis is made from."""
    rows = [row | {"score": _score(row["score"])} for row in tables.ratings().to_dict("records")]
    return _csv(COLUMNS, rows)


def screens_csv(tables: Tables) -> str:
    """One line a screen: who saw what on which side, and whether it was watched."""
    head = (
        "rater",
        "position",
        "kind",
        "topic",
        "left",
        "right",
        "done",
        "watched",
        "submitted_at",
        "winner",
        "confidence",
    )
    return _csv(head, [{name: row[name] for name in head} for row in map(_screen, tables.screens.to_dict("records"))])


def _screen(row: dict[Any, Any]) -> dict[str, Any]:
    flags = {name: int(row[name]) for name in ("done", "watched")}
    return {**row, **flags, "confidence": _score(row["confidence"]), "winner": _text(row["winner"]),
            "submitted_at": _text(row["submitted_at"])}  # fmt: skip


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: safe_cell(row[name]) for name in columns})
    return out.getvalue()


def safe_cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _score(value: Any) -> Any:
    import pandas as pd

    return "" if pd.isna(value) else int(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _frame(cursor: Any) -> pd.DataFrame:
    import pandas as pd

    names = [column[0] for column in cursor.description]
    return pd.DataFrame([dict(row) for row in cursor], columns=names)
