"""The exact twin of the Chroma stores: every vector is compared. For tests, and to prove Chroma's answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from t2v_studio.library.index import Entry, Metadata, best_first, check_entries, index_missing, wrong_dimension


class NumpyIndex:
    """Collections in memory; nothing is kept when the object goes."""

    def __init__(self) -> None:
        self._collections: dict[str, dict[str, Entry]] = {}

    def create(self, collection: str) -> None:
        self._collections.setdefault(collection, {})

    def upsert(
        self,
        collection: str,
        ids: Sequence[str],
        embeddings: np.ndarray,
        texts: Sequence[str],
        metadatas: Sequence[Metadata],
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        entries = self._entries(collection)
        stored = next(iter(entries.values()), None)
        vectors = check_entries(ids, embeddings, texts, metadatas, None if stored is None else len(stored.embedding))
        for place, entry_id in enumerate(ids):
            entries[entry_id] = Entry(entry_id, texts[place], vectors[place].copy(), dict(metadatas[place]))
        if report:
            report(len(ids), len(ids))

    def query(self, collection: str, embedding: np.ndarray, k: int) -> list[tuple[str, float]]:
        entries = self._entries(collection)
        if not entries or k < 1:
            return []
        matrix = np.stack([entry.embedding for entry in entries.values()])
        query = np.asarray(embedding, dtype=np.float32).reshape(-1)
        if matrix.shape[1] != len(query):
            raise wrong_dimension(len(query), matrix.shape[1])
        norms = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
        cosines = matrix @ query / np.maximum(norms, 1e-12)
        return best_first([(entry_id, float(cosine)) for entry_id, cosine in zip(entries, cosines, strict=True)], k)

    def get(self, collection: str, ids: Sequence[str] | None = None) -> list[Entry]:
        entries = self._entries(collection)
        return [entries[entry_id] for entry_id in (sorted(entries) if ids is None else ids) if entry_id in entries]

    def vectors(self, collection: str, ids: Sequence[str]) -> dict[str, np.ndarray]:
        return {entry.id: entry.embedding for entry in self.get(collection, ids)}

    def count(self, collection: str) -> int:
        return len(self._entries(collection))

    def delete(self, collection: str) -> None:
        self._collections.pop(collection, None)

    def collections(self) -> list[str]:
        return sorted(self._collections)

    def vacuum(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is held open."""

    def _entries(self, collection: str) -> dict[str, Entry]:
        if collection not in self._collections:
            raise index_missing(collection)
        return self._collections[collection]
