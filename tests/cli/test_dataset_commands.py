"""`t2v dataset`, as a script meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_study_analyse import run


@pytest.fixture
def t2v(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("T2V_HOME", str(tmp_path / "home"))
    return lambda *arguments: run(monkeypatch, capsys, "dataset", *map(str, arguments))


def test_validate_leaves_with_1_where_there_are_errors(t2v: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"instruction": "Draw", "output": ""}) + "\n", encoding="utf-8")
    code, out, _ = t2v("validate", file, "--json")
    found = json.loads(out)
    assert code == 1 and found["ok"] is False and found["findings"][0]["field"] == "output"
    code, out, err = t2v("validate", file)
    assert code == 1 and "it is empty" in out and "1 error," in out and "not checked: dry run" in err
    file.write_text(json.dumps({"instruction": "Say", "output": "word"}) + "\n", encoding="utf-8")
    code, out, _ = t2v("validate", file, "--json")
    assert code == 0 and json.loads(out)["counts"]["error"] == 0


def test_from_pages_to_a_set_in_four_commands(t2v: Any, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for number, name in enumerate(("Circle", "Star", "Arrow", "Ellipse", "Sector")):
        code = f"from manim import *\n\nclass S{number}(Scene):\n    def construct(self):\n        self.add({name}())\n"
        (tmp_path / "docs" / f"{name}.html").write_text(f"<p>About {name}.</p><pre>{code}</pre>", encoding="utf-8")
    snippets, captioned, folder = tmp_path / "s.jsonl", tmp_path / "c.jsonl", tmp_path / "set"
    code, out, _ = t2v("extract-manim-docs", tmp_path / "docs", "-o", snippets, "--json")
    assert code == 0 and json.loads(out)["rows"] == 5
    code, out, err = t2v("caption", snippets, "-o", captioned)
    assert code == 0 and "captioned 5" in out and "t2v dataset combine" in err
    code, out, _ = t2v("combine", captioned, "-o", folder)
    assert code == 0 and "kept 5: 4 train, 1 test" in out and "licenses: MIT 5" in out
    code, out, _ = t2v("validate", folder / "train.jsonl", folder / "test.jsonl")
    assert code == 0 and "0 errors" in out
    code, _, err = t2v("caption", snippets, "--captioner", "endpoint", "-o", captioned)
    assert code == 2 and "T2V_CAPTION_URL" in err
    code, _, err = t2v("caption", snippets, "--captioner", "rulez", "-o", captioned)
    assert code == 2 and '"rules"' in err


def test_extract_pairs_says_where_the_rejected_rows_lie(t2v: Any, tmp_path: Path) -> None:
    rows = [{"instruction": "a", "output": "x = 1 y = 2"}, {"instruction": "b", "output": "x = ("}]
    file = tmp_path / "edoh.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, out, _ = t2v("extract-pairs", file, "--source", "edoh", "--license", "openrail", "-o", tmp_path / "p.jsonl")
    assert code == 0 and "repaired 1" in out and "p.rejected.jsonl" in out
    code, _, err = t2v("extract-pairs", file, "-o", tmp_path / "p.jsonl")
    assert code == 2 and "--source" in err


def test_upload_asks_first(t2v: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("t2v_studio.datasets.text_pairs.upload.hub", lambda token: pytest.fail("it was sent"))
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n", encoding="utf-8")
    monkeypatch.setattr("typer.confirm", lambda text, err: "private" not in text)
    code, out, err = t2v("upload", folder, "--repo", "me/set")
    assert code == 130 and out == "" and "# set" in err


def test_storyboards_from_the_command_line(t2v: Any, tmp_path: Path) -> None:
    text = "A green valley lies in the mist and a river runs through it. Birds cross the wide sky above the old mill."
    (tmp_path / "board.txt").write_text(f"Scene 1: Valley\n{text}\n", encoding="utf-8")
    code, out, err = t2v("process-storyboards", tmp_path / "board.txt", "-o", tmp_path / "rows.jsonl")
    assert code == 0 and "1 scene," in out and "rows.review.jsonl" in out and "Next: read" in err
