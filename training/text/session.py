"""What the stages of one text run share: recipe, base model, and the way to report and to stop."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from t2v_studio.adapters.runs import TrainingRun
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
from training.text.base import Base, base_of
from training.video.session import Reporting, Stop

log = logging.getLogger(__name__)


@dataclass
class TextSession(Reporting):
    """The one process of a text run."""

    settings: Settings
    workspace: Workspace
    run: TrainingRun
    recipe: TextRecipe
    base: Base
    stop: Stop = field(default_factory=Stop)


def open_text_session(run: TrainingRun, settings: Settings, workspace: Workspace) -> TextSession:
    """Raises what `base_of` raises."""
    recipe = run.text_recipe
    return TextSession(settings, workspace, run, recipe, base_of(recipe.model, settings))
