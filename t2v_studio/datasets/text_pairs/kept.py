"""The text sets of a workspace: a folder each under data/text_sets, so that the page and recipes find them by name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from t2v_studio.datasets.text_pairs.files import read_file, set_files
from t2v_studio.errors import InputError, NotFoundError
from t2v_studio.workspace import Workspace, new_id

NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,59}$")


def folder_of(workspace: Workspace) -> Path:
    return workspace.data / "text_sets"


def find(workspace: Workspace, name: str) -> Path:
    """The folder of a set. Raises NotFoundError; a name is never a path."""
    folder = folder_of(workspace) / name
    if not NAME.match(name) or not folder.is_dir() or folder.is_symlink():
        raise NotFoundError("unknown_set", f"There is no text set {name!r}.", "List them with: t2v dataset sets")
    return folder


def rows(workspace: Workspace) -> list[dict[str, Any]]:
    """A row a set, newest first: name, path, files, bytes, made_at."""
    root = folder_of(workspace)
    folders = [one for one in root.iterdir() if NAME.match(one.name) and one.is_dir()] if root.is_dir() else []
    found = []
    for folder in folders:
        files = _files(folder)
        newest = max((path.stat().st_mtime for path in files), default=folder.stat().st_mtime)
        found.append(
            {
                "name": folder.name,
                "path": str(folder),
                "files": [path.name for path in files],
                "bytes": sum(path.stat().st_size for path in files),
                "made_at": datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds"),
            }
        )
    return sorted(found, key=lambda row: (row["made_at"], row["name"]), reverse=True)


def add(workspace: Workspace, paths: Iterable[Path], name: str = "") -> str:
    """Copy files, or a folder's, into a set of the workspace; its name. Nothing is kept of what cannot be read.

    Raises InputError, NotFoundError, LimitError.
    """
    paths = [Path(path).expanduser() for path in paths]
    files = [file for path in paths for file in set_files(path)]
    wanted = name.strip().lower() or _plain(paths[0].stem)
    if not NAME.match(wanted):
        raise InputError("bad_name", f"name: {name[:60]!r} cannot be used.", "Use letters, digits, dots and dashes.")
    root = folder_of(workspace)
    if (root / wanted).exists():
        if name:
            raise InputError("name_taken", f"name: there is a text set {wanted!r} already.", "Choose another.")
        wanted = next(free for n in range(2, 10_000) if not (root / (free := f"{wanted[:54]}-{n}")).exists())
    work = root / f".{new_id('set')}"
    work.mkdir(parents=True)
    try:
        for file in files:
            read_file(file)
            shutil.copyfile(file, work / file.name)
        work.rename(root / wanted)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return wanted


def remove(workspace: Workspace, name: str) -> None:
    """Delete a set of the workspace."""
    folder = find(workspace, name)
    gone = folder.with_name(f".{new_id('gone')}")
    folder.rename(gone)
    shutil.rmtree(gone)


def _files(folder: Path) -> list[Path]:
    try:
        return set_files(folder)
    except NotFoundError:
        return []


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:60] or "set"
