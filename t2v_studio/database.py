"""The workspace's one SQLite file: connections, pragmas and ordered migrations."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_TIMEOUT_S = 15.0


def connect(path: Path) -> sqlite3.Connection:
    """A connection with this project's pragmas, on a schema that is up to date.

    Never share one between threads; open one a call. Rows come as sqlite3.Row.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    connection.row_factory = sqlite3.Row
    _enter_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    migrate(connection)
    return connection


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to WAL. SQLite does not wait for a lock here, and two processes may open a new file at once."""
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                connection.close()
                raise
            time.sleep(0.02)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for reads, closed afterwards."""
    connection = connect(path)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One short write transaction: BEGIN IMMEDIATE, commit at the end, rollback on an exception."""
    connection = connect(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.close()


def migrate(connection: sqlite3.Connection) -> None:
    """Run the migrations that this file has not had; `user_version` counts them."""
    if _version(connection) >= len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version(connection), len(MIGRATIONS)):
            MIGRATIONS[number](connection)
            connection.execute(f"PRAGMA user_version={number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _m001_library(connection: sqlite3.Connection) -> None:
    """Books, their pages, and every passage, kept or rejected."""
    connection.execute(
        """CREATE TABLE book (
            id TEXT PRIMARY KEY, title TEXT NOT NULL, file_name TEXT NOT NULL, sha256 TEXT NOT NULL,
            size_bytes INTEGER NOT NULL, pages INTEGER NOT NULL, kept INTEGER NOT NULL, rejected INTEGER NOT NULL,
            words INTEGER NOT NULL, pipeline TEXT NOT NULL, collection TEXT NOT NULL, details TEXT NOT NULL DEFAULT '{}',
            added_at TEXT NOT NULL)"""
    )
    connection.execute(
        """CREATE TABLE page (
            book_id TEXT NOT NULL REFERENCES book(id) ON DELETE CASCADE, number INTEGER NOT NULL, label TEXT NOT NULL,
            kind TEXT NOT NULL, reader TEXT NOT NULL, garble REAL NOT NULL, chars INTEGER NOT NULL,
            PRIMARY KEY (book_id, number))"""
    )
    connection.execute(
        """CREATE TABLE passage (
            id TEXT PRIMARY KEY, book_id TEXT NOT NULL REFERENCES book(id) ON DELETE CASCADE, ordinal INTEGER NOT NULL,
            page INTEGER NOT NULL, page_last INTEGER NOT NULL, label TEXT NOT NULL, label_last TEXT NOT NULL,
            section TEXT NOT NULL, text TEXT NOT NULL, words INTEGER NOT NULL, start_word INTEGER NOT NULL,
            kind TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('kept', 'rejected')), reason TEXT NOT NULL,
            content_hash TEXT NOT NULL)"""
    )
    connection.execute("CREATE INDEX passage_book ON passage(book_id, state, ordinal)")


def _m002_jobs(connection: sqlite3.Connection) -> None:
    """The queue. The row is the only channel between the processes."""
    connection.execute(
        """CREATE TABLE job (
            id TEXT PRIMARY KEY, kind TEXT NOT NULL, lane TEXT NOT NULL, title TEXT NOT NULL DEFAULT '',
            spec TEXT NOT NULL, carry TEXT NOT NULL DEFAULT '{}',
            state TEXT NOT NULL CHECK (state IN
                ('queued', 'starting', 'running', 'succeeded', 'failed', 'cancelled', 'lost')),
            stage TEXT NOT NULL DEFAULT '', step INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
            message TEXT NOT NULL DEFAULT '', preview TEXT NOT NULL DEFAULT '',
            cancel_requested TEXT, worker TEXT NOT NULL DEFAULT '', heartbeat TEXT,
            created_at TEXT NOT NULL, started_at TEXT, stage_started_at TEXT, ended_at TEXT,
            error_code TEXT NOT NULL DEFAULT '', error_message TEXT NOT NULL DEFAULT '',
            error_hint TEXT NOT NULL DEFAULT '', error_details TEXT NOT NULL DEFAULT '{}',
            log_path TEXT NOT NULL DEFAULT '', result TEXT NOT NULL DEFAULT '{}')"""
    )
    connection.execute("CREATE INDEX job_queue ON job(state, lane, created_at)")
    connection.execute(
        """CREATE TABLE worker (
            id TEXT PRIMARY KEY, lane TEXT NOT NULL, pid INTEGER NOT NULL, process_start TEXT NOT NULL,
            boot_id TEXT NOT NULL, state TEXT NOT NULL, heartbeat TEXT NOT NULL, details TEXT NOT NULL DEFAULT '{}')"""
    )


def _m003_videos(connection: sqlite3.Connection) -> None:
    """An index over the records in outputs/, so that lists need not open every file."""
    connection.execute(
        """CREATE TABLE video (
            id TEXT PRIMARY KEY, title TEXT NOT NULL, topic TEXT NOT NULL, engine TEXT NOT NULL, arm TEXT NOT NULL,
            pair_id TEXT NOT NULL DEFAULT '', folder TEXT NOT NULL, duration_s REAL NOT NULL, fps REAL NOT NULL,
            frames INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, verdict TEXT NOT NULL,
            created_at TEXT NOT NULL)"""
    )
    connection.execute("CREATE INDEX video_created ON video(created_at)")


def _m004_page_breaks(connection: sqlite3.Connection) -> None:
    """Where in a passage each later page begins, so that a quoted sentence can name its own page."""
    connection.execute("ALTER TABLE passage ADD COLUMN breaks TEXT NOT NULL DEFAULT '[]'")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_m001_library, _m002_jobs, _m003_videos, _m004_page_breaks]
