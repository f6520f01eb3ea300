"""What the doctor says of the graphics card and of the models, with a stand-in for nvidia-smi."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from t2v_studio.doctor import diffusion
from t2v_studio.engines.diffusion.families.base import Source
from t2v_studio.engines.diffusion.store import ModelStore
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts an nvidia-smi that prints `text` first on the path."""

    def put(text: str, status: int = 0) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return put


def test_without_a_driver_the_local_engine_is_named(monkeypatch, settings: Settings, workspace: Workspace) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    row = diffusion.graphics_card(settings, workspace)
    assert row["state"] == "warning" and "local engine" in row["hint"] and "Diffusion" in row["cost"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("NVIDIA H100 80GB HBM3, 81559 MiB, 9.0, 570.1, 81000 MiB", ["H100", "bf16", "wan2.1-14b: tier A"]),
        ("NVIDIA GeForce RTX 4090, 24564 MiB, 8.9, 580.1, 24000 MiB", ["4090", "bf16", "wan2.1-14b: tier C"]),
        ("Tesla T4, 15360 MiB, 7.5, 535.1, 15000 MiB", ["no bf16 (T2V_DTYPE=fp16)", "wan2.1-14b: tier"]),
        ("Some card, [N/A], [N/A], 1, [N/A]", ["Some card"]),
    ],
)
def test_a_card_and_how_the_model_would_lie_on_it(
    line: str, says: list[str], smi, settings: Settings, workspace: Workspace
) -> None:
    smi(line)
    row = diffusion.graphics_card(settings, workspace)
    assert row["state"] == "ok"
    assert all(words in row["found"] for words in says), row["found"]


def test_a_cache_that_can_be_no_folder_is_told(settings: Settings, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (row,) = diffusion.models(settings.model_copy(update={"cache_root": tmp_path / "file"}), workspace)
    assert row["state"] == "missing" and "T2V_CACHE_ROOT" in row["found"] and row["hint"]


def test_two_cards_stand_in_one_row(smi, settings: Settings, workspace: Workspace) -> None:
    line = "NVIDIA A100, 81920 MiB, 8.0, 550.1, 81000 MiB"
    smi(f"{line}\n{line}")
    assert diffusion.graphics_card(settings, workspace)["found"].count("NVIDIA A100, 81920 MiB, bf16") == 2


def test_a_driver_that_fails_is_a_warning(smi, settings: Settings, workspace: Workspace) -> None:
    smi("", status=9)
    row = diffusion.graphics_card(settings, workspace)
    assert row["state"] == "warning" and "nvidia-smi fails" in row["found"] and row["hint"]


def test_no_model_is_a_warning_with_the_command(monkeypatch, settings: Settings, workspace: Workspace) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 500e9))
    models, disk = diffusion.models(settings, workspace)
    assert (models["state"], models["hint"]) == ("warning", "t2v models download wan2.1-14b")
    assert disk["state"] == "ok" and disk["found"].startswith("500 GB free")


def test_a_disk_that_cannot_hold_the_default_model(monkeypatch, settings: Settings, workspace: Workspace) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 40e9))
    disk = diffusion.models(settings, workspace)[1]
    assert disk["state"] == "warning" and "wan2.1-14b needs" in disk["cost"] and "T2V_CACHE_ROOT" in disk["hint"]


def test_models_that_are_here_are_named(monkeypatch, tmp_path: Path, settings: Settings, workspace: Workspace) -> None:
    here = {"wan2.1-14b", "ltx-0.9.1"}
    monkeypatch.setattr(ModelStore, "source", lambda store, entry: Source(tmp_path) if entry.name in here else None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 1e9))
    models, disk = diffusion.models(settings, workspace)
    assert models["state"] == "ok" and set(models["found"].split(", ")) == here
    assert disk["state"] == "ok", "nothing has to be fetched"


def test_a_mistake_in_the_users_list_of_models(settings: Settings, workspace: Workspace) -> None:
    (workspace.data / "models.local.yaml").write_text("- name: mine\n  family: sora\n  folder: x\n")
    (row,) = diffusion.models(settings, workspace)
    assert row["state"] == "missing" and "sora" in row["found"] and row["hint"]
