"""CogVideoX 2b and 5b: v-prediction, T5 text at 226 tokens in one sequence with the video, frames 8k+1.

The VAE decodes two latent frames at a time after the first three, so only an odd number of latent
frames gives 4(n-1)+1 pictures: hence 8k+1 and not 4k+1. Paper: arXiv 2408.06072.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from t2v_studio.engines.diffusion.families.base import Encoded, Family, Profile
from t2v_studio.engines.diffusion.families.objective import VelocityObjective

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class CogVideoXFamily(Family):
    """Latents are (B, frames, channels, height, width)."""

    schedulers: ClassVar[tuple[str, ...]] = ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler")
    kernels: ClassVar[tuple[str, ...]] = ("native",)  # its processor calls torch's attention itself
    cfg_batched: ClassVar[bool] = True

    def _scheduler(self, config: Mapping[str, Any], shift: float | None, distilled: bool) -> Any:
        """The scheduler that the model names. It has no flow shift: its noise schedule is part of the weights."""
        import diffusers

        return getattr(diffusers, config["_class_name"]).from_config(dict(config))

    def _decode(self, vae: Any, latents: torch.Tensor, shape: tuple[Any, Any, Any], generator: Any) -> torch.Tensor:
        latents = latents.to(vae.device, dtype=vae.dtype).permute(0, 2, 1, 3, 4)
        return vae.decode(1 / vae.config.scaling_factor * latents).sample

    def _normalised(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        return latents.permute(0, 2, 1, 3, 4).contiguous() * vae.config.scaling_factor

    def objective(self, scheduler_config: Mapping[str, Any], *, height: int = 480) -> VelocityObjective:
        return VelocityObjective(self._forward, scheduler_config)

    def _forward(
        self, transformer: Any, noisy: torch.Tensor, timestep: torch.Tensor, cond: Encoded, *, fps: float
    ) -> torch.Tensor:
        rotary = None
        if transformer.config.use_rotary_positional_embeddings:
            _, down, across = self.vae_stride
            size = (noisy.shape[3] * down, noisy.shape[4] * across)
            pipe = self.pipeline_from({"transformer": transformer})
            rotary = pipe._prepare_rotary_positional_embeddings(*size, noisy.shape[1], noisy.device)
        return transformer(
            hidden_states=noisy,
            encoder_hidden_states=cond["embeds"],
            timestep=timestep,
            image_rotary_emb=rotary,
            return_dict=False,
        )[0]

    def _flops(self, config: Mapping[str, Any], latent: tuple[int, int, int]) -> float:
        """One forward of the joint text and video sequence; then patches, text, time and modulation."""
        frames, height, width = latent
        patch, text = config["patch_size"], config["max_text_seq_length"]
        seen = frames * (height // patch) * (width // patch)
        tokens = seen + text
        dim, clock = config["num_attention_heads"] * config["attention_head_dim"], config["time_embed_dim"]
        layer = 8 * tokens * dim**2 + 4 * tokens**2 * dim + 16 * tokens * dim**2 + 24 * clock * dim
        ends = 2 * seen * dim * patch**2 * (config["in_channels"] + config["out_channels"])
        words = 2 * text * config["text_embed_dim"] * dim
        return float(config["num_layers"] * layer + ends + words + 2 * clock * (dim + clock) + 4 * clock * dim)


COGVIDEOX = CogVideoXFamily(
    name="cogvideox",
    kind="cogvideox",
    label="CogVideoX-2b",
    pipeline="CogVideoXPipeline",
    transformer="CogVideoXTransformer3DModel",
    vae="AutoencoderKLCogVideoX",
    text_encoder="T5EncoderModel",
    tokenizer="T5Tokenizer",
    frame_stride=8,
    size_multiple=16,
    vae_stride=(4, 8, 8),
    text_tokens=226,
    default_dtype="float16",
    vae_dtype="",
    trained_frames=(49, 49),
    trained_fps=8,
    trained_sizes=((720, 480),),
    denoise_bytes=100_000,
    decode_bytes=100_000,
    tile_pixels=360 * 240,
    takes_flow_shift=False,
    lora_targets=("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"),
    keep_fp32=(),
    defaults={
        "fast": Profile(frames=25, steps=20, guidance=5.0, fps=8, width=720, height=480),
        "balanced": Profile(frames=33, steps=24, guidance=5.5, fps=8, width=720, height=480),
        "high": Profile(frames=41, steps=28, guidance=6.0, fps=8, width=720, height=480),
    },
)

COGVIDEOX_5B = replace(
    COGVIDEOX,
    name="cogvideox-5b",
    label="CogVideoX-5b",
    default_dtype="bfloat16",
    denoise_bytes=160_000,
    defaults={
        "fast": Profile(frames=25, steps=32, guidance=4.0, fps=8, width=720, height=480),
        "balanced": Profile(frames=33, steps=36, guidance=4.5, fps=8, width=720, height=480),
        "high": Profile(frames=49, steps=40, guidance=5.0, fps=8, width=720, height=480),
    },
)
