"""The states of a study, the one table of steps between them, and the audit log."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Any

from t2v_studio.errors import ConflictError, NotFoundError

DRAFT, LOCKED, COLLECTING, CLOSED, UNBLINDED = "draft", "locked", "collecting", "closed", "unblinded"
OPEN = (LOCKED, COLLECTING)
"""States in which examiners may answer."""
REVEALED = (CLOSED, UNBLINDED)
"""States in which means may be seen."""

STEPS: dict[str, tuple[tuple[str, ...], str]] = {
    "lock": ((DRAFT,), LOCKED),
    "begin": ((LOCKED,), COLLECTING),
    "close": ((LOCKED, COLLECTING), CLOSED),
    "unblind": ((CLOSED,), UNBLINDED),
}
"""Step -> states from which it may be taken, and the state after it."""

_WHY = {
    DRAFT: "it is a draft",
    LOCKED: "it is locked",
    COLLECTING: "examiners are scoring",
    CLOSED: "it is closed",
    UNBLINDED: "it is unblinded",
}
_NEXT = {
    DRAFT: "Lock it first.",
    LOCKED: "Invite examiners, or close it.",
    COLLECTING: "Wait for the examiners, or close it.",
    CLOSED: "Unblind it, or write the report.",
    UNBLINDED: "Write the report; to change anything, make a new study.",
}


def now() -> str:
    """UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def study_row(connection: sqlite3.Connection, study_id: str) -> sqlite3.Row:
    """Raises NotFoundError."""
    row = connection.execute("SELECT * FROM study WHERE id = ?", (study_id,)).fetchone()
    if row is None:
        raise NotFoundError("unknown_study", f"There is no study {study_id!r}.", "List them with: t2v study list")
    return row  # type: ignore[no-any-return]


def require(row: sqlite3.Row, states: tuple[str, ...], what: str) -> None:
    """Raises ConflictError study_state unless the study is in one of `states`. what: such as "be edited"."""
    if row["state"] not in states:
        raise ConflictError(
            "study_state", f"The study cannot {what}: {_WHY[row['state']]}.", _NEXT[row["state"]], state=row["state"]
        )


def require_revealed(row: sqlite3.Row) -> None:
    """Raises ConflictError still_blind before a study is closed."""
    if row["state"] not in REVEALED:
        raise ConflictError(
            "still_blind",
            f"Scores stay hidden until the study is closed; {_WHY[row['state']]}.",
            "Close the study when the examiners are done.",
            state=row["state"],
        )


def step(connection: sqlite3.Connection, row: sqlite3.Row, name: str, *, who: str = "author", **details: Any) -> None:
    """Take one step of STEPS inside a write transaction, and log it. Raises ConflictError study_state."""
    sources, target = STEPS[name]
    require(row, sources, f"be {target}" if name != "begin" else "begin")
    stamp = now()
    connection.execute(
        f"UPDATE study SET state = ?, {target}_at = ? WHERE id = ?",  # target is one of STEPS
        (target, stamp, row["id"]),
    )
    audit(connection, row["id"], name, who=who, before=row["design_sha256"], at=stamp, **details)


def audit(
    connection: sqlite3.Connection,
    study_id: str,
    what: str,
    *,
    who: str = "author",
    before: str = "",
    after: str = "",
    at: str = "",
    **details: Any,
) -> None:
    """Append one line to the audit log."""
    connection.execute(
        "INSERT INTO audit (study_id, who, what, before_hash, after_hash, details, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (study_id, who, what, before, after, json.dumps(details, sort_keys=True, ensure_ascii=False), at or now()),
    )


def audit_rows(connection: sqlite3.Connection, study_id: str) -> list[dict[str, Any]]:
    """Oldest first: id, study_id, who, what, before_hash, after_hash, details, at."""
    found = connection.execute("SELECT * FROM audit WHERE study_id = ? ORDER BY id", (study_id,))
    return [dict(row) | {"details": json.loads(row["details"])} for row in found]
