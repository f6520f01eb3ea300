"""llama.cpp itself, where a package brings it (pip install xllamacpp): it answers with our adapter as transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from base_gguf import write_base

from training.text.gguf_adapter import read_lora, write_gguf_adapter

xllamacpp = pytest.importorskip("xllamacpp")
IDS = [2, 88, 86, 72, 85, 202, 263, 376, 86]


def answered(base: Path, adapter: Path | None, ids: list[int]) -> np.ndarray:
    """Log-probabilities of the next token, by llama.cpp."""
    params = xllamacpp.CommonParams()
    params.model.path = str(base)
    params.n_ctx, params.n_parallel, params.warmup = 64, 1, False
    params.cpuparams.n_threads = 1
    if adapter is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    server = xllamacpp.Server(params)
    said = server.handle_completions({"prompt": ids, "max_tokens": 1, "temperature": 0.0, "logprobs": 420})
    tops = said["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    values = np.full(420, np.nan)
    for one in tops:
        values[one["id"]] = one["logprob"]
    return values


def by_transformers(base: Path, adapter: Path | None, ids: list[int]) -> np.ndarray:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([ids])).logits[0, -1]
    return np.asarray(torch.log_softmax(logits, -1))


def with_text(base: Path, adapter: Path) -> tuple[list[int], list[np.ndarray]]:
    """A prompt that base and adapter both answer with a letter, and what transformers says of it.

    Of a special token, or of the first byte of a longer letter, llama.cpp's server tells no probabilities.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    for length in range(len(IDS), 1, -1):
        both = [by_transformers(base, one, IDS[:length]) for one in (None, adapter)]
        tokens = [int(one.argmax()) for one in both]
        if all(tokenizer.decode([token]).isascii() and token not in tokenizer.all_special_ids for token in tokens):
            return IDS[:length], both
    raise AssertionError("no answer begins with a letter: take other ids")


@pytest.mark.parametrize("family", ["llama", "qwen3", "lfm2"])
def test_llama_cpp_answers_with_our_adapter_as_transformers_does(
    family: str, tiny_models: Path, tmp_path: Path
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tiny_models / f"tiny-{family}"
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).save_pretrained(tmp_path / "peft")
    lora = read_lora(tmp_path / "peft" / "adapter_model.safetensors", tmp_path / "peft")
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    adapter = write_gguf_adapter(lora, family, fields, tmp_path / "adapter.gguf")
    base = write_base(folder, family, tmp_path / "base.gguf")
    ids, theirs = with_text(folder, tmp_path / "peft")
    plain, worn = answered(base, None, ids), answered(base, adapter, ids)
    assert np.nanmax(np.abs(plain - theirs[0])) < 2e-3 and np.nanmax(np.abs(worn - theirs[1])) < 2e-3
    assert np.nanmax(np.abs(worn - plain)) > 0.05, "the adapter does something"
