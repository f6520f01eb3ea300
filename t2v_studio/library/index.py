"""The vector index as the rest of the library sees it: one port, three stores behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from t2v_studio.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from t2v_studio.settings import Settings
    from t2v_studio.workspace import Workspace

Metadata = dict[str, str | int | float | bool]


@dataclass(frozen=True)
class Entry:
    """One stored vector with what was stored beside it."""

    id: str
    text: str
    embedding: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)


class VectorIndex(Protocol):
    """Collections of unit vectors under cosine similarity.

    Every call on a collection that is not there raises NotFoundError("index_missing"). Upserts are idempotent:
    the same id again replaces. A collection's dimension is fixed by its first vectors.
    """

    def create(self, collection: str) -> None:
        """Make the collection; nothing happens where it exists."""
        ...

    def upsert(
        self,
        collection: str,
        ids: Sequence[str],
        embeddings: np.ndarray,
        texts: Sequence[str],
        metadatas: Sequence[Metadata],
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        """Add or replace; embeddings float32 (n, d). Raises InputError on a bad shape, NaN, or an id given twice."""
        ...

    def query(self, collection: str, embedding: np.ndarray, k: int) -> list[tuple[str, float]]:
        """The k nearest ids with their cosine, highest first, equal ones by id."""
        ...

    def get(self, collection: str, ids: Sequence[str] | None = None) -> list[Entry]:
        """Entries by id, in the order asked for; unknown ids are left out. None: all, by id."""
        ...

    def vectors(self, collection: str, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The embeddings alone, by id; unknown ids are left out. Much cheaper than `get`, which reads the texts too."""
        ...

    def count(self, collection: str) -> int: ...

    def delete(self, collection: str) -> None:
        """Drop the collection; nothing happens where it does not exist."""
        ...

    def collections(self) -> list[str]: ...

    def vacuum(self) -> bool:
        """Erase what was deleted from the disk too. False where this store cannot."""
        ...

    def close(self) -> None: ...


def open_index(workspace: Workspace, settings: Settings) -> VectorIndex:
    """The index of a workspace: a Chroma server where T2V_CHROMA_URL names one, else the embedded store.

    The embedded store is safe in one process only: hold `owner.store_owner` while it is open.
    """
    if settings.chroma_url:
        from t2v_studio.library.index_server import ChromaServerIndex

        return ChromaServerIndex(settings.chroma_url)
    from t2v_studio.library.index_chroma import EmbeddedChromaIndex

    return EmbeddedChromaIndex(workspace.chroma)


def check_entries(
    ids: Sequence[str],
    embeddings: np.ndarray,
    texts: Sequence[str],
    metadatas: Sequence[Metadata],
    dimension: int | None,
) -> np.ndarray:
    """The embeddings as contiguous float32 (n, d), after the checks that every store makes alike."""
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    if vectors.ndim != 2 or not len(ids) == len(vectors) == len(texts) == len(metadatas):
        raise InputError(
            "bad_entries",
            f"embeddings: shape {vectors.shape} with {len(ids)} ids, {len(texts)} texts and {len(metadatas)} metadata.",
            "Give one id, one row, one text and one metadata for each entry.",
        )
    if len(set(ids)) != len(ids):
        raise InputError("bad_entries", "ids: the same id is given twice in one call.", "Give each id once.")
    if not np.isfinite(vectors).all():
        raise InputError("bad_entries", "embeddings: a vector holds NaN or infinity.", "Embed the texts again.")
    if dimension is not None and len(vectors) and vectors.shape[1] != dimension:
        raise wrong_dimension(vectors.shape[1], dimension)
    return vectors


def wrong_dimension(given: int, stored: int) -> InputError:
    return InputError(
        "wrong_dimension",
        f"embeddings: {given} numbers a vector, but this collection holds {stored}.",
        "The embedding model was changed; add the book again to build its index with the new one.",
    )


def index_missing(collection: str) -> NotFoundError:
    return NotFoundError(
        "index_missing",
        f"The index {collection!r} is not in the store.",
        "Build it again: t2v library add the book's file once more.",
    )


def best_first(pairs: list[tuple[str, float]], k: int) -> list[tuple[str, float]]:
    """Highest cosine first; rounding to 1e-6 keeps equal texts in the order of their ids."""
    return sorted(pairs, key=lambda pair: (-round(pair[1], 6), pair[0]))[:k]
