"""One step of an evaluation: a name, what it means, and how its figure is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """share: a figure from 0 to 1. better: up or down, whichever is good; "" for neither."""

    name: str
    label: str
    help: str
    share: bool = True
    better: str = "up"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def mean(values: Iterable[float | bool | None]) -> float | None:
    """Of what was measured; None where nothing was."""
    known = [float(value) for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None
