"""What each kind of job does: thin calls into the rooms, with JSON in and JSON out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from t2v_studio.jobs.context import Loader, Residents
from t2v_studio.jobs.model import Context, Job, Lane
from t2v_studio.jobs.running import Handler
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


class LibraryResident:
    """The open index and the embedder. Whoever holds one is the only owner of the workspace's store."""

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        from t2v_studio.library.embedder import open_embedder
        from t2v_studio.library.index import open_index
        from t2v_studio.library.owner import StoreOwner

        self._owner = StoreOwner(workspace).acquire()
        try:
            self.embedder = open_embedder(settings, workspace.cache / "embedder.json")
            self.index = open_index(workspace, settings)
        except BaseException:
            self._owner.release()
            raise

    def close(self) -> None:
        self.index.close()
        self._owner.release()


class Engines:
    """Engine instances by name, each made once, so that a model stays loaded."""

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self._settings = settings
        self._built: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        from t2v_studio.engines.registry import open_engine

        if name not in self._built:
            self._built[name] = open_engine(name, self._settings)
        return self._built[name]


def ingest(context: Context, job: Job) -> dict[str, Any]:
    raise NotImplementedError


HANDLERS: dict[str, Handler] = {"ingest": ingest}
LOADERS: dict[str, Loader] = {"library": LibraryResident, "engines": Engines}
PREPARE: dict[Lane, Callable[[Residents], object]] = {"library": lambda residents: residents("library")}
