"""How a command that answers at once speaks: one JSON object on stdout, the result or the error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from t2v_studio.errors import StudioError


def answer(make: Callable[[], dict[str, Any]]) -> int:
    """Print what `make` returns, or the StudioError that it raises. The exit code is 0 for a result only."""
    try:
        found = make()
    except StudioError as error:
        sys.stdout.write(json.dumps({"error": error.as_dict() | {"type": type(error).__name__}}) + "\n")
        return error.exit_code or 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0
