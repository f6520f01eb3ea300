"""Wan at its real sizes with random weights, in memory or as a folder of files, for the figures of `gpu_wan.py`.

Weights are normal with a standard deviation of 0.02, since zeros would change power and clocks.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from t2v_studio.engines.diffusion.families.registry import family
from t2v_studio.engines.diffusion.tiny import make_tiny

WAN = family("wan")
COMMON: dict[str, Any] = {
    "patch_size": (1, 2, 2), "attention_head_dim": 128, "in_channels": 16, "out_channels": 16, "text_dim": 4096,
    "freq_dim": 256, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
}  # fmt: skip
CONFIGS = {
    "1.3b": COMMON | {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
    "14b": COMMON | {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
    "tiny": COMMON | {"num_attention_heads": 2, "attention_head_dim": 12, "text_dim": 32, "freq_dim": 64, "ffn_dim": 64, "num_layers": 2},
}  # fmt: skip
VAE: dict[str, dict[str, Any]] = {
    "full": {},
    "tiny": {"base_dim": 8, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [False, True, True]},
}  # fmt: skip
UMT5 = {"vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
SCHEDULER = {
    "_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction", "use_flow_sigmas": True,
    "num_train_timesteps": 1000, "flow_shift": 3.0,
}  # fmt: skip


@dataclass
class Figures:
    """What was measured of one model, a row a figure; each is printed at once."""

    model: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def row(self, metric: str, value: float | None, unit: str, **more: Any) -> None:
        shown = None if value is None else round(value, 4)
        self.rows.append({"metric": metric, "model": self.model, "value": shown, "unit": unit, **more})
        print(json.dumps(self.rows[-1]), flush=True)


def transformer_and_vae(name: str, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Both on the device; the transformer in `dtype` but for what stays in float32, the VAE in float32."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    with torch.device("meta"):
        transformer = WanTransformer3DModel(**CONFIGS[name])
        vae = AutoencoderKLWan(**VAE["tiny" if name == "tiny" else "full"])
    return _random(_typed(transformer, dtype), device), _random(vae, device)


def write_model(name: str, folder: Path, device: str, text_encoder: Path | None = None) -> Path:
    """A model folder like a downloaded one; "tiny" is the studio's own tiny model.

    text_encoder: one that was written before. 14B takes 29 GB and the text encoder 11 GB of disk.
    """
    make_tiny("wan", folder)
    if name == "tiny":
        return folder
    for part in ("transformer", "vae", "text_encoder"):
        shutil.rmtree(folder / part)
    transformer, vae = transformer_and_vae(name, device, torch.bfloat16)
    transformer.save_pretrained(folder / "transformer")
    vae.save_pretrained(folder / "vae")
    if text_encoder is not None:
        (folder / "text_encoder").symlink_to(text_encoder, target_is_directory=True)
    else:
        _encoder(device).save_pretrained(folder / "text_encoder")
    return folder


def _encoder(device: str) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    with torch.device("meta"):
        encoder = UMT5EncoderModel(UMT5Config(**UMT5))
    encoder = _random(encoder.to(torch.bfloat16), device)
    encoder.tie_weights()
    return encoder


def _typed(transformer: Any, dtype: torch.dtype) -> Any:
    """In `dtype`, but for the modules that from_pretrained keeps in float32."""
    transformer.to(dtype)
    for name, parameter in transformer.named_parameters():
        if any(part in name for part in WAN.keep_fp32):
            parameter.data = parameter.data.float()
    return transformer


def _random(model: Any, device: str) -> Any:
    """A model from the meta device with random weights that keep its values finite."""
    model = model.to_empty(device=device).eval()
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("bias"):
                tensor.zero_()
            elif "norm" in name or name.endswith("gamma"):
                tensor.fill_(1.0)
            elif tensor.is_floating_point():
                tensor.normal_(0.0, 0.02, generator=generator)
    if hasattr(model, "rope"):  # its tables are buffers that were never computed
        patch, dim = model.config.patch_size, model.config.attention_head_dim
        model.rope = type(model.rope)(dim, patch, model.config.rope_max_seq_len).to(device)
    return model
