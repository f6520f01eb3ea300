"""`t2v manifest`, `t2v scenarios` and `t2v summary`, as a script meets them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from test_study_analyse import run, strict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "datasets"))

from footage_sets import scenarios_file, vatex
from training_clips import Clips, clips_once, copied


@pytest.fixture(scope="module")
def made_clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return clips_once(tmp_path_factory)


@pytest.fixture
def clips(made_clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clips:
    found = copied(made_clips, tmp_path / "home")
    monkeypatch.setenv("T2V_HOME", str(found.home))
    return found


@pytest.fixture
def t2v(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: run(monkeypatch, capsys, *map(str, arguments))


def test_from_scored_clips_to_a_folder_for_a_trainer(clips: Clips, t2v: Any, tmp_path: Path) -> None:
    jsonl = tmp_path / "lora_course_manifest.jsonl"
    root = clips.home / "outputs"
    code, out, _ = t2v("manifest", "build", "--input-root", root, "--glob", "**/*.mp4", "--output-jsonl", jsonl,
                       "--trigger-token", "acad_course_v1", "--split", "0.8,0.1,0.1", "--seed", "42", "--min-score", "4",
                       "--json")  # fmt: skip
    made = strict(out)
    assert code == 0 and made["clips"] == 4 and jsonl.with_suffix(".csv").is_file()
    assert {json.loads(line)["score"] for line in jsonl.read_text().splitlines()} == {4.0, 5.0}
    code, out, _ = t2v("manifest", "show")
    assert code == 0 and made["id"] in out
    code, out, _ = t2v("manifest", "show", made["id"], "--excluded")
    assert code == 0 and "Course clips" not in out and "Blind still" in out and "leak check: nothing" in out
    code, out, _ = t2v("manifest", "export", jsonl, "--layout", "text", "--output", tmp_path / "set", "--json")
    assert code == 0 and strict(out)["clips"] == 4 and len(list((tmp_path / "set").rglob("*.txt"))) == 4
    clip = json.loads(jsonl.read_text().splitlines()[0])["id"]
    code, out, _ = t2v("manifest", "caption", made["id"], clip, "Two arrows meet.", "--json")
    assert strict(out)["caption"] == "acad_course_v1, Two arrows meet."


def test_blinded_copies_of_a_study_have_no_record_and_stay_out(clips: Clips, t2v: Any) -> None:
    code, out, _ = t2v("manifest", "build", "--input-root", clips.home / "outputs", "--json")
    made = strict(out)
    rows = strict(t2v("manifest", "show", made["id"], "--json")[1])["rows"]
    assert code == 0 and not any("studies" in row["video_path"] for row in rows)
    assert made["reasons"]["no_record"] > 0


def test_a_check_leaves_with_a_code(clips: Clips, t2v: Any) -> None:
    made = strict(t2v("manifest", "build", "--include-fallback", "--json")[1])
    assert made["reasons"].get("fallback") is None
    assert t2v("manifest", "check", made["id"])[0] == 0
    row = strict(t2v("manifest", "show", made["id"], "--json")[1])["rows"][0]
    Path(row["video"]).unlink()
    code, out, _ = t2v("manifest", "check", made["id"], "--json")
    assert code == 1 and not strict(out)["ok"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["manifest", "build", "--split", "1,1"], 2, "split"),
        (["manifest", "build", "--criterion", "beauty", "--min-score", "4"], 2, "beauty"),
        (
            ["manifest", "build", "--min-score", "5", "--criterion", "clarity", "--topic", "attention"],
            1,
            "No clip is left",
        ),
        (["manifest", "show", "set_000000"], 3, "set_000000"),
        (["manifest", "export", "set_000000", "--output", "x"], 3, "set_000000"),
        (["scenarios", "build", "--source", "vatex", "--root", ".", "--root", ".", "--output", "x"], 2, "--root"),
        (["scenarios", "build", "--source", "vatex", "--root", ".", "--output", "x", "--resolution", "big"], 2, "big"),
        (["summary", "--output", "no/such/folder.json"], 2, "output"),
    ],
)
def test_what_cannot_be_done_is_said(clips: Clips, t2v: Any, arguments: list[str], code: int, said: str) -> None:
    left, out, err = t2v(*arguments)
    assert left == code and said in err and "Traceback" not in out + err


def test_scenarios_from_footage(t2v: Any, tmp_path: Path) -> None:
    code, out, _ = t2v("scenarios", "list", "--json")
    assert code == 0 and strict(out)["scenarios"]["market_floor"]["min_examples"] == 800
    root, out_folder = vatex(tmp_path / "vatex"), tmp_path / "scenarios"
    arguments = ["scenarios", "build", "--source", "vatex", "--root", root, "--output", out_folder, "--scenarios",
                 scenarios_file(tmp_path)]  # fmt: skip
    code, out, _ = t2v(*arguments)
    assert code == 0 and "4 clips of 2 source videos" in out and (out_folder / "scenario_metadata.json").is_file()
    code, out, _ = t2v("manifest", "check", out_folder)
    assert code == 0 and "4 clips, 0 changed" in out


def test_the_summary_of_a_project(clips: Clips, t2v: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2V_AUTH", "ada:secret")
    made = strict(t2v("manifest", "build", "--min-score", "4", "--json")[1])
    code, _, _ = t2v("summary", "--output", tmp_path)
    text = (tmp_path / "PROJECT_SUMMARY.json").read_text()
    found = strict(text)
    assert code == 0 and "secret" not in text and str(clips.home) not in text
    paths = {row["path"]: row["sha256"] for row in found["configs"]}
    assert (
        "data/scenarios.yaml" in paths
        and "data/packs/course_ml.yaml" in paths
        and len(set(map(len, paths.values()))) == 1
    )
    closed = {row["criterion"]: row for row in found["metrics"]["studies"] if row["state"] == "closed"}
    assert len(closed) == 5 and closed["clarity"]["no_rag"] == 3.0 and round(closed["clarity"]["gap"], 3) == 1.333
    still_blind = [row for row in found["metrics"]["studies"] if row["state"] == "locked"]
    assert len(still_blind) == 1 and "gap" not in still_blind[0]
    assert [(row["id"], row["data_hash"]) for row in found["datasets"]] == [(made["id"], made["data_hash"])]
    assert found["artifacts"]["pairs"] == 5 and found["metrics"]["videos"]["verdicts"]["black"] == 1
