"""`t2v pack` as a person meets it: the local engine, a small book, one job for all of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from t2v_studio.errors import ConflictError
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio

BOOK = """# Gradient descent

Gradient descent moves the parameters a small distance along the negative gradient and repeats this until the loss no longer
falls. The gradient points in the direction in which the loss rises fastest, so its negative points downhill. Each step is the
product of the learning rate and the slope, and near a minimum the slope becomes gentle.

## The learning rate

The learning rate decides how far a step goes. When the learning rate is too large, the steps jump across the valley and the loss
grows instead of falling. When it is too small, training crawls and may be stopped long before it has reached the bottom of the valley.
A quadratic bowl with two parameters may be steep in one direction and flat in the other, so that the path zigzags between its walls.
"""
PACK = """name: mine
title: My pack
defaults: {width: 320, height: 180, fps: 8, scene_frames: 8}
topics:
  - {slug: descent, topic: gradient descent, template: gradient_descent, seed: 61}
  - {slug: noodles, topic: the history of noodles in Sapporo, seed: 62}
"""
COMMAND = [sys.executable, "-m", "t2v_studio"]


class Shell:
    """Runs `python -m t2v_studio` in a workspace of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        known = {name: value for name, value in os.environ.items() if not name.startswith("T2V_")}
        self.environment = known | {"T2V_HOME": str(home), "T2V_WORKER_THREADS": "1", "OMP_NUM_THREADS": "1"}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=240,
            cwd=self.home.parent,
        )

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        done = self(*arguments, "--json")
        assert done.returncode == code, done.stderr + done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A workspace with one book and one pack."""
    folder = tmp_path_factory.mktemp("packs")
    (folder / "book.md").write_text(BOOK)
    (folder / "mine.yaml").write_text(PACK)
    shell = Shell(folder / "home")
    shell.json("library", "add", str(folder / "book.md"), "--min-words", "20")
    return shell


def test_the_packs_that_ship_are_listed(shell: Shell) -> None:
    found = shell.json("pack", "list")
    assert {row["name"] for row in found["packs"]} >= {"course_ml", "backprop_pair", "few_shot"}
    assert all(not row["error"] and row["topics"] for row in found["packs"])
    done = shell("pack", "list")
    assert "course_ml" in done.stdout


def test_a_run_killed_in_the_middle_goes_on_and_a_refused_topic_is_told(shell: Shell) -> None:
    pack = str(shell.home.parent / "mine.yaml")
    videos = shell.home / "outputs" / "videos"
    child = subprocess.Popen(
        [*COMMAND, "pack", "run", pack], env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    end = time.monotonic() + 120
    while not any(videos.glob("*vid_*")):
        assert child.poll() is None and time.monotonic() < end, child.communicate()
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (folder,) = (shell.home / "outputs" / "packs").iterdir()
    before = {path.parent.name: path.stat().st_ino for path in videos.glob("vid_*/video.mp4")}

    made = shell.json("pack", "run", pack, code=1)
    assert made["folder"] == str(folder)
    assert made["counts"] == {"topics": 2, "ok": 1, "refused": 1, "failed": 0, "open": 0}
    after = {path.parent.name: path.stat().st_ino for path in videos.glob("vid_*/video.mp4")}
    assert before.items() <= after.items() and len(after) == 2
    assert [row["status"] for row in made["rows"]] == ["ok", "ok", "refused", "refused"]
    assert made["rows"][1]["grounded"] == "yes"
    assert {path.name for path in folder.iterdir()} >= {"summary.csv", "results.md", "pack.json", "descent"}

    shown = shell.json("pack", "show", made["run"])
    assert shown["rows"] == made["rows"] and shown["state"] == "finished"
    done = shell("pack", "show", made["run"])
    assert "1 of 2 topics made, 1 refused" in done.stdout and "noodles" in done.stderr
    listed = shell.json("pack", "list")["runs"]
    assert [row["run"] for row in listed] == [made["run"]]
    pair = shell.json("videos", "show", made["rows"][0]["video_id"])
    assert pair["pair_id"] == made["pair_ids"][0]


def test_seed_offsets_flags_and_a_folder_of_ones_own(shell: Shell, tmp_path: Path) -> None:
    arguments = [
        "pack",
        "run",
        str(shell.home.parent / "mine.yaml"),
        "--fps",
        "10",
        "--scene-frames",
        "6",
        "--tag",
        "b",
    ]
    offsets = ["--seed-offset", "100", "--seed-offset", "200", "--strict", "--output", str(tmp_path)]
    made = shell.json(*arguments, *offsets, code=1)["runs"]
    assert [run["run"] for run in made] == ["mine-b-s100", "mine-b-s200"]
    assert [run["rows"][0]["seed"] for run in made] == [161, 261]
    assert [(run["rows"][0]["fps"], run["rows"][0]["scene_frames"]) for run in made] == [(10, 6)] * 2
    assert all((tmp_path / run["run"] / "descent/no_rag/video.mp4").is_file() and run["strict"] for run in made)
    assert shell.json("pack", "show", str(tmp_path / "mine-b-s100"))["run"] == "mine-b-s100"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "curse_ml"], 2, "course_ml"),
        (["run", "nothing.yaml"], 2, "cannot be read"),
        (["run", "backprop_pair", "--engine", "mamim"], 2, "manim"),
        (["run", "backprop_pair", "--tag", "../up"], 2, "tag"),
        (["run", "backprop_pair", "--fps", "900"], 2, "fps"),
        (["show", "mine-nothing"], 3, "no run"),
    ],
)
def test_what_cannot_be_done_says_so_and_leaves_nothing(
    shell: Shell, arguments: list[str], code: int, words: str
) -> None:
    error = shell.json("pack", *arguments, code=code)["error"]
    assert words in f"{error['message']} {error['hint']}"
    assert not list((shell.home / "outputs" / "packs").glob("backprop_pair*"))


def test_a_run_is_not_made_by_two_at_once(tmp_path: Path) -> None:
    studio = Studio(Settings(home=tmp_path, _env_file=None))
    first = studio.packs.submit_pack("backprop_pair")
    assert (first.kind, first.lane, first.title) == ("pack", "library", "Pack: One pair on backpropagation")
    with pytest.raises(ConflictError) as caught:
        studio.packs.submit_pack("backprop_pair")
    assert caught.value.code == "pack_running" and caught.value.details["job"] == first.id
    assert [row["state"] for row in studio.packs.pack_runs()] == ["running"]
    studio.cancel(first.id)
    assert [row["state"] for row in studio.packs.pack_runs()] == ["unfinished"]
    assert studio.packs.submit_pack("backprop_pair").spec["run"] == first.spec["run"]
