"""A scene executed in the sandbox without drawing."""

from __future__ import annotations

from t2v_studio.engines.manim.job import HarnessReport


def dry_run(code: str, scene: str) -> str:
    """"" when it runs, else what stopped it. Raises UnavailableError where Manim or the isolation is missing."""
    raise NotImplementedError


def attempt(code: str, scene: str, width: int = 1280, height: int = 720) -> HarnessReport:
    """The harness's whole answer: error with line, length in seconds, faults of the layout."""
    raise NotImplementedError
