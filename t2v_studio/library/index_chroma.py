"""Chroma as vector index: what the embedded store and a server have in common, and the embedded store."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from t2v_studio.errors import UnavailableError
from t2v_studio.library.index import Entry, Metadata, best_first, check_entries, index_missing, wrong_dimension

PAGE = 500
VACUUM_SECONDS = 600
EXTRA_NEIGHBOURS = 8
"""Asked for beyond k, so that equal cosines at the cut are settled by id and not by the graph's order."""

_SEGMENT = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_CONFIGURATION = {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200}}

log = logging.getLogger(__name__)


class ChromaIndex:
    """The port over a Chroma client. Embeddings are always given; Chroma's own model is never asked for."""

    batch = 250

    def __init__(self) -> None:
        self._client: Any = None
        self._handles: dict[str, Any] = {}
        self._lock = threading.RLock()

    def _connect(self) -> Any:
        raise NotImplementedError

    @property
    def client(self) -> Any:
        """One client for the life of this object: a second one with other settings is refused by Chroma."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def create(self, collection: str) -> None:
        with self._lock:
            self._handles[collection] = self.client.get_or_create_collection(
                collection, configuration=_CONFIGURATION, embedding_function=None
            )

    def upsert(
        self,
        collection: str,
        ids: Sequence[str],
        embeddings: np.ndarray,
        texts: Sequence[str],
        metadatas: Sequence[Metadata],
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        vectors = check_entries(ids, embeddings, texts, metadatas, None)
        for start in range(0, len(ids), self.batch):
            end = min(start + self.batch, len(ids))
            self._call(
                collection, "upsert", vectors.shape[1],
                ids=list(ids[start:end]), embeddings=vectors[start:end],
                documents=list(texts[start:end]), metadatas=[dict(item) or None for item in metadatas[start:end]],
            )  # fmt: skip
            if report:
                report(end, len(ids))

    def query(self, collection: str, embedding: np.ndarray, k: int) -> list[tuple[str, float]]:
        vector = np.asarray(embedding, dtype=np.float32).reshape(1, -1)
        held = self.count(collection)
        if not held or k < 1:
            return []
        answer = self._call(
            collection, "query", vector.shape[1],
            query_embeddings=vector, n_results=min(k + EXTRA_NEIGHBOURS, held), include=["distances"],
        )  # fmt: skip
        pairs = zip(answer["ids"][0], answer["distances"][0], strict=True)
        return best_first([(entry_id, 1.0 - float(distance)) for entry_id, distance in pairs], k)

    def get(self, collection: str, ids: Sequence[str] | None = None) -> list[Entry]:
        include = ["documents", "metadatas", "embeddings"]
        found: dict[str, Entry] = {}
        # Listing pages through get(): a query with k near the size misses rows, the graph being approximate.
        wanted = None if ids is None else list(dict.fromkeys(ids))
        size = self.count(collection) if wanted is None else len(wanted)
        for start in range(0, size, PAGE):
            where = {"limit": PAGE, "offset": start} if wanted is None else {"ids": wanted[start : start + PAGE]}
            rows = self._call(collection, "get", 0, include=include, **where)
            for place, entry_id in enumerate(rows["ids"]):
                vector = np.asarray(rows["embeddings"][place], dtype=np.float32)
                found[entry_id] = Entry(
                    entry_id, rows["documents"][place], vector, dict(rows["metadatas"][place] or {})
                )
        order = sorted(found) if ids is None else ids
        return [found[entry_id] for entry_id in order if entry_id in found]

    def vectors(self, collection: str, ids: Sequence[str]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), PAGE):
            rows = self._call(collection, "get", 0, include=["embeddings"], ids=wanted[start : start + PAGE])
            found.update(zip(rows["ids"], np.asarray(rows["embeddings"], dtype=np.float32), strict=True))
        return found

    def count(self, collection: str) -> int:
        return int(self._call(collection, "count", 0))

    def delete(self, collection: str) -> None:
        from chromadb.errors import NotFoundError as ChromaNotFound

        with self._lock:
            self._handles.pop(collection, None)
            try:
                self.client.delete_collection(collection)
            except (ChromaNotFound, ValueError):
                log.debug("no collection %s to delete", collection)

    def collections(self) -> list[str]:
        return sorted(item.name for item in self.client.list_collections())

    def vacuum(self) -> bool:
        return False

    def close(self) -> None:
        with self._lock:
            self._handles.clear()
            client, self._client = self._client, None
            if client is not None:
                client.close()

    def _call(self, collection: str, method: str, given_dimension: int, **arguments: Any) -> Any:
        """A method of the collection's handle; a handle that went stale (the collection was made anew) is renewed once."""
        from chromadb.errors import InvalidArgumentError, InvalidDimensionException
        from chromadb.errors import NotFoundError as ChromaNotFound

        for attempt in (1, 2):
            handle = self._handle(collection)
            try:
                return getattr(handle, method)(**arguments)
            except ChromaNotFound:
                with self._lock:
                    self._handles.pop(collection, None)
                if attempt == 2:
                    raise index_missing(collection) from None
            except (InvalidDimensionException, InvalidArgumentError) as error:
                if "dimension" not in str(error):
                    raise
                stored = handle.get(limit=1, include=["embeddings"])["embeddings"]
                raise wrong_dimension(given_dimension, len(stored[0]) if len(stored) else 0) from error
        raise index_missing(collection)

    def _handle(self, collection: str) -> Any:
        from chromadb.errors import NotFoundError as ChromaNotFound

        with self._lock:
            if collection not in self._handles:
                try:
                    self._handles[collection] = self.client.get_collection(collection, embedding_function=None)
                except (ChromaNotFound, ValueError):
                    raise index_missing(collection) from None
            return self._handles[collection]


class EmbeddedChromaIndex(ChromaIndex):
    """Chroma's PersistentClient on one folder. One process at a time may hold it: see `owner`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def _connect(self) -> Any:
        import chromadb
        from chromadb.config import Settings as ChromaSettings

        self.folder.mkdir(parents=True, exist_ok=True)
        return chromadb.PersistentClient(str(self.folder), settings=ChromaSettings(anonymized_telemetry=False))

    def vacuum(self) -> bool:
        """Rewrite the store's file without the rows that were deleted; the client is closed meanwhile.

        Deleting alone leaves the text in the file and in the write-ahead log.
        """
        with self._lock:
            self.close()
            if not self.folder.is_dir():
                return True
            code = "import sys, chromadb_rust_bindings as rust; rust.cli(sys.argv[1:])"
            command = [sys.executable, "-c", code, "chroma", "vacuum", "--path", str(self.folder), "--force"]
            environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=VACUUM_SECONDS, env=environment, check=False
            )
        if done.returncode:
            raise UnavailableError(
                "vacuum_failed",
                f"The index could not be compacted: {(done.stderr or done.stdout).strip()[-300:]}",
                "Deleted text may still stand in the store's file. Close the app and remove the book again.",
            )
        self._drop_orphans()
        return True

    def _drop_orphans(self) -> None:
        """Remove the folders of vectors whose collection is gone; Chroma leaves them behind."""
        with closing(sqlite3.connect(self.folder / "chroma.sqlite3")) as connection:
            alive = {row[0] for row in connection.execute("SELECT id FROM segments")}
        for folder in self.folder.iterdir():
            if folder.is_dir() and _SEGMENT.match(folder.name) and folder.name not in alive:
                shutil.rmtree(folder)
