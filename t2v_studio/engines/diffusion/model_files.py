"""What tells one state of a model's files from another: as they lie on this disk, and by what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

SAMPLES = 64
BLOCK = 16 * 1024
"""Bytes. What is larger than all samples together is read in `SAMPLES` blocks, evenly spaced, the ends among them."""


def stamp(folders: Iterable[Path]) -> str:
    """The state of the files in `folders`, in 16 hex digits: another after anything was written or moved there."""
    return _digest(f"{path.resolve()}:{size}:{changed_ns}" for path, size, changed_ns in _files(folders))


def fingerprint(folders: Iterable[Path]) -> str:
    """The contents of the files in `folders`, in 16 hex digits: the same for a copy elsewhere.

    Of large files, samples: weights that were trained further differ in them, a single number changed by hand may not.
    Files that were read once are not read again as long as they lie there as they were.
    """
    return _digest(f"{path.parent.name}/{path.name}:{_contents(path, *state)}" for path, *state in _files(folders))


@lru_cache(maxsize=512)
def _contents(path: Path, size: int, changed_ns: int) -> str:
    found = hashlib.sha256(str(size).encode())
    whole = size <= SAMPLES * BLOCK
    try:
        with path.open("rb") as file:
            for number in range(SAMPLES):
                file.seek(number * BLOCK if whole else number * (size - BLOCK) // (SAMPLES - 1))
                found.update(file.read(BLOCK))
    except OSError as error:  # loading says what is wrong with it
        return f"unreadable: {error.errno}"
    return found.hexdigest()


def _files(folders: Iterable[Path]) -> Iterator[tuple[Path, int, int]]:
    """Each file with its size and the time of its last change."""
    for folder in folders:
        for path in sorted(folder.glob("*")):
            if path.is_file():
                found = path.stat()
                yield path, found.st_size, found.st_mtime_ns


def _digest(rows: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]
