"""The verbs of `t2v study` and `t2v metrics`, as a script meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from test_study_analyse import home, run, strict, write_scores  # noqa: F401 - a fixture for every test here

from t2v_studio.studies.desk import StudyDesk


def test_a_report_and_its_bundle_from_the_command_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    scores = write_scores(tmp_path / "s.csv", {"clarity": [1, 0, 2], "order": [0, 1, 1]})
    code, out, _ = run(monkeypatch, capsys, "study", "analyse", str(scores), "--json", "--out", str(tmp_path / "one"))
    files = [Path(file) for file in strict(out)["files"]]
    assert code == 0 and all(file.stat().st_size for file in files)
    made = {file.relative_to(tmp_path / "one").as_posix() for file in files}
    assert {"tables/criteria.tex", "figures/forest.pdf", "methods.md", "analysis.json", "bundle.zip"} <= made
    again = tmp_path / "two"
    source = str(tmp_path / "one" / "bundle.zip")
    code, out, _ = run(monkeypatch, capsys, "study", "report", "--from", source, "--out", str(again))
    assert code == 0 and "Only 3 topics" in out
    assert (again / "analysis.json").read_bytes() == (tmp_path / "one" / "analysis.json").read_bytes()


def test_a_report_needs_one_source(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    code, _, err = run(monkeypatch, capsys, "study", "report", "--out", str(tmp_path / "x"))
    assert code == 2 and "--from" in err
    code, out, _ = run(monkeypatch, capsys, "study", "report", "study_000000", "--out", str(tmp_path / "x"), "--json")
    assert code == 3 and strict(out)["error"]["code"] == "unknown_study"
    assert not (tmp_path / "x").exists()


def test_no_study_yet_says_what_to_do(monkeypatch: Any, capsys: Any) -> None:
    assert strict(run(monkeypatch, capsys, "study", "list", "--json")[1]) == {"studies": []}
    assert "t2v study create" in run(monkeypatch, capsys, "study", "list")[1]


def test_power_says_that_few_topics_find_nothing(monkeypatch: Any, capsys: Any) -> None:
    code, out, _ = run(
        monkeypatch, capsys, "study", "power", "--gap", "1", "--topics", "4", "--raters", "2,3", "--json"
    )
    rows = strict(out)["power"]
    assert code == 0 and [(row["topics"], row["raters"]) for row in rows] == [(4, 2), (4, 3)]
    assert all(row["power"] == 0 and "Below 8" in row["note"] for row in rows)
    assert run(monkeypatch, capsys, "study", "power", "--topics", "many")[0] == 2


def test_the_steps_reach_the_desk(monkeypatch: Any, capsys: Any) -> None:
    seen: list[Any] = []

    def lock(self: StudyDesk, study_id: str, *, raters: int, overrides: dict[str, str] | None = None) -> dict[str, Any]:
        seen.append((study_id, raters, overrides))
        return {"id": study_id, "design_sha256": "d" * 64}

    monkeypatch.setattr(StudyDesk, "lock", lock)
    flags = ["--raters", "3", "--override", "attention=the last scene is meant to be dark"]
    assert run(monkeypatch, capsys, "study", "lock", "study_1", *flags)[0] == 0
    assert seen == [("study_1", 3, {"attention": "the last scene is meant to be dark"})]
    code, _, err = run(monkeypatch, capsys, "study", "lock", "study_1", "--raters", "3", "--override", "attention")
    assert code == 2 and "gives no reason" in err


def test_measures_of_a_video(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    import imageio.v3 as iio

    frames = np.zeros((6, 64, 96, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[20:40, 10 + 4 * number : 30 + 4 * number] = 255
    iio.imwrite(tmp_path / "v.mp4", frames, fps=8)
    code, out, _ = run(monkeypatch, capsys, "metrics", str(tmp_path / "v.mp4"), "--text", "a box", "--json")
    (video,) = strict(out)["videos"]
    found = {measure["name"]: measure for measure in video["measures"]}
    assert code == 0 and video["frames"] == 6
    assert found["warp_error"]["value"] is not None
    assert (found["clip_text"]["value"], found["clip_text"]["status"]) == (None, "unavailable")
    _, out, err = run(monkeypatch, capsys, "metrics", str(tmp_path / "v.mp4"), "--clip-weights", str(tmp_path))
    assert "unavailable" in out and "config.json" in out and "dynamic degree" in err
    code, out, _ = run(monkeypatch, capsys, "metrics", str(tmp_path / "absent.mp4"), "--json")
    assert code != 0 and json.loads(out)["error"]["message"]
