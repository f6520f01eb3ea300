"""A row of the doctor's list, and what several checks need."""

from __future__ import annotations

from importlib import metadata
from typing import Any

Row = dict[str, Any]
"""name, state (ok, missing, warning), found, cost (what its absence costs), hint (what to do)."""

PROBE_SECONDS = 10.0
"""How long a program may take to answer."""


def row(name: str, state: str, found: str, cost: str = "", hint: str = "") -> Row:
    return {"name": name, "state": state, "found": found, "cost": cost, "hint": hint}


def installed_version(package: str) -> str:
    """The version that is installed, or nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
