"""Every path of the studio, from one root. Ids become paths here and nowhere else."""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from t2v_studio.errors import InputError, NotFoundError

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = REPOSITORY / "data"
"""What ships with the program: templates/, packs/, sample/, scenarios.yaml. Read only."""

_ID = re.compile(r"^[a-z]{2,8}_[0-9a-z]{6,40}$")
_BOOK_ID = re.compile(r"^[0-9a-f]{16}$")


def new_id(prefix: str) -> str:
    """A sortable, unguessable id: prefix, milliseconds since 1970 in hex, 32 random bits."""
    return f"{prefix}_{int(time.time() * 1000):011x}{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Workspace:
    """One user's library and results. Two workspaces share nothing.

    data:    library, database, caches and run files; never served by the web app.
    outputs: videos, pairs, packs, studies, adapters.
    """

    data: Path
    outputs: Path

    @classmethod
    def at(cls, home: Path | None) -> Workspace:
        """The workspace under `home`, or the repository's own folders when it is None."""
        root = (home or REPOSITORY).expanduser().resolve()
        workspace = cls(root / "data", root / "outputs")
        try:
            for folder in (workspace.data, workspace.outputs, workspace.run):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                "bad_home",
                f"T2V_HOME: {root} cannot be used ({error.strerror}).",
                "Name a folder that you may write to.",
            ) from error
        if not os.access(workspace.data, os.W_OK) or not os.access(workspace.outputs, os.W_OK):
            raise InputError("bad_home", f"T2V_HOME: {root} is read-only.", "Name a folder that you may write to.")
        return workspace

    # the user's library
    @property
    def database(self) -> Path:
        return self.data / "studio.db"

    @property
    def books(self) -> Path:
        return self.data / "library" / "books"

    @property
    def chroma(self) -> Path:
        return self.data / "library" / "chroma"

    @property
    def uploads(self) -> Path:
        return self.data / "uploads"

    @property
    def cache(self) -> Path:
        return self.data / "cache"

    @property
    def run(self) -> Path:
        """Locks, pids and job logs."""
        return self.data / "run"

    def book(self, book_id: str) -> Path:
        if not _BOOK_ID.match(book_id):
            raise NotFoundError("unknown_book", f"There is no book {book_id!r}.", "List them with: t2v library list")
        return self.books / book_id

    def job_log(self, job_id: str) -> Path:
        return self.run / "jobs" / f"{_checked(job_id)}.log"

    # results
    @property
    def videos(self) -> Path:
        return self.outputs / "videos"

    @property
    def pairs(self) -> Path:
        return self.outputs / "pairs"

    @property
    def packs(self) -> Path:
        return self.outputs / "packs"

    @property
    def studies(self) -> Path:
        return self.outputs / "studies"

    @property
    def manifests(self) -> Path:
        return self.outputs / "manifests"

    def manifest(self, manifest_id: str) -> Path:
        return self.manifests / _checked(manifest_id)

    @property
    def training(self) -> Path:
        """A folder each training run: samples, figures, checkpoints."""
        return self.outputs / "training"

    def training_run(self, run_id: str) -> Path:
        return self.training / _checked(run_id)

    @property
    def adapters(self) -> Path:
        return self.outputs / "adapters"

    def adapter(self, adapter_id: str) -> Path:
        return self.adapters / _checked(adapter_id)

    def video(self, video_id: str) -> Path:
        return self.videos / _checked(video_id)

    def pair(self, pair_id: str) -> Path:
        return self.pairs / _checked(pair_id)

    def study(self, study_id: str) -> Path:
        return self.studies / _checked(study_id)

    @property
    def backups(self) -> Path:
        """Copies of the database; beside it, so that none is ever served."""
        return self.data / "backups"

    def relative(self, path: Path) -> str:
        """`path` as it stands in records: relative to the workspace root, with slashes."""
        resolved = path.resolve()
        root = self.outputs.parent
        return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else resolved.as_posix()

    def contains(self, path: Path) -> bool:
        """Whether `path`, after following links, lies in this workspace's outputs."""
        return path.resolve().is_relative_to(self.outputs)


def _checked(name: str) -> str:
    if not _ID.match(name):
        raise NotFoundError("unknown_id", f"There is nothing with the id {name!r}.", "Copy the id from a list.")
    return name
