"""A written scene executed in the sandbox without drawing: whether it runs, how long it is, how it is laid out."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from t2v_studio.engines.manim import sandbox
from t2v_studio.engines.manim.installed import availability
from t2v_studio.engines.manim.job import CodeError, HarnessJob, HarnessReport, read_report
from t2v_studio.errors import UnavailableError
from t2v_studio.settings import Settings, load_settings

log = logging.getLogger(__name__)

_SIGNALS = {-24: "it used all its processor time", -9: "it was killed", -11: "it crashed", -6: "it crashed", -31: "it made a forbidden system call"}  # fmt: skip
_HELD = {
    "time": "It did not end within {seconds:g} s.",
    "output": "It printed more than a megabyte.",
    "disk": "It filled its folder.",
}


def dry_run(code: str, scene: str) -> str:
    """What stopped the scene, "" for nothing. Raises UnavailableError where Manim or the isolation is missing."""
    error = attempt(code, scene).error
    return str(error) if error else ""


def attempt(
    code: str,
    scene: str = "",
    *,
    width: int = 1280,
    height: int = 720,
    seed: int = 0,
    settings: Settings | None = None,
    check: Callable[[], None] | None = None,
) -> HarnessReport:
    """The harness's answer for one dry run: error with line, length in seconds, faults of the layout.

    scene: the class; "" takes the only one. check: see `sandbox.run`. Raises UnavailableError as `dry_run` does.
    """
    settings = settings or load_settings()
    ready(settings)
    with tempfile.TemporaryDirectory(prefix="t2v-scene-") as root:
        folder = Path(root)
        job = HarnessJob(
            folder=root, code=code, scene=scene, width=width, height=height, seed=seed, frames=None, cage=True
        )
        argv = [sys.executable, "-m", "t2v_studio.engines.manim.harness", str(job.write())]
        done = sandbox.run(argv, folder=folder, seconds=settings.manim_seconds, check=check)
        report = read_report(folder)
    if report is not None and not done.held:
        return report
    log.warning(
        "a dry run left no report (%s, %s): %s", done.rc, done.held, done.err[-2000:].decode("utf-8", "replace")
    )
    return HarnessReport(error=CodeError(type="Stopped", message=_why(done, settings.manim_seconds)), scene=scene)


def ready(settings: Settings | None = None) -> sandbox.Probe:
    """The sandbox in which written scenes run. Raises UnavailableError where Manim or the isolation is missing."""
    state = availability()
    if not state.ok:
        raise UnavailableError("engine_unavailable", state.message, state.hint)
    return sandbox.require(settings)


def _why(done: sandbox.Outcome, seconds: float) -> str:
    if done.held:
        return _HELD[done.held].format(seconds=seconds)
    if b"MemoryError" in done.err or b"bad_alloc" in done.err:
        return "It needs more memory than it may have."
    return f"The scene ended without a report: {_SIGNALS.get(done.rc, f'exit status {done.rc}')}."
