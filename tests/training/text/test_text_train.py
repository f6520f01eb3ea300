"""A training on tiny models: taken up where it stood, smaller batches that change nothing, stops, checks, fallbacks."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from text_rows import small

from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.runs import read_json, read_lines
from t2v_studio.errors import CancelledError, InputError, LimitError, StudioError, UnavailableError
from t2v_studio.workspace import Workspace
from training.text import sft
from training.text.base import Base, base_of, hold, load_model
from training.text.estimate import meta_model
from training.text.follow import last_checkpoint, waited
from training.text.run import work
from training.text.session import TextSession
from training.text.sft import Fit
from training.text.targets import matched
from training.video.session import unexpected

NewSession = Callable[..., TextSession]


def weights_of(place: Workspace, result: dict[str, Any]) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(place.adapter(result["adapter"]) / WEIGHTS)


def difference(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    assert set(one) == set(two)
    return max(float((one[name] - two[name]).abs().max()) for name in one)


@pytest.fixture
def whole(new_session: NewSession, place: Workspace) -> tuple[TextSession, dict[str, Any]]:
    """A training from beginning to end without a stop, with dropout, which a resume must draw alike."""
    session = new_session(small(lora_dropout=0.2))
    return session, work(session)[0]


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    new_session: NewSession,
    place: Workspace,
    whole: tuple[TextSession, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = new_session(small(lora_dropout=0.2))
    session.run.signal("stop")
    with pytest.raises(CancelledError):
        work(session)
    rows, _ = read_lines(session.run.part().log)
    assert [row["step"] for row in rows] == [1], "it stops after its step"
    again = TextSession(session.settings, place, session.run, session.recipe, session.base)
    (session.run.part().checkpoints / "checkpoint-3").mkdir()
    result = work(again)[0]
    assert not (session.run.part().checkpoints / "checkpoint-3").exists(), (
        "a checkpoint cut short by a kill is no checkpoint"
    )
    assert difference(weights_of(place, whole[1]), weights_of(place, result)) == 0.0
    rows, _ = read_lines(session.run.part().log)
    expected, _ = read_lines(whole[0].run.part().log)
    assert [row["loss"] for row in rows] == [row["loss"] for row in expected]


@pytest.mark.parametrize("whole_files", [0, 1])
def test_a_full_disk_costs_no_checkpoint(
    new_session: NewSession, full_disk: Callable[[int], AbstractContextManager[None]], whole_files: int
) -> None:
    """Room for none of a checkpoint's weights, and for the adapter alone: torch writes the optimiser, in its own words."""
    session = new_session(small())
    session.run.signal("stop")
    with pytest.raises(CancelledError):
        work(session)
    kept = last_checkpoint(session.run.part())
    assert kept is not None
    room = (kept / "adapter_model.safetensors").stat().st_size + 4096 if whole_files else 8192
    assert room < (kept / "optimizer.pt").stat().st_size
    again = TextSession(session.settings, session.workspace, session.run, session.recipe, session.base)
    with pytest.raises(LimitError) as caught, full_disk(room):
        work(again)
    assert (caught.value.code, "resume the run" in caught.value.hint) == ("disk_full", True)
    assert list(session.run.part().checkpoints.iterdir()) == [kept]
    assert not list(session.run.folder.rglob(".*.part"))


def test_a_disk_that_is_full_of_other_things_is_no_defect() -> None:
    error = unexpected(OSError(errno.ENOSPC, "No space left on device"), "Free some space.")
    assert error.code == "disk_full"
    assert unexpected(OSError(errno.EIO, "Input/output error"), "").code == "internal"


def test_what_a_run_leaves_behind(whole: tuple[TextSession, dict[str, Any]], place: Workspace) -> None:
    session, result = whole
    part = session.run.part()
    rows, _ = read_lines(part.log)
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and rows[-1]["loss"] < rows[0]["loss"]
    assert all(row["total"] == 4 and row["grad_norm"] > 0 and row["seconds"] > 0 for row in rows)
    checks, _ = read_lines(part.metrics)
    assert [row["step"] for row in checks] == [4] and checks[0]["val_loss"] < result["base"]["val_loss"]
    assert last_checkpoint(part) == part.checkpoints / "checkpoint-4"
    config = read_json(part.adapters / "step_00000004" / "adapter_config.json")
    assert config["base_model_name_or_path"] == "tiny-llama", "no path of this machine"
    card = read_json(place.adapter(result["adapter"]) / "card.json")
    assert (card["family"], card["base_model"], card["rank"], card["alpha"]) == ("llama", "tiny-llama", 4, 8.0)
    assert card["modules"] == 14 and card["made_from"] == f"{session.run.id}/unified" and len(card["data_hash"]) == 64
    lines, _ = read_lines(session.run.progress)
    said = next(line["targets"] for line in lines if "targets" in line)
    assert said == dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), 2)
    steps = [line for line in lines if line["stage"] == "training"]
    assert steps[-1]["left_s"] == 0 and all(line["left_s"] > 0 for line in steps[:-1]), "the page shows the time left"
    assert lines[-1]["stage"] == "done" and lines[-1]["results"] == [result]


def test_less_memory_means_smaller_passes_and_the_same_steps(
    new_session: NewSession, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(batch_size=4, accumulation=1, steps=2, validate_every=2)
    expected = work(new_session(recipe))[0]
    from trl import SFTTrainer

    real, sizes = SFTTrainer.compute_loss, []

    def tight(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.model.training:
            sizes.append(len(inputs["input_ids"]))
            if sizes[-1] > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "compute_loss", tight)
    session = new_session(recipe)
    result = work(session)[0]
    assert sizes == [4, 2, *[1] * 8], "two steps of four rows each, one row a pass"
    assert read_json(session.run.part().folder / sft.FIT) == {"batch_size": 1, "accumulation": 4}
    assert "a step takes 4 passes" in result["notice"]
    assert difference(weights_of(place, expected), weights_of(place, result)) < 1e-4
    lines, _ = read_lines(session.run.progress)
    assert [line["fit"] for line in lines if "fit" in line] == [{"from": 4, "to": 2}, {"from": 2, "to": 1}]


def test_memory_that_runs_out_half_way_costs_no_step(
    new_session: NewSession, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(batch_size=4, steps=3, save_every=2, validate_every=3)
    expected = work(new_session(recipe))[0]
    from trl import SFTTrainer

    real, sizes = SFTTrainer.compute_loss, []

    def later(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.model.training:
            sizes.append(len(inputs["input_ids"]))
            if len(sizes) > 2 and sizes[-1] > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "compute_loss", later)
    result = work(new_session(recipe))[0]
    assert sizes == [4, 4, 4, 2, 2], "it goes on from the checkpoint of step 2"
    assert difference(weights_of(place, expected), weights_of(place, result)) < 1e-4


def test_one_row_that_does_not_fit_is_an_error(new_session: NewSession, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(sft, "_attempt", never)
    with pytest.raises(StudioError) as error:
        work(new_session(small(batch_size=1)))
    assert error.value.code == "out_of_memory" and "max_length" in error.value.hint


@pytest.mark.parametrize(("batch", "accumulation", "smaller"), [(4, 2, (2, 4)), (3, 1, (1, 3)), (6, 1, (3, 2))])
def test_a_smaller_batch_keeps_the_effective_one(batch: int, accumulation: int, smaller: tuple[int, int]) -> None:
    assert Fit(batch, accumulation).smaller() == Fit(*smaller)
    assert Fit(1, 8).smaller() is None


def test_the_early_stop_counts_checks_without_a_better_loss() -> None:
    def checks(*losses: float | None) -> list[dict[str, Any]]:
        return [{"step": step, "val_loss": loss} for step, loss in enumerate(losses)]

    assert waited(checks(3, 2, 1), 0.001) == 0
    assert waited(checks(3, 2, 1.9995, 2.5), 0.001) == 2
    assert waited([*checks(3, 2), {"step": 1, "val_loss": 2}], 0.001) == 0, "measured again after a resume"
    assert waited(checks(None, None), 0.001) == 0


def test_a_training_that_no_longer_learns_is_stopped(new_session: NewSession) -> None:
    recipe = small(steps=6, validate_every=1, early_stop_patience=2, early_stop_threshold=10.0)
    session = new_session(recipe)
    result = work(session)[0]
    rows, _ = read_lines(session.run.part().log)
    assert len(rows) == 3 and "Stopped early" in result["notice"]


@pytest.mark.parametrize("family", ["llama", "qwen3", "lfm2"])
def test_target_names_are_held_to_the_model(settings: Any, place: Workspace, family: str) -> None:
    model = meta_model(base_of(f"tiny-{family}", settings))
    found = matched(model, small())
    assert sum(found.values()) == 14 if family != "lfm2" else found == {
        "in_proj": 1, "out_proj": 2, "w1": 2, "w3": 2, "w2": 2, "q_proj": 1, "k_proj": 1, "v_proj": 1,
    }  # fmt: skip
    assert "lm_head" not in found
    wrong = "w1" if family != "lfm2" else "o_proj"
    with pytest.raises(InputError, match=f"no layer is called {wrong}") as error:
        matched(model, small(targets=["q_proj", wrong]))
    assert "This model has: " in error.value.hint


def test_without_cuda_the_base_stays_as_it_is_and_that_is_said() -> None:
    recipe = small(base_quantised="nf4", optimiser="paged_adamw8bit")
    here = hold(recipe, cuda=False)
    assert (here.quantised, here.optimiser) == ("none", "adamw") and len(here.notices) == 2
    there = hold(recipe, cuda=True)
    assert (there.quantised, there.optimiser, there.notices) == ("nf4", "paged_adamw8bit", ())


def test_on_a_card_the_base_is_loaded_in_four_bits(
    settings: Any, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    asked: dict[str, Any] = {}

    def loads(folder: Path, **more: Any) -> tuple[torch.nn.Module, dict[str, list[str]]]:
        asked.update(more)
        return torch.nn.Linear(2, 2), {"missing_keys": []}

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", loads)
    recipe = small(base_quantised="nf4", dtype="bf16")
    load_model(base_of("tiny-qwen3", settings), recipe, hold(recipe, cuda=True))
    config = asked["quantization_config"]
    assert config.load_in_4bit and config.bnb_4bit_quant_type == "nf4" and config.bnb_4bit_use_double_quant
    assert (
        config.bnb_4bit_compute_dtype is torch.bfloat16 and asked["use_safetensors"] and not asked["trust_remote_code"]
    )


def test_a_second_log_that_is_not_installed_is_named(new_session: NewSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sft.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="wandb is not installed"):
        sft.reported_to(small(logger="wandb"))
    assert sft.reported_to(small()) == []


def test_a_base_of_another_kind_is_refused(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    with pytest.raises(InputError, match="gpt2") as error:
        base_of(str(tmp_path), settings)
    assert "llama, qwen3, lfm2" in error.value.hint
    with pytest.raises(InputError) as unknown:
        base_of("qwen3-4", settings)
    assert "qwen3-4b" in unknown.value.hint
    assert not Base("x", "x", tmp_path, "llama", {}).quantised
