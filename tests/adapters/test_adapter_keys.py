"""Every trainer's names lead to the same layers, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lora_files import MODULES, factors, write

from t2v_studio.adapters.keys import NAMES, export_name, original_name, read_names, target_kinds
from t2v_studio.adapters.state import read_state
from t2v_studio.errors import InputError

LAYOUTS = {
    "diffusers": "peft", "peft": "peft", "diffsynth": "peft", "old": "peft",
    "comfyui": "comfyui", "comfyui-down": "comfyui", "kohya": "kohya", "kohya-diffusers": "kohya",
}  # fmt: skip


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_all_layouts_give_the_same_layers(layout: str, dtype: torch.dtype, tmp_path: Path) -> None:
    state = read_state(write(tmp_path / "lora.safetensors", layout, 8.0, dtype=dtype))
    assert set(state.layers) == set(MODULES) and state.family == "wan" and not state.ignored
    for name, (down, up) in factors().items():
        layer = state.layers[name]
        assert torch.equal(layer.down, down.to(dtype)) and torch.equal(layer.up, up.to(dtype))
        assert (layer.alpha, layer.factor) == (8.0, 2.0)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_layout_is_recognised(layout: str, tmp_path: Path) -> None:
    from safetensors import safe_open

    with safe_open(str(write(tmp_path / "lora.safetensors", layout)), framework="np") as file:
        assert read_names(file.keys()).layout == LAYOUTS[layout]


@pytest.mark.parametrize("family", list(NAMES))
@pytest.mark.parametrize("layout", ["peft", "comfyui", "kohya"])
def test_names_go_out_and_come_back(family: str, layout: str) -> None:
    for pattern in NAMES[family]:
        module = pattern.replace("#", "17")
        names = {kind: export_name(module, family, layout, kind) for kind in ("down", "up", "bias")}
        read = read_names(names.values())
        assert read.layout == layout and not read.ignored
        assert {part.module for part in read.parts.values()} == {module}
        kinds = {read.parts[name].kind for name in names.values()}
        assert kinds == {"down", "up", "bias" if layout == "peft" else "diff_b"}


def test_known_names() -> None:
    assert original_name("blocks.3.attn2.to_out.0", "wan") == "blocks.3.cross_attn.o"
    assert export_name("blocks.3.ffn.net.0.proj", "wan", "kohya", "alpha") == "lora_unet_blocks_3_ffn_0.alpha"
    assert export_name("proj_in", "ltx", "comfyui", "down") == "diffusion_model.patchify_proj.lora_A.weight"
    assert export_name("proj_out", "wan", "peft", "up", expert=2) == "transformer_2.proj_out.lora_B.weight"
    assert target_kinds(["blocks.0.attn1.to_q", "blocks.1.attn1.to_q", "proj_out"]) == ["attn1.to_q", "proj_out"]


def test_experts_of_one_file_are_told_apart() -> None:
    read = read_names(
        [
            f"{prefix}.blocks.0.attn1.to_q.lora_{side}.weight"
            for prefix in ("transformer", "transformer_2")
            for side in "AB"
        ]
    )
    assert sorted(part.expert for part in read.parts.values()) == [1, 1, 2, 2]


def test_what_is_no_layer_is_named_with_its_reason() -> None:
    read = read_names(
        [
            "lora_unet_blocks_0_self_attn_q.lora_down.weight",
            "lora_unet_blocks_0_unheard_of.lora_down.weight",
            "lora_unet_blocks_0_self_attn_q.something",
            "diffusion_model.blocks.0.norm3.diff",
        ]
    )
    assert len(read.parts) == 1 and len(read.ignored) == 3
    assert "no layer" in read.ignored["lora_unet_blocks_0_unheard_of.lora_down.weight"]
    assert "not a tensor of a LoRA" in read.ignored["lora_unet_blocks_0_self_attn_q.something"]
    assert "norm" in read.ignored["diffusion_model.blocks.0.norm3.diff"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("transformer.blocks.0.attn1.to_q.lora_magnitude_vector", "DoRA"),
        ("lora_unet_blocks_0_self_attn_q.dora_scale", "DoRA"),
        ("lora_unet_blocks_0_self_attn_q.lokr_w1", "LoKr"),
        ("lora_unet_blocks_0_self_attn_q.hada_w1_a", "LoHa"),
    ],
)
def test_kinds_that_are_no_plain_lora_are_refused(name: str, kind: str, tmp_path: Path) -> None:
    from lora_files import tensors
    from safetensors.torch import save_file

    save_file(tensors("diffusers") | {name: torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=f"this is {kind}"):
        read_state(tmp_path / "other.safetensors")


def test_cogvideox_and_ltx_are_told_apart_by_their_layers() -> None:
    cog = [
        "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight",
        "transformer.transformer_blocks.0.norm1.linear.lora_A.weight",
    ]
    ltx = ["diffusion_model.transformer_blocks.0.attn2.to_q.lora_A.weight"]
    assert read_names(cog).families == ("cogvideox",) and read_names(ltx).families == ("ltx",)
    assert read_names(cog[:1]).families == ("cogvideox", "ltx")
