"""`t2v adapters` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from t2v_studio.cli.main import app
from t2v_studio.errors import InputError, NotFoundError


def lora(path: Path, width: int = 24) -> Path:
    save_file(
        {
            "lora_unet_blocks_0_self_attn_q.lora_down.weight": torch.ones(4, width),
            "lora_unet_blocks_0_self_attn_q.lora_up.weight": torch.ones(width, 4),
            "lora_unet_blocks_0_self_attn_q.alpha": torch.tensor(8.0),
        },
        path,
    )
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("T2V_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def t2v(*arguments: object, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["adapters", *map(str, arguments)], input=answer)


def test_a_life_of_an_adapter(tmp_path: Path, home: Path) -> None:
    assert "No adapter yet" in t2v("list").stdout
    path = lora(tmp_path / "course.safetensors")
    added = t2v("add", path, "--name", "Course", "--trigger", "acad_course_v1", "--base", "tiny-wan", "--scale", 0.6)
    assert added.exit_code == 0 and "rank, alpha  4, 8 (the file's .alpha tensors)" in added.stdout
    again = json.loads(t2v("add", path, "--json").stdout)
    assert not again["new"] and again["name"] == "Course"
    listed = t2v("list").stdout
    assert "Course" in listed and "tiny-wan" in listed and "0 to 1.5" in listed and "academic_course_v1" in listed
    rows = json.loads(t2v("list", "--model", "wan2.1-14b", "--json").stdout)
    assert rows["adapters"] == [] and len(rows["presets"]) >= 4
    edited = json.loads(t2v("edit", "Course", "--scale-max", 0.9, "--also-for", "tiny-wan22", "--json").stdout)
    assert edited["scale_max"] == 0.9 and edited["also_for"] == ["tiny-wan22"]
    shown = t2v("show", "Course")
    assert "acad_course_v1" in shown.stdout and "0.6 (0 to 0.9)" in shown.stdout and str(home) in shown.stdout
    made = json.loads(t2v("export", "Course", "--format", "comfyui", "--output", tmp_path / "out", "--json").stdout)
    assert [Path(one).name for one in made["files"]] == ["Course.safetensors"] and Path(made["files"][0]).is_file()
    assert t2v("remove", "Course", answer="n\n").exit_code != 0
    assert "removed Course" in t2v("remove", "Course", "--yes").stdout
    assert "No adapter yet" in t2v("list").stdout


def test_a_check_ends_with_1_where_it_does_not_fit(tmp_path: Path) -> None:
    good = t2v("check", lora(tmp_path / "a.safetensors"), "--model", "tiny-wan")
    assert good.exit_code == 0 and "fits tiny-wan" in good.stdout and "1 matched, 0 unmatched" in good.stdout
    bad = t2v("check", lora(tmp_path / "b.safetensors", 36), "--model", "tiny-wan", "--json")
    assert bad.exit_code == 1 and not json.loads(bad.stdout)["ok"]
    words = t2v("check", tmp_path / "b.safetensors", "--model", "tiny-wan")
    assert words.exit_code == 1 and "does not fit tiny-wan" in words.stdout and "1 of another shape" in words.stdout


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_check_tells_unusable_numbers_from_layers_that_do_not_fit(tmp_path: Path, value: float) -> None:
    path = lora(tmp_path / "a.safetensors")
    tensors = load_file(path)
    next(one for one in tensors.values() if one.ndim == 2)[0, 0] = value
    save_file(tensors, path)
    words = t2v("check", path, "--model", "tiny-wan")
    assert words.exit_code == 1 and words.stdout.startswith("fits tiny-wan, but its numbers cannot be used")
    assert "1 matched, 0 unmatched" in words.stdout and "does not fit" not in words.output
    row = json.loads(t2v("check", path, "--model", "tiny-wan", "--json").stdout)
    assert (row["ok"], row["fits"]) == (False, True) and row["error"]
    other = json.loads(t2v("check", path, "--model", "tiny-ltx", "--json").stdout)
    assert (other["ok"], other["fits"]) == (False, False)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lora.pt").write_bytes(b"x")
    refused = t2v("add", tmp_path / "lora.pt")
    assert isinstance(refused.exception, InputError) and refused.exception.code == "adapter_pickle"
    assert isinstance(t2v("show", "nobody").exception, NotFoundError)
    lora(tmp_path / "a.safetensors")
    beyond = t2v("add", tmp_path / "a.safetensors", "--scale", 0.6, "--scale-max", 0.5)
    assert isinstance(beyond.exception, InputError) and "scale 0.6" in beyond.exception.message
    t2v("add", tmp_path / "a.safetensors")
    asked = t2v("remove", "a", "--json")
    assert isinstance(asked.exception, InputError) and asked.exception.hint == "Add --yes."
    unknown = t2v("export", "a", "--format", "comfy", "--output", tmp_path)
    assert isinstance(unknown.exception, InputError) and "comfyui" in unknown.exception.hint
