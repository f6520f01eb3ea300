"""`t2v models` and `t2v cache` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from t2v_studio.cli.main import app
from t2v_studio.errors import InputError
from t2v_studio.jobs.model_shelf import ModelShelf


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


def test_a_damaged_model_of_ones_own_is_said_to_be_damaged(tmp_path: Path) -> None:
    assert t2v("models", "make-tiny", "wan", tmp_path / "mine").exit_code == 0
    config = tmp_path / "mine" / "vae" / "config.json"
    kept = config.read_text()
    config.unlink()
    listed, shown = t2v("models", "list"), t2v("models", "show", "mine")
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith("mine")]
    assert "damaged" in line and "ready" not in line
    for said in (listed.stderr, shown.stdout):
        assert "its part vae has no config.json" in said and "t2v models forget mine" in said
    config.write_text(kept)
    assert "damaged" not in t2v("models", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(["--folder--"], "--folder--"), (["x"], "x"), (["fine", "--name", "My model"], "My model")],
)
def test_a_name_that_cannot_name_a_model_is_refused_before_anything_is_written(
    arguments: list[str], name: str, tmp_path: Path, home: Path
) -> None:
    failed = t2v("models", "make-tiny", "wan", tmp_path / arguments[0], *arguments[1:])
    assert isinstance(failed.exception, InputError) and failed.exception.code == "bad_name"
    assert failed.exception.message == f'name: "{name}" cannot name a model.' and "--name" in failed.exception.hint
    assert not (tmp_path / arguments[0]).exists() and not (home / "data" / "models.local.yaml").exists()


@pytest.mark.parametrize(("name", "code"), [("tiny-wan", "not_your_own"), ("nothing", "unknown_name")])
def test_only_models_of_ones_own_are_forgotten(name: str, code: str) -> None:
    failed = t2v("models", "forget", name)
    assert failed.exit_code != 0 and isinstance(failed.exception, InputError) and failed.exception.code == code


def test_an_empty_cache_is_shown_and_nothing_is_deleted_unasked() -> None:
    assert "No model is there" in t2v("cache", "show").stdout
    pruned = json.loads(t2v("cache", "prune", "--json").stdout)
    assert pruned["goes"] == [] and pruned["freed"] == 0
    assert "Nothing would go" in t2v("cache", "purge").stdout


@pytest.mark.parametrize(
    "command",
    [
        ["cache", "show"],
        ["cache", "prune"],
        ["generate", "--topic", "x", "--engine", "diffusion"],
        ["models", "download", "ltx-0.9.1"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("where", ["a file", "below a file", "/proc/x"])
def test_a_cache_that_can_be_no_folder_is_refused(
    command: list[str], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    root = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "models"}.get(where, Path(where))
    monkeypatch.setenv("T2V_CACHE_ROOT", str(root))
    refused = t2v(*command).exception
    assert isinstance(refused, InputError) and refused.code == "cache_unwritable"
    assert refused.message.startswith(f"T2V_CACHE_ROOT: {root} cannot be ") and refused.hint
    assert "T2V_CACHE_ROOT" in t2v("models", "list").stderr


def test_the_local_engine_needs_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("T2V_CACHE_ROOT", str(tmp_path / "file"))
    flags = ("--width", "128", "--height", "128", "--scene-frames", "1")
    assert t2v("generate", "--topic", "gradient descent", *flags).exit_code == 0
    tiny = t2v("generate", "--topic", "gradient descent", *flags[:4], "--engine", "diffusion", "--model-id", "tiny-wan", "--scene-frames", "5")  # fmt: skip
    assert tiny.exit_code == 0, "it does not lie there"


def test_a_cache_that_is_not_there_yet_is_shown_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2V_CACHE_ROOT", str(tmp_path / "disk" / "models"))
    shown = t2v("cache", "show")
    assert shown.exit_code == 0 and str(tmp_path / "disk" / "models") in shown.stdout
    assert not (tmp_path / "disk").exists() and not list(tmp_path.glob(".t2v-*"))


def test_presets_are_listed_with_what_they_set() -> None:
    said = t2v("models", "presets").stdout
    assert "distilled: " in said and "Needs a LoRA." in said and "steps 4" in said
    rows = {row["name"]: row for row in json.loads(t2v("models", "presets", "--json").stdout)["presets"]}
    assert rows["ltx-example"]["families"] == ["ltx"]


ASKED = ["--topic", "gradient descent", "--engine", "diffusion", "--model-id", "tiny-wan"]


@pytest.mark.parametrize("how", [{}, {"T2V_PURGE_HF_CACHE": "true"}, {"T2V_PRUNE_HF_CACHE": "true"}])
@pytest.mark.parametrize("command", ["generate", "pair"])
def test_a_run_asks_before_it_deletes_and_only_once_its_request_stands(
    command: str, how: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def plan(shelf: ModelShelf, depth: str = "prune", **more: Any) -> dict[str, Any]:
        asked.append({"depth": depth, **more})
        item = {"name": "someone/video", "bytes": 1e9, "revision": "", "why": "no kept model needs it"}
        return {"depth": depth, "goes": [item], "stays": [], "freed": 1e9, "token": "t"}

    monkeypatch.setattr(ModelShelf, "cache_plan", plan)
    monkeypatch.setattr(ModelShelf, "cache_delete", lambda *_, **__: pytest.fail("nobody agreed to this"))
    for name, value in how.items():
        monkeypatch.setenv(name, value)
    flags = [] if how else ["--prune-hf-cache"]
    wrong = t2v(command, *ASKED, "--steps", "0", *flags)
    assert isinstance(wrong.exception, InputError) and asked == []
    refused = t2v(command, *ASKED, *flags)
    assert isinstance(refused.exception, InputError) and refused.exception.code == "not_confirmed"
    assert asked[0]["depth"] == ("purge" if "T2V_PURGE_HF_CACHE" in how else "prune")
    assert asked[0]["request"]["model_id"] == "tiny-wan"
    asked.clear()
    t2v("plan", *ASKED[:2])
    assert asked == []
