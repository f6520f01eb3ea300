"""The chat model for all who ask one: their own error words, answers of a chosen length, and a LoRA over the base."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import chat_models
import pytest

from t2v_studio.errors import CancelledError, StudioError, UnavailableError
from t2v_studio.planning import chat_model
from t2v_studio.planning.chat_model import ADAPTER_CONFIG, ADAPTER_WEIGHTS, ChatModel, Use, listened
from t2v_studio.planning.tiny_chat import tiny_chat_folder

ASKED = [{"role": "user", "content": "Write."}]
USE = Use("prompt_writer", "writer", "Name a writer.", most_tokens=16)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_models.save("qwen3", tmp_path_factory.mktemp("chat") / "qwen3")


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA whose weights are not zero, as peft saves it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"])
    )
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    folder = tmp_path_factory.mktemp("lora")
    model.save_pretrained(folder)
    return folder


def answer(base: Path, **options: Any) -> str:
    with ChatModel(base, use=USE, **options) as chat:
        return chat(ASKED)


def test_a_lora_changes_the_answer_whatever_its_file_is_called(base: Path, lora: Path) -> None:
    plain, worn = answer(base), answer(base, adapter=lora)
    assert plain != worn == answer(base, adapter=lora)
    (lora / ADAPTER_WEIGHTS[0]).rename(lora / ADAPTER_WEIGHTS[1])
    try:
        assert answer(base, adapter=lora) == worn
    finally:
        (lora / ADAPTER_WEIGHTS[1]).rename(lora / ADAPTER_WEIGHTS[0])


def test_a_lora_of_another_model_is_refused_in_the_words_of_who_asks(lora: Path, tmp_path: Path) -> None:
    other = chat_models.save("lfm2", tmp_path / "lfm2")
    with pytest.raises(UnavailableError, match=r"prompt_writer: the LoRA .* does not fit") as refused:
        answer(other, adapter=lora)
    assert refused.value.code == "writer_adapter_broken"


def without(folder: Path, end: str) -> str:
    """Take the first weight whose name ends so out of a model's file; its name, empty where there is none."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    lost = next((name for name in weights if name.endswith(end)), "")
    weights.pop(lost, None)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return lost


def test_weights_that_the_files_lack_are_not_drawn_at_random(tmp_path: Path) -> None:
    folder = chat_models.save("qwen3", tmp_path / "qwen3")
    lost = without(folder, "q_proj.weight")
    with pytest.raises(UnavailableError, match=rf"lack 1 of its \d+ weights, {lost}") as refused:
        answer(folder)
    assert lost and refused.value.code == "writer_model_broken"


def test_a_head_that_is_tied_to_the_embeddings_needs_no_weights_of_its_own(tmp_path: Path) -> None:
    folder = chat_models.save("qwen3", tmp_path / "qwen3")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    without(folder, "lm_head.weight")
    assert isinstance(answer(folder), str)


def test_a_model_is_made_and_loaded_without_bars_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    with ChatModel(tiny_chat_folder("tiny-llama", tmp_path), use=USE):
        pass
    assert "it/s" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled(), "it is hushed for these alone"


def test_a_folder_without_safetensors_is_no_lora(base: Path, lora: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04.")
    (tmp_path / ADAPTER_CONFIG).write_text(json.dumps(json.loads((lora / ADAPTER_CONFIG).read_text())))
    with pytest.raises(UnavailableError, match=r"it has no adapter_model\.safetensors"):
        answer(base, adapter=tmp_path)


def test_a_draw_is_repeated_by_its_seed_and_no_longer_than_asked(base: Path) -> None:
    with ChatModel(base, use=USE) as chat:
        drawn = [chat(ASKED, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    # One token of this tokenizer is one byte.
    assert all(0 < len(text.encode()) <= 3 * 16 for text in drawn)


SCHEMA: dict[str, Any] = {
    "$defs": {"Part": {"type": "object", "properties": {"kind": {"enum": ["wave", "net"]}}, "required": ["kind"], "additionalProperties": False}},
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 3, "maxLength": 8},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "minItems": 2, "maxItems": 3},
    },
    "required": ["title", "parts"],
    "additionalProperties": False,
}  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "lfm2"])
def test_an_answer_can_be_held_to_a_schema(kind: str, temperature: float, tmp_path: Path) -> None:
    """Random weights know no JSON; some models have more outputs than their tokenizer has words."""
    with ChatModel(chat_models.save(kind, tmp_path, spare=61), use=replace(USE, most_tokens=200)) as chat:
        with pytest.raises(ValueError, match="Expecting value"):
            json.loads(chat(ASKED, temperature=temperature))
        made = json.loads(chat(ASKED, temperature=temperature, schema=SCHEMA))
    assert list(made) == ["title", "parts"] and 3 <= len(made["title"]) <= 8
    assert 2 <= len(made["parts"]) <= 3 and all(part["kind"] in ("wave", "net") for part in made["parts"])


def test_a_schema_that_cannot_be_followed_is_an_error(base: Path) -> None:
    with ChatModel(base, use=USE) as chat, pytest.raises(StudioError, match="schema cannot be followed") as failed:
        chat(ASKED, schema={"type": "string", "pattern": "("})
    assert failed.value.code == "writer_failed"


def test_its_codes_are_those_of_who_asks(tmp_path: Path) -> None:
    folder = chat_models.save("llama", tmp_path, window=16)
    with ChatModel(folder, use=USE) as chat, pytest.raises(StudioError, match="no room") as failed:
        chat(ASKED)
    assert failed.value.code == "writer_failed"


def test_who_listens_hears_every_token_and_can_end_the_answer(base: Path) -> None:
    heard: list[int] = []

    def ear(tokens: int) -> None:
        heard.append(tokens)
        if tokens == 5:
            raise CancelledError

    silent = answer(base)
    with listened(heard.append):
        assert answer(base) == silent
    assert heard and heard == list(range(1, len(heard) + 1))
    heard.clear()
    with pytest.raises(CancelledError), listened(ear):
        answer(base)
    assert heard == [1, 2, 3, 4, 5]
    assert answer(base) == silent and heard == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("native", "free", "expected"), [(True, 1e12, "auto"), (False, 1e12, "float32"), (False, 1, "auto")])  # fmt: skip
def test_bfloat16_is_not_emulated_where_memory_holds_float32(
    base: Path, monkeypatch: pytest.MonkeyPatch, native: bool, free: float, expected: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(chat_model, "free_memory", lambda: free)
    assert str(chat_model._precision(base, "cpu")).removeprefix("torch.") == expected
    assert chat_model._precision(base, "cuda") == torch.bfloat16


@pytest.mark.parametrize(("free_gib", "device"), [(40, "cuda"), (1, "cpu")])
def test_a_model_goes_to_the_card_that_holds_it(
    base: Path, monkeypatch: pytest.MonkeyPatch, free_gib: float, device: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free_gib * 2**30, 80 * 2**30))
    assert chat_model._device(base) == device
