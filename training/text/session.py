"""What the stages of one text run share: recipe, base model, and the way to report and to stop."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from t2v_studio.adapters.runs import TrainingRun, now_text
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import CancelledError
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
from training.text.base import Base, base_of
from training.video.session import REPORTS_PER_SECOND, Stop, append_line

log = logging.getLogger(__name__)


@dataclass
class TextSession:
    """The one process of a text run."""

    settings: Settings
    workspace: Workspace
    run: TrainingRun
    recipe: TextRecipe
    base: Base
    stop: Stop = field(default_factory=Stop)
    _reported_at: float = 0.0
    _stage: str = ""

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


def open_text_session(run: TrainingRun, settings: Settings, workspace: Workspace) -> TextSession:
    """Raises what `base_of` raises."""
    recipe = run.text_recipe
    return TextSession(settings, workspace, run, recipe, base_of(recipe.model, settings))
