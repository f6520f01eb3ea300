"""Books, pages and passages in SQLite: what the library knows. The vector index can be rebuilt from here."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from t2v_studio.database import connect, reading, writing
from t2v_studio.errors import NotFoundError
from t2v_studio.library.passages import Passage
from t2v_studio.library.reading import Page
from t2v_studio.workspace import Workspace

PASSAGE_COLUMNS = tuple(Passage.model_fields)


@dataclass(frozen=True)
class Book:
    """One row of the table of books. collection names its vectors; pipeline says by which rules it was built."""

    id: str
    title: str
    file_name: str
    sha256: str
    size_bytes: int
    pages: int
    kept: int
    rejected: int
    words: int
    pipeline: str
    collection: str
    added_at: str
    details: dict[str, Any] = field(default_factory=dict)

    def as_row(self) -> dict[str, Any]:
        """The form in which interfaces list it."""
        names = ("title", "file_name", "pages", "kept", "rejected", "words", "added_at")
        return {"book": self.id, **{name: getattr(self, name) for name in names}}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def books(workspace: Workspace) -> list[Book]:
    """All books, by title."""
    with reading(workspace.database) as connection:
        return [_book(row) for row in connection.execute("SELECT * FROM book ORDER BY title COLLATE NOCASE, id")]


def find_book(workspace: Workspace, book_id: str) -> Book | None:
    with reading(workspace.database) as connection:
        row = connection.execute("SELECT * FROM book WHERE id = ?", (book_id,)).fetchone()
    return _book(row) if row else None


def book(workspace: Workspace, book_id: str) -> Book:
    """One book; raises NotFoundError("unknown_book")."""
    found = find_book(workspace, book_id)
    if found is None:
        raise NotFoundError("unknown_book", f"There is no book {book_id!r}.", "List them with: t2v library list")
    return found


def books_named(workspace: Workspace, file_name: str) -> list[Book]:
    """Books that came from a file of this name: a changed file replaces them."""
    with reading(workspace.database) as connection:
        return [_book(row) for row in connection.execute("SELECT * FROM book WHERE file_name = ?", (file_name,))]


def passages(
    workspace: Workspace,
    book_id: str,
    *,
    state: str = "kept",
    reason: str = "",
    section: str = "",
    page: int | None = None,
    offset: int = 0,
    limit: int | None = 100,
) -> list[Passage]:
    """Passages in reading order; an empty state or reason means any, limit None means all."""
    where, values = ["book_id = ?"], [book_id]
    for column, value in (("state", state), ("reason", reason), ("section", section)):
        if value:
            where.append(f"{column} = ?")
            values.append(value)
    if page is not None:
        where.append("page <= ? AND page_last >= ?")
        values += [page, page]  # type: ignore[list-item]
    query = f"SELECT * FROM passage WHERE {' AND '.join(where)} ORDER BY ordinal LIMIT ? OFFSET ?"
    with reading(workspace.database) as connection:
        rows = connection.execute(query, [*values, -1 if limit is None else limit, offset]).fetchall()
    return [_passage(row) for row in rows]


def passages_by_id(workspace: Workspace, ids: list[str]) -> dict[str, Passage]:
    """The passages of these ids that there are."""
    found: dict[str, Passage] = {}
    with reading(workspace.database) as connection:
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            marks = ",".join("?" * len(part))
            for row in connection.execute(f"SELECT * FROM passage WHERE id IN ({marks})", part):
                found[row["id"]] = _passage(row)
    return found


def reasons(workspace: Workspace, book_id: str) -> dict[str, int]:
    """How many passages were rejected for each reason, most first."""
    query = (
        "SELECT reason, COUNT(*) AS n FROM passage WHERE book_id = ? AND state = 'rejected' "
        "GROUP BY reason ORDER BY n DESC, reason"
    )
    with reading(workspace.database) as connection:
        return {row["reason"]: row["n"] for row in connection.execute(query, (book_id,))}


def sections(workspace: Workspace, book_id: str) -> list[dict[str, Any]]:
    """Section paths in reading order: section, page, kept."""
    query = (
        "SELECT section, MIN(page) AS page, SUM(state = 'kept') AS kept FROM passage WHERE book_id = ? AND section != '' "
        "GROUP BY section ORDER BY MIN(ordinal)"
    )
    with reading(workspace.database) as connection:
        return [dict(row) for row in connection.execute(query, (book_id,))]


def pages(workspace: Workspace, book_id: str) -> list[dict[str, Any]]:
    """number, label, kind (text, scan, blank, broken), reader, garble, chars of each page."""
    query = "SELECT number, label, kind, reader, garble, chars FROM page WHERE book_id = ? ORDER BY number"
    with reading(workspace.database) as connection:
        return [dict(row) for row in connection.execute(query, (book_id,))]


def replace(workspace: Workspace, new: Book, pages_: list[Page], passages_: list[Passage], old_ids: list[str]) -> None:
    """Switch from the old books to the new one in one transaction; this is the moment at which it is in the library."""
    with writing(workspace.database) as connection:
        for old in {*old_ids, new.id}:
            connection.execute("DELETE FROM book WHERE id = ?", (old,))
        _insert_book(connection, new)
        connection.executemany(
            "INSERT INTO page VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(new.id, p.number, p.label, _page_kind(p), p.reader, p.garble, p.chars) for p in pages_],
        )
        marks = ", ".join("?" * len(PASSAGE_COLUMNS))
        connection.executemany(
            f"INSERT INTO passage ({', '.join(PASSAGE_COLUMNS)}) VALUES ({marks})",
            [_passage_row(passage) for passage in passages_],
        )


def update_details(workspace: Workspace, book_id: str, **changes: Any) -> None:
    """Merge into a book's details, such as retrieval figures that were measured."""
    with writing(workspace.database) as connection:
        row = connection.execute("SELECT details FROM book WHERE id = ?", (book_id,)).fetchone()
        if row is None:
            raise NotFoundError("unknown_book", f"There is no book {book_id!r}.", "List them with: t2v library list")
        details = json.dumps({**json.loads(row["details"]), **changes})
        connection.execute("UPDATE book SET details = ? WHERE id = ?", (details, book_id))


def erase(workspace: Workspace, book_id: str) -> None:
    """Delete a book's rows and compact the file and its log, so that no text of it stays on the disk."""
    with writing(workspace.database) as connection:
        connection.execute("DELETE FROM book WHERE id = ?", (book_id,))
    compact(workspace)


def compact(workspace: Workspace) -> None:
    """Rewrite the database file without free pages, and empty its write-ahead log."""
    connection = connect(workspace.database)
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _insert_book(connection: sqlite3.Connection, new: Book) -> None:
    values = {**new.__dict__, "details": json.dumps(new.details)}
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(f"INSERT INTO book ({', '.join(values)}) VALUES ({marks})", values)


def _book(row: sqlite3.Row) -> Book:
    return Book(**{**dict(row), "details": json.loads(row["details"])})


def _passage_row(passage: Passage) -> tuple[Any, ...]:
    values = (getattr(passage, name) for name in PASSAGE_COLUMNS)
    return tuple(json.dumps(value) if isinstance(value, list) else value for value in values)


def _passage(row: sqlite3.Row) -> Passage:
    return Passage(**{**dict(row), "breaks": json.loads(row["breaks"])})


def _page_kind(page: Page) -> str:
    if page.error:
        return "broken"
    if page.image:
        return "scan"
    return "text" if page.chars else "blank"
