"""A tiny base as a whole GGUF model, so that llama.cpp can be asked what it makes of our adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from training.text.gguf_names import ARCHITECTURES, heads_of, turned


def write_base(folder: Path, family: str, path: Path) -> Path:
    """The weights and the tokenizer of a tiny model with llama.cpp's names, in fp32."""
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "model.safetensors")
    kind = getattr(gguf.MODEL_ARCH, ARCHITECTURES[family])
    names = gguf.get_tensor_name_map(kind, config["num_hidden_layers"])
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[kind])
    _sizes(writer, config, weights, family)
    _vocabulary(writer, folder)
    for name, tensor in weights.items():
        layer = name.removesuffix(".weight")
        heads = heads_of(layer, family, config)
        rows = turned(tensor, heads) if heads else tensor
        known = names.get_name(layer, try_suffixes=(".weight",))
        assert known is not None, name
        writer.add_tensor(f"{known}.weight", np.ascontiguousarray(rows.squeeze().astype(np.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _sizes(writer: Any, config: dict[str, Any], weights: dict[str, np.ndarray], family: str) -> None:
    ff = next(name for name in weights if name.endswith(("gate_proj.weight", "feed_forward.w1.weight")))
    heads = config["num_attention_heads"]
    rope = config.get("rope_parameters") or {}
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(512)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(weights[ff].shape[0])
    writer.add_head_count(heads)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps") or config.get("norm_eps"))
    writer.add_rope_freq_base(rope.get("rope_theta") or config.get("rope_theta"))
    writer.add_vocab_size(config["vocab_size"])
    if family == "lfm2":
        kinds = config["layer_types"]
        writer.add_head_count_kv([config["num_key_value_heads"] if one == "full_attention" else 0 for one in kinds])
        writer.add_shortconv_l_cache(config["conv_L_cache"])
    else:
        size = config.get("head_dim") or config["hidden_size"] // heads
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_key_length(size)
        writer.add_value_length(size)
        writer.add_rope_dimension_count(size)


def _vocabulary(writer: Any, folder: Path) -> None:
    import gguf

    core = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = {one["id"]: one["content"] for one in core["added_tokens"]}
    tokens = sorted(core["model"]["vocab"].items(), key=lambda item: item[1])
    merges = [one if isinstance(one, str) else " ".join(one) for one in core["model"]["merges"]]
    kinds = [gguf.TokenType.CONTROL if place in special else gguf.TokenType.NORMAL for _, place in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(3)
    writer.add_add_bos_token(False)
