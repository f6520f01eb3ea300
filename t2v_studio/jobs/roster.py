"""The roster: one row a worker process, so that any supervisor can adopt, watch and end it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from t2v_studio.jobs.model import Lane
from t2v_studio.jobs.processes import ProcessIdentity
from t2v_studio.jobs.queue import Queue, age_s, now_text
from t2v_studio.workspace import new_id

BREAKER_DEATHS = 3
BREAKER_WINDOW_S = 600.0
_KEEP_DEAD_S = 86400.0


@dataclass(frozen=True)
class WorkerRow:
    """state: starting, idle, busy, left (by itself) or died. details: job, settings, retire, exit."""

    id: str
    lane: Lane
    identity: ProcessIdentity
    state: str
    heartbeat: str
    details: dict[str, Any]

    @property
    def present(self) -> bool:
        """Whether its row says that it runs; `identity.alive()` asks the system."""
        return self.state in ("starting", "idle", "busy")


class Roster:
    """Worker rows of one workspace."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def enter(self, lane: Lane, identity: ProcessIdentity, **details: Any) -> str:
        """A new row; returns the worker's id."""
        worker_id = new_id("worker")
        with self._queue.write() as connection:
            connection.execute(
                "INSERT INTO worker (id, lane, pid, process_start, boot_id, state, heartbeat, details) VALUES (?,?,?,?,?,'starting',?,?)",
                (worker_id, lane, identity.pid, identity.start, identity.boot, now_text(), json.dumps(details)),
            )
        return worker_id

    def update(self, worker_id: str, state: str = "", **details: Any) -> None:
        """Set the state, merge the details, and beat."""
        with self._queue.write() as connection:
            row = connection.execute("SELECT state, details FROM worker WHERE id = ?", (worker_id,)).fetchone()
            if row is not None:
                merged = json.loads(row["details"]) | details
                connection.execute(
                    "UPDATE worker SET state = ?, details = ?, heartbeat = ? WHERE id = ?",
                    (state or row["state"], json.dumps(merged), now_text(), worker_id),
                )

    def get(self, worker_id: str) -> WorkerRow | None:
        row = self._queue.connection.execute("SELECT * FROM worker WHERE id = ?", (worker_id,)).fetchone()
        return _worker(row) if row is not None else None

    def all(self) -> list[WorkerRow]:
        return [
            _worker(row) for row in self._queue.connection.execute("SELECT * FROM worker ORDER BY rowid").fetchall()
        ]

    def present(self, lane: str = "") -> list[WorkerRow]:
        return [row for row in self.all() if row.present and lane in ("", row.lane)]

    def alive(self, lane: Lane) -> bool:
        """Whether a worker of this lane runs, asked of the system."""
        return any(row.identity.alive() for row in self.present(lane) if not row.details.get("inline"))

    def paused(self, lane: Lane) -> bool:
        """The breaker: whether workers of this lane died so often of late that none is started."""
        deaths = [
            row for row in self.all() if row.state == "died" and row.lane == lane and not row.details.get("forgiven")
        ]
        return sum(age_s(row.heartbeat) < BREAKER_WINDOW_S for row in deaths) >= BREAKER_DEATHS

    def forgive(self) -> None:
        """Close the breaker: start workers again."""
        for row in self.all():
            if row.state == "died":
                # the heartbeat of a dead worker is the time of its death; `update` would move it
                with self._queue.write() as connection:
                    merged = json.dumps(row.details | {"forgiven": True})
                    connection.execute("UPDATE worker SET details = ? WHERE id = ?", (merged, row.id))

    def prune(self) -> None:
        """Forget workers that left or died a day ago."""
        for row in self.all():
            if not row.present and age_s(row.heartbeat) > _KEEP_DEAD_S:
                with self._queue.write() as connection:
                    connection.execute("DELETE FROM worker WHERE id = ?", (row.id,))


def _worker(row: Any) -> WorkerRow:
    identity = ProcessIdentity(row["pid"], row["process_start"], row["boot_id"])
    return WorkerRow(row["id"], row["lane"], identity, row["state"], row["heartbeat"], json.loads(row["details"]))
