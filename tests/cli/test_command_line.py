"""The command as a person or a script meets it: one JSON object, clear errors, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from t2v_studio.cli.main import app

BOOK = """# Gradient descent

Gradient descent moves the parameters a small distance along the negative gradient and repeats this until the loss no longer
falls. The gradient points in the direction in which the loss rises fastest, so its negative points downhill. Each step is the
product of the learning rate and the slope, and near a minimum the slope becomes gentle.

## The learning rate

The learning rate decides how far a step goes. When the learning rate is too large, the steps jump across the valley and the loss
grows instead of falling. When it is too small, training crawls and may be stopped long before it has reached the bottom of the valley.
A quadratic bowl with two parameters may be steep in one direction and flat in the other, so that the path zigzags between its walls.
"""


class Shell:
    """Runs `python -m t2v_studio` in a workspace of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith("T2V_")}
        env = known | {"T2V_HOME": str(self.home), "T2V_WORKER_THREADS": "1"} | environment
        return subprocess.run(
            [sys.executable, "-m", "t2v_studio", *arguments], capture_output=True, text=True, env=env, timeout=240
        )

    def json(self, *arguments: str, **environment: str) -> dict[str, Any]:
        done = self(*arguments, "--json", **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def error(self, *arguments: str, **environment: str) -> dict[str, Any]:
        done = self(*arguments, "--json", **environment)
        assert done.returncode != 0
        found = json.loads(done.stdout)
        assert set(found) == {"error"} and {"code", "message", "hint"} <= set(found["error"])
        assert found["error"]["hint"], "an error says what to do"
        return found["error"]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def book(shell: Shell) -> dict[str, Any]:
    path = shell.home / "notes.md"
    path.write_text(BOOK, encoding="utf-8")
    return shell.json("library", "add", str(path), "--min-words", "20")


def test_a_book_goes_in_and_is_found(shell: Shell, book: dict[str, Any]) -> None:
    assert {"book", "title", "pages", "kept", "rejected"} <= set(book)
    assert book["kept"] >= 2
    assert [row["book"] for row in shell.json("library", "list")["books"]] == [book["book"]]
    hits = shell.json("library", "search", "what if the learning rate is too large", "-k", "3")["hits"]
    assert {"book", "title", "page", "page_last", "section", "score", "text"} <= set(hits[0])
    assert "learning rate" in hits[0]["section"].lower() and hits[0]["book"] == book["book"]

    queries = shell.home / "queries.txt"
    queries.write_text("steep valley\n\nslope near a minimum\n", encoding="utf-8")
    results = shell.json("library", "search", "--queries", str(queries))["results"]
    assert [result["query"] for result in results] == ["steep valley", "slope near a minimum"]
    assert all("hits" in result for result in results)


def test_a_plan_can_be_edited_and_drawn_and_made_again(shell: Shell, book: dict[str, Any], tmp_path: Path) -> None:
    plan_file, small = (
        tmp_path / "plan.json",
        ["--width", "320", "--height", "180", "--fps", "8", "--scene-frames", "6"],
    )
    plan = shell.json("plan", "--topic", "gradient descent", "--use-rag", "--seed", "3", "--output", str(plan_file))
    assert plan["topic"] == "gradient descent" and plan["sources"], "retrieval found the book"
    plan["scenes"][0]["title"] = "An edited title"
    plan_file.write_text(json.dumps(plan), encoding="utf-8")
    made = shell.json(
        "generate", "--plan", str(plan_file), *small, "--seed", "3", "--output", str(tmp_path / "film.mp4")
    )
    assert {"video", "record", "frames", "fps", "duration_s", "verdict"} <= set(made)
    assert (tmp_path / "film.mp4").stat().st_size > 1000 and Path(made["video"]).is_file()
    record = json.loads(Path(made["record"]).read_text(encoding="utf-8"))
    assert record["plan"]["scenes"][0]["title"] == "An edited title"

    for wrong in (made["record"], made["video"]):
        told = shell.error("generate", "--plan", wrong)
        assert "is the record of a video, not a plan" in told["message"] and f"--from {wrong}" in told["hint"]
    told = shell.error("generate", "--from", str(plan_file))
    assert "is a plan, not the record" in told["message"] and f"--plan {plan_file}" in told["hint"]

    again = shell.json("generate", "--from", made["record"])
    second = json.loads(Path(again["record"]).read_text(encoding="utf-8"))
    assert second["frames_sha256"] == record["frames_sha256"]

    figure = shell.json(
        "figure", "--plan", str(plan_file), "--scene", "2", "--at", "0.5", "--output", str(tmp_path / "fig.pdf")
    )
    assert Path(figure["figure"]).read_bytes().startswith(b"%PDF")


def test_a_pair_holds_both_arms_and_the_proof(shell: Shell, book: dict[str, Any]) -> None:
    flags = ["--width", "320", "--height", "180", "--fps", "8", "--scene-frames", "6", "--seed", "3"]
    pair = shell.json("pair", "--topic", "gradient descent", *flags)
    assert {"no_rag", "rag_semantic", "grounding"} <= set(pair)
    arms = [pair["no_rag"], pair["rag_semantic"]]
    assert arms[0]["frames"] == arms[1]["frames"] and arms[0]["fps"] == arms[1]["fps"]
    assert pair["grounding"]["ok"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate"], "no topic"),
        (["generate", "--topic", "x", "--seconds", "3", "--frames", "9"], "--seconds and --frames"),
        (["generate", "--topic", "x", "--engin", "local"], "--engin"),
        (["generate", "--topic", "x", "--rag-query", "y"], "--use-rag"),
        (["generate", "--topic", "x", "--course-template", "gradientdescent"], "gradientdescent"),
        (["generate", "--topic", "x", "--plan", "nowhere.json"], "nowhere.json"),
        (["generate", "--from", "nowhere.json"], "nowhere.json"),
        (["generate", "--topic", "x", "--output", "/nowhere/at/all/film.mp4"], "/nowhere/at/all"),
        (["generate", "--topic", "x", "--engine", "diffusion", "--no-fallback-local-on-fail"], "Wan 2.1 14B"),
        (["library", "add", "nowhere.pdf"], "nowhere.pdf"),
        (["library", "show", "0123456789abcdef"], "0123456789abcdef"),
        (["library", "search"], "--queries"),
        (["jobs", "show", "job_nothing00"], "job_nothing00"),
        (["figure", "--plan", "nowhere.json", "--output", "a.svg"], "nowhere.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_with_what_to_do(shell: Shell, arguments: list[str], words: str) -> None:
    assert words in shell.error(*arguments)["message"]


def test_a_setting_that_cannot_be_is_named(shell: Shell) -> None:
    assert "T2V_RAG_CANDIDATE_K" in shell.error("library", "list", T2V_RAG_CANDIDATE_K="many")["message"]


def test_words_for_a_person_go_to_stderr_and_no_traceback_comes(shell: Shell) -> None:
    done = shell("library", "show", "0123456789abcdef")
    assert done.returncode != 0 and done.stdout == "" and "Traceback" not in done.stderr


def test_two_workspaces_share_nothing(shell: Shell, book: dict[str, Any], tmp_path: Path) -> None:
    assert Shell(tmp_path / "other").json("library", "list") == {"books": []}


def test_the_environment_yields_to_a_flag(shell: Shell) -> None:
    made = shell.json(
        "generate", "--topic", "a lever", "--frames", "8", "--seed", "1",
        T2V_SECONDS="2", T2V_RAG_TOP_K="2", T2V_FPS="8", T2V_WIDTH="320", T2V_HEIGHT="180",
    )  # fmt: skip
    assert (made["frames"], made["fps"]) == (8, 8)


def test_doctor_lists_checks(shell: Shell) -> None:
    rows = shell.json("doctor")["checks"]
    assert {"name", "state", "found", "cost", "hint"} <= set(rows[0])
    assert all(row["cost"] and row["hint"] for row in rows if row["state"] == "missing")


def test_lora_flags_become_an_adapter_of_the_catalogue(shell: Shell, tmp_path: Path) -> None:
    assert (
        "--strict and --fallback"
        in shell.error("generate", "--topic", "x", "--strict", "--fallback-local-on-fail")["message"]
    )
    assert "--engine diffusion" in shell.error("generate", "--topic", "x", "--lora-path", "a.safetensors")["message"]
    diffusion = ("generate", "--topic", "x", "--engine", "diffusion", "--model-id", "tiny-wan")
    both = shell.error(*diffusion, "--lora-path", "a.safetensors", "--adapter", "b")
    assert "exclude each other" in both["message"]
    assert (
        "nowhere.safetensors"
        in shell.error(*diffusion, "--lora-path", str(tmp_path / "nowhere.safetensors"))["message"]
    )
    assert shell.error(*diffusion, "--adapter", "lora_unknown")["code"] in (
        "unknown_adapter",
        "unknown_name",
        "not_found",
    )


def test_plan_prints_each_prompt_with_its_tokens(shell: Shell) -> None:
    done = shell("plan", "--topic", "gradient descent", "--engine", "diffusion", "--model-id", "tiny-wan", "--scene-frames", "16", "--print-prompt")  # fmt: skip
    assert "of 512 tokens): Educational explainer, scene 1 of 4" in done.stdout and "negative (" in done.stdout
    assert "16 frames a scene were rounded to 17" in done.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_the_keyboard_stops_a_run_without_a_terminal_in_words(shell: Shell, as_json: bool) -> None:
    big = ["--topic", "x", "--width", "1920", "--height", "1080", "--scene-frames", "600"]
    command = [sys.executable, "-m", "t2v_studio", "generate", *big, *(["--json"] if as_json else [])]
    env = os.environ | {"T2V_HOME": str(shell.home), "T2V_WORKER_THREADS": "1"}
    before = {job["id"] for job in shell.json("jobs", "list")["jobs"]}
    with subprocess.Popen(command, stdin=-3, stdout=-1, stderr=-1, text=True, env=env) as run:
        for _ in range(600):
            mine = [job for job in shell.json("jobs", "list")["jobs"] if job["id"] not in before]
            if mine and mine[0]["stage"] == "render" and mine[0]["step"]:
                break
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=120)
    assert run.returncode == 130 and "Traceback" not in err
    told = json.loads(out)["error"]["message"] if as_json else err.splitlines()[-2]
    assert told.removeprefix("t2v: ") == "Stopped by the keyboard."


def test_the_help_of_a_group_names_its_commands() -> None:
    groups = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, group in groups.items():
        commands = set(getattr(group, "commands", ()))
        listed = {word.strip() for word in group.help.partition(":")[2].rstrip(".").split(",")}
        if commands and listed <= commands:  # others describe themselves in a sentence
            assert listed == commands, f"t2v {name} --help"
        assert name != "videos" or "redraw" in listed
