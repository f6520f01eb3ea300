"""The desk of trainings where things go wrong: refused, killed, damaged; and what a dry run counts."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from t2v_studio.adapters.recipe import Recipe, read_recipe
from t2v_studio.adapters.runs import TrainingRun, create_run
from t2v_studio.cli import training as commands
from t2v_studio.cli.main import app
from t2v_studio.errors import (
    CancelledError,
    ConflictError,
    InputError,
    LimitError,
    NotFoundError,
    StudioError,
    UnavailableError,
)
from t2v_studio.jobs.model import Job
from t2v_studio.jobs.trainer_process import STOPPED, TrainerProcess, ask, environment
from t2v_studio.jobs.training_desk import TrainingDesk, dataset_of, last_line, one_a_step, thinned
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio
from t2v_studio.video.encode import Encoder
from t2v_studio.workspace import Workspace, new_id

PROBE = "tests.jobs.trainer_probe"


class Jobs:
    """Stands for the queue: keeps what is submitted; all of it is active."""

    def __init__(self) -> None:
        self.rows: list[Job] = []

    def submit(self, kind: str, lane: str, spec: dict[str, Any], title: str) -> Job:
        empty = {field.name: None for field in fields(Job)} | {"carry": {}, "step": 0, "total": 0, "result": {}}
        named = {"id": f"job_{len(self.rows)}", "kind": kind, "lane": lane, "spec": spec, "title": title}
        self.rows.append(Job(**(empty | named | {"state": "queued"})))
        return self.rows[-1]


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def desk(settings: Settings, workspace: Workspace, jobs: Jobs) -> TrainingDesk:
    return TrainingDesk(settings, workspace, jobs.submit, lambda: jobs.rows)


@pytest.fixture
def run(workspace: Workspace) -> TrainingRun:
    return create_run(workspace, read_recipe("tiny_smoke"), "/clips", title="One")


def tells(run: TrainingRun, **line: Any) -> None:
    with run.progress.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"stage": "", "step": 0, "total": 0, "message": "", **line}) + "\n")


def write_clips(folder: Path, lengths: tuple[int, ...]) -> Path:
    """Clips of 64x48 at 16 frames a second, with captions."""
    import numpy as np

    folder.mkdir()
    for number, frames in enumerate(lengths):
        path = folder / f"clip_{number}.mp4"
        with Encoder(path, width=64, height=48, fps=16) as encoder:
            for index in range(frames):
                picture = np.full((48, 64, 3), 230, np.uint8)
                picture[10:20, 2 * index % 50 : 2 * index % 50 + 10] = 40 * number
                encoder.write(picture)
        path.with_suffix(".txt").write_text(f"square {number}", encoding="utf-8")
    return folder


# --- what a dry run counts ----------------------------------------------------------------------
def test_a_dry_run_counts_what_a_training_would_take(desk: TrainingDesk, tmp_path: Path) -> None:
    """In a process of its own, as the page asks for it. tiny-wan is 24 wide, its text 32, two blocks of two attentions."""
    clips = write_clips(tmp_path / "clips", (9, 9, 12, 5, 3, 9, 9))
    recipe = read_recipe("tiny_smoke", accumulation=2, steps=10)
    found = desk.dry_run(recipe, clips)
    assert found["model"] == "tiny-wan" and found["steps"] == 10
    number = found["clips"]
    assert number["dropped"] == 1 and number["train"] + number["validation"] == 6
    (dropped,) = found["dropped"]
    assert (
        dropped["id"] == "clip_4.mp4"
        and "3 frames" in dropped["reason"]
        and "shortest bucket has 5" in dropped["reason"]
    )
    assert set(found["buckets"]) <= {"5x64x48", "9x64x48"} and sum(found["buckets"].values()) == number["train"]
    assert found["epochs"] == round(20 / number["train"], 2)
    # to_q, to_k, to_v, to_out.0 of attn1 and attn2 in two blocks, all 24 to 24.
    assert found["parameters"]["layers"] == 16 and found["parameters"]["trainable"] == recipe.rank * 16 * (24 + 24)
    memory = found["memory_gib"]
    assert memory["total"] == pytest.approx(sum(value for name, value in memory.items() if name != "total"), abs=2e-3)
    assert {row["machine"] for row in found["speed"]} >= {"4090", "A100", "H100"}
    for row in found["speed"]:
        assert row["total_s"] == pytest.approx(row["training_s"] + row["sampling_s"], abs=0.2)
    assert found["disk"]["cache_missing_bytes"] == found["disk"]["cache_bytes"] > 0 < found["disk"]["free_bytes"]
    assert not list((desk._workspace.cache / "training").rglob("*.safetensors")), "nothing was made"


def test_what_a_dry_run_refuses_names_the_field(desk: TrainingDesk, tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", (9,))
    with pytest.raises(InputError, match=r"frame_buckets: .* cannot make 6 frames") as refused:
        desk.dry_run(read_recipe("tiny_smoke", frame_buckets=[6]), clips)
    assert "4k+1" in refused.value.hint
    with pytest.raises(StudioError) as unknown:
        desk.dry_run(read_recipe("tiny_smoke", model="tiny-wam"), clips)
    assert "tiny-wan" in unknown.value.hint + unknown.value.message


def test_a_model_can_be_weighed_before_it_is_fetched(settings: Settings, workspace: Workspace, tmp_path: Path) -> None:
    """The course recipe on Wan 2.1 14B, of which nothing is here: its LoRA has 52.43 million parameters (notes, 2.10)."""
    from training.video.estimate import estimate
    from training.video.session import base_of

    clips = write_clips(tmp_path / "clips", (9, 9, 9))
    recipe = read_recipe("wan_course", frame_buckets=[9], size_buckets=["64x48"])
    with pytest.raises(UnavailableError) as missing:
        base_of(recipe.model, settings, workspace)
    assert missing.value.code == "model_missing"
    found = estimate(recipe, clips, base_of(recipe.model, settings, workspace, must_be_there=False), workspace)
    assert found["parameters"] == {"base": 14_288_491_584, "trainable": 52_428_800, "layers": 320}
    assert found["memory_gib"]["base"] == pytest.approx(26.6, abs=0.05)
    assert found["notices"][-1].endswith("t2v models download wan2.1-14b")


def test_the_known_shapes_are_those_of_the_registry(settings: Settings, workspace: Workspace) -> None:
    from t2v_studio.engines.diffusion.families.registry import family
    from t2v_studio.engines.diffusion.models import model
    from training.video.shapes import SHAPES

    for name, shape in SHAPES.items():
        entry = model(name, settings, workspace)
        assert family(entry.family).parameters("transformer", shape) == entry.parts["transformer"].parameters, name


def test_two_experts_are_refused_before_anything_is_done(settings: Settings, workspace: Workspace) -> None:
    from training.video.session import base_of

    for must_be_there in (True, False):
        with pytest.raises(InputError, match="two experts") as refused:
            base_of("wan2.2-t2v-a14b", settings, workspace, must_be_there=must_be_there)
        assert "wan2.1-14b" in refused.value.hint


# --- what a trainer says ------------------------------------------------------------------------
@pytest.fixture
def answer(settings: Settings, workspace: Workspace) -> Callable[..., Any]:
    return lambda what, limit_s=120.0, given="": ask(
        PROBE, what, settings=settings, workspace=workspace, given=given, limit_s=limit_s
    )


def test_the_answer_is_the_last_object_on_stdout(answer: Callable[..., Any]) -> None:
    assert answer("hear", given="rank: 4") == {"heard": "rank: 4"}


def test_an_error_of_the_trainer_comes_out_as_what_it_was(answer: Callable[..., Any]) -> None:
    with pytest.raises(NotFoundError, match="no such set") as found:
        answer("error")
    assert (found.value.code, found.value.hint) == ("no_data", "Name one.")


def test_a_crash_is_told_by_its_last_line(answer: Callable[..., Any]) -> None:
    with pytest.raises(StudioError, match="a part of the model is missing") as found:
        answer("crash")
    assert found.value.code == "trainer_failed" and "doctor" in found.value.hint


def test_an_answer_that_does_not_come_is_given_up(answer: Callable[..., Any]) -> None:
    with pytest.raises(LimitError) as found:
        answer("hang", limit_s=1.0)
    assert found.value.code == "too_slow"


def followed(run: TrainingRun, workspace: Workspace, code: str, tell: Callable[[Any], None] = lambda line: None) -> Any:
    """A trainer that runs these lines of Python; `say` writes a line of progress."""
    head = (
        "import json, os, signal, sys, time\n"
        f"def say(**line):\n    with open({str(run.progress)!r}, 'a') as f: f.write(json.dumps(dict(step=0, total=0, message='') | line) + '\\n')\n"
    )
    env = environment(Settings(home=workspace.outputs.parent, _env_file=None), workspace)
    process = TrainerProcess(run, [sys.executable, "-c", head + code], env, workspace.job_log(new_id("job")))
    try:
        return process.follow(tell, lambda: None)
    finally:
        process.kill()


def test_progress_is_handed_on_and_the_last_line_is_the_result(run: TrainingRun, workspace: Workspace) -> None:
    tells(run, stage="from an earlier time")
    heard: list[str] = []
    last = followed(
        run, workspace, "say(stage='one'); say(stage='done', results=[1])", lambda line: heard.append(line["stage"])
    )
    assert heard == ["one", "done"] and last["results"] == [1]


def test_how_a_trainer_ended_is_told(run: TrainingRun, workspace: Workspace) -> None:
    with pytest.raises(CancelledError, match=f"t2v train resume {run.id}"):
        followed(run, workspace, f"say(stage='stopped'); sys.exit({STOPPED})")
    with pytest.raises(ConflictError, match="another rank"):
        error = {"type": "ConflictError", "code": "recipe_changed", "message": "The run began with another rank."}
        followed(run, workspace, f"say(stage='failed', error={error!r}); sys.exit(1)")
    with pytest.raises(StudioError, match="SIGKILL") as lost:
        followed(run, workspace, "say(stage='training'); os.kill(os.getpid(), signal.SIGKILL)")
    assert lost.value.code == "trainer_lost" and f"t2v train resume {run.id}" in lost.value.hint


def test_a_trainer_that_will_not_leave_is_killed(run: TrainingRun, workspace: Workspace) -> None:
    env = environment(Settings(home=workspace.outputs.parent, _env_file=None), workspace)
    code = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(run.folder / 'deaf')!r}, 'w'); time.sleep(600)"
    process = TrainerProcess(run, [sys.executable, "-c", code], env, workspace.job_log(new_id("job")))
    while not (run.folder / "deaf").exists():
        assert process._process.poll() is None
        time.sleep(0.01)
    process.stop(0.2)
    assert process._process.returncode == -signal.SIGKILL


# --- runs ----------------------------------------------------------------------------------------
def test_a_data_set_that_is_not_there_is_refused_before_a_run_is_made(
    desk: TrainingDesk, workspace: Workspace, jobs: Jobs
) -> None:
    for named, words in (
        ("", "nothing to train on"),
        ("/no/such/clips", "there is no"),
        (new_id("set"), "there is no"),
    ):
        with pytest.raises(InputError, match=words):
            desk.submit_training(read_recipe("tiny_smoke"), named)
    with pytest.raises(InputError) as unknown:
        desk.submit_training(read_recipe("tiny_smoke"), workspace.data, stage="latent")
    assert "latents" in unknown.value.hint
    assert not jobs.rows and not list(workspace.training.glob("run_*"))


def test_a_relative_path_is_made_absolute(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clips").mkdir()
    monkeypatch.chdir(tmp_path)
    assert dataset_of(workspace, "clips") == tmp_path / "clips"


def test_where_a_run_stands(desk: TrainingDesk, run: TrainingRun, jobs: Jobs) -> None:
    def state() -> str:
        return str(desk.runs()[0]["state"])

    assert state() == "new"
    tells(run, stage="training unified", step=3, total=20)
    assert state() == "stopped", "killed: there are lines, and nobody holds the lock"
    job = desk.resume(run.id)
    assert job.spec == {"run": run.id, "stage": "all", "npz": False} and state() == "waiting"
    with pytest.raises(ConflictError) as busy:
        desk.resume(run.id)
    assert busy.value.code == "run_busy"
    jobs.rows[-1] = replace(job, state="running")
    assert state() == "running"
    jobs.rows.clear()
    error = {"code": "not_finite", "message": "The loss is not a number any more.", "hint": "Lower learning_rate."}
    tells(run, stage="failed", message=error["message"], error=error)
    assert state() == "failed" and desk.runs()[0]["error"] == error
    assert desk.resume(run.id).kind == "train", "a failed one goes on from its last checkpoint"
    jobs.rows.clear()
    tells(run, stage="done", step=1, total=1)
    with pytest.raises(ConflictError, match="finished"):
        desk.resume(run.id)


def test_signals_reach_a_trainer_that_runs_and_no_other(desk: TrainingDesk, run: TrainingRun) -> None:
    with pytest.raises(InputError) as unknown:
        desk.signal(run.id, "save")
    assert "save_now" in unknown.value.hint
    with pytest.raises(ConflictError) as rests:
        desk.signal(run.id, "save_now")
    assert rests.value.code == "run_rests" and f"t2v train resume {run.id}" in rests.value.hint
    from training.video.session import locked

    with locked(run):
        assert desk.runs()[0]["state"] == "running"
        assert desk.signal(run.id, "stop") == {"run": run.id, "signal": "stop"}
    assert run.take("stop") and not run.take("stop")


def test_what_is_asked_of_a_run_that_is_not_there(desk: TrainingDesk, run: TrainingRun) -> None:
    for call in (
        desk.run,
        desk.resume,
        lambda name: desk.signal(name, "stop"),
        lambda name: desk.publish(name, "unified", 1),
    ):
        with pytest.raises(NotFoundError) as found:
            call(new_id("run"))
        assert found.value.code == "unknown_run"
    with pytest.raises(StudioError):
        desk.run("../videos")
    with pytest.raises(NotFoundError):
        desk.submit_check(new_id("lora"))
    with pytest.raises(InputError, match="part"):
        desk.publish(run.id, "unified", 1)
    run.part().folder.mkdir()
    run.part().log.write_text('{"step": 1, "total": 2, "loss": 1.0}\n', encoding="utf-8")
    with pytest.raises(NotFoundError, match="no adapter of step 1"):
        desk.publish(run.id, "unified", 1)


def test_a_damaged_run_is_no_reason_to_lose_the_list(
    desk: TrainingDesk, run: TrainingRun, workspace: Workspace
) -> None:
    other = create_run(workspace, read_recipe("tiny_smoke"), "/clips", title="Two")
    (other.folder / "recipe.yaml").write_text("rank: [", encoding="utf-8")
    with other.progress.open("wb") as file:
        file.write(b'{"stage": "training", "step": 2, "total": 9, "message": ""}\n{"stage": "trai')
    rows = {row["run"]: row for row in desk.runs()}
    assert rows[run.id]["recipe"] == "tiny_smoke" and rows[other.id]["recipe"] == ""
    assert rows[other.id]["state"] == "stopped" and last_line(other.progress)["step"] == 2


def test_lines_for_a_plot() -> None:
    rows = [{"step": step, "loss": float(step)} for step in [1, 2, 3, 4, 3, 4, 5]]
    rows[4]["loss"] = 30.0
    assert [row["loss"] for row in one_a_step(rows)] == [1, 2, 30, 4, 5], "a killed run writes its last steps again"
    many = [{"step": step} for step in range(1000)]
    few = thinned(many, 100)
    assert len(few) == 100 and few[0] == many[0] and few[-1] == many[-1] and thinned(few, 100) is few


# --- exit codes -----------------------------------------------------------------------------------
@pytest.mark.parametrize(("worse", "code"), [([], 0), (["The loss on held-out clips rose."], 1)])
def test_validate_ends_with_one_where_the_adapter_is_worse(
    worse: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T2V_HOME", str(tmp_path / "home"))
    result = {
        "ok": not worse, "regressions": worse, "clip_note": "unavailable: no weights",
        "base": {"val_loss": 1.0, "clip_text": None}, "measured": {"val_loss": 1.2 if worse else 0.9, "clip_text": None},
    }  # fmt: skip
    asked: list[dict[str, Any]] = []

    def submit_check(self: TrainingDesk, adapter: str, **how: Any) -> str:
        asked.append({"adapter": adapter, **how})
        return "job"

    monkeypatch.setattr(TrainingDesk, "submit_check", submit_check)
    monkeypatch.setattr(commands, "follow", lambda studio, job, quiet: result)
    done = CliRunner().invoke(app, ["train", "validate", "lora_x", "--scale", "0.5"])
    assert done.exit_code == code and asked == [{"adapter": "lora_x", "recipe": None, "dataset": None, "scale": 0.5}]
    assert ("worse: The loss" in done.stdout) is bool(worse) and "unavailable" in done.stdout
    as_json = CliRunner().invoke(app, ["train", "validate", "lora_x", "--json"])
    assert as_json.exit_code == code and json.loads(as_json.stdout)["regressions"] == worse


def test_a_recipe_flag_that_does_not_fit_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2V_HOME", str(tmp_path / "home"))
    for words in (
        ["--rank", "0"],
        ["--size-buckets", "wide"],
        ["--steps", "5", "--epochs", "2"],
        ["--recipe", "tiny_smok"],
    ):
        done = CliRunner().invoke(app, ["train", "video", "--manifest", str(tmp_path), *words])
        assert done.exit_code != 0 and done.stdout == "", words
        error = done.exception
        assert isinstance(error, InputError | NotFoundError) and error.hint
    assert not Studio().training.runs()


def test_a_check_needs_a_base_that_is_known(desk: TrainingDesk, workspace: Workspace, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from t2v_studio.adapters.catalogue import adopt

    names = ("lora_down", (4, 24)), ("lora_up", (24, 4))
    state = {f"lora_unet_blocks_0_self_attn_q.{name}.weight": torch.ones(shape) for name, shape in names}
    save_file(state, tmp_path / "own.safetensors")
    card = adopt(workspace, tmp_path / "own.safetensors", name="Own")
    with pytest.raises(InputError, match="nobody knows"):
        desk.submit_check(card.id)
    job = desk.submit_check(card.id, recipe=Recipe(name="check", model="tiny-wan"), scale=0.25)
    info = desk.run(job.spec["run"])
    assert job.kind == "check_adapter" and info["recipe_fields"]["model"] == "tiny-wan"
    assert desk.runs() == [], "a check is no training"
