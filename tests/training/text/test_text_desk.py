"""Text training as page and command line see it: the same verbs, runs, jobs and catalogue as a video model's."""

from __future__ import annotations

from pathlib import Path

import pytest
from text_rows import small, write_set

from t2v_studio.adapters.catalogue import load_state
from t2v_studio.adapters.recipe import read_recipe
from t2v_studio.adapters.runs import create_run
from t2v_studio.errors import ConflictError, InputError, NotFoundError
from t2v_studio.jobs.trainer_process import command, environment
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio
from t2v_studio.workspace import Workspace


@pytest.fixture
def studio(settings: Settings, place: Workspace) -> Studio:
    return Studio(settings)


def test_a_training_is_started_followed_used_and_exported(studio: Studio, tmp_path: Path) -> None:
    """One real trainer process, started by the job kind that video training has."""
    rows = write_set(tmp_path / "set", 4, 2)
    job = studio.training.submit_training(small(steps=2, validate_every=1), rows, title="Circles")
    assert job.kind == "train" and job.lane == "training"
    result = studio.wait(job.id).result
    run, adapter = result["run"], result["adapter"]
    row = studio.training.runs()[0]
    assert (row["run"], row["kind"], row["state"], row["title"]) == (run, "text", "finished", "Circles")
    shown = studio.training.run(run)
    assert studio.training.text_parsed(shown["recipe_fields"]) == small(steps=2, validate_every=1)
    assert "training.text.run" in shown["command"]
    (part,) = shown["parts"]
    assert [line["step"] for line in part["log"]] == [1, 2] and part["base"]["val_loss"] > 0
    assert [line["step"] for line in part["table"]] == [1, 2]
    (chosen,) = (line for line in part["table"] if line["chosen"])
    assert chosen["place"] == 1 and chosen["val_loss"] == result["results"][0]["metrics"]["val_loss"]
    assert studio.adapters.text_choices("llama") == [("Circles (tiny-llama)", adapter)]
    assert studio.adapters.choices() == [], "no adapter of a language model is offered for a video model"
    assert studio.training.publish(run, "unified", chosen["step"])["id"] == adapter
    with pytest.raises(ConflictError, match="finished"):
        studio.training.resume(run)
    with pytest.raises(InputError, match="language model"):
        load_state(studio.workspace, adapter)
    with pytest.raises(InputError, match="Circles is of a language model"):
        studio.adapters.export(adapter, "comfyui", tmp_path)
    with pytest.raises(InputError, match="Circles is of a language model"):
        studio.training.submit_check(adapter)
    _asked_and_exported(studio, run, adapter)


def _asked_and_exported(studio: Studio, run: str, adapter: str) -> None:
    """Jobs of the kind that checks adapters; what they name is held to what there is."""
    assert studio.training.evaluation(run) == {} == studio.training.evaluation(adapter)
    asked = studio.training.submit_evaluation(run, rows=1, tries=1)
    assert asked.kind == "check_adapter" and asked.spec["stage"] == "evaluate"
    exported = studio.wait(studio.training.submit_export(adapter, "gguf").id).result
    (file,) = exported["files"]
    assert Path(file["path"]).stat().st_size == file["bytes"] > 10_000
    assert studio.training.plan_push(adapter, "me/circles")["private"]
    assert Path(file["path"]).name in studio.training.plan_push(adapter, "me/circles")["files"]
    assert [row["run"] for row in studio.training.runs()] == [run], "checks and exports are no trainings"
    for words, call in {
        "target": lambda: studio.training.submit_export(adapter, "onnx"),
        "option": lambda: studio.training.submit_export(adapter, "gguf", bits=4),
        "task": lambda: studio.training.submit_evaluation(run, task="poems"),
        "rows": lambda: studio.training.submit_evaluation(run, rows=0),
        "nothing to ask": lambda: studio.training.submit_evaluation(run, dataset="/nowhere"),
    }.items():
        with pytest.raises(InputError, match=words):
            call()


def test_recipes_and_data_sets_speak_of_their_own_kind(studio: Studio, tmp_path: Path) -> None:
    assert {row["kind"] for row in studio.training.recipes()} == {"video"}
    names = {row["name"] for row in studio.training.recipes("text")}
    assert names == {"manim_coder", "prompt_writer", "text_smoke"}
    with pytest.raises(InputError, match="Rows: there is no"):
        studio.training.submit_training(small(), tmp_path / "none")
    with pytest.raises(InputError, match="Clips: nothing"):
        studio.training.submit_training(read_recipe("tiny_smoke"), "")
    with pytest.raises(NotFoundError):
        studio.training.submit_evaluation("run_000000")
    made = create_run(studio.workspace, read_recipe("tiny_smoke"), "x")
    with pytest.raises(InputError, match="video model"):
        studio.training.submit_evaluation(made.id)


def test_a_text_trainer_is_one_process_on_one_card(
    studio: Studio, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = create_run(studio.workspace, small(), "x")
    video = create_run(studio.workspace, read_recipe("tiny_smoke"), "x")
    assert "accelerate.commands.launch" in command(video.folder, cards=2)
    assert "accelerate.commands.launch" not in command(text.folder, cards=2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert environment(settings, studio.workspace, 2, one_card=True)["CUDA_VISIBLE_DEVICES"] == "2"
    assert environment(settings, studio.workspace, 2)["CUDA_VISIBLE_DEVICES"] == "2,3"
