"""`t2v models` and `t2v cache` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from t2v_studio.cli.main import app
from t2v_studio.errors import InputError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("T2V_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "machine"))
    return tmp_path / "home"


def t2v(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_models_are_listed_shown_and_pinned() -> None:
    listed = t2v("models", "list").stdout
    assert "wan2.1-14b" in listed and "not here, default" in listed and "69 GB" in listed
    rows = {row["name"]: row for row in json.loads(t2v("models", "list", "--json").stdout)["models"]}
    assert rows["tiny-wan"]["here"] and not rows["wan2.1-14b"]["here"]
    shown = t2v("models", "show", "wan2.1-14b").stdout
    assert "pinned commit" in shown and "t2v models download wan2.1-14b" in shown
    assert "is kept" in t2v("models", "pin", "wan2.1-14b").stdout
    assert json.loads(t2v("models", "show", "wan2.1-14b", "--json").stdout)["pinned"]
    assert "no longer kept" in t2v("models", "pin", "wan2.1-14b", "--off").stdout


def test_chat_models_say_how_to_fetch_them() -> None:
    said = t2v("models", "chat").stdout
    assert "qwen3-4b" in said and "not here" in said and "t2v models download NAME" in said
    rows = json.loads(t2v("models", "chat", "--json").stdout)["models"]
    assert all(not row["here"] and row["license"] and row["download_gb"] > 0 for row in rows)


def test_a_tiny_model_is_made_listed_and_forgotten(tmp_path: Path, home: Path) -> None:
    for name in ("one", "two", "three"):
        made = t2v("models", "make-tiny", "wan", tmp_path / name, "--json")
        assert made.exit_code == 0 and json.loads(made.stdout)["name"] == name
    file = home / "data" / "models.local.yaml"
    file.write_text(file.read_text("utf-8").replace("- name: three", "# the last one\n- name: three"), "utf-8")
    said = t2v("models", "forget", "two")
    assert said.exit_code == 0 and str(tmp_path / "two") in said.stdout and (tmp_path / "two").is_dir()
    names = [row["name"] for row in json.loads(t2v("models", "list", "--json").stdout)["models"]]
    assert "one" in names and "three" in names and "two" not in names
    assert t2v("models", "forget", "three").exit_code == 0 and t2v("models", "forget", "one").exit_code == 0
    assert json.loads(t2v("models", "list", "--json").stdout)["models"], "an empty file of one's own is no error"


@pytest.mark.parametrize(("name", "code"), [("tiny-wan", "not_your_own"), ("nothing", "unknown_name")])
def test_only_models_of_ones_own_are_forgotten(name: str, code: str) -> None:
    failed = t2v("models", "forget", name)
    assert failed.exit_code != 0 and isinstance(failed.exception, InputError) and failed.exception.code == code


def test_an_empty_cache_is_shown_and_nothing_is_deleted_unasked() -> None:
    assert "No model is there" in t2v("cache", "show").stdout
    pruned = json.loads(t2v("cache", "prune", "--json").stdout)
    assert pruned["goes"] == [] and pruned["freed"] == 0
    assert "Nothing would go" in t2v("cache", "purge").stdout
