"""The rules of the house: who may import whom, and what stays out of a cheap import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "t2v_studio"
ORDER = [
    ("errors", "settings", "workspace", "machine", "database", "disk", "whole_weights"),
    ("video",),
    ("adapters",),
    ("library",),
    ("planning",),
    ("engines",),
    ("production",),
    ("studies",),
    ("datasets",),
    ("jobs",),
    ("doctor",),
    ("studio",),
    ("ui",),
    ("cli",),
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
FACADE_ONLY = {"ui", "cli"}
CONTRACT_TYPES = {
    "t2v_studio.adapters.recipe",
    "t2v_studio.adapters.text_recipe",
    "t2v_studio.library.passages",
    "t2v_studio.planning.plan",
    "t2v_studio.planning.visuals",
    "t2v_studio.production.record",
    "t2v_studio.production.request",
    "t2v_studio.jobs.model",
}
"""Contracts that travel through the facade: the interfaces may name their types."""

HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "chromadb",
    "gradio",
    "sentence_transformers",
    "skia",
    "cv2",
    "matplotlib",
    "pandas",
)


def _room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith("t2v_studio.")]


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in LEVEL)


@pytest.mark.parametrize("path", _modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_rooms_above_it(path: Path) -> None:
    room = _room(path)
    assert room in LEVEL, f"{room} has no place in the order of rooms"
    for name in _imports(path):
        other = name.split(".")[1]
        if other == room or other == "__version__":
            continue
        if LEVEL[other] == LEVEL[room] == 0:
            continue
        assert LEVEL[other] < LEVEL[room], f"{room} imports {other}, which stands below it or beside it"


@pytest.mark.parametrize(
    "path",
    [path for path in _modules() if _room(path) in FACADE_ONLY],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_interfaces_call_the_facade_alone(path: Path) -> None:
    allowed = {"errors", "settings", "workspace", "studio", _room(path), "__version__"}
    for name in _imports(path):
        if name.split(".")[1] in allowed or (_room(path) == "cli" and name.split(".")[1] == "ui"):
            continue
        assert any(name == contract or name.startswith(f"{contract}.") for contract in CONTRACT_TYPES), (
            f"{path.name} reaches past the facade: {name}"
        )


def test_training_is_never_imported() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) or ""
            names = [alias.name for alias in getattr(node, "names", [])] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] == "training" for name in [module, *names]), path


@pytest.mark.parametrize("module", ["t2v_studio.studio", "t2v_studio.cli.main"])
def test_a_cheap_import_stays_cheap(module: str) -> None:
    code = f"import {module}, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
