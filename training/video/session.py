"""What the stages of one run share: recipe, base model, devices, caches, and the way to report."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import TrainingRun, now_text
from t2v_studio.disk import disk_full, is_full
from t2v_studio.engines.diffusion.families.base import Family, Source
from t2v_studio.errors import BusyError, CancelledError, InputError, StudioError, UnavailableError
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
from training.video.cache import Cache

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger(__name__)
T = TypeVar("T")
REPORTS_PER_SECOND = 4


@dataclass(frozen=True)
class Base:
    """The model that is trained on: its name and commit, its family, and where its parts lie."""

    name: str
    repo_id: str
    revision: str
    family: Family
    source: Source
    license: str = ""

    on_disk: bool = True


def base_of(name: str, settings: Settings, workspace: Workspace, *, must_be_there: bool = True) -> Base:
    """The base of a registry name. Raises InputError for a model of two experts, UnavailableError where it is not here.

    must_be_there: False gives a base that is not on this disk, too, for what reads no file of it.
    """
    from t2v_studio.engines.diffusion.models import model, source

    entry = model(name, settings, workspace)
    kind = entry.rules
    require_one_expert(kind)
    on_disk = True
    try:
        found = Source.of(source(entry, settings, workspace))
    except UnavailableError:
        if must_be_there:
            raise
        found, on_disk = Source(workspace.cache / "absent", name=entry.name, repo_id=entry.repo_id), False
    return Base(
        entry.name,
        entry.repo_id or entry.name,
        found.revision or entry.revision,
        kind,
        found,
        entry.license,
        on_disk,
    )


def require_one_expert(family: Family) -> None:
    """Raise InputError for a model whose noise levels are shared out between two transformers."""
    if getattr(family, "boundary", None) is not None:
        raise InputError(
            "two_experts",
            f"model: {family.label} has two experts, and one adapter would be trained on half of the noise levels.",
            "Train on wan2.1-14b or wan2.1-1.3b: its adapters work on both experts.",
        )


def unexpected(error: Exception, hint: str) -> StudioError:
    """What a run says that ended in no error of its own: a full disk, or a defect. hint: for the disk."""
    if is_full(error):
        return disk_full("what the run makes", hint)
    return StudioError("internal", f"{type(error).__name__}: {error}", "This is a defect. The job's log says more.")


class Stop:
    """Whether the trainer was asked to leave: SIGTERM, SIGINT, or the death of the process that started it."""

    def __init__(self) -> None:
        self.asked = False
        self._parent = int(os.environ.get("T2V_TRAIN_PARENT", "0"))
        self._looked_at = 0.0

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True

    def __bool__(self) -> bool:
        if self._parent and not self.asked and time.monotonic() - self._looked_at > 2.0:
            self._looked_at = time.monotonic()
            self.asked = not Path(f"/proc/{self._parent}").exists() and Path("/proc/self").exists()
        return self.asked


class Reporting:
    """What the sessions of all trainings share: how they report, and how they learn that they are to leave."""

    run: TrainingRun
    stop: Stop
    _reported_at = 0.0
    _stage = ""

    def report(self, stage: str, step: int = 0, total: int = 0, message: str = "", **more: Any) -> None:
        """A line of progress: a new stage and the last step at once, the rest four times a second."""
        now = time.monotonic()
        last = total and step >= total
        if stage == self._stage and not last and not more and now - self._reported_at < 1 / REPORTS_PER_SECOND:
            return
        if stage != self._stage:
            log.info("%s %s", stage, message)
        self._stage, self._reported_at = stage, now
        line = {"time": now_text(), "stage": stage, "step": step, "total": total, "message": message, **more}
        append_line(self.run.progress, line)

    def check_stopped(self) -> None:
        """Raise CancelledError where the trainer was asked to leave."""
        if self.stop:
            raise CancelledError("The training was asked to leave.")


@dataclass
class Session(Reporting):
    """One process of a run. Only the main process writes what all share."""

    settings: Settings
    workspace: Workspace
    run: TrainingRun
    recipe: Recipe
    base: Base
    accelerator: Accelerator
    stop: Stop = field(default_factory=Stop)

    @property
    def family(self) -> Family:
        return self.base.family

    @property
    def device(self) -> Any:
        return self.accelerator.device

    def share(self, missing: Sequence[T]) -> Sequence[T]:
        """What of it this process makes, once all processes have looked what is missing.

        Without the wait one could write while another still looks: their lists would differ, and so would the shares,
        and a piece might be nobody's.
        """
        self.accelerator.wait_for_everyone()
        return missing[self.accelerator.process_index :: self.accelerator.num_processes]

    @property
    def main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    @property
    def dtype(self) -> Any:
        """torch dtype of the frozen base."""
        import torch

        return torch.bfloat16 if self.recipe.dtype == "bf16" else torch.float32

    @property
    def cache(self) -> Cache:
        return cache_of(self.workspace, self.base, self.recipe)

    def report(self, stage: str, step: int = 0, total: int = 0, message: str = "", **more: Any) -> None:
        if self.main:
            super().report(stage, step, total, message, **more)


def cache_of(workspace: Workspace, base: Base, recipe: Recipe) -> Cache:
    return Cache.of(workspace.cache / "training", base.name, base.revision, recipe)


def open_session(run: TrainingRun, settings: Settings, workspace: Workspace) -> Session:
    """The session of this process, over accelerate. Raises what `base_of` raises."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    recipe = run.recipe
    base = base_of(recipe.model, settings, workspace)
    import torch

    mixed = "bf16" if recipe.dtype == "bf16" else "no"
    on_cpu = not torch.cuda.is_available()
    patient = InitProcessGroupKwargs(timeout=timedelta(hours=6))  # the others wait while the first one draws samples
    accelerator = Accelerator(mixed_precision=mixed, cpu=on_cpu, kwargs_handlers=[patient])
    return Session(settings, workspace, run, recipe, base, accelerator)


@contextmanager
def locked(run: TrainingRun) -> Iterator[None]:
    """Hold the run's lock. Raises BusyError where another trainer works in this folder."""
    import fcntl

    with run.lock.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BusyError(
                "run_busy", f"{run.id} is being trained by another process.", "Stop it, or wait for its end."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def append_line(path: Path, row: dict[str, Any]) -> None:
    """One JSON line in one write, so that a reader never sees half of one that was not killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write((json.dumps(row, ensure_ascii=False, default=str) + "\n").encode())
