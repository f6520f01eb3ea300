"""Text sets of a workspace: named, never a path; whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from t2v_studio.datasets.text_pairs import kept
from t2v_studio.errors import InputError, NotFoundError, StudioError
from t2v_studio.jobs.text_desk import TextDesk
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

ROW = {"instruction": "Say one.", "output": "One."}


def write(path: Path, *rows: dict[str, str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_a_set_is_added_checked_and_removed(tmp_path: Path) -> None:
    desk = TextDesk(Settings(home=tmp_path / "home", _env_file=None))
    assert desk.sets() == []
    folder = tmp_path / "My rows"
    write(folder / "train.jsonl", ROW)
    write(folder / "dropped.jsonl", {"reason": "near"})
    row = desk.add([folder])
    assert row["name"] == "my-rows" and row["files"] == ["train.jsonl"]
    assert desk.add([folder])["name"] == "my-rows-2"
    found = desk.validate_set("my-rows", tokenizer="tiny-qwen3", max_length=16)
    assert found["ok"] and found["rows"] == 1 and found["splits"] == {"train": 1} and found["tokens"]["truncated"] == 1
    desk.remove("my-rows")
    assert [row["name"] for row in desk.sets()] == ["my-rows-2"]


def test_nothing_is_left_of_what_cannot_be_read(workspace: Workspace, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudioError):
        kept.add(workspace, [write(tmp_path / "good.jsonl", ROW), bad])
    with pytest.raises(InputError, match="name: "):
        kept.add(workspace, [tmp_path / "good.jsonl"], "../up")
    assert kept.rows(workspace) == [] and list(kept.folder_of(workspace).glob("*")) == []


@pytest.mark.parametrize("name", ["..", "", "a/b", "nothing"])
def test_a_name_is_never_a_path(workspace: Workspace, name: str) -> None:
    with pytest.raises(NotFoundError):
        kept.find(workspace, name)
