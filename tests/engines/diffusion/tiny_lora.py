"""Tiny real transformers and LoRAs for them, made by PEFT itself and written as trainers write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
CONFIG = {
    "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16,
    "text_dim": 32, "freq_dim": 64, "ffn_dim": 64, "num_layers": 2, "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024,
}  # fmt: skip


def tiny_wan(seed: int = 0, **changes: Any) -> WanTransformer3DModel:
    torch.manual_seed(seed)
    return WanTransformer3DModel(**(CONFIG | changes)).eval()


def inputs(seed: int = 1) -> dict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    return {
        "hidden_states": torch.randn(1, 16, 2, 4, 4, generator=made),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 7, 32, generator=made),
    }


@torch.no_grad()
def output(model: Any, **changes: Any) -> torch.Tensor:
    return model(**(inputs() | changes), return_dict=False)[0]


def bits(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter, under its plain name."""
    return {name.replace(".base_layer", ""): part.detach().clone() for name, part in model.named_parameters()}


def write_lora(
    folder: Path, *, seed: int = 3, rank: int = 4, alpha: int = 8, targets: Any = TARGETS, metadata: bool = True,
    dtype: torch.dtype = torch.float32, name: str = "pytorch_lora_weights.safetensors", **changes: Any
) -> Path:  # fmt: skip
    """A LoRA that PEFT made for the tiny Wan, with random factors on both sides, saved by diffusers."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    model = tiny_wan(**changes)
    model.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets)), adapter_name="style")
    made = torch.Generator().manual_seed(seed)
    state = {
        key: (torch.randn(value.shape, generator=made) * 0.2).to(dtype)
        for key, value in get_peft_model_state_dict(model, adapter_name="style").items()
    }
    WanPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=state,
        transformer_lora_adapter_metadata=model.peft_config["style"].to_dict() if metadata else None,
        weight_name=name,
    )
    return folder / name


def pipeline(transformer: WanTransformer3DModel) -> WanPipeline:
    """Without tokenizer, text encoder and VAE: embeddings in, latents out."""
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )
    pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=None, transformer=transformer, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents(pipe: WanPipeline) -> torch.Tensor:
    made = torch.Generator().manual_seed(5)
    found = pipe(
        prompt_embeds=torch.randn(1, 7, 32, generator=made), negative_prompt_embeds=torch.randn(1, 7, 32, generator=made),
        height=32, width=32, num_frames=5, num_inference_steps=2, guidance_scale=4.0, output_type="latent",
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    return found.frames
