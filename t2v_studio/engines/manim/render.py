"""A child that draws one scene: started, watched, its frames taken from a pipe, ended with its whole group."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from t2v_studio.engines.base import Frames, StepReport
from t2v_studio.engines.manim import sandbox
from t2v_studio.engines.manim.harness import HEADER
from t2v_studio.engines.manim.job import HarnessJob, HarnessReport, read_report
from t2v_studio.errors import StudioError, plural

TICK_S = 0.1
"""How often a waiting reader looks whether to stop: a cancel ends the child well within a second."""
STALL_S = 120.0
"""Without a frame for so long a child is taken for stuck."""
SECONDS_A_FRAME = 2.0
"""A caged scene may take so long for each of its frames, beside STALL_S, before it is ended."""
CHUNK = 1 << 20


@dataclass
class Drawing:
    """What a child left behind; filled when its frames are read."""

    report: HarnessReport = field(default_factory=HarnessReport)


def frames(job: HarnessJob, report: StepReport, drawing: Drawing | None = None) -> Frames:
    """RGBA frames of a job, exactly `job.frames` of them; repeated ones are the same array object.

    Raises StudioError "manim_scene" where the scene fails, and what `report` raises; the child is gone then.
    """
    assert job.frames is not None
    drawing = drawing or Drawing()
    count = 0
    with child(job) as (process, log):
        reader = _Reader(process, report, job.frames)
        while (header := reader.take(HEADER.size, count)) is not None:
            (repeat,) = HEADER.unpack(header)
            data = reader.take(job.width * job.height * 4, count)
            if data is None or not 0 < repeat <= job.frames - count:
                break
            frame = np.frombuffer(data, np.uint8).reshape(job.height, job.width, 4)
            for _ in range(repeat):
                count += 1
                yield frame
        process.wait()
        drawing.report = _answer(job, process, log)
    if count != job.frames:
        raise StudioError(
            "manim_scene", f"Manim gave {plural(count, 'frame')} instead of {job.frames}.", "Draw the scene again."
        )
    report(count, job.frames)


def _answer(job: HarnessJob, process: subprocess.Popen[bytes], log: Path) -> HarnessReport:
    answer = read_report(Path(job.folder))
    if answer is not None and answer.error is None:
        return answer
    if answer is not None and answer.error is not None:
        raise StudioError("manim_scene", f"The Manim scene stopped: {answer.error}", "Correct its code, or take the template.")  # fmt: skip
    raise _ended_early(process, log)


def _ended_early(process: subprocess.Popen[bytes], log: Path) -> StudioError:
    return StudioError(
        "manim_scene",
        f"Manim ended with {_ending(process.returncode)}: {_tail(log)}",
        "Draw the scene again; t2v doctor says whether Manim is whole.",
    )


class _Reader:
    """Bytes from a child's pipe, with a look at the caller's wish to stop at least every TICK_S."""

    def __init__(self, process: subprocess.Popen[bytes], report: StepReport, total: int) -> None:
        assert process.stdout is not None
        self.pipe: IO[bytes] = process.stdout
        self.report, self.total = report, total
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.pipe, selectors.EVENT_READ)

    def take(self, size: int, done: int) -> bytes | None:
        """Exactly `size` bytes, or None at the end of the pipe."""
        parts = bytearray()
        since = asked = time.monotonic()
        self.report(done, self.total)
        while len(parts) < size:
            ready = self.selector.select(TICK_S)
            now = time.monotonic()
            if now - asked > TICK_S:
                asked = now
                self.report(done, self.total)
            if ready:
                data = os.read(self.pipe.fileno(), min(CHUNK, size - len(parts)))
                if not data:
                    return None
                parts += data
                since = now
            elif now - since > STALL_S:
                raise StudioError("manim_stalled", f"Manim drew nothing for {STALL_S:.0f} s.", "Simplify the scene.")
        return bytes(parts)


@contextmanager
def child(job: HarnessJob, *more: HarnessJob) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A running harness and its log; on leaving, its process group is gone."""
    folder = Path(job.folder)
    argv = [sys.executable, "-m", "t2v_studio.engines.manim.harness", *(str(one.write()) for one in (job, *more))]
    environment = clean_environment(folder)
    if job.cage:
        argv, environment = sandbox.command(argv, folder, cpu_seconds=_longest(job))
    log = folder / "child.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    if job.cage:
        with sandbox.guard(process, folder, seconds=_longest(job)):
            yield process, log
        return
    try:
        yield process, log
    finally:
        sandbox.end(process)


def _longest(job: HarnessJob) -> float:
    """Seconds that a caged child may take."""
    return STALL_S + SECONDS_A_FRAME * (job.frames or 0)


def clean_environment(folder: Path) -> dict[str, str]:
    """What a child of ours sees of the environment: nothing of the user's, one thread for each library."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | threads | {
        "HOME": str(folder), "TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "MPLCONFIGDIR": str(folder),
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for one job, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="t2v-manim-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:300] if lines else "it said nothing"


def dry(jobs: Sequence[HarnessJob], seconds: float = 300.0) -> list[HarnessReport]:
    """Run template jobs in one child without drawing. Raises StudioError where there is no answer in time."""
    undrawn = [job.model_copy(update={"frames": None, "cage": False}) for job in jobs]
    with child(*undrawn) as (process, log):
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise StudioError(
                "manim_stalled", f"The scenes ran longer than {seconds:.0f} s.", "Simplify them."
            ) from error
        answers = [read_report(Path(job.folder)) for job in undrawn]
        if None in answers:
            raise _ended_early(process, log)
    return [answer for answer in answers if answer is not None]
