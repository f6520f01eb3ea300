"""Tiny models, made once a session and copied into each workspace."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2v_studio.engines.diffusion import models
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny models of three families, as a workspace keeps them."""
    home = Workspace.at(tmp_path_factory.mktemp("tiny"))
    settings = Settings(home=home.outputs.parent, _env_file=None)
    for name in ("tiny-wan", "tiny-cogvideox", "tiny-ltx"):
        models.source(models.model(name, settings, home), settings, home)
    return home.cache / "tiny"


@pytest.fixture
def with_tiny(workspace: Workspace, tiny_models: Path) -> Workspace:
    """The test's workspace, in which the tiny models are made already."""
    shutil.copytree(tiny_models, workspace.cache / "tiny")
    return workspace


@pytest.fixture
def engine(settings: Settings, with_tiny: Workspace) -> Iterator[DiffusionEngine]:
    made = DiffusionEngine(settings, with_tiny)
    yield made
    made.close()
