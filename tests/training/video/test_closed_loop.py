"""All the way round by the commands of docs/closed_loop.md: pack, blind scores, manifest, adapter, pack with it, base against adapter."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "studies"))

from raters import Scene, desk_at

from t2v_studio.cli.main import app
from t2v_studio.database import reading
from t2v_studio.production.records import read_record
from t2v_studio.workspace import Workspace

PAGE = Path(__file__).resolve().parents[3] / "docs" / "closed_loop.md"
NOTES = """# Optimisation

Gradient descent minimises a differentiable objective by moving against its gradient vector. At every iteration the
weights are updated by subtracting the learning rate times the derivative. A learning rate above two divided by the
largest curvature makes the iterates diverge. Too small a learning rate wastes computation because progress towards the
minimum is slow. On narrow ellipses the descent path zigzags between the walls of the valley.

# Networks

Backpropagation sends the error signal backward through each layer by the chain rule. The forward pass of
backpropagation stores every activation because the backward pass needs it. Each weight moves against the product of its
input activation and the error signal of its target. The loss surface of a neural network contains many saddle points
and flat plateaus. The slope at the current point tells the direction of steepest increase of the loss.
"""
QUICK = {
    "train video": "--steps 4 --save-every 4 --validate-every 4 --learning-rate 0.05 --validation-prompts ''",
    "train validate": "--scale 1",
}
"""Added to the page's commands, so that they take a moment."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


class Walk:
    """Types the commands of the page. names: what stands for its capital words."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.said: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, int] = {}

    def type(self, line: str) -> dict[str, Any]:
        _, group, *words = shlex.split(
            re.sub(r"[A-Z]+(_\d)?\b", lambda found: self.names.get(found[0], found[0]), line)
        )
        verb = group if group == "summary" else f"{group} {words.pop(0)}"
        argv = [*verb.split(), *words, *shlex.split(QUICK.get(verb, "")), "--json"]
        done = CliRunner().invoke(app, argv)
        assert done.exit_code in ((0, 1) if verb == "train validate" else (0,)), (line, done.output, done.exception)
        self.codes[verb] = done.exit_code
        self.said[verb] = json.loads(done.stdout)
        return self.said[verb]


def scored(home: Path, study_id: str) -> None:
    """The examiner of the page, who gives the arm with the book 5 and the other one 2."""
    with reading(Workspace.at(home).database) as connection:
        rows = connection.execute(
            "SELECT assignment.id AS id, l.variant AS left, r.variant AS right FROM assignment JOIN clip l ON l.id = left_clip "
            "JOIN clip r ON r.id = right_clip"
        )
        arms = {row["id"]: {"left": row["left"], "right": row["right"]} for row in rows}
    Scene(desk_at(home), study_id, "ben").answer_all(
        lambda screen, side, criterion: 5 if arms[screen["assignment"]][side] == "rag_semantic" else 2
    )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_once_round_by_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, walk = tmp_path / "home", Walk()
    monkeypatch.setenv("T2V_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "sample").mkdir(parents=True)
    pack = yaml.safe_load(blocks("yaml")[0])
    pack["defaults"]["steps"] = 1
    Path("loop.yaml").write_text(yaml.safe_dump(pack))
    Path("notes.md").write_text(NOTES)
    for line in "".join(blocks("sh")).splitlines():
        line = line.replace("data/sample/six-ideas-of-machine-learning.pdf", "notes.md")
        if line == "t2v serve":
            scored(home, walk.names["STUDY"])
            continue
        if "--raters 1" in line:
            line = line.replace("--raters 1", "--raters 2")  # the second one is played here
        found = walk.type(line)
        if line.startswith("t2v pack run") and "--adapter" not in line:
            pairs = list(dict.fromkeys(row["pair_id"] for row in found["rows"]))
            walk.names |= {"PAIR_1": pairs[0], "PAIR_2": pairs[1]}
            pack["topics"] = pack["topics"][:1]  # one topic is enough for the second time
            Path("loop.yaml").write_text(yaml.safe_dump(pack))
        elif line.startswith("t2v study create"):
            walk.names["STUDY"] = found["id"]
        elif line.startswith("t2v train video"):
            walk.names |= {"RUN": found["run"], "ADAPTER": found["adapter"]}
    check_manifest(walk)
    check_training(walk)
    check_pack(walk, Workspace.at(home))


def check_manifest(walk: Walk) -> None:
    made = walk.said["manifest build"]
    rows = [json.loads(line) for line in Path("loop.jsonl").read_text().splitlines()]
    assert made["clips"] == len(rows) == 2 and {row["score"] for row in rows} == {5.0}, "the two with the book"
    assert made["reasons"].get("low_score", 0) == 2, made["reasons"]
    assert {row["split"] for row in rows} == {"train", "val"} and walk.said["manifest check"]["ok"]
    assert all(row["caption"].startswith("acad_course_v1") for row in rows)


def check_training(walk: Walk) -> None:
    dry = walk.said["train dry-run"]
    assert dry["clips"] == {"train": 1, "validation": 1, "dropped": 0} and dry["parameters"]["trainable"] > 0
    trained = walk.said["train video"]["results"][0]
    assert trained["step"] == 4 and trained["metrics"]["val_loss"] != trained["base"]["val_loss"]
    assert walk.said["train show"]["state"] == "finished"
    check = walk.said["train validate"]
    assert check["adapter"] == walk.names["ADAPTER"] and walk.codes["train validate"] == (0 if check["ok"] else 1)
    assert bool(check["regressions"]) is not check["ok"]
    assert check["base"]["val_loss"] == pytest.approx(trained["base"]["val_loss"], abs=1e-6), "the same clips and noise"


def check_pack(walk: Walk, workspace: Workspace) -> None:
    found = walk.said["pack compare"]
    assert [(row["topic_slug"], row["variant"]) for row in found["rows"]] == [
        ("gradient_descent", "no_rag"), ("gradient_descent", "rag_semantic")
    ] and not found["left_out"]  # fmt: skip
    for row in found["rows"]:
        base, drawn = (read_record(workspace.video(row[side]["video"]) / "record.json") for side in ("base", "adapter"))
        assert base.adapter is None and drawn.adapter and drawn.adapter["scale"] == 1
        assert base.frames_sha256 != drawn.frames_sha256, "the same plan and seed, another picture"
        assert [scene.seed for scene in base.scenes] == [scene.seed for scene in drawn.scenes]
    assert [row["base"]["score"] for row in found["rows"]] == [2.0, 5.0] and found["rows"][0]["adapter"][
        "score"
    ] is None
    warp = next(row for row in found["summary"] if row["measure"] == "warp_error")
    assert warp["n"] == 2 and warp["difference"] == pytest.approx(warp["adapter"] - warp["base"])
    assert warp["improved"] + warp["worsened"] + warp["alike"] == 2
    with Path(found["csv"]).open() as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "| warp error | lower | 2 |" in Path(found["markdown"]).read_text()
    summary = json.loads(Path("PROJECT_SUMMARY.json").read_text())
    assert [one["id"] for one in summary["adapters"]] == [walk.names["ADAPTER"]]
