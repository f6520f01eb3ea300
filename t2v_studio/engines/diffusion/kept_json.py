"""Small JSON files that only save time: several processes write them, and where one cannot be written nothing is lost."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LOCK_S = 5.0
"""A writer needs a millisecond; who waits longer leaves it."""


def key_of(what: Any) -> str:
    """Stands for everything in `what`: SHA-256 of it as JSON, in hex digits."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def kept(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is absent or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def amend(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], what: str) -> None:
    """Write what `change` makes of the file's content, one writer at a time. A failure is logged, with what was lost."""
    from filelock import FileLock

    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(path.with_name(f".{path.name}.lock")), timeout=LOCK_S):
            part.write_text(json.dumps(change(kept(path)), indent=2), encoding="utf-8")
            part.replace(path)
    except (OSError, NotImplementedError) as error:  # of filelock: Timeout, and a disk that knows no locks
        log.warning("%s could not be kept: %s", what, error)
        discard(part)


def part_of(path: Path) -> Path:
    """The name under which this thread writes a file before it gets its own."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")


def discard(part: Path) -> None:
    """Take a half-written file away where that can be done."""
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        log.debug("%s stays: %s", part, error)
