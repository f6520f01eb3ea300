"""Wan 2.1 text-to-video, 1.3B and 14B: flow matching, UMT5 text at 512 tokens, frames 4k+1.

Cost formula and sampling shifts: Wan 2.1 README and report (arXiv 2503.20314).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from t2v_studio.engines.diffusion.families.base import Encoded, Family, Parts, Profile, block_flops
from t2v_studio.engines.diffusion.families.objective import FlowObjective

if TYPE_CHECKING:
    import torch

TALL_HEIGHT, TALL_WIDTH = 700, 1200
"""From here on a clip counts as 720p: more noise is needed to hide its structure, so the shift is larger."""


@dataclass(frozen=True)
class WanFamily(Family):
    """boundary: share of the time range below which `transformer_2` takes over (Wan 2.2 A14B).

    expand_timesteps: one timestep a token, as TI2V-5B was trained.
    shifts: flow shift at 480p and at 720p.
    """

    boundary: float | None = None
    expand_timesteps: bool = False
    shifts: tuple[float, float] = (3.0, 5.0)

    @property
    def part_names(self) -> tuple[str, ...]:
        experts = ("transformer",) if self.boundary is None else ("transformer", "transformer_2")
        return ("tokenizer", "text_encoder", *experts, "vae", "scheduler_config")

    schedulers: ClassVar[tuple[str, ...]] = ("UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler")

    def _scheduler(self, config: Mapping[str, Any], shift: float | None, distilled: bool) -> Any:
        """UniPC with the shift of the size; Euler for distilled adapters, whose few steps are trained for it."""
        from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

        steps = int(config.get("num_train_timesteps", 1000))
        if distilled:
            from t2v_studio.engines.diffusion.families.few_steps import FewStepEuler

            return FewStepEuler(num_train_timesteps=steps, shift=shift)
        if config.get("_class_name") == "FlowMatchEulerDiscreteScheduler":
            return FlowMatchEulerDiscreteScheduler(num_train_timesteps=steps, shift=shift)
        return UniPCMultistepScheduler.from_config(dict(config), flow_shift=shift)

    def flow_shift(self, height: int, width: int) -> float:
        return self.shifts[1] if height >= TALL_HEIGHT or width >= TALL_WIDTH else self.shifts[0]

    def _own_kwargs(self, guidance: float, fps: float) -> dict[str, Any]:
        # encode_prompt's own default is 226; the model was trained at 512
        own: dict[str, Any] = {"max_sequence_length": self.text_tokens}
        if self.boundary is not None:
            # the model's own pair is 4 and 3: the low-noise expert takes two thirds of the excess over 1
            own["guidance_scale_2"] = 1 + (guidance - 1) * 2 / 3
        return own

    def _pipeline_config(self, parts: Parts) -> dict[str, Any]:
        return {"boundary_ratio": self.boundary, "expand_timesteps": self.expand_timesteps}

    def _decode(self, vae: Any, latents: torch.Tensor, shape: tuple[Any, Any, Any], generator: Any) -> torch.Tensor:
        latents = latents.to(vae.device, dtype=vae.dtype)
        mean, inverse_std = self._statistics(vae, latents)
        return vae.decode(latents / inverse_std + mean, return_dict=False)[0]

    def _normalised(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        mean, inverse_std = self._statistics(vae, latents)
        return (latents - mean) * inverse_std

    def _statistics(self, vae: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and 1/std a channel, computed as the pipeline does, so that the last bit agrees."""
        import torch

        shape = (1, vae.config.z_dim, 1, 1, 1)
        mean = torch.tensor(vae.config.latents_mean).view(shape).to(like.device, like.dtype)
        inverse = 1.0 / torch.tensor(vae.config.latents_std).view(shape).to(like.device, like.dtype)
        return mean, inverse

    def train_shift(self, height: int) -> float:
        """Shift of the noise levels in training: the sampling shift of the size."""
        return self.flow_shift(height, 0)

    def objective(self, scheduler_config: Mapping[str, Any], *, height: int = 480) -> FlowObjective:
        return FlowObjective(self._forward, shift=self.train_shift(height))

    def _forward(
        self, transformer: Any, noisy: torch.Tensor, timestep: torch.Tensor, cond: Encoded, *, fps: float
    ) -> torch.Tensor:
        if self.expand_timesteps:
            _, down, across = transformer.config.patch_size
            tokens = noisy.shape[2] * (noisy.shape[3] // down) * (noisy.shape[4] // across)
            timestep = timestep[:, None].expand(-1, tokens)
        return transformer(
            hidden_states=noisy, timestep=timestep, encoder_hidden_states=cond["embeds"], return_dict=False
        )[0]

    def _flops(self, config: Mapping[str, Any], latent: tuple[int, int, int]) -> float:
        """One forward: projections, self and cross attention, feed-forward; then patches, text and time."""
        frames, height, width = latent
        time, down, across = config["patch_size"]
        tokens = (frames // time) * (height // down) * (width // across)
        dim = config["num_attention_heads"] * config["attention_head_dim"]
        text, text_dim = self.text_tokens, config["text_dim"]
        layer = block_flops(tokens, dim, text, dim, config["ffn_dim"])
        patch = time * down * across
        ends = 2 * tokens * dim * patch * (config["in_channels"] + config["out_channels"])
        words = 2 * text * (text_dim * dim + dim**2)
        clock = 2 * (config["freq_dim"] * dim + 7 * dim**2)
        return float(config["num_layers"] * layer + ends + words + clock)


WAN = WanFamily(
    name="wan",
    kind="wan",
    label="Wan 2.1",
    pipeline="WanPipeline",
    transformer="WanTransformer3DModel",
    vae="AutoencoderKLWan",
    text_encoder="UMT5EncoderModel",
    tokenizer="AutoTokenizer",
    frame_stride=4,
    size_multiple=16,
    vae_stride=(4, 8, 8),
    text_tokens=512,
    default_dtype="bfloat16",
    vae_dtype="float32",
    trained_frames=(33, 81),
    trained_fps=16,
    trained_sizes=((832, 480), (1280, 720)),
    denoise_bytes=220_000,
    decode_bytes=22_000,
    tile_pixels=256 * 256,
    lora_targets=("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"),
    keep_fp32=("rope", "time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"),
    defaults={
        "fast": Profile(frames=25, steps=24, guidance=4.5, fps=16, width=832, height=480),
        "balanced": Profile(frames=33, steps=30, guidance=5.0, fps=16, width=832, height=480),
        "high": Profile(frames=49, steps=38, guidance=5.0, fps=16, width=1280, height=720),
    },
)
