"""Names and row order of weights in a GGUF file, for the three families that our writer knows.

llama.cpp rotates q and k of a Llama in interleaved halves, so their rows are put in another order than in
transformers; Qwen3 and LFM2 keep theirs (llama.cpp: conversion of each architecture, `permute`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import InputError

if TYPE_CHECKING:
    import numpy as np

ARCHITECTURES = {"llama": "LLAMA", "qwen3": "QWEN3", "lfm2": "LFM2"}
_LAYER = re.compile(r"^model\.layers\.(\d+)\.")
_TURNED = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}


def architecture(family: str) -> str:
    """The family's name in a file's general.architecture. Raises InputError for one that is not known."""
    import gguf

    if family not in ARCHITECTURES:
        raise InputError(
            "gguf_unknown_family",
            f"GGUF: {family} is none of the families that are written here.",
            f"Known: {', '.join(ARCHITECTURES)}. Others: llama.cpp's convert_lora_to_gguf.py.",
        )
    return str(gguf.MODEL_ARCH_NAMES[getattr(gguf.MODEL_ARCH, ARCHITECTURES[family])])


@lru_cache(maxsize=8)
def _names(family: str, blocks: int) -> Any:
    import gguf

    return gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, ARCHITECTURES[family]), blocks)


def gguf_name(layer: str, family: str, config: Mapping[str, Any]) -> str:
    """`model.layers.0.self_attn.q_proj` as `blk.0.attn_q.weight`. Raises InputError for a layer without a name."""
    architecture(family)
    blocks = int(config["num_hidden_layers"])
    found = _LAYER.match(layer)
    name = _names(family, blocks).get_name(layer) if found and int(found[1]) < blocks else None
    if not name:
        raise InputError(
            "gguf_unknown_layer",
            f"GGUF: {layer} has no name in a {family} file.",
            "Train on the linear layers of the blocks alone: leave targets empty.",
        )
    return f"{name}.weight"


def heads_of(layer: str, family: str, config: Mapping[str, Any]) -> int:
    """Heads whose rows are put in another order; 0 where the layer keeps its order."""
    field = _TURNED.get(layer.rpartition(".")[2])
    if family != "llama" or field is None:
        return 0
    return int(config.get(field) or config["num_attention_heads"])


def turned(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k from transformers' order (halves) to llama.cpp's (pairs)."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def turned_back(rows: np.ndarray, heads: int) -> np.ndarray:
    """`turned` undone."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
