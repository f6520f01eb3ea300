"""Tiny models of three families, made once, and a session over a small set: real classes, a real tokenizer, real TRL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from text_rows import small, write_set

from t2v_studio.adapters.runs import create_run
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.planning.tiny_chat import TINY_FAMILIES, make_tiny_chat
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
from training.text.session import TextSession, open_text_session

pytest.importorskip("torch")
pytest.importorskip("trl")


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny-llama, tiny-qwen3 and tiny-lfm2."""
    root = tmp_path_factory.mktemp("chat")
    for family in TINY_FAMILIES:
        make_tiny_chat(family, root / f"tiny-{family}")
    return root


@pytest.fixture
def place(settings: Settings, workspace: Workspace, tiny_models: Path) -> Workspace:
    """A workspace in whose cache the tiny models lie."""
    models = workspace.cache / "models"
    models.mkdir(parents=True)
    for folder in tiny_models.iterdir():
        (models / folder.name).symlink_to(folder)
    return workspace


@pytest.fixture
def new_session(settings: Settings, place: Workspace, tmp_path: Path) -> Callable[..., TextSession]:
    """A session over a new run; `run` goes on with an old one."""

    def make(recipe: TextRecipe | None = None, *, train: int = 8, test: int = 2) -> TextSession:
        rows = write_set(tmp_path / f"set-{train}-{test}", train, test)
        made = create_run(place, recipe or small(), rows, title="Test")
        return open_text_session(made, settings, place)

    return make
