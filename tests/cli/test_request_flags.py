"""The flags of a video: a LoRA file that joins the catalogue or does not, flags that do nothing, values that cannot be."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from t2v_studio.cli.main import app, main
from t2v_studio.errors import InputError

sys.path.append(str(Path(__file__).parents[1] / "engines" / "diffusion"))

SMALL = ("--width", "128", "--height", "128", "--scene-frames", "5")
TINY = ("--topic", "gradient descent", "--engine", "diffusion", "--model-id", "tiny-wan", *SMALL, "--steps", "1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("T2V_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("T2V_WORKER_THREADS", "1")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_lora import write_lora

    return write_lora(tmp_path_factory.mktemp("lora"), name="good.safetensors")


def t2v(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def listed() -> list[dict[str, Any]]:
    return json.loads(t2v("adapters", "list", "--json").stdout)["adapters"]


def wrong(result: Result) -> InputError:
    assert isinstance(result.exception, InputError), result.output
    return result.exception


# --- --lora-path -------------------------------------------------------------------------------
def broken(good: Path, folder: Path, how: str) -> Path:
    tensors = load_file(good)
    first = next(iter(tensors))
    if how == "nan":
        tensors[first][0, 0] = float("nan")
    elif how == "huge":
        tensors = {name: one * 1e25 for name, one in tensors.items()}
    elif how == "names":
        tensors = {name.replace("attn", "attx"): one for name, one in tensors.items()}
    else:
        tensors = {name: torch.ones((4, 36) if "lora_A" in name else (36, 4)) for name in tensors}
    save_file(tensors, folder / f"{how}.safetensors")
    return folder / f"{how}.safetensors"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("nan", "adapter_not_finite"),
        ("huge", "adapter_out_of_range"),
        ("names", "adapter_no_match"),
        ("shape", "adapter_wrong_base"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "pair", "plan"])
def test_a_refused_file_leaves_nothing_behind(good: Path, tmp_path: Path, command: str, how: str, code: str) -> None:
    assert wrong(t2v(command, *TINY, "--lora-path", broken(good, tmp_path, how))).code == code
    assert listed() == []


def test_a_file_that_the_run_refuses_goes_again(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = wrong(t2v("generate", *TINY, "--lora-path", good, "--lora-scale", "2"))
    assert far.code == "adapter_scale" and "add the file first" in far.hint and listed() == []
    from t2v_studio.jobs.adapter_shelf import AdapterShelf

    monkeypatch.setattr(AdapterShelf, "_require_fit", lambda *_: {"unmatched": [], "matched": []})
    late = wrong(t2v("generate", *TINY, "--lora-path", broken(good, good.parent, "names")))
    assert late.code == "adapter_no_match" and listed() == []


def test_it_joins_only_where_the_other_flags_stand(good: Path) -> None:
    assert "--cfg-cutoff" in wrong(t2v("generate", *TINY, "--lora-path", good, "--cfg-cutoff", "1.5")).message
    assert listed() == []
    made = t2v("generate", *TINY, "--lora-path", good)
    assert made.exit_code == 0, made.output
    (row,) = listed()
    refused = t2v("generate", *TINY, "--lora-path", good, "--lora-scale", "2")
    assert wrong(refused).code == "adapter_scale" and [one["id"] for one in listed()] == [row["id"]], (
        "it was there before"
    )


def test_a_plan_reads_the_file_and_adds_nothing(good: Path) -> None:
    done = t2v("plan", *TINY, "--lora-path", good, "--lora-trigger", "inkstyle", "--print-prompt", "--json")
    assert done.exit_code == 0 and listed() == [] and "A plan adds no LoRA" in done.stderr
    first = next(iter(json.loads(done.stdout)["prompts"].values()))
    assert first["prompt"].startswith("inkstyle, Academic infographic")
    t2v("adapters", "add", good)
    again = t2v("plan", *TINY, "--lora-path", good)
    assert len(listed()) == 1 and "A plan adds no LoRA" not in again.stderr, "one that was there stays"


# --- prompts -----------------------------------------------------------------------------------
def test_the_prompts_of_a_plan_stand_in_its_json(tmp_path: Path) -> None:
    printed = t2v("plan", *TINY, "--print-prompt", "--json").stdout
    read = json.loads(printed)
    assert set(read["prompts"]) == {scene["id"] for scene in read["scenes"]}
    first = next(iter(read["prompts"].values()))
    assert first["trimmed"] and 0 < first["tokens"] <= first["limit"] == 512 and first["negative_prompt"]
    own = json.loads(t2v("plan", "--topic", "gradient descent", "--print-prompt", "--json").stdout)
    assert next(iter(own["prompts"].values()))["prompt"].startswith("Educational explainer, scene 1 of 4")
    assert "prompts" not in json.loads(t2v("plan", *TINY, "--json").stdout)
    (tmp_path / "plan.json").write_text(printed, encoding="utf-8")
    drawn = t2v("figure", "--plan", tmp_path / "plan.json", "--output", tmp_path / "one.svg")
    assert drawn.exit_code == 0 and (tmp_path / "one.svg").is_file(), "what was printed is a plan"
    assert '"prompts" in plan.json only tells' in drawn.stderr, "whoever edits them learns that nobody reads them"
    (tmp_path / "bare.json").write_text(t2v("plan", *TINY, "--json").stdout, encoding="utf-8")
    assert t2v("figure", "--plan", tmp_path / "bare.json", "--output", tmp_path / "two.svg").stderr == ""


BOOK = """Gradient descent moves the parameters a small distance along the negative gradient and repeats this until the loss no
longer falls. The gradient points in the direction in which the loss rises fastest, so its negative points downhill. Each step is
the product of the learning rate and the slope, and near a minimum the slope becomes gentle.
"""


def test_a_pair_prints_the_prompts_of_both_arms_as_its_records_hold_them(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(BOOK, encoding="utf-8")
    assert t2v("library", "add", tmp_path / "book.txt", "--min-words", "20").exit_code == 0
    told = t2v("pair", *TINY, "--print-prompt", "--json")
    assert told.exit_code == 0, told.output
    made = json.loads(told.stdout)
    for arm in ("no_rag", "rag_semantic"):
        record = json.loads(Path(made[arm]["record"]).read_text(encoding="utf-8"))
        read = {scene["id"]: drawn["details"] for scene, drawn in zip(record["plan"]["scenes"], record["scenes"], strict=True)}  # fmt: skip
        assert made[arm]["prompts"] == {
            name: {
                "prompt": details["prompt"]["text"],
                "negative_prompt": details["prompt"]["negative"],
                "tokens": details["tokens"]["prompt"],
            }
            for name, details in read.items()
        }
    facts = {arm: [row["prompt"] for row in made[arm]["prompts"].values() if "Textbook facts" in row["prompt"]] for arm in ("no_rag", "rag_semantic")}  # fmt: skip
    assert not facts["no_rag"] and facts["rag_semantic"]

    shown = t2v("pair", *TINY, "--print-prompt").stdout
    control, treated = shown.removeprefix("no_rag:\n").split("\nrag_semantic:\n")
    for arm, text in (("no_rag", control), ("rag_semantic", treated)):
        assert [line for line in text.splitlines() if " tokens): " in line] == [
            f"{name} ({row['tokens']} tokens): {row['prompt']}" for name, row in made[arm]["prompts"].items()
        ]
        assert "video.mp4" in text and text.count("  negative: ") == len(made[arm]["prompts"])


def test_a_plan_may_come_through_a_pipe(tmp_path: Path) -> None:
    printed = t2v("plan", "--topic", "gradient descent", "--json").stdout
    os.mkfifo(tmp_path / "plan.json")
    writer = threading.Thread(target=(tmp_path / "plan.json").write_text, args=(printed,), daemon=True)
    writer.start()
    drawn = t2v("figure", "--plan", tmp_path / "plan.json", "--output", tmp_path / "one.svg")
    assert drawn.exit_code == 0 and (tmp_path / "one.svg").is_file()


def test_without_a_tokenizer_every_part_is_shown_untrimmed(good: Path) -> None:
    added = t2v("adapters", "add", good, "--trigger", "inkstyle", "--name", "ink")
    assert added.exit_code == 0
    flags = ("--topic", "gradient descent", "--engine", "diffusion", "--model-id", "wan2.1-14b", "--adapter", "ink", "--diagram-lock")  # fmt: skip
    shown = t2v("plan", *flags, "--print-prompt")
    assert "prompt (not trimmed to the model's tokens): inkstyle, One flat diagram" in shown.stdout
    assert "Academic infographic" in shown.stdout and "camera movement, zoom" in shown.stdout
    assert "not trimmed to the tokens" in shown.stderr and "is not on this disk" in shown.stderr
    row = next(iter(json.loads(t2v("plan", *flags, "--print-prompt", "--json").stdout)["prompts"].values()))
    assert not row["trimmed"] and "tokens" not in row and row["left_out"] == []


# --- flags that do nothing ---------------------------------------------------------------------
LOCAL = ("generate", "--topic", "gradient descent", "--width", "128", "--height", "128", "--scene-frames", "1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*LOCAL, "--planner-model-id", "x"), "--planner-model-id: nothing without --use-llm-planner"),
        ((*LOCAL, "--course-few-shot", "--style", "flat"), "--style, --course-few-shot: words for the prompts of diffusion"),
        ((*LOCAL, "--guidance", "4", "--retries"), "Only --engine diffusion reads --guidance."),
        ((*LOCAL, "--manim-model-id", "x"), "Only --engine manim reads --manim-model-id."),
        ((*LOCAL, "--rag-mode", "overlay", "--book", "0123456789abcdef"), "--rag-mode, --book: nothing without --use-rag"),
        ((*LOCAL, "--strict"), "--strict: nothing with --engine local"),
        (("plan", "--topic", "x", "--theme", "dark"), "--theme: nothing in a plan"),
        (("plan", *TINY, "--no-lora-negative-boost"), "--lora-negative-boost: nothing without a prompt profile"),
        (("plan", *TINY, "--model-id", "tiny-wan22", "--steps", "20", "--step-cache", "magcache"), "--step-cache magcache does nothing here: magcache measures one transformer"),
    ],
    ids=lambda value: " ".join(value[5:]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_flag_that_does_nothing_is_said_once(arguments: tuple[str, ...], said: str) -> None:
    done = t2v(*arguments)
    assert done.exit_code == 0, done.output
    assert done.stderr.count(f"note: {said}") == 1


def test_a_plan_file_is_drawn_as_it_stands(tmp_path: Path) -> None:
    assert t2v("plan", "--topic", "gradient descent", "--output", tmp_path / "plan.json").exit_code == 0
    done = t2v(*LOCAL, "--plan", tmp_path / "plan.json", "--audience", "children")
    assert "note: --audience: nothing beside --plan, which is drawn as it stands." in done.stderr


def test_the_environment_is_left_alone_and_needs_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PLANNER_MODEL_ID", "x"), ("RAG_MODE", "overlay"), ("GUIDANCE", "4"), ("MANIM_MODEL_ID", "x")):
        monkeypatch.setenv(f"T2V_{name}", value)
    done = t2v(*LOCAL)
    assert done.exit_code == 0 and "nothing" not in done.stderr and "reads" not in done.stderr


def test_a_number_format_for_a_card_is_said_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("T2V_DTYPE", "bf16")
    done = t2v("generate", *TINY)
    assert done.exit_code == 0 and done.stderr.count("T2V_DTYPE=bf16 does nothing here") == 1
    monkeypatch.delenv("T2V_DTYPE")
    assert "T2V_DTYPE" not in t2v("plan", *TINY).stderr


# --- values that cannot be ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("flag", "value", "message", "hint"),
    [
        ("--cfg-cutoff", "1.5", "--cfg-cutoff: 1.5 is too much, the most is 1.", "Give 1 or less."),
        ("--guidance", "-1", "--guidance: -1 is too little, the least is 0.", "Give 0 or more."),
        ("--flow-shift", "0", "--flow-shift: 0 is too little, it must be more than 0.", "Give more than 0."),
        ("--lora-trigger", "x" * 90, "--lora-trigger: the text has 90 characters, the most is 80.", "Shorten it."),
    ],
)
def test_a_value_that_cannot_be_names_its_flag(flag: str, value: str, message: str, hint: str) -> None:
    error = wrong(t2v("generate", *TINY, flag, value))
    assert (error.message, error.hint) == (message, hint)


def test_a_value_of_the_environment_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2V_CFG_CUTOFF", "3")
    assert wrong(t2v("generate", *TINY)).message == "T2V_CFG_CUTOFF: 3 is too much, the most is 1."


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("adapters", "edit", "ink", "--scale", "nan"), '--scale: nan is no finite number.', "Give a number."),
        (("adapters", "edit", "ink", "--profile", "flat"), '--profile: "flat" is not known.', "Use 'auto', 'none' or 'academic_infographic'."),
        (("pack", "run", "course_ml", "--fps", "100"), "--fps: 100 is too much, the most is 60.", "Give 60 or less."),
        (("train", "dry-run", "-d", "nowhere", "--rank", "0"), "--rank: 0 is too little, the least is 1.", "Give 1 or more."),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_other_commands_name_their_flags_too(good: Path, arguments: tuple[str, ...], message: str, hint: str) -> None:
    assert t2v("adapters", "add", good, "--name", "ink").exit_code == 0
    error = wrong(t2v(*arguments))
    assert (error.message, error.hint) == (message, hint)


def test_a_setting_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2V_PORT", "99999")
    error = wrong(t2v("videos", "list"))
    assert error.message == "T2V_PORT: 99999 is too much, the most is 65535." and "Or unset T2V_PORT" in error.hint


# --- values that cannot be read ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "environment", "message", "hint"),
    [
        (["generate", *TINY, "--lora-scale", "abc"], {}, '--lora-scale: "abc" is no number.', "Give a number."),
        (["generate", *TINY, "--lora-path", "x", "--lora-scale", "nan"], {}, "--lora-scale: nan is no number.", "Give a number."),
        (["generate", *TINY, "--lora-prompt-profile", "autoo"], {}, '--lora-prompt-profile: "autoo" is not known.', 'Did you mean "auto"?'),
        (["generate", *TINY, "--engine", "foo"], {}, '--engine: "foo" is not known.', "Use one of: diffusion, local, manim."),
        (["generate", *TINY, "--seed", "99999999999"], {}, "--seed: 99999999999 is too much, the most is 2147483647.", "Give 2147483647 or less."),
        (["generate", "--topic", "x"], {"T2V_SEED": "abc"}, 'T2V_SEED: "abc" is no whole number.', "Give a whole number."),
        (["adapters", "edit", "x", "--scale", "abc"], {}, '--scale: "abc" is no number.', "Give a number."),
        (["videos", "list", "--limit", "0"], {}, "--limit: 0 is too little, the least is 1.", "Give 1 or more."),
        (["jobs", "show"], {}, "Missing argument 'job_id'.", "See the flags with --help."),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_cannot_be_read_is_told_in_the_studios_words(
    arguments: list[str],
    environment: dict[str, str],
    message: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["t2v", *arguments, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    told = json.loads(capsys.readouterr().out)["error"]
    assert ended.value.code == 2 and (told["message"], told["hint"]) == (message, hint)
