"""A tiny Wan, a folder of small clips with captions, and a session over both: real files, real models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_clips import small, write_square

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import TrainingRun, create_run
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.engines.diffusion.families.registry import family
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

torch = pytest.importorskip("torch")


@pytest.fixture(scope="session")
def wan() -> Family:
    return family("wan")


@pytest.fixture(scope="session")
def tiny_wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random Wan pipeline."""
    from t2v_studio.engines.diffusion.tiny import make_tiny

    return make_tiny("wan", tmp_path_factory.mktemp("models") / "tiny-wan")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips, 9 to 14 frames, with captions; two folders serve as scenarios."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(6):
        path = folder / ("descent" if number % 2 else "search") / f"clip_{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        write_square(path, frames=9 + number, speed=number)
        path.with_suffix(".txt").write_text(f"a square moves to the right at speed {number}", encoding="utf-8")
    return folder


@pytest.fixture
def new_run(settings: Settings, workspace: Workspace, clips: Path) -> Callable[..., TrainingRun]:
    """A run's folder with a small recipe on the clips."""

    def make(recipe: Recipe | None = None, *, scenarios: bool = False) -> TrainingRun:
        return create_run(workspace, recipe or small(), clips, title="Test", scenarios=scenarios)

    return make


@pytest.fixture
def open_run(settings: Settings, workspace: Workspace, tiny_wan: Path, wan: Family) -> Callable[[TrainingRun], Any]:
    """The session of a run in this process, over the tiny Wan."""

    def opened(run: TrainingRun) -> Any:
        from accelerate import Accelerator

        from t2v_studio.engines.diffusion.families.base import Source
        from training.video.session import Base, Session

        base = Base("tiny-wan", "tiny-wan", "", wan, Source.of(tiny_wan))
        return Session(settings, workspace, run, run.recipe, base, Accelerator(cpu=True))

    return opened
