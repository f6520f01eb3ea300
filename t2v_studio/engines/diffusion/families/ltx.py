"""LTX-Video 0.9.1: flow matching on a VAE of 8x32x32, T5 text at 128 tokens with a mask, frames 8k+1.

Its VAE finishes the denoising: noise is mixed into the latents, and the decoder is told how much.
Paper: arXiv 2501.00103; decode values: the pipeline's documentation for 0.9.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from t2v_studio.engines.diffusion.families.base import Encoded, Family, Profile, block_flops
from t2v_studio.engines.diffusion.families.objective import FlowObjective

if TYPE_CHECKING:
    import torch

DECODE_TIMESTEP, DECODE_NOISE = 0.05, 0.025


@dataclass(frozen=True)
class LTXFamily(Family):
    """The pipeline's latents are packed, (B, tokens, channels); those of `pixels_to_latents` are (B, C, F, H, W)."""

    schedulers: ClassVar[tuple[str, ...]] = ("FlowMatchEulerDiscreteScheduler",)
    fewest_steps: ClassVar[int] = 2
    kernels: ClassVar[tuple[str, ...]] = ("cudnn", "native")  # flash3 takes no mask
    masks_text: ClassVar[bool] = True
    many_sizes: ClassVar[bool] = True
    takes_fps: ClassVar[bool] = True
    patch: ClassVar[int] = 1
    cfg_batched: ClassVar[bool] = True

    def _scheduler(self, config: Mapping[str, Any], shift: float | None, distilled: bool) -> Any:
        """Euler with the shift that follows the number of tokens; a given flow shift replaces it.

        The pipeline passes mu = ln(shift), interpolated between base_shift and max_shift.
        """
        from diffusers import FlowMatchEulerDiscreteScheduler

        fixed = {}
        if shift is not None:
            mu = math.log(shift)
            fixed = {"use_dynamic_shifting": True, "base_shift": mu, "max_shift": mu}
        return FlowMatchEulerDiscreteScheduler.from_config(dict(config), **fixed)

    def _encode_one(self, pipe: Any, prompt: str, tokens: int) -> Encoded:
        embeds, mask, _, _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=tokens)
        return {"embeds": embeds, "mask": mask}

    def call_embeds(self, cond: Encoded, uncond: Encoded | None) -> dict[str, Any]:
        return {
            **super().call_embeds(cond, uncond),
            "prompt_attention_mask": cond["mask"],
            "negative_prompt_attention_mask": uncond["mask"] if uncond else None,
        }

    def _own_kwargs(self, guidance: float, fps: float) -> dict[str, Any]:
        return {"frame_rate": fps, "decode_timestep": DECODE_TIMESTEP, "decode_noise_scale": DECODE_NOISE}

    def _decode(self, vae: Any, latents: torch.Tensor, shape: tuple[Any, Any, Any], generator: Any) -> torch.Tensor:
        import torch
        from diffusers import LTXPipeline
        from diffusers.utils.torch_utils import randn_tensor

        if latents.ndim == 3:
            if None in shape:
                raise ValueError("packed latents need frames, width and height")
            latents = LTXPipeline._unpack_latents(latents, *self.latent_shape(*shape))
        latents = LTXPipeline._denormalize_latents(
            latents.to(vae.device), vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        ).to(vae.dtype)
        timestep = None
        if vae.config.timestep_conditioning:
            noise = randn_tensor(latents.shape, generator=generator, device=latents.device, dtype=latents.dtype)
            timestep = torch.tensor([DECODE_TIMESTEP], device=latents.device, dtype=latents.dtype)
            scale = torch.tensor([DECODE_NOISE], device=latents.device, dtype=latents.dtype)[:, None, None, None, None]
            latents = (1 - scale) * latents + scale * noise
        with _seeded(generator, latents.device):
            return vae.decode(latents, timestep, return_dict=False)[0]

    def _normalised(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        from diffusers import LTXPipeline

        return LTXPipeline._normalize_latents(latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)

    def objective(self, scheduler_config: Mapping[str, Any], *, height: int = 480) -> FlowObjective:
        """Shift of a 3:2 clip of 49 frames at `height`, interpolated over tokens as the sampler does."""
        from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift

        frames, down, across = self.latent_shape(49, height * 3 // 2, height)
        keys = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        known = [scheduler_config.get(key, usual) for key, usual in zip(keys, (256, 4096, 0.5, 1.15), strict=True)]
        return FlowObjective(self._forward, shift=math.exp(calculate_shift(frames * down * across, *known)))

    def _forward(
        self, transformer: Any, noisy: torch.Tensor, timestep: torch.Tensor, cond: Encoded, *, fps: float
    ) -> torch.Tensor:
        from diffusers import LTXPipeline

        shape = noisy.shape[2:]
        time, down, across = self.vae_stride
        packed = transformer(
            hidden_states=LTXPipeline._pack_latents(noisy),
            encoder_hidden_states=cond["embeds"],
            timestep=timestep,
            encoder_attention_mask=cond["mask"],
            num_frames=shape[0],
            height=shape[1],
            width=shape[2],
            rope_interpolation_scale=(time / fps, down, across),
            return_dict=False,
        )[0]
        return LTXPipeline._unpack_latents(packed, *shape)

    def _flops(self, config: Mapping[str, Any], latent: tuple[int, int, int]) -> float:
        """One forward: as Wan's, with a feed-forward of four widths and 128 words."""
        tokens, text = math.prod(latent), self.text_tokens
        dim, words = config["num_attention_heads"] * config["attention_head_dim"], config["caption_channels"]
        layer = block_flops(tokens, dim, text, config["cross_attention_dim"], 4 * dim)
        ends = 2 * tokens * dim * (config["in_channels"] + config["out_channels"])
        return float(
            config["num_layers"] * layer + ends + 2 * text * (words * dim + dim**2) + 2 * (256 * dim + 7 * dim**2)
        )


@contextmanager
def _seeded(generator: Any, device: Any) -> Iterator[None]:
    """The decoder draws noise of its own from torch's global state: tie it to the clip, and leave that state alone."""
    import torch

    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(generator.initial_seed() if generator is not None else 0)
        yield


LTX = LTXFamily(
    name="ltx",
    kind="ltx",
    label="LTX-Video 0.9.1",
    pipeline="LTXPipeline",
    transformer="LTXVideoTransformer3DModel",
    vae="AutoencoderKLLTXVideo",
    text_encoder="T5EncoderModel",
    tokenizer="T5TokenizerFast",
    frame_stride=8,
    size_multiple=32,
    vae_stride=(8, 32, 32),
    text_tokens=128,
    default_dtype="bfloat16",
    vae_dtype="",
    trained_frames=(25, 257),
    trained_fps=24,
    trained_sizes=((1280, 720),),
    denoise_bytes=105_000,
    decode_bytes=230,
    tile_pixels=512 * 512,
    decodes_whole=True,
    lora_targets=("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"),
    keep_fp32=(),
    defaults={
        "fast": Profile(frames=25, steps=24, guidance=2.5, fps=16, width=704, height=480),
        "balanced": Profile(frames=33, steps=30, guidance=3.0, fps=16, width=704, height=480),
        "high": Profile(frames=49, steps=38, guidance=3.5, fps=16, width=1216, height=704),
    },
)
