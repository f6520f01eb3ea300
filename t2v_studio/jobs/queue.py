"""The queue: one row a job in the workspace's SQLite file, moved only along `states.transition`."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from t2v_studio import database
from t2v_studio.errors import NotFoundError
from t2v_studio.jobs.model import ENDED, Job, Lane, State
from t2v_studio.jobs.states import Event, sources, transition
from t2v_studio.workspace import Workspace, new_id

_ACTIVE: tuple[State, ...] = ("queued", "starting", "running")
_SECRETS = ("password",)
"""Fields of a spec that are forgotten when the job ends."""


def now_text() -> str:
    """The present, UTC, ISO 8601 with milliseconds: sorts as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def age_s(moment: str | None) -> float:
    """Seconds since a `now_text`; 0 for none."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds() if moment else 0.0


class Queue:
    """Job rows of one workspace. Safe to use from many threads and processes.

    A connection a thread stays open: opening one costs 1.6 ms, a query 15 microseconds. Commits are not
    forced to the disk (synchronous=NORMAL: 0.05 ms instead of 15 ms a row on the first machine
    measured): a power cut may forget the last rows, and the jobs that ran are lost then anyway.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._local = threading.local()

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = database.connect(self.workspace.database)
            connection.execute("PRAGMA synchronous=NORMAL")
            self._local.connection = connection
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One short write transaction on this thread's connection."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    # --- what a person does --------------------------------------------------------------------
    def submit(
        self, kind: str, lane: Lane, spec: dict[str, Any], *, title: str = "", carry: dict[str, Any] | None = None
    ) -> Job:
        """A new row in state queued."""
        job_id = new_id("job")
        with self.write() as connection:
            connection.execute(
                "INSERT INTO job (id, kind, lane, title, spec, carry, state, log_path, created_at) VALUES (?,?,?,?,?,?,'queued',?,?)",
                (
                    job_id,
                    kind,
                    lane,
                    title,
                    _dump(spec),
                    _dump(carry or {}),
                    str(self.workspace.job_log(job_id)),
                    now_text(),
                ),
            )
        return self.get(job_id)

    def get(self, job_id: str) -> Job:
        """Raises NotFoundError."""
        row = self.connection.execute("SELECT * FROM job WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFoundError("unknown_job", f"There is no job {job_id!r}.", "List them with: t2v jobs list")
        return _job(row)

    def jobs(self, *, active: bool = False, limit: int = 50, without: Iterable[str] = ()) -> list[Job]:
        """Jobs, newest first. `without`: kinds that are left out."""
        left_out = tuple(without)
        where = f"kind NOT IN ({_marks(left_out)})"
        values: tuple[Any, ...] = left_out
        if active:
            where += f" AND state IN ({_marks(_ACTIVE)})"
            values += _ACTIVE
        rows = self.connection.execute(f"SELECT * FROM job WHERE {where} ORDER BY rowid DESC LIMIT ?", (*values, limit))
        return [_job(row) for row in rows.fetchall()]

    def request_cancel(self, job_id: str) -> Job:
        """End a waiting job at once, flag a running one; an ended one stays as it is."""
        with self.write() as connection:
            row = connection.execute("SELECT state, cancel_requested FROM job WHERE id = ?", (job_id,)).fetchone()
            if row is not None and row["state"] not in ENDED:
                target = transition(row["state"], "cancel")
                connection.execute(
                    "UPDATE job SET state = ?, cancel_requested = coalesce(cancel_requested, ?) WHERE id = ?",
                    (target, now_text(), job_id),
                )
                if target in ENDED:
                    self._close_row(connection, job_id)
        return self.get(job_id)

    # --- what a worker does --------------------------------------------------------------------
    def claim(self, lane: Lane, worker: str, *, job_id: str = "", kinds: Iterable[str] = ()) -> Job | None:
        """Take the oldest waiting job of a lane (or that very job, or one of those kinds), or None."""
        condition, values = "", []
        if job_id:
            condition, values = " AND id = ?", [job_id]
        wanted = tuple(kinds)
        if wanted:
            condition, values = condition + f" AND kind IN ({_marks(wanted)})", [*values, *wanted]
        search = f"SELECT id FROM job WHERE state = 'queued' AND lane = ?{condition} ORDER BY created_at, rowid LIMIT 1"
        if self.connection.execute(search, (lane, *values)).fetchone() is None:
            return None  # most polls end here, without taking the write lock
        moment = now_text()
        with self.write() as connection:
            rows = connection.execute(
                f"""UPDATE job SET state = ?, worker = ?, heartbeat = ?, stage_started_at = ?,
                    started_at = coalesce(started_at, ?), stage_ends_at = NULL, stage = '', step = 0, total = 0, message = ''
                    WHERE id = ({search}) RETURNING *""",
                (transition("queued", "claim"), worker, moment, moment, moment, lane, *values),
            ).fetchall()
        return _job(rows[0]) if rows else None

    def begin(self, job_id: str, worker: str) -> bool:
        """The handler starts. False where the row was taken away meanwhile."""
        return self._move(job_id, worker, "begin")

    def progress(
        self, job_id: str, worker: str, stage: str, step: int, total: int, message: str, ends: datetime | None = None
    ) -> bool:
        """Write where the job stands, and when its stage should end. False where the row was taken away meanwhile."""
        moment = now_text()
        ends_at = ends.isoformat(timespec="milliseconds") if ends is not None else None
        with self.write() as connection:
            cursor = connection.execute(
                """UPDATE job SET stage_started_at = CASE WHEN stage = ? THEN stage_started_at ELSE ? END,
                   stage = ?, step = ?, total = ?, message = ?, stage_ends_at = ?, heartbeat = ?
                   WHERE id = ? AND worker = ? AND state = 'running'""",
                (stage, moment, stage, step, total, message[:500], ends_at, moment, job_id, worker),
            )
        return cursor.rowcount == 1

    def preview(self, job_id: str, worker: str, path: str) -> None:
        with self.write() as connection:
            connection.execute("UPDATE job SET preview = ? WHERE id = ? AND worker = ?", (path, job_id, worker))

    def must_stop(self, job_id: str, worker: str) -> bool:
        """Whether the job is to stop: flagged, ended by somebody else, or taken away."""
        row = self.connection.execute(
            "SELECT state, worker, cancel_requested FROM job WHERE id = ?", (job_id,)
        ).fetchone()
        return row is None or row["state"] in ENDED or row["worker"] != worker or row["cancel_requested"] is not None

    def succeed(self, job_id: str, worker: str, result: dict[str, Any]) -> bool:
        return self._move(job_id, worker, "succeed", result=_dump(result))

    def fail(self, job_id: str, worker: str, error: dict[str, Any]) -> bool:
        """`error`: code, message, hint, and where they are known type and details."""
        return self._move(job_id, worker, "fail", **_error_columns(error))

    def stop(self, job_id: str, worker: str, error: dict[str, Any] | None = None) -> bool:
        """The cancellation took effect."""
        return self._move(job_id, worker, "stop", **_error_columns(error or {}))

    def lose(self, job_id: str, worker: str, error: dict[str, Any]) -> bool:
        """The process that ran the job is gone."""
        return self._move(job_id, worker, "lose", **_error_columns(error))

    def hand_over(self, job_id: str, worker: str, lane: Lane, carry: dict[str, Any]) -> bool:
        """Wait in the next lane; a job that was cancelled meanwhile ends instead."""
        if self.must_stop(job_id, worker):
            return self.stop(job_id, worker)
        return self._move(job_id, worker, "hand_over", lane=lane, carry=_dump(carry))

    def beat(self, job_id: str, worker: str) -> None:
        with self.write() as connection:
            connection.execute("UPDATE job SET heartbeat = ? WHERE id = ? AND worker = ?", (now_text(), job_id, worker))

    # --- what a supervisor does ----------------------------------------------------------------
    def held(self) -> list[Job]:
        """Jobs that some worker has taken and not ended."""
        rows = self.connection.execute("SELECT * FROM job WHERE state IN ('starting', 'running')").fetchall()
        return [_job(row) for row in rows]

    def waiting(self, lane: Lane) -> int:
        row = self.connection.execute(
            "SELECT count(*) FROM job WHERE state = 'queued' AND lane = ?", (lane,)
        ).fetchone()
        return int(row[0])

    def cancel_age_s(self, job_id: str) -> float | None:
        """Seconds since the job was asked to stop; None where it was not."""
        row = self.connection.execute("SELECT cancel_requested FROM job WHERE id = ?", (job_id,)).fetchone()
        return age_s(row[0]) if row is not None and row[0] else None

    def prune(self, kinds: Iterable[str], older_than_s: float) -> None:
        """Forget ended jobs of these kinds: searches would fill the list."""
        names = tuple(kinds)
        limit = datetime.fromtimestamp(datetime.now(UTC).timestamp() - older_than_s, UTC).isoformat(
            timespec="milliseconds"
        )
        with self.write() as connection:
            connection.execute(
                f"DELETE FROM job WHERE kind IN ({_marks(names)}) AND ended_at IS NOT NULL AND ended_at < ?",
                (*names, limit),
            )

    def keep_newest(self, count: int) -> None:
        """Forget ended jobs but the newest `count`; what they made stays in outputs/."""
        with self.write() as connection:
            connection.execute(
                "DELETE FROM job WHERE rowid IN (SELECT rowid FROM job WHERE ended_at IS NOT NULL ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
                (count,),
            )

    def forget_quotes(self, book_id: str) -> None:
        """Delete ended searches and plans that quote a book: what is removed is not to live on in the queue."""
        with self.write() as connection:
            connection.execute(
                "DELETE FROM job WHERE kind IN ('search', 'plan') AND ended_at IS NOT NULL AND instr(result, ?) > 0",
                (book_id,),
            )

    def data_version(self) -> int:
        """Changes whenever another connection has written: a poll that costs no table access."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    # --- the one way a row moves ---------------------------------------------------------------
    def _move(self, job_id: str, worker: str, event: Event, **columns: str) -> bool:
        """Apply `event` if the row's state allows it and `worker` still holds it; False otherwise."""
        allowed = sources(event)
        targets = {transition(state, event) for state in allowed}
        assert len(targets) == 1, f"{event} must lead to one state"
        target = targets.pop()
        released = {"worker": ""} if event == "hand_over" else {}
        setting = {"state": target, **columns, **released}
        with self.write() as connection:
            cursor = connection.execute(
                f"""UPDATE job SET {", ".join(f"{name} = ?" for name in setting)}
                    WHERE id = ? AND worker = ? AND state IN ({_marks(allowed)})""",
                (*setting.values(), job_id, worker, *allowed),
            )
            moved = cursor.rowcount == 1
            if moved and target in ENDED:
                self._close_row(connection, job_id)
        return moved

    def _close_row(self, connection: sqlite3.Connection, job_id: str) -> None:
        """The end's time; secrets of the spec are forgotten."""
        spec = json.loads(connection.execute("SELECT spec FROM job WHERE id = ?", (job_id,)).fetchone()[0])
        for name in _SECRETS:
            if spec.get(name):
                spec[name] = ""
        connection.execute(
            "UPDATE job SET ended_at = ?, spec = ?, carry = '{}' WHERE id = ?", (now_text(), _dump(spec), job_id)
        )


def _dump(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False)


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("?" for _ in values)


def _error_columns(error: dict[str, Any]) -> dict[str, str]:
    if not error:
        return {}
    return {
        "error_code": str(error.get("code", "")),
        "error_message": str(error.get("message", "")),
        "error_hint": str(error.get("hint", "")),
        "error_details": json.dumps({"type": error.get("type", ""), "details": error.get("details", {})}, default=str),
    }


def _job(row: sqlite3.Row) -> Job:
    error = None
    if row["error_code"]:
        more = json.loads(row["error_details"])
        error = {"code": row["error_code"], "message": row["error_message"], "hint": row["error_hint"]}
        error |= {name: value for name, value in more.items() if value}
    return Job(
        id=row["id"],
        kind=row["kind"],
        lane=row["lane"],
        title=row["title"],
        spec=json.loads(row["spec"]),
        carry=json.loads(row["carry"]),
        state=row["state"],
        stage=row["stage"],
        step=row["step"],
        total=row["total"],
        message=row["message"],
        preview=row["preview"],
        cancel_requested=row["cancel_requested"] is not None,
        worker=row["worker"],
        heartbeat=row["heartbeat"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        stage_started_at=row["stage_started_at"],
        stage_ends_at=row["stage_ends_at"],
        ended_at=row["ended_at"],
        error=error,
        log_path=row["log_path"],
        result=json.loads(row["result"]),
    )
