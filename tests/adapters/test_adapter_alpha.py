"""Where alpha is read, and what is said when it is nowhere: half the strength must not pass unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_files import RANK, peft_header, tensors, write
from safetensors.torch import save_file

from t2v_studio.adapters.layers import read_plan
from t2v_studio.adapters.metadata import ASSUMED, peft_metadata
from t2v_studio.adapters.state import read_state
from t2v_studio.errors import InputError

NAME = "blocks.0.attn1.to_q"


def factor(path: Path, module: str = NAME) -> float:
    return read_state(path).layers[module].factor


def test_diffusers_metadata(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", metadata=peft_header(8))
    assert factor(path) == 2.0 and "lora_adapter_metadata" in read_plan(path).alpha_source


def test_adapter_config_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": 16}))
    path = write(tmp_path / "adapter_model.safetensors", "peft")
    assert factor(path) == 4.0 and read_plan(path).alpha_source == "adapter_config.json"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_alpha_tensors_of_any_dtype_go_before_the_header(tmp_path: Path, dtype: torch.dtype) -> None:
    path = write(tmp_path / "a.safetensors", "comfyui", 2.0, metadata=peft_header(8), dtype=dtype)
    assert factor(path) == 0.5 and ".alpha" in read_plan(path).alpha_source


def test_finetrainers_and_kohya_headers(tmp_path: Path) -> None:
    trained = write(tmp_path / "f.safetensors", metadata={"lora_config": json.dumps({"r": RANK, "lora_alpha": 8})})
    assert factor(trained) == 2.0 and "finetrainers" in read_plan(trained).alpha_source
    kohya = write(tmp_path / "k.safetensors", "kohya", metadata={"ss_network_alpha": "1"})
    assert factor(kohya) == 0.25


def test_nowhere_is_said_in_words(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors")
    assert factor(path) == 1.0
    assert read_plan(path).alpha_source == ASSUMED == "assumed alpha = rank: the file does not say"


def test_what_a_person_says_goes_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", "kohya", 2.0)
    state = read_state(path, alpha=12)
    assert state.layers[NAME].factor == 3.0 and state.alpha_source == "given by the user"


def test_patterns_and_rank_stabilised(tmp_path: Path) -> None:
    header = peft_header(8, alpha_pattern={"attn1.to_q": 16, "^proj_out": 2})
    path = write(tmp_path / "p.safetensors", metadata=header)
    assert factor(path) == 4.0 and factor(path, "proj_out") == 0.5 and factor(path, "blocks.0.attn2.to_v") == 2.0
    stable = write(tmp_path / "s.safetensors", metadata=peft_header(8, use_rslora=True))
    assert factor(stable) == pytest.approx(8 / RANK**0.5)


@pytest.mark.parametrize("alpha", [0, -1, "much", float("nan"), None])
def test_an_alpha_that_is_no_positive_number(tmp_path: Path, alpha: Any) -> None:
    path = write(tmp_path / "a.safetensors", metadata=peft_header(alpha))
    if alpha is None:
        assert read_plan(path).alpha_source == ASSUMED
        return
    with pytest.raises(InputError, match="alpha"):
        read_plan(path)


def test_an_expression_in_a_pattern_is_refused_not_run(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", metadata=peft_header(8, alpha_pattern={"(a+)+$": 4}))
    with pytest.raises(InputError, match="expression"):
        read_plan(path)


def test_dora_in_the_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="DoRA"):
        read_plan(write(tmp_path / "a.safetensors", metadata=peft_header(8, use_dora=True)))


def test_scaled_and_unscaled_biases(tmp_path: Path) -> None:
    bias = torch.ones(24)
    peft = tensors("diffusers") | {f"transformer.{NAME}.lora_B.bias": bias}
    save_file(peft, tmp_path / "peft.safetensors", metadata=peft_header(8))
    comfy = tensors("comfyui", 8.0) | {"diffusion_model.blocks.0.self_attn.q.diff_b": bias}
    save_file(comfy, tmp_path / "comfy.safetensors")
    for name, expected in (("peft", 2.0), ("comfy", 1.0)):
        found = read_state(tmp_path / f"{name}.safetensors").layers[NAME].bias
        assert found is not None and torch.equal(found, bias * expected)


def test_the_metadata_that_is_written_keeps_what_differs() -> None:
    made = peft_metadata({"blocks.0.attn1.to_q": (4, 8.0), "blocks.0.attn1.to_k": (4, 8.0), "proj_out": (2, 2.0)})
    assert (made["r"], made["lora_alpha"]) == (4, 8)
    assert made["rank_pattern"] == {"^proj_out": 2} and made["alpha_pattern"] == {"^proj_out": 2}
