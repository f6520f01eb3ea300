"""What examiners write: an event log that only grows, and the current answers that follow from it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2v_studio.database import reading, writing
from t2v_studio.errors import ConflictError, InputError, NotFoundError, wrong_fields
from t2v_studio.studies.rubric import COMMENT_AT, labels
from t2v_studio.studies.store_states import OPEN, now, study_row
from t2v_studio.workspace import Workspace

MOST_EVENTS = 500
SCHEMA_VERSION = 1
WATCHED_SHARE = 0.9
"""A screen that is submitted before this share of its clips' length has passed was not watched to the end."""
SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


class Event(BaseModel):
    """One change on one screen, as the browser sends it.

    kind score: side, criterion, and value 1 to 5, or cannot_judge, or neither (taken back), with a comment;
    comment: side, comment; preference: winner, confidence; exposure: side, seconds, plays, reached_end, failed
    (all counted from the first opening; the largest wins); guess: side (or unsure), confidence.
    based_on: the revision that the window had seen, 0 for none; None overwrites whatever is there.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)

    uuid: str = Field(pattern=r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")
    kind: Literal["score", "comment", "preference", "exposure", "guess"] = "score"
    assignment: str = Field(max_length=60)
    side: Literal["left", "right", "unsure", ""] = ""
    criterion: str = Field("", max_length=40)
    value: int | None = Field(None, ge=1, le=5)
    cannot_judge: bool = False
    comment: str = Field("", max_length=4000)
    winner: Literal["left", "tie", "right", ""] = ""
    confidence: int | None = Field(None, ge=1, le=3)
    seconds: float = Field(0.0, ge=0, le=1e6, allow_inf_nan=False)
    plays: int = Field(0, ge=0, le=10**6)
    reached_end: bool = False
    failed: bool = False
    based_on: int | None = Field(None, ge=0)
    client_ts: str = Field("", max_length=40)

    @model_validator(mode="after")
    def _whole(self) -> Event:
        if self.kind in ("score", "comment", "exposure") and self.side not in SIDES:
            raise ValueError(f"a {self.kind} needs the side left or right")
        if self.kind == "score" and self.criterion not in labels():
            raise ValueError(f"criterion {self.criterion!r} is not in the rubric")
        if self.kind == "score" and self.value is not None and self.cannot_judge:
            raise ValueError("value and cannot_judge exclude each other")
        if self.kind == "preference" and not self.winner:
            raise ValueError("a preference needs a winner: left, tie or right")
        if self.kind == "guess" and not self.side:
            raise ValueError("a guess needs a side: left, right or unsure")
        return self

    def logged(self) -> dict[str, Any]:
        """The event's own columns of score_event."""
        details: dict[str, Any] = {}
        if self.kind == "preference":
            details = {"winner": self.winner, "confidence": self.confidence}
        elif self.kind == "guess":
            details = {"confidence": self.confidence}
        elif self.kind == "exposure":
            details = {name: getattr(self, name) for name in ("seconds", "plays", "reached_end", "failed")}
        return {
            "uuid": self.uuid,
            "assignment_id": self.assignment,
            "kind": self.kind,
            "side": self.side,
            "criterion": self.criterion if self.kind == "score" else "",
            "value": self.value if self.kind == "score" else None,
            "reason": "cannot_judge" if self.kind == "score" and self.cannot_judge else "",
            "comment": self.comment.strip(),
            "details": json.dumps(details, sort_keys=True),
            "client_ts": self.client_ts,
        }


Answer = tuple[str, dict[str, Any], dict[str, Any]]
"""Table, key columns, other columns."""


def answer_of(event: Mapping[str, Any], before: Mapping[str, Any] | None) -> Answer:
    """The row that an event of the log makes current. before: the row that it replaces.

    The one rule by which the log becomes the tables, when an event comes and when the log is replayed.
    """
    details = json.loads(event["details"])
    key = {"assignment_id": event["assignment_id"]}
    revision = {"revision": event["revision"]}
    match event["kind"]:
        case "score":
            values = {name: event[name] for name in ("value", "reason", "comment")}
            return "score", key | {"side": event["side"], "criterion": event["criterion"]}, values | revision
        case "comment":
            return "remark", key | {"side": event["side"]}, {"text": event["comment"]} | revision
        case "preference":
            return "preference", key, details | revision
        case "guess":
            return "guess", key, {"side": event["side"], **details} | revision
        case _:
            most = {name: max(details[name], before[name] if before else 0) for name in details}
            return "exposure", key | {"side": event["side"]}, {name: _number(most[name]) for name in most}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def replay(events: Iterable[Mapping[str, Any]]) -> dict[str, dict[tuple[Any, ...], dict[str, Any]]]:
    """The tables that a log gives: table -> key values -> other columns."""
    tables: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
    for event in events:
        table, key, _ = answer_of(event, None)
        rows = tables.setdefault(table, {})
        place = tuple(key.values())
        rows[place] = answer_of(event, rows.get(place))[2]
    return tables


def differences(connection: sqlite3.Connection, study_id: str) -> list[str]:
    """Where the tables do not follow from the log; empty, always."""
    log = connection.execute("SELECT * FROM score_event WHERE study_id = ? ORDER BY seq", (study_id,)).fetchall()
    expected, found = replay(log), []
    keys = {"score": 3, "remark": 2, "preference": 1, "guess": 1, "exposure": 2}
    for table, width in keys.items():
        rows = connection.execute(
            f"SELECT {table}.* FROM {table} JOIN assignment ON assignment.id = assignment_id WHERE study_id = ?",
            (study_id,),
        )
        stored = {tuple(row)[:width]: dict(list(dict(row).items())[width:]) for row in rows}
        wanted = expected.get(table, {})
        found += [
            f"{table} {place}" for place in stored.keys() | wanted.keys() if stored.get(place) != wanted.get(place)
        ]
    return sorted(found)


def save(workspace: Workspace, rater_id: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Append events in one transaction: all of them, or none.

    Returns saved_at, revisions (uuid -> revision; an event that was known keeps its first), conflicts (rows of
    uuid, assignment, kind, side, criterion, revision, and `current`, the answer that stands; such an event is
    not written) and reopened (assignments that were done and have an open scale again). Raises InputError
    bad_event (details: uuid), NotFoundError, ConflictError study_closed or guess_too_early.
    """
    if len(events) > MOST_EVENTS:
        raise InputError("too_many_events", f"At most {MOST_EVENTS} events at once.", "Send them in parts.")
    parsed = [_parse(event) for event in events]
    revisions: dict[str, int] = {}
    conflicts: list[dict[str, Any]] = []
    with writing(workspace.database) as connection:
        rater = require_open(connection, rater_id)
        stamp = now()
        for event in parsed:
            row = _assignment(connection, rater, event.assignment)
            _apply(connection, rater, row, event, stamp, revisions, conflicts)
        reopened = _reopen(connection, {event.assignment for event in parsed})
        connection.execute("UPDATE rater SET last_seen_at = ? WHERE id = ?", (stamp, rater_id))
    return {"saved_at": stamp, "revisions": revisions, "conflicts": conflicts, "reopened": reopened}


def require_open(connection: sqlite3.Connection, rater_id: str) -> sqlite3.Row:
    """The rater's row. Raises NotFoundError, or ConflictError study_closed where no answer is taken."""
    rater = rater_row(connection, rater_id)
    if study_row(connection, rater["study_id"])["state"] not in OPEN:
        raise ConflictError(
            "study_closed", "The study is closed; nothing can be changed.", "Thank you for your scores."
        )
    return rater


def rater_row(connection: sqlite3.Connection, rater_id: str) -> sqlite3.Row:
    """Raises NotFoundError."""
    row = connection.execute("SELECT * FROM rater WHERE id = ? AND invited_at IS NOT NULL", (rater_id,)).fetchone()
    if row is None:
        raise NotFoundError("unknown_rater", "This invitation is not known.", "Open the link that you were sent.")
    return row  # type: ignore[no-any-return]


def open_items(connection: sqlite3.Connection, assignment_id: str) -> list[str]:
    """What a screen still lacks, in words; empty when it may be submitted."""
    found = connection.execute("SELECT * FROM score WHERE assignment_id = ?", (assignment_id,))
    scores = {(row["side"], row["criterion"]): row for row in found}
    remarks = {
        row["side"]: row["text"]
        for row in connection.execute("SELECT side, text FROM remark WHERE assignment_id = ?", (assignment_id,))
    }
    lacking = []
    for side in SIDES:
        for key, label in labels().items():
            score = scores.get((side, key))
            if score is None or (score["value"] is None and not score["reason"]):
                lacking.append(f"{side}: {label}")
            elif (score["reason"] or score["value"] == COMMENT_AT) and not (score["comment"] or remarks.get(side)):
                what = "cannot judge" if score["reason"] else f"a {COMMENT_AT}"
                lacking.append(f"{side}: {label}: a comment that says why ({what})")
    if connection.execute("SELECT 1 FROM preference WHERE assignment_id = ?", (assignment_id,)).fetchone() is None:
        lacking.append("overall preference")
    return lacking


def submit(workspace: Workspace, rater_id: str, assignment_id: str) -> dict[str, Any]:
    """Mark a screen as done. Returns assignment, done, screens, next (position, or None) and warnings.

    A clip that was not watched to its end gives a warning that is kept with the screen, as a browser may fail
    to play it. Raises InputError open_scales (details: open), NotFoundError, ConflictError study_closed.
    """
    with writing(workspace.database) as connection:
        rater = require_open(connection, rater_id)
        row = _assignment(connection, rater, assignment_id)
        lacking = open_items(connection, assignment_id)
        if lacking:
            raise InputError(
                "open_scales",
                f"Still open: {'; '.join(lacking)}.",
                "Score every scale, or choose “cannot judge” and say why.",
                open=lacking,
            )
        stamp = now()
        connection.execute(
            "UPDATE assignment SET status = 'done', submitted_at = ? WHERE id = ?", (stamp, assignment_id)
        )
        if row["kind"] == "practice":
            connection.execute(
                "UPDATE rater SET training_done_at = ? WHERE id = ? AND training_done_at IS NULL AND NOT EXISTS "
                "(SELECT 1 FROM assignment WHERE rater_id = rater.id AND kind = 'practice' AND status = 'open')",
                (stamp, rater_id),
            )
        done, screens, following = progress(connection, rater_id)
        warnings = [f"The {side} video was not watched to its end." for side in unwatched(connection, row)]
    return {"assignment": assignment_id, "done": done, "screens": screens, "next": following, "warnings": warnings}


def progress(connection: sqlite3.Connection, rater_id: str) -> tuple[int, int, int | None]:
    """Screens done, screens, and the position of the first open one."""
    done, screens, first = connection.execute(
        "SELECT sum(status = 'done'), count(*), min(CASE WHEN status = 'open' THEN position END) "
        "FROM assignment WHERE rater_id = ?",
        (rater_id,),
    ).fetchone()
    return int(done or 0), int(screens), first


def unwatched(connection: sqlite3.Connection, assignment: sqlite3.Row) -> list[str]:
    """Sides that were not watched to the end: no player said so, or the screen was open for less than the clip lasts.

    A clip that the browser could not play counts as watched; its event says so.
    """
    found = connection.execute(
        "SELECT exposure.side, reached_end, failed, duration_s, (julianday('now') - julianday(opened_at)) * 86400 AS open_s "
        "FROM exposure JOIN assignment ON assignment.id = exposure.assignment_id "
        "JOIN clip ON clip.id = CASE exposure.side WHEN 'left' THEN left_clip ELSE right_clip END "
        "LEFT JOIN opening ON opening.assignment_id = assignment.id WHERE assignment.id = ?",
        (assignment["id"],),
    )
    seen = {
        row["side"]
        for row in found
        if row["failed"] or (row["reached_end"] and (row["open_s"] or 0) >= WATCHED_SHARE * row["duration_s"])
    }
    return [side for side in SIDES if side not in seen]


def finish(workspace: Workspace, rater_id: str) -> dict[str, Any]:
    """The rater is through. Raises InputError open_screens while screens are open."""
    with writing(workspace.database) as connection:
        require_open(connection, rater_id)
        done, screens, _ = progress(connection, rater_id)
        if done < screens:
            raise InputError("open_screens", f"{screens - done} screens are still open.", "Finish them first.")
        stamp = now()
        connection.execute("UPDATE rater SET finished_at = ? WHERE id = ?", (stamp, rater_id))
    return {"finished_at": stamp}


def event_rows(workspace: Workspace, study_id: str) -> list[dict[str, Any]]:
    """The log of a study, oldest first."""
    with reading(workspace.database) as connection:
        found = connection.execute("SELECT * FROM score_event WHERE study_id = ? ORDER BY seq", (study_id,))
        return [dict(row) for row in found]


def _parse(event: dict[str, Any]) -> Event:
    try:
        return Event.model_validate(event)
    except ValidationError as error:
        wrong = wrong_fields("bad_event", error, known=Event.model_fields)
        uuid = str(event.get("uuid", "")) if isinstance(event, dict) else ""
        raise InputError("bad_event", wrong.message, "Reload the page.", uuid=uuid) from error


def _assignment(connection: sqlite3.Connection, rater: sqlite3.Row, assignment_id: str) -> sqlite3.Row:
    row = connection.execute(
        "SELECT * FROM assignment WHERE id = ? AND rater_id = ?", (assignment_id, rater["id"])
    ).fetchone()
    if row is None:
        raise NotFoundError("unknown_screen", "This screen is not one of yours.", "Reload the page.")
    return row  # type: ignore[no-any-return]


def _apply(
    connection: sqlite3.Connection,
    rater: sqlite3.Row,
    assignment: sqlite3.Row,
    event: Event,
    stamp: str,
    revisions: dict[str, int],
    conflicts: list[dict[str, Any]],
) -> None:
    known = connection.execute("SELECT * FROM score_event WHERE uuid = ?", (event.uuid,)).fetchone()
    if known is not None:
        same = all(known[name] == value for name, value in event.logged().items() if name != "client_ts")
        if not same:
            raise InputError("bad_event", "uuid: it belongs to another event.", "Reload the page.", uuid=event.uuid)
        revisions[event.uuid] = known["revision"]
        return
    if event.kind == "guess" and progress(connection, rater["id"])[2] is not None:
        raise ConflictError("guess_too_early", "This question comes when all screens are done.", "Finish them first.")
    logged = event.logged() | {"revision": 0}
    table, key, _ = answer_of(logged, None)
    before = _current(connection, table, key)
    revision = before["revision"] if before is not None and event.kind != "exposure" else 0
    if event.kind != "exposure" and event.based_on is not None and event.based_on != revision:
        current = {name: before[name] for name in before.keys() if name not in key} if before is not None else None  # noqa: SIM118
        conflicts.append(
            {name: logged[name] for name in ("uuid", "kind", "side", "criterion")}
            | {"assignment": event.assignment, "revision": revision, "current": current}
        )
        return
    logged["revision"] = revision + 1 if event.kind != "exposure" else 1
    row = logged | {
        "study_id": rater["study_id"], "rater_id": rater["id"], "server_ts": stamp, "schema_version": SCHEMA_VERSION
    }  # fmt: skip
    _insert(connection, "score_event", row)
    _, key, values = answer_of(logged, dict(before) if before is not None else None)
    _insert(connection, table, key | values, replace=True)
    revisions[event.uuid] = logged["revision"]


def _current(connection: sqlite3.Connection, table: str, key: dict[str, Any]) -> sqlite3.Row | None:
    where = " AND ".join(f"{name} = :{name}" for name in key)
    return connection.execute(f"SELECT * FROM {table} WHERE {where}", key).fetchone()  # type: ignore[no-any-return]


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any], *, replace: bool = False) -> None:
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(f"{verb} INTO {table} ({names}) VALUES ({marks})", row)


def _reopen(connection: sqlite3.Connection, assignments: set[str]) -> list[str]:
    """Screens that were done, and lack something again, are open again."""
    reopened = []
    for assignment_id in sorted(assignments):
        row = connection.execute("SELECT status FROM assignment WHERE id = ?", (assignment_id,)).fetchone()
        if row["status"] == "done" and open_items(connection, assignment_id):
            connection.execute("UPDATE assignment SET status = 'open' WHERE id = ?", (assignment_id,))
            reopened.append(assignment_id)
    return reopened
