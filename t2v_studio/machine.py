"""What this machine has to spare."""

from __future__ import annotations

from pathlib import Path


def free_memory() -> float:
    """Bytes of main memory that can be had without swapping; infinity where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    return float("inf")
