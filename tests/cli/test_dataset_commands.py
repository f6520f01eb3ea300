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
    assert code == 1 and "it is empty" in out and "1 errors" in out and "not checked: gate" in err
    file.write_text(json.dumps({"instruction": "Say", "output": "word"}) + "\n", encoding="utf-8")
    code, out, _ = t2v("validate", file, "--json")
    assert code == 0 and json.loads(out)["counts"]["error"] == 0
