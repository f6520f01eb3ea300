"""Studies over tiny pairs. The pairs are made once; each test works on a copy of the whole workspace."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pairs_on_disk import make_pair_on_disk
from raters import Scene, desk_at

from t2v_studio.studies.desk import StudyDesk

TOPICS = ("Gradient descent", "Attention", "A* search")


@pytest.fixture(scope="session")
def draft_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace with three pairs and a draft of them: (home, study id)."""
    home = tmp_path_factory.mktemp("draft") / "home"
    desk = desk_at(home)
    pairs = [make_pair_on_disk(desk.workspace, topic) for topic in TOPICS]
    return home, desk.create("Course clips", pairs, seed=5)["id"]


@pytest.fixture(scope="session")
def locked_home(draft_home: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The same, locked for eight examiners."""
    home = tmp_path_factory.mktemp("locked") / "home"
    shutil.copytree(draft_home[0], home)
    desk_at(home).lock(draft_home[1], raters=8)
    return home, draft_home[1]


@pytest.fixture
def draft(draft_home: tuple[Path, str], tmp_path: Path) -> tuple[StudyDesk, str]:
    shutil.copytree(draft_home[0], tmp_path / "study-home")
    return desk_at(tmp_path / "study-home"), draft_home[1]


@pytest.fixture
def locked(locked_home: tuple[Path, str], tmp_path: Path) -> tuple[StudyDesk, str]:
    shutil.copytree(locked_home[0], tmp_path / "study-home")
    return desk_at(tmp_path / "study-home"), locked_home[1]


@pytest.fixture
def scene(locked: tuple[StudyDesk, str]) -> Callable[..., Scene]:
    """scene("ada") invites one examiner and stands at the first screen."""
    desk, study_id = locked
    return lambda name="": Scene(desk, study_id, name)
