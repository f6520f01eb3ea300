"""What an examiner gets to see. Nothing here names an arm, a prompt, a pair, a video or a place on the disk."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
from pathlib import Path
from typing import Any

from t2v_studio.database import reading, writing
from t2v_studio.errors import ConflictError, InputError, NotFoundError
from t2v_studio.studies.answers import SIDES, progress, rater_row, require_open
from t2v_studio.studies.blinding import MEDIA
from t2v_studio.studies.rubric import CONFIDENCE
from t2v_studio.studies.store_states import LOCKED, OPEN, audit, now, require, step, study_row
from t2v_studio.workspace import Workspace

TOKEN_BYTES = 32
_MEDIA_TOKEN = re.compile(r"^[0-9a-f]{32}$")
_PSEUDONYM = re.compile(r"^\w[\w .'-]{0,39}$")


def invite(workspace: Workspace, study_id: str, pseudonym: str = "", *, again: bool = False) -> dict[str, Any]:
    """Give the next free place to somebody: rater, pseudonym, token, path. The token is shown this once.

    again: a new token for an examiner who lost theirs; the old one ends. Raises ConflictError no_place_left,
    InputError bad_pseudonym, NotFoundError.
    """
    pseudonym = " ".join(pseudonym.split())
    if pseudonym and not _PSEUDONYM.match(pseudonym):
        raise InputError(
            "bad_pseudonym",
            f"pseudonym: {pseudonym!r} cannot be used.",
            "Use up to 40 letters, digits, spaces and hyphens, and not the person's name.",
        )
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with writing(workspace.database) as connection:
        require(study_row(connection, study_id), OPEN, "take examiners")
        row = _invited(connection, study_id, pseudonym) if again else _free(connection, study_id, pseudonym)
        name = pseudonym or row["pseudonym"]
        connection.execute(
            "UPDATE rater SET pseudonym = ?, token_sha256 = ?, invited_at = coalesce(invited_at, ?) WHERE id = ?",
            (name, _digest(token), now(), row["id"]),
        )
        audit(connection, study_id, "invite again" if again else "invite", rater=row["id"], pseudonym=name)
    return {"rater": row["id"], "pseudonym": name, "token": token, "path": f"/rate/?token={token}"}


def enter(workspace: Workspace, token: str) -> dict[str, Any]:
    """rater, pseudonym, study (title), open, consent, screens, done, position to resume at, finished.

    position: of the first screen that is not done, counted from 0; None when all are. The first entrance
    begins the collection. Raises NotFoundError for a token that is not known.
    """
    rater_id = holder(workspace, token)
    with writing(workspace.database) as connection:
        rater = rater_row(connection, rater_id)
        study = study_row(connection, rater["study_id"])
        if study["state"] == LOCKED:
            step(connection, study, "begin", who=rater["pseudonym"])
        if study["state"] in OPEN:
            connection.execute("UPDATE rater SET last_seen_at = ? WHERE id = ?", (now(), rater_id))
        done, screens, position = progress(connection, rater_id)
    return {
        "rater": rater_id,
        "pseudonym": rater["pseudonym"],
        "study": study["title"],
        "open": study["state"] in OPEN,
        "consent": rater["consent_at"] is not None,
        "screens": screens,
        "done": done,
        "position": position,
        "finished": rater["finished_at"] is not None,
    }


def consent(workspace: Workspace, rater_id: str) -> dict[str, Any]:
    """Note that the examiner agreed to take part. Raises as `answers.require_open`."""
    with writing(workspace.database) as connection:
        require_open(connection, rater_id)
        stamp = now()
        connection.execute("UPDATE rater SET consent_at = coalesce(consent_at, ?) WHERE id = ?", (stamp, rater_id))
    return {"consent_at": stamp}


def screen(workspace: Workspace, rater_id: str, position: int) -> dict[str, Any]:
    """One screen, with what has been answered so far.

    assignment, position (from 0), screens, done, open, practice, topic, objective; left and right: token,
    frames, fps, duration_s, width, height; rubric: instruction, preference, confidence, comment_required,
    criteria[{key, label, hint, anchors}]; answers: left/right -> criterion -> value, cannot_judge, comment,
    revision; comments: left/right -> text, revision; preference: winner, confidence, revision; exposure:
    left/right -> seconds, plays, reached_end, failed. An answer that is not there is missing, or None.
    Raises NotFoundError, ConflictError not_yet beyond the screen after the first open one.
    """
    with reading(workspace.database) as connection:
        rater = rater_row(connection, rater_id)
        study = study_row(connection, rater["study_id"])
        _, screens, first = progress(connection, rater_id)
        row = connection.execute(
            "SELECT assignment.*, title, objective FROM assignment JOIN topic ON topic.study_id = assignment.study_id "
            "AND topic.key = topic_key WHERE rater_id = ? AND position = ?",
            (rater_id, position),
        ).fetchone()
        if row is None:
            raise NotFoundError("unknown_screen", f"There is no screen {position}.", "Go back to the overview.")
        if first is not None and position > first + 1:
            raise ConflictError("not_yet", f"Screen {first + 1} is still open.", "Screens come one after the other.")
        shown: dict[str, Any] = {
            "assignment": row["id"],
            "position": position,
            "screens": screens,
            "done": row["status"] == "done",
            "open": study["state"] in OPEN,
            "practice": row["kind"] == "practice",
            "topic": row["title"],
            "objective": row["objective"],
            **{side: _clip(connection, row, side) for side in SIDES},
            "rubric": _rubric(study),
            **_answered(connection, row["id"]),
        }
    if shown["open"]:
        _note_opening(workspace, shown["assignment"])
    return shown


def media(workspace: Workspace, rater_id: str, token: str) -> Path:
    """The blinded copy behind a media token of this rater's own screens. Raises NotFoundError."""
    unknown = NotFoundError("unknown_media", "There is no such video.", "Reload the page.")
    if not _MEDIA_TOKEN.match(token):
        raise unknown
    with reading(workspace.database) as connection:
        row = connection.execute(
            "SELECT clip.study_id, blind_token FROM assignment JOIN clip ON clip.id = "
            "CASE WHEN left_token = :token THEN left_clip ELSE right_clip END "
            "WHERE rater_id = :rater AND (left_token = :token OR right_token = :token)",
            {"token": token, "rater": rater_id},
        ).fetchone()
    if row is None:
        raise unknown
    path = workspace.study(row["study_id"]) / MEDIA / f"{row['blind_token']}.mp4"
    if not path.is_file():
        raise unknown
    return path


def last_questions(workspace: Workspace, rater_id: str) -> dict[str, Any]:
    """What is asked when all screens are done: on which side was the video that had the book?

    ready, finished, question, confidence, screens[{assignment, position, topic, left, right (as in `screen`),
    guess: side, confidence, revision, or None}]: every pair once. Screens stay empty until `ready`.
    """
    with reading(workspace.database) as connection:
        rater = rater_row(connection, rater_id)
        study = study_row(connection, rater["study_id"])
        ready = progress(connection, rater_id)[2] is None
        found = connection.execute(
            "SELECT assignment.*, title FROM assignment JOIN topic ON topic.study_id = assignment.study_id "
            "AND topic.key = topic_key WHERE rater_id = ? AND kind = 'main' ORDER BY position",
            (rater_id,),
        ).fetchall()
        rows: list[dict[str, Any]] = [
            {"assignment": row["id"], "position": row["position"], "topic": row["title"]}
            | {side: _clip(connection, row, side) for side in SIDES}
            | {"guess": _one(connection, "guess", row["id"], ("side", "confidence", "revision"))}
            for row in found
        ]
    return {
        "ready": ready,
        "finished": rater["finished_at"] is not None,
        "question": json.loads(study["design"])["rubric"]["guess"] if ready else "",
        "confidence": _confidence(),
        "screens": rows if ready else [],
    }


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def holder(workspace: Workspace, token: str) -> str:
    """The rater behind a token; nothing is written. Raises NotFoundError.

    Compared with every invitation in constant time, so that the answer's delay tells nothing.
    """
    digest, holder = _digest(token), ""
    with reading(workspace.database) as connection:
        for row in connection.execute("SELECT id, token_sha256 FROM rater WHERE token_sha256 != ''"):
            if hmac.compare_digest(row["token_sha256"], digest):
                holder = row["id"]
    if not holder:
        raise NotFoundError("unknown_token", "This invitation is not known.", "Open the whole link that you were sent.")
    return holder


def _free(connection: sqlite3.Connection, study_id: str, pseudonym: str) -> sqlite3.Row:
    same = "SELECT 1 FROM rater WHERE study_id = ? AND pseudonym = ? AND invited_at IS NOT NULL"
    if pseudonym and connection.execute(same, (study_id, pseudonym)).fetchone():
        raise InputError("pseudonym_taken", f"pseudonym: {pseudonym!r} is invited already.", "Choose another.")
    free = connection.execute(
        "SELECT * FROM rater WHERE study_id = ? AND invited_at IS NULL ORDER BY pseudonym != ?, number",
        (study_id, pseudonym),
    ).fetchone()
    if free is None:
        raise ConflictError(
            "no_place_left",
            "Every place that was locked is taken.",
            "The orders are balanced over the number of examiners that was locked; more need a new study.",
        )
    return free  # type: ignore[no-any-return]


def _invited(connection: sqlite3.Connection, study_id: str, pseudonym: str) -> sqlite3.Row:
    row = connection.execute(
        "SELECT * FROM rater WHERE study_id = ? AND pseudonym = ? AND invited_at IS NOT NULL", (study_id, pseudonym)
    ).fetchone()
    if row is None:
        raise NotFoundError("unknown_rater", f"Nobody was invited as {pseudonym!r}.", "Copy the name from the list.")
    return row  # type: ignore[no-any-return]


def _clip(connection: sqlite3.Connection, assignment: sqlite3.Row, side: str) -> dict[str, Any]:
    row = connection.execute(
        "SELECT frames, fps, duration_s, width, height FROM clip WHERE id = ?", (assignment[f"{side}_clip"],)
    ).fetchone()
    return {"token": assignment[f"{side}_token"], **dict(row)}


def _rubric(study: sqlite3.Row) -> dict[str, Any]:
    """The rubric as it was locked."""
    frozen = json.loads(study["design"])["rubric"]
    kept = ("version", "scale", "instruction", "preference", "comment_required", "criteria")
    return {name: frozen[name] for name in kept} | {"confidence": _confidence()}


def _confidence() -> dict[str, str]:
    return {str(level): text for level, text in CONFIDENCE.items()}


def _answered(connection: sqlite3.Connection, assignment_id: str) -> dict[str, Any]:
    answers: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
    for row in connection.execute("SELECT * FROM score WHERE assignment_id = ?", (assignment_id,)):
        answers[row["side"]][row["criterion"]] = {
            "value": row["value"],
            "cannot_judge": row["reason"] == "cannot_judge",
            "comment": row["comment"],
            "revision": row["revision"],
        }
    comments: dict[str, Any] = dict.fromkeys(SIDES)
    for row in connection.execute("SELECT * FROM remark WHERE assignment_id = ?", (assignment_id,)):
        comments[row["side"]] = {"text": row["text"], "revision": row["revision"]}
    exposure: dict[str, Any] = dict.fromkeys(SIDES)
    for row in connection.execute("SELECT * FROM exposure WHERE assignment_id = ?", (assignment_id,)):
        exposure[row["side"]] = {
            "seconds": row["seconds"],
            "plays": row["plays"],
            "reached_end": bool(row["reached_end"]),
            "failed": bool(row["failed"]),
        }
    preference = _one(connection, "preference", assignment_id, ("winner", "confidence", "revision"))
    return {"answers": answers, "comments": comments, "preference": preference, "exposure": exposure}


def _one(
    connection: sqlite3.Connection, table: str, assignment_id: str, names: tuple[str, ...]
) -> dict[str, Any] | None:
    row = connection.execute(
        f"SELECT {', '.join(names)} FROM {table} WHERE assignment_id = ?", (assignment_id,)
    ).fetchone()
    return dict(row) if row is not None else None


def _note_opening(workspace: Workspace, assignment_id: str) -> None:
    with reading(workspace.database) as connection:
        known = connection.execute("SELECT 1 FROM opening WHERE assignment_id = ?", (assignment_id,)).fetchone()
    if known is None:
        with writing(workspace.database) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO opening (assignment_id, opened_at) VALUES (?, ?)", (assignment_id, now())
            )
