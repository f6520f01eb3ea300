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


def _m005_studies(connection: sqlite3.Connection) -> None:
    """Blind studies. The event log only grows, what is locked stays as it is, nothing is written after close."""
    for statement in (*_STUDY_TABLES, *_study_triggers()):
        connection.execute(statement)


_STUDY_TABLES = (
    """CREATE TABLE study (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, pack TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL CHECK (state IN ('draft', 'locked', 'collecting', 'closed', 'unblinded')),
        seed INTEGER NOT NULL, raters INTEGER NOT NULL DEFAULT 0, rubric_version TEXT NOT NULL,
        design TEXT NOT NULL DEFAULT '', design_sha256 TEXT NOT NULL DEFAULT '', created_at TEXT NOT NULL,
        locked_at TEXT, collecting_at TEXT, closed_at TEXT, unblinded_at TEXT)""",
    """CREATE TABLE criterion (
        study_id TEXT NOT NULL REFERENCES study(id) ON DELETE CASCADE, key TEXT NOT NULL, label TEXT NOT NULL,
        ordinal INTEGER NOT NULL, anchors TEXT NOT NULL, hint TEXT NOT NULL, PRIMARY KEY (study_id, key))""",
    """CREATE TABLE topic (
        study_id TEXT NOT NULL REFERENCES study(id) ON DELETE CASCADE, key TEXT NOT NULL, ordinal INTEGER NOT NULL,
        title TEXT NOT NULL, objective TEXT NOT NULL, pair_id TEXT NOT NULL, PRIMARY KEY (study_id, key))""",
    """CREATE TABLE clip (
        id TEXT PRIMARY KEY, study_id TEXT NOT NULL, topic_key TEXT NOT NULL, variant TEXT NOT NULL,
        video_id TEXT NOT NULL, sha256 TEXT NOT NULL, blind_token TEXT NOT NULL UNIQUE, blind_sha256 TEXT NOT NULL,
        path TEXT NOT NULL, fps REAL NOT NULL, frames INTEGER NOT NULL, duration_s REAL NOT NULL,
        width INTEGER NOT NULL, height INTEGER NOT NULL, generation TEXT NOT NULL, verdict TEXT NOT NULL,
        UNIQUE (study_id, topic_key, variant),
        FOREIGN KEY (study_id, topic_key) REFERENCES topic(study_id, key) ON DELETE CASCADE)""",
    """CREATE TABLE rater (
        id TEXT PRIMARY KEY, study_id TEXT NOT NULL REFERENCES study(id) ON DELETE CASCADE, number INTEGER NOT NULL,
        pseudonym TEXT NOT NULL, token_sha256 TEXT NOT NULL DEFAULT '', role TEXT NOT NULL DEFAULT 'examiner',
        invited_at TEXT, consent_at TEXT, training_done_at TEXT, finished_at TEXT, last_seen_at TEXT,
        UNIQUE (study_id, number), UNIQUE (study_id, pseudonym))""",
    """CREATE TABLE assignment (
        id TEXT PRIMARY KEY, study_id TEXT NOT NULL REFERENCES study(id) ON DELETE CASCADE,
        rater_id TEXT NOT NULL REFERENCES rater(id), topic_key TEXT NOT NULL, position INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('practice', 'main', 'repeat', 'identical')),
        left_clip TEXT NOT NULL REFERENCES clip(id), right_clip TEXT NOT NULL REFERENCES clip(id),
        left_token TEXT NOT NULL UNIQUE, right_token TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done')), submitted_at TEXT,
        UNIQUE (rater_id, position))""",
    """CREATE TABLE score_event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE,
        study_id TEXT NOT NULL REFERENCES study(id), rater_id TEXT NOT NULL REFERENCES rater(id),
        assignment_id TEXT NOT NULL REFERENCES assignment(id),
        kind TEXT NOT NULL CHECK (kind IN ('score', 'comment', 'preference', 'exposure', 'guess')),
        side TEXT NOT NULL DEFAULT '', criterion TEXT NOT NULL DEFAULT '',
        value INTEGER CHECK (value IS NULL OR value BETWEEN 1 AND 5), reason TEXT NOT NULL DEFAULT '',
        comment TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT '{}', client_ts TEXT NOT NULL DEFAULT '',
        server_ts TEXT NOT NULL, revision INTEGER NOT NULL, schema_version INTEGER NOT NULL DEFAULT 1)""",
    "CREATE INDEX score_event_assignment ON score_event(assignment_id, seq)",
    """CREATE TABLE score (
        assignment_id TEXT NOT NULL REFERENCES assignment(id), side TEXT NOT NULL CHECK (side IN ('left', 'right')),
        criterion TEXT NOT NULL, value INTEGER CHECK (value IS NULL OR value IN (1, 2, 3, 4, 5)),
        reason TEXT NOT NULL DEFAULT '' CHECK (reason IN ('', 'cannot_judge')), comment TEXT NOT NULL DEFAULT '',
        revision INTEGER NOT NULL, PRIMARY KEY (assignment_id, side, criterion))""",
    """CREATE TABLE remark (
        assignment_id TEXT NOT NULL REFERENCES assignment(id), side TEXT NOT NULL CHECK (side IN ('left', 'right')),
        text TEXT NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (assignment_id, side))""",
    """CREATE TABLE exposure (
        assignment_id TEXT NOT NULL REFERENCES assignment(id), side TEXT NOT NULL CHECK (side IN ('left', 'right')),
        seconds REAL NOT NULL DEFAULT 0, plays INTEGER NOT NULL DEFAULT 0, reached_end INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (assignment_id, side))""",
    """CREATE TABLE opening (
        assignment_id TEXT PRIMARY KEY REFERENCES assignment(id), opened_at TEXT NOT NULL)""",
    """CREATE TABLE preference (
        assignment_id TEXT PRIMARY KEY REFERENCES assignment(id),
        winner TEXT NOT NULL CHECK (winner IN ('left', 'tie', 'right')), confidence INTEGER, revision INTEGER NOT NULL)""",
    """CREATE TABLE guess (
        assignment_id TEXT PRIMARY KEY REFERENCES assignment(id),
        side TEXT NOT NULL CHECK (side IN ('left', 'right', 'unsure')), confidence INTEGER, revision INTEGER NOT NULL)""",
    """CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, study_id TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
        before_hash TEXT NOT NULL DEFAULT '', after_hash TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT '{}',
        at TEXT NOT NULL)""",
    """CREATE TABLE metric_run (
        id INTEGER PRIMARY KEY AUTOINCREMENT, study_id TEXT NOT NULL DEFAULT '', clip_id TEXT NOT NULL DEFAULT '',
        adapter TEXT NOT NULL DEFAULT '', epoch INTEGER, metric TEXT NOT NULL, value REAL,
        params TEXT NOT NULL DEFAULT '{}', version TEXT NOT NULL DEFAULT '', weights_sha256 TEXT NOT NULL DEFAULT '',
        status TEXT NOT NULL CHECK (status IN ('ok', 'unavailable', 'error')), error TEXT NOT NULL DEFAULT '',
        seconds REAL NOT NULL DEFAULT 0, at TEXT NOT NULL)""",
)


def _study_triggers() -> list[str]:
    """The promises of a study, held by the database itself, whoever writes."""
    made = []
    for table in ("score_event", "audit"):
        for act in ("UPDATE", "DELETE"):
            made.append(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    for table in ("topic", "criterion", "clip"):
        for act, row in (("INSERT", "NEW"), ("UPDATE", "OLD"), ("DELETE", "OLD")):
            made.append(
                f"CREATE TRIGGER {table}_locked_{act.lower()} BEFORE {act} ON {table} "
                f"WHEN (SELECT state FROM study WHERE id = {row}.study_id) != 'draft' "
                "BEGIN SELECT RAISE(ABORT, 'the study is locked'); END"
            )
    made.append(
        "CREATE TRIGGER assignment_locked BEFORE UPDATE OF study_id, rater_id, topic_key, position, kind, left_clip, "
        "right_clip, left_token, right_token ON assignment "
        "WHEN (SELECT state FROM study WHERE id = OLD.study_id) != 'draft' "
        "BEGIN SELECT RAISE(ABORT, 'the study is locked'); END"
    )
    made += [
        "CREATE TRIGGER study_kept BEFORE DELETE ON study WHEN OLD.state != 'draft' "
        "BEGIN SELECT RAISE(ABORT, 'the study is locked'); END",
        "CREATE TRIGGER study_frozen BEFORE UPDATE OF id, title, pack, seed, raters, rubric_version, design, "
        "design_sha256 ON study WHEN OLD.state != 'draft' BEGIN SELECT RAISE(ABORT, 'the study is locked'); END",
        "CREATE TRIGGER study_forward BEFORE UPDATE OF state ON study WHEN OLD.state || '>' || NEW.state NOT IN "
        "('draft>locked', 'locked>collecting', 'locked>closed', 'collecting>closed', 'closed>unblinded') "
        "BEGIN SELECT RAISE(ABORT, 'a study only goes forward'); END",
        "CREATE TRIGGER assignment_closed BEFORE UPDATE ON assignment "
        "WHEN (SELECT state FROM study WHERE id = OLD.study_id) IN ('closed', 'unblinded') "
        "BEGIN SELECT RAISE(ABORT, 'the study takes no answers'); END",
    ]
    shut = "(SELECT state FROM study WHERE id = {}) NOT IN ('locked', 'collecting')"
    owner = "(SELECT study_id FROM assignment WHERE id = {}.assignment_id)"
    closing = "BEGIN SELECT RAISE(ABORT, 'the study takes no answers'); END"
    made.append(
        f"CREATE TRIGGER score_event_closed BEFORE INSERT ON score_event WHEN {shut.format('NEW.study_id')} {closing}"
    )
    for table in ("score", "remark", "exposure", "preference", "guess"):
        for act, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            made.append(
                f"CREATE TRIGGER {table}_closed_{act.lower()} BEFORE {act} ON {table} "
                f"WHEN {shut.format(owner.format(row))} {closing}"
            )
    return made


def _m006_captions(connection: sqlite3.Connection) -> None:
    """Captions that the author wrote in place of a plan's, for every manifest. scene is "" for the whole video."""
    connection.execute(
        """CREATE TABLE caption (
            record_id TEXT NOT NULL, scene TEXT NOT NULL, text TEXT NOT NULL, edited_at TEXT NOT NULL,
            PRIMARY KEY (record_id, scene))"""
    )


def _m007_time_left(connection: sqlite3.Connection) -> None:
    """When a job's stage should end, reckoned by its worker at each step forward."""
    connection.execute("ALTER TABLE job ADD COLUMN stage_ends_at TEXT")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [
    _m001_library,
    _m002_jobs,
    _m003_videos,
    _m004_page_breaks,
    _m005_studies,
    _m006_captions,
    _m007_time_left,
]
