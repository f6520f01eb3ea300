"""LoRA files as the trainers write them: the same numbers under each layout's names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WIDTH, RANK = 24, 4
MODULES = {
    f"blocks.{block}.{ours}": f"blocks.{block}.{theirs}"
    for block in (0, 1, 11)
    for ours, theirs in (
        ("attn1.to_q", "self_attn.q"),
        ("attn1.to_out.0", "self_attn.o"),
        ("attn2.to_v", "cross_attn.v"),
        ("ffn.net.0.proj", "ffn.0"),
        ("ffn.net.2", "ffn.2"),
    )
} | {"condition_embedder.time_proj": "time_projection.1", "proj_out": "head.head"}
"""diffusers' names and those of the original Wan code."""


def factors(seed: int = 0, *, width: int = WIDTH, rank: int = RANK) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    made = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(rank, width, generator=made), torch.randn(width, rank, generator=made)) for name in MODULES
    }


def tensors(
    layout: str, alpha: float | None = None, *, dtype: torch.dtype = torch.float32, **sizes: Any
) -> dict[str, torch.Tensor]:
    """layout: diffusers, peft, diffsynth, comfyui, comfyui-down, kohya, kohya-diffusers or old."""
    prefix, theirs, down, up = {
        "diffusers": ("transformer.", False, "lora_A.weight", "lora_B.weight"),
        "peft": ("base_model.model.", False, "lora_A.weight", "lora_B.weight"),
        "diffsynth": ("", True, "lora_A.default.weight", "lora_B.default.weight"),
        "comfyui": ("diffusion_model.", True, "lora_A.weight", "lora_B.weight"),
        "comfyui-down": ("diffusion_model.", True, "lora_down.weight", "lora_up.weight"),
        "kohya": ("lora_unet_", True, "lora_down.weight", "lora_up.weight"),
        "kohya-diffusers": ("lora_unet_", False, "lora_down.weight", "lora_up.weight"),
        "old": ("transformer.", False, "lora.down.weight", "lora.up.weight"),
    }[layout]
    found: dict[str, torch.Tensor] = {}
    for name, (first, second) in factors(**sizes).items():
        base = MODULES[name] if theirs else name
        base = prefix + (base.replace(".", "_") if layout.startswith("kohya") else base)
        found[f"{base}.{down}"], found[f"{base}.{up}"] = first.to(dtype), second.to(dtype)
        if alpha is not None:
            found[f"{base}.alpha"] = torch.tensor(alpha, dtype=dtype)
    return found


def write(
    path: Path, layout: str = "diffusers", alpha: float | None = None, *, metadata: Any = None, **more: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors(layout, alpha, **more), path, metadata=metadata)
    return path


def peft_header(alpha: float, **more: Any) -> dict[str, str]:
    config = {"r": RANK, "lora_alpha": alpha, "target_modules": ["to_q"]} | more
    return {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in config.items()})}
