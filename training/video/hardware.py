"""What the machine is doing: memory of this process and use of the graphics card."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import Any

GIB = 2**30
EVERY_S = 10.0


class Gauge:
    """Reads memory at each step, and the use of the card every few seconds."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._use: int | None = None
        self._smi = shutil.which("nvidia-smi")

    def read(self) -> dict[str, Any]:
        """memory_gib: peak of the card, or of this process without one. gpu_use: percent; None without a card."""
        import torch

        if not torch.cuda.is_available():
            return {"memory_gib": round(_resident_gib(), 3), "gpu_use": None}
        if time.monotonic() - self._asked_at > EVERY_S:
            self._asked_at, self._use = time.monotonic(), self._card_use(torch.cuda.current_device())
        return {"memory_gib": round(torch.cuda.max_memory_allocated() / GIB, 3), "gpu_use": self._use}

    def _card_use(self, index: int) -> int | None:
        if self._smi is None:
            return None
        argv = [self._smi, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"--id={index}"]
        try:
            said = subprocess.run(argv, capture_output=True, text=True, timeout=5, check=True).stdout
            return int(said.strip())
        except (OSError, ValueError, subprocess.SubprocessError):
            return None


def _resident_gib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
