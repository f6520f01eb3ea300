"""Studies as rows: drafts and their edits, lists, progress."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import unicodedata
from typing import Any

from t2v_studio.database import reading, writing
from t2v_studio.errors import InputError, NotFoundError
from t2v_studio.studies.rubric import CRITERIA, RUBRIC_VERSION
from t2v_studio.studies.store_states import DRAFT, audit, now, require, study_row
from t2v_studio.workspace import Workspace, new_id

TITLE_LIMIT, OBJECTIVE_LIMIT = 200, 600


def create(workspace: Workspace, title: str, pair_ids: list[str], *, pack: str = "", seed: int | None = None) -> str:
    """A draft with one topic a pair; returns its id. Raises InputError, or NotFoundError for an unknown pair."""
    title = _text("title", title, TITLE_LIMIT)
    if not pair_ids:
        raise InputError("no_pairs", "pairs: a study needs finished pairs.", "Make pairs, or run a pack.")
    repeated = sorted({pair for pair in pair_ids if pair_ids.count(pair) > 1})
    if repeated:
        raise InputError("pair_repeats", f"pairs: {', '.join(repeated)} is given twice.", "Give each pair once.")
    chosen = secrets.randbelow(2**31) if seed is None else seed
    if not 0 <= chosen < 2**31:
        raise InputError("bad_seed", f"seed: {chosen} is outside 0 to 2147483647.", "Choose another, or leave it out.")
    shown = [_shown(workspace, pair_id) for pair_id in pair_ids]
    study_id = new_id("study")
    with writing(workspace.database) as connection:
        connection.execute(
            "INSERT INTO study (id, title, pack, state, seed, rubric_version, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (study_id, title, pack, DRAFT, chosen, RUBRIC_VERSION, now()),
        )
        _write_rubric(connection, study_id)
        for title_of_topic, objective, pair_id in shown:
            _insert_topic(connection, study_id, title_of_topic, objective, pair_id)
        audit(connection, study_id, "create", pairs=pair_ids, pack=pack, seed=chosen)
    return study_id


def edit(
    workspace: Workspace,
    study_id: str,
    *,
    title: str | None = None,
    topics: dict[str, dict[str, str]] | None = None,
    add: list[str] | None = None,
    remove: list[str] | None = None,
) -> None:
    """Change a draft. topics: key -> title and/or objective, what raters see; add: pair ids; remove: topic keys.

    Raises ConflictError study_state once it is locked.
    """
    shown = [_shown(workspace, pair_id) for pair_id in add or []]
    with writing(workspace.database) as connection:
        require(study_row(connection, study_id), (DRAFT,), "be edited")
        if title is not None:
            title = _text("title", title, TITLE_LIMIT)
            connection.execute("UPDATE study SET title = ? WHERE id = ?", (title, study_id))
        for key, fields in (topics or {}).items():
            _edit_topic(connection, study_id, key, fields)
        for key in remove or []:
            _known_topic(connection, study_id, key)
            connection.execute("DELETE FROM topic WHERE study_id = ? AND key = ?", (study_id, key))
        for title_of_topic, objective, pair_id in shown:
            _insert_topic(connection, study_id, title_of_topic, objective, pair_id)
        audit(connection, study_id, "edit", title=title, topics=topics, add=add, remove=remove)


def new_version(workspace: Workspace, study_id: str, reason: str) -> str:
    """A draft with the same topics, because `reason`; returns its id. The old study stays as it is, and both say so.

    The seed is a new one, so that examiners of the first version meet other orders.
    """
    reason = _text("reason", reason, OBJECTIVE_LIMIT)
    new = new_id("study")
    with writing(workspace.database) as connection:
        old = study_row(connection, study_id)
        connection.execute(
            "INSERT INTO study (id, title, pack, state, seed, rubric_version, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (new, old["title"], old["pack"], DRAFT, secrets.randbelow(2**31), RUBRIC_VERSION, now()),
        )
        _write_rubric(connection, new)
        connection.execute(
            "INSERT INTO topic (study_id, key, ordinal, title, objective, pair_id) "
            "SELECT ?, key, ordinal, title, objective, pair_id FROM topic WHERE study_id = ?",
            (new, study_id),
        )
        audit(connection, study_id, "new version", before=old["design_sha256"], study=new, reason=reason)
        audit(connection, new, "create", before=old["design_sha256"], version_of=study_id, reason=reason)
    return new


def delete_draft(workspace: Workspace, study_id: str) -> None:
    """Remove a draft. A locked study is never removed. Raises ConflictError study_state."""
    with writing(workspace.database) as connection:
        require(study_row(connection, study_id), (DRAFT,), "be removed")
        audit(connection, study_id, "delete")
        connection.execute("DELETE FROM study WHERE id = ?", (study_id,))


def study_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Newest first: id, title, pack, state, topics, raters, done, screens, created_at, design_sha256."""
    with reading(workspace.database) as connection:
        found = connection.execute(
            """SELECT study.id, title, pack, state, study.raters, created_at, locked_at, closed_at, unblinded_at,
                design_sha256, rubric_version, seed,
                (SELECT count(*) FROM topic WHERE topic.study_id = study.id) AS topics,
                (SELECT count(*) FROM assignment WHERE assignment.study_id = study.id) AS screens,
                (SELECT count(*) FROM assignment WHERE assignment.study_id = study.id AND status = 'done') AS done,
                (SELECT count(*) FROM rater WHERE rater.study_id = study.id AND invited_at IS NOT NULL) AS invited
            FROM study ORDER BY created_at DESC, id DESC"""
        )
        return [dict(row) for row in found]


def topic_rows(connection: sqlite3.Connection, study_id: str) -> list[dict[str, Any]]:
    """In canonical order: key, title, objective, pair_id."""
    found = connection.execute(
        "SELECT key, title, objective, pair_id FROM topic WHERE study_id = ? ORDER BY ordinal, key", (study_id,)
    )
    return [dict(row) for row in found]


def rater_rows(connection: sqlite3.Connection, study_id: str) -> list[dict[str, Any]]:
    """By number: rater, number, pseudonym, invited, done, screens, started, finished, last_seen. No tokens."""
    found = connection.execute(
        """SELECT rater.id AS rater, number, pseudonym, invited_at IS NOT NULL AS invited,
            (SELECT count(*) FROM assignment WHERE rater_id = rater.id AND status = 'done') AS done,
            (SELECT count(*) FROM assignment WHERE rater_id = rater.id) AS screens,
            finished_at IS NOT NULL AS finished, last_seen_at AS last_seen
        FROM rater WHERE study_id = ? ORDER BY number""",
        (study_id,),
    )
    return [dict(row) | {"invited": bool(row["invited"]), "finished": bool(row["finished"])} for row in found]


def _shown(workspace: Workspace, pair_id: str) -> tuple[str, str, str]:
    from t2v_studio.production.pairs import CONTROL, read_pair

    plan = read_pair(workspace, pair_id)[CONTROL].plan
    return plan.topic, plan.objective, pair_id


def _write_rubric(connection: sqlite3.Connection, study_id: str) -> None:
    for ordinal, criterion in enumerate(CRITERIA):
        data = criterion.as_dict()
        connection.execute(
            "INSERT INTO criterion (study_id, key, label, ordinal, anchors, hint) VALUES (?, ?, ?, ?, ?, ?)",
            (study_id, criterion.key, criterion.label, ordinal, json.dumps(data["anchors"]), criterion.hint),
        )


def _insert_topic(connection: sqlite3.Connection, study_id: str, title: str, objective: str, pair_id: str) -> None:
    there = connection.execute("SELECT key, ordinal, pair_id FROM topic WHERE study_id = ?", (study_id,)).fetchall()
    if any(row["pair_id"] == pair_id for row in there):
        raise InputError("pair_repeats", f"pairs: {pair_id} is in the study already.", "Give each pair once.")
    ordinal = max((row["ordinal"] for row in there), default=-1) + 1
    key = _key(title, {row["key"] for row in there})
    connection.execute(
        "INSERT INTO topic (study_id, key, ordinal, title, objective, pair_id) VALUES (?, ?, ?, ?, ?, ?)",
        (study_id, key, ordinal, title[:TITLE_LIMIT], objective[:OBJECTIVE_LIMIT], pair_id),
    )


def _key(title: str, taken: set[str]) -> str:
    """A short name for tables: "gradient-descent", and "gradient-descent-2" for the second of that name."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].rstrip("-") or "topic"
    key, number = stem, 1
    while key in taken:
        number += 1
        key = f"{stem}-{number}"
    return key


def _known_topic(connection: sqlite3.Connection, study_id: str, key: str) -> None:
    found = connection.execute("SELECT 1 FROM topic WHERE study_id = ? AND key = ?", (study_id, key)).fetchone()
    if found is None:
        raise NotFoundError("unknown_topic", f"The study has no topic {key!r}.", "Copy the key from the study.")


def _edit_topic(connection: sqlite3.Connection, study_id: str, key: str, fields: dict[str, str]) -> None:
    _known_topic(connection, study_id, key)
    unknown = sorted(set(fields) - {"title", "objective"})
    if unknown:
        raise InputError("unknown_field", f"topics.{key}: {unknown[0]} cannot be set.", "Set title or objective.")
    if "title" in fields:
        title = _text(f"topics.{key}.title", fields["title"], TITLE_LIMIT)
        connection.execute("UPDATE topic SET title = ? WHERE study_id = ? AND key = ?", (title, study_id, key))
    if "objective" in fields:
        objective = fields["objective"].strip()[:OBJECTIVE_LIMIT]
        connection.execute("UPDATE topic SET objective = ? WHERE study_id = ? AND key = ?", (objective, study_id, key))


def _text(field: str, text: str, limit: int) -> str:
    text = " ".join(text.split())
    if not text or len(text) > limit:
        raise InputError("bad_text", f"{field}: give 1 to {limit} characters.", "Shorten it, or fill it in.")
    return text
