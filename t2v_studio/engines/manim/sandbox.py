"""A cage for code that a language model or a stranger wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Level(IntEnum):
    """What is shut off. Written code runs from `files_and_network` on."""

    none = 0
    limits = 1
    files = 2
    files_and_network = 3


@dataclass(frozen=True)
class Probe:
    """What a child measured here. means: by what it is held; missing: what was not; hint: how to get it."""

    level: Level
    means: tuple[str, ...]
    missing: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class Outcome:
    """rc: exit status. held: "" or the limit that ended it (time, output, disk)."""

    rc: int
    out: bytes
    err: bytes
    seconds: float
    held: str


def probe() -> Probe:
    """The level of this machine, measured once a process."""
    raise NotImplementedError


def enter(folder: Path) -> str:
    """Drop this process's rights, for good; `folder` stays writable. Returns by what it is held."""
    raise NotImplementedError


def command(argv: Sequence[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    """`argv` with its limits (and bubblewrap where that is the means), and its clean environment.

    Start it with start_new_session=True, stdin=DEVNULL, cwd=folder and watch it with `guard`.
    """
    raise NotImplementedError


def run(
    argv: Sequence[str], *, folder: Path, seconds: float = 60, readable: Sequence[Path] = (), memory_mb: int = 4096,
    output_bytes: int = 1_000_000,
) -> Outcome:  # fmt: skip
    """Run a command in the cage to its end or its limit; its process group is killed as a whole."""
    raise NotImplementedError


def dry_run(code: str, scene: str) -> str:
    """See dry_run.dry_run."""
    raise NotImplementedError
