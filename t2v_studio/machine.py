"""What this machine has: main memory to spare, graphics cards."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def free_memory(*, swap: bool = False) -> float:
    """Bytes of main memory that can be had without swapping, or with it; infinity where the system does not say.

    In a container no more than its limit leaves, though the system tells of the whole machine's.
    """
    rows = _rows(MEMINFO)
    free = 1024 * rows.get("MemAvailable:", float("inf"))
    if swap:
        free += 1024 * rows.get("SwapFree:", 0.0)
    return min(free, _room_in_container())


def _room_in_container() -> float:
    """What the control group's limit leaves, pages of files not counted, since they can go; infinity without a limit."""
    for limit, used, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            room = float((CGROUP / limit).read_text("ascii")) - float((CGROUP / used).read_text("ascii"))
        except (OSError, ValueError):
            continue  # another version of control groups, or "max": no limit
        files = _rows(CGROUP / stat)
        return max(0.0, room + files.get("active_file", 0.0) + files.get("inactive_file", 0.0))
    return float("inf")


def _rows(path: Path) -> dict[str, float]:
    """Lines of a name and a number; nothing where there is no such file."""
    try:
        lines = [line.split() for line in path.read_text("ascii").splitlines()]
    except OSError:
        return {}
    return {line[0]: float(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def cards() -> int:
    """How many CUDA cards a new process would see, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(1 for part in visible.split(",") if part.strip() not in ("", "-1"))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        said = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(1 for line in said.splitlines() if line.startswith("GPU "))
