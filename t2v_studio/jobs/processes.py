"""Which process is which: a pid alone is not a name, since the system gives it out again."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    """pid, the time that the process started, and the boot in which it did."""

    pid: int
    start: str
    boot: str

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return self.boot == boot_id() and process_start(self.pid) == self.start


def own_identity() -> ProcessIdentity:
    pid = os.getpid()
    return ProcessIdentity(pid, process_start(pid) or "", boot_id())


def process_start(pid: int) -> str | None:
    """Clock ticks from boot to the start of `pid`; None where it does not run (any more)."""
    if not Path("/proc/self/stat").exists():
        return _start_from_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the command's name stands in brackets and may itself hold spaces and brackets
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def boot_id() -> str:
    """Differs after every start of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start_from_ps(pid: int) -> str | None:
    found = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=5, check=False
    )
    return found.stdout.strip() or None
