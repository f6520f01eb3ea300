"""Transformer shapes of the models in data/models.yaml: a dry run says what a model needs before it is fetched.

From the publishers' config.json; a test holds their parameter counts to those of the registry.
"""

from __future__ import annotations

from typing import Any

_WAN: dict[str, Any] = {
    "patch_size": [1, 2, 2],
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
    "eps": 1e-6,
}
_COG: dict[str, Any] = {
    "patch_size": 2,
    "attention_head_dim": 64,
    "in_channels": 16,
    "out_channels": 16,
    "time_embed_dim": 512,
    "text_embed_dim": 4096,
    "max_text_seq_length": 226,
    "sample_width": 90,
    "sample_height": 60,
    "sample_frames": 49,
    "temporal_compression_ratio": 4,
}
SHAPES: dict[str, dict[str, Any]] = {
    "wan2.1-1.3b": {**_WAN, "num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960},
    "wan2.1-14b": {**_WAN, "num_attention_heads": 40, "num_layers": 40, "ffn_dim": 13824},
    "wan2.2-ti2v-5b": {
        **_WAN, "num_attention_heads": 24, "num_layers": 30, "ffn_dim": 14336, "in_channels": 48, "out_channels": 48,
    },
    "cogvideox-2b": {
        **_COG, "num_attention_heads": 30, "num_layers": 30, "use_rotary_positional_embeddings": False,
    },
    "cogvideox-5b": {
        **_COG, "num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True,
    },
    "ltx-0.9.1": {
        "patch_size": 1,
        "patch_size_t": 1,
        "num_attention_heads": 32,
        "attention_head_dim": 64,
        "num_layers": 28,
        "in_channels": 128,
        "out_channels": 128,
        "cross_attention_dim": 2048,
        "caption_channels": 4096,
        "qk_norm": "rms_norm_across_heads",
    },
}  # fmt: skip
