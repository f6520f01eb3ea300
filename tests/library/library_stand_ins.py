"""A hashing embedder and a library without PDFs, for tests of search that need no model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import numpy as np

from t2v_studio.library import store
from t2v_studio.library.build import build_collection
from t2v_studio.library.index import VectorIndex
from t2v_studio.library.passages import Passage
from t2v_studio.library.reading import Page
from t2v_studio.workspace import Workspace


class HashingEmbedder:
    """Bag of words in 2048 dimensions: texts with common words have a high cosine. Counts what it embeds."""

    name = "hashing"
    max_tokens = 256
    dimension = 2048

    def __init__(self) -> None:
        self.encoded = 0

    def encode_passages(self, texts: list[str], report: Callable[[int, int], None] | None = None) -> np.ndarray:
        self.encoded += len(texts)
        if report and texts:
            report(len(texts), len(texts))
        return np.stack([self.encode_query(text) for text in texts]) if texts else np.zeros((0, 2048), dtype=np.float32)

    def encode_query(self, text: str) -> np.ndarray:
        vector = np.zeros(self.dimension, dtype=np.float32)
        for word in re.findall(r"[a-z]{4,}", text.lower()):
            vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % self.dimension] += 1
        return vector / max(float(np.linalg.norm(vector)), 1e-9)

    def token_count(self, text: str) -> int:
        return len(text.split())


def passage(book_id: str, ordinal: int, text: str, *, page: int = 1, section: str = "", **changes: object) -> Passage:
    digest = hashlib.sha256(f"{book_id}{section}{text}".encode()).hexdigest()
    fields = {
        "id": digest[:24], "book_id": book_id, "ordinal": ordinal, "page": page, "page_last": page, "label": str(page),
        "label_last": str(page), "section": section, "text": text, "words": len(text.split()), "content_hash": digest,
    }  # fmt: skip
    return Passage.model_validate({**fields, **changes})


def add(
    workspace: Workspace,
    index: VectorIndex,
    embedder: HashingEmbedder,
    passages: list[Passage],
    *,
    title: str = "A book",
    build: bool = True,
) -> str:
    """Put passages into the library as one book; returns its id."""
    book_id = passages[0].book_id
    kept = [one for one in passages if one.state == "kept"]
    book = store.Book(
        id=book_id, title=title, file_name=f"{book_id}.pdf", sha256=book_id * 4, size_bytes=1,
        pages=max(one.page_last for one in passages), kept=len(kept), rejected=len(passages) - len(kept),
        words=sum(one.words for one in passages), pipeline="p", collection=f"bk-{book_id}-00000000-00000000",
        added_at=store.now(), details={},
    )  # fmt: skip
    pages = [Page(number=number, label=str(number), lines=[]) for number in range(1, book.pages + 1)]
    store.replace(workspace, book, pages, passages, [])
    if build:
        build_collection(index, embedder, passages, book.collection)
    return book_id
