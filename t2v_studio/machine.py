"""What this machine has to spare."""

from __future__ import annotations

from pathlib import Path


def free_memory(*, swap: bool = False) -> float:
    """Bytes of main memory that can be had without swapping, or with it; infinity where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    rows = {name: float(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    free = rows.get("MemAvailable", float("inf"))
    return free + rows.get("SwapFree", 0.0) if swap else free
