"""`t2v study analyse`: a plain table of ratings in, numbers out."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from t2v_studio.cli import main as console

ROW_KEYS = {"gap", "ci_low", "ci_high", "p", "p_holm", "rank_biserial", "win", "tie", "loss", "alpha"}


def write_scores(path: Path, gaps: dict[str, list[int]], raters: int = 3) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rater", "topic", "variant", "criterion", "score"])
        for criterion, values in gaps.items():
            for topic, gap in enumerate(values):
                for rater in range(raters):
                    writer.writerow([f"r{rater}", f"t{topic:02d}", "no_rag", criterion, 2])
                    writer.writerow([f"r{rater}", f"t{topic:02d}", "rag_semantic", criterion, 2 + gap])
    return path


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["t2v", *arguments])
    with pytest.raises(SystemExit) as left:
        console.main()
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("T2V_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def strict(text: str) -> Any:
    """JSON as its standard has it: NaN is an error."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_holds_every_number_of_a_criterion(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    scores = write_scores(tmp_path / "s.csv", {"clarity": [1] * 7 + [2], "order": [1, -1, 0, 0, 1, -1, 0, 0]})
    code, out, _ = run(monkeypatch, capsys, "study", "analyse", str(scores), "--json")
    result = strict(out)
    assert code == 0
    assert (result["topics"], result["raters"], result["control"]) == (8, 3, "no_rag")
    clarity, order = result["criteria"]
    assert set(clarity) >= ROW_KEYS | {"criterion", "verdict"}
    assert clarity["gap"] == pytest.approx(9 / 8)
    assert (clarity["p"], clarity["p_holm"]) == (pytest.approx(2 / 2**8), pytest.approx(4 / 2**8))
    assert (order["win"], order["tie"], order["loss"], order["gap"]) == (2, 4, 2, 0)


def test_undefined_numbers_are_null(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    scores = write_scores(tmp_path / "s.csv", {"clarity": [0, 0]}, raters=1)
    with scores.open("a", encoding="utf-8") as file:
        file.write("r0,t00,no_rag,alone,3\n")
    _, out, _ = run(monkeypatch, capsys, "study", "analyse", str(scores), "--json")
    clarity, alone = strict(out)["criteria"]
    assert (clarity["alpha"], clarity["ci_low"], clarity["rank_biserial"], clarity["p"]) == (None, None, None, 1.0)
    assert (alone["gap"], alone["topics"]) == (None, 0)


def test_words_for_a_person_say_that_few_topics_prove_nothing(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    scores = write_scores(tmp_path / "s.csv", {"clarity": [1, 2, 1]})
    code, out, err = run(monkeypatch, capsys, "study", "analyse", str(scores))
    assert code == 0
    assert "+1.33" in out and "3/0/0" in out
    assert "Only 3 topics" in err


def test_a_bad_table_leaves_with_an_error(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    (tmp_path / "s.csv").write_text("rater,topic\na,b\n", encoding="utf-8")
    code, out, _ = run(monkeypatch, capsys, "study", "analyse", str(tmp_path / "s.csv"), "--json")
    assert code == 2
    assert strict(out)["error"]["code"] == "scores_columns"
