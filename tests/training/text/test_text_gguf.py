"""The adapter as GGUF: names, row order, alpha; read back to the same bits, and by llama.cpp where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t2v_studio.errors import InputError, StudioError
from training.text.gguf_adapter import Lora, check_same, read_gguf_adapter, read_lora, write_gguf_adapter
from training.text.gguf_names import gguf_name, turned, turned_back

CONFIG: dict[str, Any] = {
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64,
}  # fmt: skip
LAYERS = {
    "llama": {"self_attn.q_proj": 64, "self_attn.k_proj": 32, "self_attn.o_proj": 64, "mlp.down_proj": 64},
    "qwen3": {"self_attn.q_proj": 64, "self_attn.k_proj": 32, "self_attn.o_proj": 64, "mlp.gate_proj": 96},
    "lfm2": {"conv.in_proj": 192, "conv.out_proj": 64, "feed_forward.w1": 96, "self_attn.out_proj": 64},
}


def lora(family: str) -> Lora:
    draw = np.random.default_rng(3)
    layers = {}
    for block in range(2):
        for kind, outputs in LAYERS[family].items():
            down, up = (draw.standard_normal(shape).astype(np.float32) for shape in ((4, 64), (outputs, 4)))
            layers[f"model.layers.{block}.{kind}"] = (down, up)
    return Lora(layers, 8.0)


@pytest.mark.parametrize("family", sorted(LAYERS))
def test_a_file_reads_back_to_the_same_bits(family: str, tmp_path: Path) -> None:
    import gguf

    path = write_gguf_adapter(lora(family), family, CONFIG, tmp_path / "a.gguf", "Circles")
    again = read_gguf_adapter(path, CONFIG)
    assert again.alpha == 8.0
    check_same(lora(family), again, "a.gguf")
    fields = gguf.GGUFReader(path).fields
    said = {name: fields[name].contents() for name in ("general.type", "general.architecture", "adapter.type")}
    assert said == {"general.type": "adapter", "general.architecture": family, "adapter.type": "lora"}
    assert fields["adapter.lora.alpha"].contents() == 8.0


def test_the_names_are_those_of_llama_cpp() -> None:
    assert gguf_name("model.layers.1.self_attn.q_proj", "llama", CONFIG) == "blk.1.attn_q.weight"
    assert gguf_name("model.layers.0.conv.in_proj", "lfm2", CONFIG) == "blk.0.shortconv.in_proj.weight"
    assert gguf_name("model.layers.0.feed_forward.w2", "lfm2", CONFIG) == "blk.0.ffn_down.weight"
    for layer, family in (
        ("model.layers.2.self_attn.q_proj", "llama"),
        ("lm_head", "qwen3"),
        ("model.layers.0.conv.in_proj", "llama"),
    ):
        with pytest.raises(InputError):
            gguf_name(layer, family, CONFIG)


def test_q_and_k_of_a_llama_are_turned_as_its_base_is() -> None:
    """B A with B's rows turned is the turned B A: so the adapter meets the turned weights of llama.cpp's base."""
    rows = np.arange(8.0).reshape(8, 1)
    assert turned(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert np.array_equal(turned_back(turned(rows, 2), 2), rows)
    down, up = lora("llama").layers["model.layers.0.self_attn.k_proj"]
    assert np.allclose(turned(up, 2) @ down, turned(up @ down, 2))


def test_a_llama_rotated_in_pairs_with_turned_rows_attends_as_one_rotated_in_halves() -> None:
    """What llama.cpp computes from our q and k: the products of queries and keys must be those of transformers."""
    draw = np.random.default_rng(0)
    heads, width, places = 2, 8, 5
    q, k = (draw.standard_normal((places, heads * width)) for _ in range(2))
    angle = np.outer(np.arange(places), 10000.0 ** (-np.arange(0, width, 2) / width))

    def halves(x: np.ndarray) -> np.ndarray:
        one, two = x[..., : width // 2], x[..., width // 2 :]
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        return np.concatenate([one * cos - two * sin, two * cos + one * sin], -1)

    def in_pairs(x: np.ndarray) -> np.ndarray:
        one, two = x[..., 0::2], x[..., 1::2]
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        return np.stack([one * cos - two * sin, one * sin + two * cos], -1).reshape(x.shape)

    def shaped(x: np.ndarray) -> np.ndarray:
        return x.reshape(places, heads, width)

    ours = [in_pairs(shaped(turned(x.T, heads).T)) for x in (q, k)]
    theirs = [halves(shaped(x)) for x in (q, k)]
    score = "ihd,jhd->hij"
    assert np.allclose(np.einsum(score, *ours), np.einsum(score, *theirs))


def test_what_the_format_cannot_say_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": 8, "use_dora": true}', "utf-8")
    weights = tmp_path / "adapter_model.safetensors"
    down, up = lora("llama").layers["model.layers.0.self_attn.q_proj"]
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file({name.format("A"): down, name.format("B"): up}, weights)
    with pytest.raises(InputError, match="use_dora"):
        read_lora(weights, tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": 8}', "utf-8")
    assert read_lora(weights, tmp_path).alpha == 8.0
    save_file({name.format("A"): down, "base_model.model.lm_head.weight": up}, weights)
    with pytest.raises(InputError, match="no factor of a LoRA"):
        read_lora(weights, tmp_path)
    with pytest.raises(InputError, match="none of the families"):
        write_gguf_adapter(lora("llama"), "gpt2", CONFIG, tmp_path / "b.gguf")


def test_a_file_that_differs_does_not_count(tmp_path: Path) -> None:
    one = lora("qwen3")
    other = Lora({name: (down + 1, up) for name, (down, up) in one.layers.items()}, 8.0)
    with pytest.raises(StudioError, match="differs from the adapter"):
        check_same(one, other, "a.gguf")
    with pytest.raises(StudioError, match="alpha"):
        check_same(one, Lora(one.layers, 4.0), "a.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(InputError, match="cannot be read"):
        read_gguf_adapter(tmp_path / "broken.gguf", CONFIG)
