"""A book's passages as JSON lines: kept ones in book_chunks.jsonl, the others in book_chunks.rejected.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from t2v_studio.library import store
from t2v_studio.library.passages import Passage
from t2v_studio.workspace import Workspace

TOKENS_PER_WORD = 1.3


def export_book(workspace: Workspace, book_id: str, folder: Path) -> list[Path]:
    """Write both files into `folder` and return their paths. Raises NotFoundError("unknown_book")."""
    book = store.book(workspace, book_id)
    folder.mkdir(parents=True, exist_ok=True)
    stem = Path(book.file_name).stem
    kept = store.passages(workspace, book_id, state="kept", limit=None)
    rejected = store.passages(workspace, book_id, state="rejected", limit=None)
    files = [folder / "book_chunks.jsonl", folder / "book_chunks.rejected.jsonl"]
    _write(files[0], [kept_row(passage, stem, book.file_name, n) for n, passage in enumerate(kept)])
    _write(files[1], [rejected_row(passage, stem, book.file_name) for passage in rejected])
    return files


def kept_row(passage: Passage, stem: str, source: str, index: int) -> dict[str, Any]:
    return {
        "chunk_id": f"{stem}-{passage.ordinal:05d}",
        "source": source,
        "chunk_index": index,
        "start_word": passage.start_word,
        "end_word": passage.start_word + passage.words,
        "approx_tokens": int(passage.words * TOKENS_PER_WORD),
        "text": passage.text,
        **_place(passage),
    }


def rejected_row(passage: Passage, stem: str, source: str) -> dict[str, Any]:
    return {
        "chunk_id": f"{stem}-{passage.ordinal:05d}",
        "source": source,
        "reason": passage.reason,
        "text": passage.text,
        **_place(passage),
    }


def _place(passage: Passage) -> dict[str, Any]:
    return {
        "page": passage.page,
        "page_last": passage.page_last,
        "section": passage.section,
        "passage_id": passage.id,
    }


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    part.replace(path)
