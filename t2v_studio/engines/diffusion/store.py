"""Where models lie on this disk: the hub's cache under T2V_CACHE_ROOT, converted copies, and the studio's ledger.

The ledger says what the studio itself fetched. Nothing else in the cache is ever deleted by it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from t2v_studio.engines.diffusion.families.base import Source
from t2v_studio.engines.diffusion.models import Bundle, ModelEntry
from t2v_studio.errors import InputError
from t2v_studio.settings import Settings
from t2v_studio.whole_weights import file_is_whole
from t2v_studio.workspace import Workspace

COMPLETE = ".complete"
WEIGHTS = ("diffusion_pytorch_model.safetensors", "model.safetensors")
"""The file that a loader reads where there is no index; other number formats may lie beside it."""
_FILES = "*.safetensors"
DAMAGED = "cut short or damaged"
LOADED = "loaded"
"""Folder of the locks of loaded models."""


@dataclass(frozen=True)
class ModelStore:
    """Folders: hub/ (as huggingface_hub lays it out), converted/, ledger.json."""

    root: Path

    @classmethod
    def of(cls, settings: Settings, workspace: Workspace) -> ModelStore:
        root = settings.cache_root.expanduser().resolve() if settings.cache_root else workspace.cache / "models"
        return cls(root)

    @property
    def hub(self) -> Path:
        return self.root / "hub"

    @property
    def converted(self) -> Path:
        return self.root / "converted"

    # --- what is here ------------------------------------------------------------------------
    def source(self, entry: ModelEntry) -> Source | None:
        """The folders of a model's parts; None where one of them is not complete."""
        folders = self.part_folders(entry)
        if any(folder is None for folder in folders.values()):
            return None
        own = self.snapshot(entry.bundles()[0])
        if own is None:
            return None
        elsewhere = {part: folder for part, folder in folders.items() if folder and folder.parent != own}
        return Source(own, name=entry.name, repo_id=entry.repo_id, revision=own.name, shared=elsewhere)

    def part_folders(self, entry: ModelEntry) -> dict[str, Path | None]:
        """Each part of a model and where it lies complete, or None. A converted copy comes first."""
        return {part: self.part_folder(bundle, part) for bundle in entry.bundles() for part in bundle.parts}

    def part_folder(self, bundle: Bundle, part: str) -> Path | None:
        copy = self.narrow_copy(bundle, part)
        if copy is not None:
            return copy
        folder = self.snapshot(bundle)
        return folder / part if folder is not None and part_is_complete(folder / part, part) else None

    def damaged(self, bundle: Bundle, part: str) -> str:
        """Name of a weight file of a part that is here and not whole; "" where none is, or a whole copy stands for it."""
        snapshot = self.snapshot(bundle)
        if snapshot is None or self.part_folder(bundle, part) is not None:
            return ""
        return _cut(sorted((snapshot / part).glob(_FILES)))

    def narrow_copy(self, bundle: Bundle, part: str) -> Path | None:
        """Folder of a complete copy in bf16, else of one in fp16."""
        copies = (self.converted_folder(bundle, part, dtype) for dtype in ("bfloat16", "float16"))
        return next((copy for copy in copies if copy is not None and copy_is_complete(copy, part)), None)

    def snapshot(self, bundle: Bundle) -> Path | None:
        """Folder of the bundle's commit in the hub's cache, whether it is there or not; None for an unknown commit."""
        commit = self.commit(bundle)
        return self.repo(bundle.repo_id) / "snapshots" / commit if commit else None

    def commit(self, bundle: Bundle) -> str:
        """The pinned commit, else the one that was recorded when it was fetched, else that of the cache's main."""
        if bundle.revision:
            return bundle.revision
        fetched = [row for row in self.ledger()["snapshots"] if row["repo_id"] == bundle.repo_id]
        if fetched:
            return str(fetched[-1]["revision"])
        main = self.repo(bundle.repo_id) / "refs" / "main"
        return main.read_text("ascii").strip() if main.is_file() else ""

    def repo(self, repo_id: str) -> Path:
        return self.hub / f"models--{repo_id.replace('/', '--')}"

    def converted_folder(self, bundle: Bundle, part: str, dtype: str) -> Path | None:
        commit = self.commit(bundle)
        name = bundle.repo_id.replace("/", "--")
        return self.converted / name / commit / dtype / part if commit else None

    # --- the ledger --------------------------------------------------------------------------
    def ledger(self) -> dict[str, Any]:
        """snapshots: rows repo_id, revision, state (started, complete), files (name to bytes), at; pinned: model names;
        defaults: folder of a workspace to its default model."""
        return self._read() or {"version": 1, "snapshots": [], "pinned": [], "defaults": {}}

    def _read(self) -> dict[str, Any] | None:
        """The ledger's file; None where there is none, or nothing can be read from it."""
        try:
            data = json.loads((self.root / "ledger.json").read_text("utf-8"))
            rows, pinned, defaults = data.get("snapshots", []), data.get("pinned", []), data.get("defaults", {})
            rows = [row | {"files": dict(row["files"])} for row in rows if row["repo_id"] and row["revision"]]
            return {"version": 1, "snapshots": rows, "pinned": list(pinned), "defaults": dict(defaults)}
        except (OSError, ValueError, AttributeError, TypeError, KeyError):
            return None

    @contextmanager
    def editing(self) -> Iterator[dict[str, Any]]:
        """The ledger to change; written whole, by one process at a time."""
        from filelock import FileLock

        make_root(self.root)
        path = self.root / "ledger.json"
        with FileLock(str(self.root / "ledger.lock"), timeout=60):
            data = self.ledger()
            if path.is_file() and self._read() is None:
                path.replace(path.with_name("ledger.unreadable.json"))  # a person may want to look at it
            yield data
            draft = path.with_suffix(".part")
            draft.write_text(json.dumps(data, indent=1), "utf-8")
            draft.replace(path)

    def note(self, repo_id: str, revision: str, state: str, files: Mapping[str, int]) -> None:
        """Write down that the studio fetches (started) or has fetched (complete) files of a commit."""
        with self.editing() as ledger:
            row = find_row(ledger, repo_id, revision)
            if row is None:
                row = {"repo_id": repo_id, "revision": revision, "files": {}}
                ledger["snapshots"].append(row)
            row["files"] |= files
            row |= {"state": state, "at": datetime.now(UTC).isoformat(timespec="seconds")}

    def pin(self, name: str, on: bool) -> None:
        """Keep a model whatever is pruned or purged, or no longer."""
        with self.editing() as ledger:
            others = [pinned for pinned in ledger["pinned"] if pinned != name]
            ledger["pinned"] = [*others, name] if on else others

    # --- who needs what ----------------------------------------------------------------------
    def hold(self, name: str) -> Any:
        """A lock that says this process has a model loaded; `release` it, or end. Any process sees it in `held`."""
        from filelock import FileLock

        make_root(self.root / LOADED)
        lock = FileLock(str(self.root / LOADED / f"{name}@{os.getpid()}-{uuid4().hex[:8]}.lock"))
        lock.acquire()
        return lock

    def held(self) -> set[str]:
        """Models that a process has loaded now, of whichever workspace."""
        from filelock import FileLock, Timeout

        names = set()
        for path in (self.root / LOADED).glob("*@*.lock"):
            lock = FileLock(str(path))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                names.add(path.name.rpartition("@")[0])
                continue
            path.unlink(missing_ok=True)  # who held it is gone
            lock.release()
        return names

    def note_default(self, workspace: Workspace, name: str) -> None:
        """Write down which model a workspace takes where none is named, for a prune by another workspace."""
        home = str(workspace.data.resolve())
        if self.ledger()["defaults"].get(home) != name:
            with self.editing() as ledger:
                ledger["defaults"][home] = name

    def defaults_elsewhere(self, workspace: Workspace) -> set[str]:
        """Default models of the other workspaces that share this cache and are still there."""
        own = str(workspace.data.resolve())
        return {name for home, name in self.ledger()["defaults"].items() if home != own and Path(home).is_dir()}

    def size_of(self, folder: Path) -> int:
        """Bytes of the files below `folder`, links followed."""
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def make_root(folder: Path) -> None:
    """Make a folder of the cache. Raises InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, "made", error) from error


def require_root(settings: Settings, workspace: Workspace) -> None:
    """Raise InputError where the folder of T2V_CACHE_ROOT cannot be written, or made where it is not there; none is made
    here, and the workspace's own is not in question."""
    if settings.cache_root is None:
        return
    folder = ModelStore.of(settings, workspace).root
    there = next(one for one in (folder, *folder.parents) if os.path.exists(one))  # noqa: PTH110 - no rights: not there
    try:
        with TemporaryDirectory(dir=there, prefix=".t2v-"):  # rights alone do not tell: root has them all, /proc too
            pass
    except OSError as error:
        raise _unwritable(folder, "written" if there == folder else "made", error) from error


def _unwritable(folder: Path, what: str, error: OSError) -> InputError:
    return InputError(
        "cache_unwritable",
        f"T2V_CACHE_ROOT: {folder} cannot be {what} ({error.strerror}).",
        "Set T2V_CACHE_ROOT to a folder that can be written, or leave it empty.",
    )


def copy_is_complete(folder: Path, part: str) -> bool:
    return (folder / COMPLETE).is_file() and part_is_complete(folder, part)


def find_row(ledger: Mapping[str, Any], repo_id: str, revision: str) -> dict[str, Any] | None:
    """The ledger's row of a commit."""
    wanted = (repo_id, revision)
    return next((row for row in ledger["snapshots"] if (row["repo_id"], row["revision"]) == wanted), None)


def part_is_complete(folder: Path, part: str) -> bool:
    return not part_fault(folder, part)


def part_fault(folder: Path, part: str) -> str:
    """What is wrong with a part's folder, as the end of a sentence; "" where its config and every weight file are whole."""
    if not folder.is_dir():
        return "is not there"
    if part == "tokenizer":
        found = any((folder / name).is_file() for name in ("tokenizer.json", "spiece.model"))
        return "" if found else "has no tokenizer.json"
    config = "scheduler_config.json" if part == "scheduler" else "config.json"
    if not isinstance(_json(folder / config), dict):
        return f"has no {config} that can be read"
    return "" if part == "scheduler" else _weights_fault(folder)


def _weights_fault(folder: Path) -> str:
    indexes = list(folder.glob("*.safetensors.index.json"))
    if indexes:
        try:
            names = sorted(set(_json(indexes[0])["weight_map"].values()))
        except (TypeError, KeyError, AttributeError):
            return f"has an {indexes[0].name} that cannot be read"
    else:
        names = sorted(path.name for path in folder.glob(_FILES) if path.is_file())
        names = [name for name in names if name in WEIGHTS] or names
    if not names:
        return "has no safetensors file"
    lost = [name for name in names if not (folder / name).is_file()]
    if lost:
        return f"lacks {lost[0]}"
    cut = _cut(folder / name for name in names)
    return f"has a {cut} that is {DAMAGED}" if cut else ""


def _cut(files: Iterable[Path]) -> str:
    """Name of the first file that is there and not whole."""
    return next((path.name for path in files if path.is_file() and not file_is_whole(path)), "")


def _json(path: Path) -> Any:
    """What a JSON file holds; None where it cannot be read."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
