"""What stays in a worker between jobs: the open library, and engines with their models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from t2v_studio.jobs.card import require_free_card
from t2v_studio.library.passages import SearchResult
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    from t2v_studio.library.index import VectorIndex


class Library:
    """The index and the embedder. While the index is open, this process is the only owner of the workspace's store."""

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        from t2v_studio.library.embedder import open_embedder
        from t2v_studio.library.owner import StoreOwner
        from t2v_studio.library.search import SearchMemory

        self._settings = settings
        self._workspace = workspace
        self._owner = StoreOwner(workspace)
        self._index: VectorIndex | None = None
        self.embedder = open_embedder(settings, workspace.cache / "embedder.json")
        self.memory = SearchMemory()

    @property
    def index(self) -> VectorIndex:
        """The open store. Raises BusyError."""
        if self._index is None:
            from t2v_studio.library.index import open_index

            self._owner.acquire()
            try:
                self._index = open_index(self._workspace, self._settings)
            except BaseException:
                self._owner.release()
                raise
        return self._index

    def search(self, query: str, k: int, book_ids: list[str] | None = None) -> SearchResult:
        """The best k passages of these books; none or an empty list: of all books."""
        from t2v_studio.library.search import search

        return search(
            query,
            workspace=self._workspace,
            settings=self._settings,
            index=self.index,
            embedder=self.embedder,
            book_ids=book_ids or None,
            k=k,
            memory=self.memory,
        )

    def warm(self) -> None:
        """Load the model now, so that the first search does not wait for it."""
        self.embedder.encode_query("warm")

    def close(self) -> None:
        """Give the store up to other processes. The model stays loaded; the next use opens the store again."""
        if self._index is not None:
            self._index.close()
            self._index = None
        self._owner.release()


class Engines:
    """Engine instances by name, each made once, so that a model stays loaded."""

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self._settings, self._workspace = settings, workspace
        self._built: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        from t2v_studio.engines.registry import engine

        if name == "diffusion":
            require_free_card(self._workspace)
        if name not in self._built:
            self._built[name] = engine(name, self._settings, self._workspace)
        return self._built[name]

    def release_gpu(self) -> bool:
        """Take every model off the card, for work that needs it (training); the next video loads again.

        False where a video is being drawn in this process.
        """
        # a copy: where jobs run inline, another thread may build an engine meanwhile
        releases = [built.release for built in list(self._built.values()) if hasattr(built, "release")]
        return all([release() for release in releases])

    def status(self) -> list[dict[str, Any]]:
        """What is loaded, an engine a row: engine, model, memory."""
        rows = {name: built.status() for name, built in self._built.items() if hasattr(built, "status")}
        return [{"engine": name, **row} for name, row in rows.items() if row]
