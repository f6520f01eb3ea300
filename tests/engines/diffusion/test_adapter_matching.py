"""What fits a base and what is refused, on the tiny Wan and on the real models' shapes (meta device)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_lora import CONFIG, tiny_wan, write_lora

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.keys import NAMES, numberless
from t2v_studio.adapters.state import read_state
from t2v_studio.engines.diffusion.matching import Shapes, check_base, compare, match, shapes_from_config, shapes_of
from t2v_studio.errors import InputError

WAN_1_3B = CONFIG | {"num_attention_heads": 12, "attention_head_dim": 128, "text_dim": 4096, "freq_dim": 256,
                     "ffn_dim": 8960, "num_layers": 30}  # fmt: skip
WAN_14B = WAN_1_3B | {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40}
COGVIDEOX_2B = {"num_attention_heads": 30, "attention_head_dim": 64, "num_layers": 30, "text_embed_dim": 4096}
LTX = {"num_attention_heads": 32, "attention_head_dim": 64, "num_layers": 28, "cross_attention_dim": 2048}


def lora_for(folder: Path, shapes: Shapes, family: str, modules: tuple[str, ...], rank: int = 2) -> Path:
    tensors = {}
    for name in modules:
        outputs, inputs = shapes[name]
        tensors[f"transformer.{name}.lora_A.weight"] = torch.ones(rank, inputs, dtype=torch.bfloat16)
        tensors[f"transformer.{name}.lora_B.weight"] = torch.ones(outputs, rank, dtype=torch.bfloat16)
    save_file(tensors, folder / f"{family}.safetensors")
    return folder / f"{family}.safetensors"


@pytest.fixture(scope="module")
def shapes() -> dict[str, Shapes]:
    return {
        "wan2.1-1.3b": shapes_from_config("WanTransformer3DModel", WAN_1_3B),
        "wan2.1-14b": shapes_from_config("WanTransformer3DModel", WAN_14B),
        "cogvideox-2b": shapes_from_config("CogVideoXTransformer3DModel", COGVIDEOX_2B),
        "ltx-0.9.1": shapes_from_config("LTXVideoTransformer3DModel", LTX),
    }


def test_sizes_of_the_real_models(shapes: dict[str, Shapes]) -> None:
    def size(name: str) -> int:
        kinds = ("to_q", "to_k", "to_v", "to_out.0")
        return sum(16 * sum(shape) for part, shape in shapes[name].items() if part.endswith(kinds))

    assert size("wan2.1-1.3b") == 11_796_480
    assert size("wan2.1-14b") == 52_428_800


@pytest.mark.parametrize(
    ("model", "family"), [("wan2.1-14b", "wan"), ("cogvideox-2b", "cogvideox"), ("ltx-0.9.1", "ltx")]
)
def test_the_tables_of_names_are_those_of_diffusers(shapes: dict[str, Shapes], model: str, family: str) -> None:
    """Every linear layer of the model stands in the table, and every name of the table but image layers in a model."""
    found = {numberless(name) for name in shapes[model]}
    unknown = {name for name in found - set(NAMES[family]) if "blocks." in name}
    assert not unknown
    rare = {name for name in set(NAMES[family]) - found}
    assert all("add_" in name or "image_embedder" in name or name == "patch_embed.proj" for name in rare), rare


def test_every_layer_of_a_real_model_is_matched(shapes: dict[str, Shapes], tmp_path: Path) -> None:
    for model, family in (("wan2.1-1.3b", "wan"), ("cogvideox-2b", "cogvideox"), ("ltx-0.9.1", "ltx")):
        base = shapes[model]
        modules = tuple(name for name in base if numberless(name) in NAMES[family])
        state = read_state(lora_for(tmp_path, base, family, modules))
        found = match(state, base, model=model)
        assert set(found.matched) == set(modules) and not found.unmatched and state.family == family


@pytest.mark.parametrize(
    ("made", "used", "says"),
    [
        ("wan2.1-1.3b", "wan2.1-14b", "Wan 2.1 1.3B (a wan transformer of width 1536)"),
        ("wan2.1-14b", "wan2.1-1.3b", "Wan 2.1 14B or Wan 2.2 A14B (a wan transformer of width 5120)"),
        ("cogvideox-2b", "ltx-0.9.1", "CogVideoX 2B (a cogvideox transformer of width 1920)"),
    ],
)
def test_another_size_is_refused(shapes: dict[str, Shapes], tmp_path: Path, made: str, used: str, says: str) -> None:
    modules = tuple(name for name in shapes[made] if ".attn1." in name)
    state = read_state(lora_for(tmp_path, shapes[made], "lora", modules))
    with pytest.raises(InputError) as refused:
        match(state, shapes[used], model=used)
    assert refused.value.code == "adapter_wrong_base"
    assert f"was made for {says}, not for {used}" in refused.value.message
    assert refused.value.details["wrong_shape"]


def test_another_family_has_no_layer_in_common(shapes: dict[str, Shapes], tmp_path: Path) -> None:
    modules = tuple(name for name in shapes["cogvideox-2b"] if ".attn1." in name)
    state = read_state(lora_for(tmp_path, shapes["cogvideox-2b"], "lora", modules))
    with pytest.raises(InputError) as refused:
        match(state, shapes["wan2.1-14b"], model="wan2.1-14b")
    assert refused.value.code == "adapter_no_match"
    assert "none of the 120 layers" in refused.value.message and "CogVideoX 2B" in refused.value.message


def test_more_blocks_than_the_base(tmp_path: Path) -> None:
    state = read_state(write_lora(tmp_path, num_layers=3))
    with pytest.raises(InputError) as refused:
        match(state, shapes_of(tiny_wan()), model="tiny-wan")
    assert refused.value.code == "adapter_wrong_base" and "blocks" in refused.value.message
    assert len(refused.value.details["unmatched"]) == 8


def test_layers_for_image_input_are_reported_and_left_out(tmp_path: Path) -> None:
    tensors = load_file(write_lora(tmp_path))
    for side, shape in (("A", (4, 24)), ("B", (24, 4))):
        tensors[f"transformer.blocks.0.attn2.add_k_proj.lora_{side}.weight"] = torch.ones(shape)
        tensors[f"transformer.text_encoder.layer.lora_{side}.weight"] = torch.ones(shape)
    save_file(tensors, tmp_path / "image.safetensors")
    found = match(read_state(tmp_path / "image.safetensors"), shapes_of(tiny_wan()))
    assert len(found.matched) == 16
    assert set(found.unmatched) == {"blocks.0.attn2.add_k_proj", "text_encoder.layer"}


def test_a_card_that_names_another_base() -> None:
    card = AdapterCard(
        id="lora_0123456789abcdef", name="Course", base_model="Wan-AI/Wan2.1-T2V-14B-Diffusers", rank=1, alpha=1,
        alpha_source="", sha256="", format="peft", created_at="",
    )  # fmt: skip
    check_base(card, ("wan2.1-14b", "wan-ai/wan2.1-t2v-14b-diffusers"))
    check_base(card, ())
    check_base(card.model_copy(update={"base_model": ""}), ("wan2.2-t2v-a14b",))
    with pytest.raises(InputError, match=r"Course was made for Wan-AI/Wan2\.1-T2V-14B-Diffusers, not for wan2\.2"):
        check_base(card, ("wan2.2-t2v-a14b",), "wan2.2-t2v-a14b")
    check_base(card.model_copy(update={"also_for": ["wan2.2-t2v-a14b"]}), ("wan2.2-t2v-a14b",))


def test_comparing_raises_nothing(tmp_path: Path) -> None:
    state = read_state(write_lora(tmp_path, num_attention_heads=3))
    found = compare(state.layers, shapes_of(tiny_wan()))
    assert len(found.wrong_shape) == 16 and not found.matched
    assert found.wrong_shape["blocks.0.attn1.to_q"] == "made for 36 x 36, the model has 24 x 24"
