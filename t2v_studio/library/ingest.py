"""A file in, a book in the library: read, clean, embed, and one transaction that makes it so.

Until that transaction the library is as it was: new vectors lie under a name that nothing points to, and what a
killed run left is swept away by the next one. The caller owns the store (`owner.store_owner`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.errors import InputError
from t2v_studio.library import store
from t2v_studio.library.build import VECTOR_LAYOUT, build_collection
from t2v_studio.library.chunking import PIPELINE, passages
from t2v_studio.library.embedder import Embedder
from t2v_studio.library.index import VectorIndex
from t2v_studio.library.passages import Passage
from t2v_studio.library.reading import Reading, SourceFile, admit, read
from t2v_studio.library.titles import book_title
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

Report = Callable[[str, int, int, str], None]
"""report(stage, step, total, message); may raise CancelledError."""

log = logging.getLogger(__name__)

READING, CLEANING, EMBEDDING, SAVING = "Reading pages", "Cleaning", "Embedding", "Saving"
_COLLECTION = re.compile(r"^bk-([0-9a-f]{16})-[0-9a-f]{8}-[0-9a-f]{8}$")


def add_book(
    path: Path,
    *,
    workspace: Workspace,
    settings: Settings,
    index: VectorIndex,
    embedder: Embedder,
    report: Report,
    title: str = "",
    password: str = "",
    min_words: int | None = None,
    max_words: int | None = None,
    save_rejected: bool = True,
    file_name: str = "",
) -> dict[str, Any]:
    """Bring a file into the library, in place of an earlier version of the same file name.

    Returns book, title, pages, kept, rejected, unchanged, notices. The same bytes again, under any name and with the
    same limits, change nothing. file_name: the name to remember, where `path` is an upload's own.
    Raises InputError or LimitError with the codes of `reading.admit` and `pdf.read_pdf`, and nothing_kept.
    """
    low, high = min_words or settings.min_words, max_words or settings.max_words
    recover(workspace, index)
    report(READING, 0, 0, "Checking the file")
    source = admit(path, settings)
    pipeline = pipeline_of(embedder, low, high, save_rejected)
    old = store.find_book(workspace, source.book_id)
    name = file_name or path.name
    if old and old.pipeline == pipeline and old.collection in index.collections() and title in ("", old.title):
        return _outcome(old, unchanged=True)
    reading = read(source, settings, password=password, on_page=lambda done, total: report(READING, done, total, ""))
    report(CLEANING, 0, 1, "Finding paragraphs")
    found = passages(reading, source.book_id, min_words=low, max_words=high)
    if not any(passage.state == "kept" for passage in found):
        raise InputError(
            "nothing_kept",
            f"{name}: no passage of {low} or more words of running text was found.",
            "Lower min-words, or give a text with whole sentences.",
            reasons=dict(Counter(passage.reason for passage in found)),
        )
    report(CLEANING, 1, 1, "")
    replaced = [book for book in store.books_named(workspace, name) if book.id != source.book_id]
    collection = f"bk-{source.book_id}-{pipeline[:8]}-{secrets.token_hex(4)}"
    report(EMBEDDING, 0, 0, "Starting the embedder")
    build_collection(
        index,
        embedder,
        [passage for passage in found if passage.state == "kept"],
        collection,
        lambda done, total: report(EMBEDDING, done, total, ""),
        reuse=[book.collection for book in [*([old] if old else []), *replaced]],
    )
    report(SAVING, 0, 1, "")
    book = _book(source, reading, found, name, title or (old.title if old else ""), pipeline, collection, password)
    shown = found if save_rejected else [passage for passage in found if passage.state == "kept"]
    _keep_source(workspace, source)
    store.replace(workspace, book, reading.pages, shown, [other.id for other in replaced])
    _forget(workspace, index, [*([old.collection] if old else []), *(other.collection for other in replaced)])
    for other in replaced:
        _remove_files(workspace, other.id)
    _report_last(report)
    return _outcome(book, unchanged=False)


def _report_last(report: Report) -> None:
    """The book is in: a cancel that arrives now comes too late to undo anything."""
    from t2v_studio.errors import CancelledError

    try:
        report(SAVING, 1, 1, "")
    except CancelledError:
        log.info("cancel arrived after the book was saved")


def remove_book(
    book_id: str, *, workspace: Workspace, index: VectorIndex, report: Report | None = None
) -> dict[str, Any]:
    """Erase a book: rows, vectors, stored file and page pictures, then compact both stores.

    Returns book, title, erased; erased is False where the vector store cannot compact its files.
    """
    book = store.book(workspace, book_id)
    if report:
        report("Removing", 0, 2, "")
    store.erase(workspace, book_id)
    _remove_files(workspace, book_id)
    if report:
        _quietly(report, 1)
    erased = _forget(workspace, index, [book.collection])
    if report:
        _quietly(report, 2)
    return {"book": book_id, "title": book.title, "erased": erased}


def _quietly(report: Report, step: int) -> None:
    from t2v_studio.errors import CancelledError

    try:
        report("Removing", step, 2, "")
    except CancelledError:
        log.info("a removal that has begun is finished")


def recover(workspace: Workspace, index: VectorIndex) -> list[str]:
    """Sweep away what a killed run left: collections and files that no row points to. Returns their names."""
    known = store.books(workspace)
    collections = {book.collection for book in known}
    ids = {book.id for book in known}
    orphans = [name for name in index.collections() if _COLLECTION.match(name) and name not in collections]
    stray = [folder for folder in _folders(workspace) if folder.name not in ids]
    for folder in stray:
        shutil.rmtree(folder, ignore_errors=True)
    if orphans:
        _forget(workspace, index, orphans)
    swept = orphans + [folder.name for folder in stray]
    if swept:
        log.info("swept away what an interrupted run left: %s", ", ".join(swept))
    return swept


def pipeline_of(embedder: Embedder, min_words: int, max_words: int, save_rejected: bool = True) -> str:
    """What a book was built with, as a hash: rules, limits, embedding model, what is embedded of a passage."""
    form = f"{PIPELINE}|{VECTOR_LAYOUT}|{min_words}|{max_words}|{embedder.name}|{save_rejected}"
    return hashlib.sha256(form.encode()).hexdigest()[:16]


def _book(
    source: SourceFile,
    reading: Reading,
    found: list[Passage],
    name: str,
    title: str,
    pipeline: str,
    collection: str,
    password: str,
) -> store.Book:
    kept = [passage for passage in found if passage.state == "kept"]
    details = {
        "notices": reading.notices,
        "outline": [[entry.level, entry.title, entry.page] for entry in reading.outline],
        "readers": dict(Counter(page.reader for page in reading.pages)),
        "suffix": source.suffix,
        "locked": bool(password),
    }
    return store.Book(
        id=source.book_id,
        title=title.strip() or book_title(reading, name),
        file_name=name,
        sha256=source.sha256,
        size_bytes=source.size_bytes,
        pages=len(reading.pages),
        kept=len(kept),
        rejected=len(found) - len(kept),
        words=sum(passage.words for passage in kept),
        pipeline=pipeline,
        collection=collection,
        added_at=store.now(),
        details=details,
    )


def _outcome(book: store.Book, *, unchanged: bool) -> dict[str, Any]:
    return {
        "book": book.id,
        "title": book.title,
        "pages": book.pages,
        "kept": book.kept,
        "rejected": book.rejected,
        "unchanged": unchanged,
        "notices": list(book.details.get("notices", [])),
    }


def _keep_source(workspace: Workspace, source: SourceFile) -> None:
    """Copy the file to its place; the name appears only when all bytes are on the disk."""
    folder = workspace.book(source.book_id)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"source{source.suffix}"
    part = target.with_suffix(".part")
    shutil.copyfile(source.path, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def _forget(workspace: Workspace, index: VectorIndex, collections: list[str]) -> bool:
    """Delete collections and compact the vector store. A store that is busy keeps them until the next sweep."""
    if not collections:
        return True
    for name in collections:
        index.delete(name)
    return bool(index.vacuum())


def _remove_files(workspace: Workspace, book_id: str) -> None:
    shutil.rmtree(workspace.book(book_id), ignore_errors=True)
    shutil.rmtree(workspace.cache / book_id, ignore_errors=True)


def _folders(workspace: Workspace) -> list[Path]:
    """Folders of stored files and of page pictures that are named as book ids are."""
    roots = [root for root in (workspace.books, workspace.cache) if root.is_dir()]
    return [folder for root in roots for folder in root.iterdir() if re.fullmatch(r"[0-9a-f]{16}", folder.name)]
