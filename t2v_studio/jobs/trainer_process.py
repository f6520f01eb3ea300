"""The trainer as a process of its own: how it is started, followed by its progress file, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from t2v_studio import errors
from t2v_studio.adapters.runs import TrainingRun, read_lines
from t2v_studio.errors import CancelledError, LimitError, StudioError
from t2v_studio.jobs.supervisor import exit_text, worker_environment
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY, Workspace

POLL_S = 0.2
STOPPED = 3
"""Exit code of a trainer that left with a checkpoint to go on from."""


def command(folder: Path, *arguments: str, cards: int = 0) -> list[str]:
    """What starts the trainer of a run: plain Python, or accelerate where there are several cards for a video model."""
    trains = TrainingRun(folder).trains
    module = [f"training.{trains}.run", str(folder), *arguments]
    if cards > 1 and trains == "video":
        launch = ["-m", "accelerate.commands.launch", "--num_processes", str(cards), "--num_machines", "1"]
        return [sys.executable, *launch, "--mixed_precision", "no", "--dynamo_backend", "no", "-m", *module]
    return [sys.executable, "-m", *module]


def environment(settings: Settings, workspace: Workspace, cards: int = 0, *, one_card: bool = False) -> dict[str, str]:
    """The worker's environment; the trainer leaves by itself when this process is gone.

    one_card: show it the first card alone, since TRL in one process refuses to see several.
    """
    found = worker_environment(settings, workspace) | {"T2V_TRAIN_PARENT": str(os.getpid())}
    found["TOKENIZERS_PARALLELISM"] = "false"
    if cards > 1 and one_card:
        found["CUDA_VISIBLE_DEVICES"] = found.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return found


class TrainerProcess:
    """A running trainer. `follow` reads its progress until it ends.

    It leads a process group of its own, so that all of its children end with it.
    """

    def __init__(self, run: TrainingRun, argv: Sequence[str], env: dict[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._run = run
        self._offset = run.progress.stat().st_size if run.progress.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=env,
                cwd=REPOSITORY,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def follow(self, tell: Callable[[dict[str, Any]], None], look: Callable[[], None]) -> dict[str, Any]:
        """Hand every line of progress to `tell` and call `look` in between; return the last line once it has ended.

        What `tell` or `look` raises comes out, with the process still running: `stop` ends it. Raises
        CancelledError where the trainer stopped with a checkpoint, StudioError where it failed.
        """
        last: dict[str, Any] = {}
        while True:
            status = self._process.poll()
            lines, self._offset = read_lines(self._run.progress, self._offset)
            for line in lines:
                last = line
                if "error" not in line:
                    tell(line)
            if status is not None:
                return _ended(status, last, self._run)
            look()
            time.sleep(POLL_S)

    def stop(self, seconds: float) -> None:
        """SIGTERM, so that it saves and leaves; after `seconds` SIGKILL to the whole group."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self.kill()

    def kill(self) -> None:
        """End what is left of the group."""
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, number)


def _ended(status: int, last: dict[str, Any], run: TrainingRun) -> dict[str, Any]:
    """The last line of a trainer that did what was asked; the error of any other."""
    if status == 0:
        return last
    if status == STOPPED:
        raise CancelledError("Stopped with a checkpoint. Go on with: t2v train resume " + run.id)
    if "error" in last:
        raise revived(last["error"])
    raise StudioError(
        "trainer_lost",
        f"The trainer {exit_text(status)}.",
        f"Its last checkpoint is whole. Go on with Resume, or with: t2v train resume {run.id}",
    )


def revived(form: dict[str, Any]) -> StudioError:
    """The StudioError that another process wrote down."""
    kind = getattr(errors, str(form.get("type", "")), StudioError)
    usable = isinstance(kind, type) and issubclass(kind, StudioError) and kind is not CancelledError
    error = (kind if usable else StudioError)(form.get("code", "failed"), form.get("message", ""), form.get("hint", ""))
    error.details = form.get("details") or {}
    return error


def ask(module: str, *arguments: str, settings: Settings, workspace: Workspace, given: str = "", limit_s: float) -> Any:
    """Run a short command of the trainer and return the one JSON object that it prints.

    Raises the StudioError that it printed; LimitError after `limit_s` seconds.
    """
    argv = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(
            argv,
            input=given,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env=environment(settings, workspace),
            cwd=REPOSITORY,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise LimitError(
            "too_slow", f"{module.rpartition('.')[2]}: there was no answer in {limit_s:.0f} s.", "Try again."
        ) from error
    line = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("{")), "")
    if not line:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
        raise StudioError(
            "trainer_failed", f"The trainer {exit_text(done.returncode)}: {said[:300]}", "Run t2v doctor."
        )
    answer = json.loads(line)
    if "error" in answer:
        raise revived(answer["error"])
    return answer
