"""How long work in this room tells its stages: the callback of production, without what production imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Report = Callable[..., None]
"""Called with (stage, step, total, message); raises CancelledError."""


def nothing(*_: Any) -> None:
    """Nobody watches."""
