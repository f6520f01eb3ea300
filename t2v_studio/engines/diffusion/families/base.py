"""What a family of video models is: its rules as data, and the few functions that differ between families.

torch and diffusers are imported inside functions only, so rules and defaults cost nothing to ask for.
Latents keep the layout of the family's own diffusers pipeline throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from t2v_studio.engines.diffusion.families import loading
from t2v_studio.errors import InputError, StudioError, plural

if TYPE_CHECKING:
    import torch

    from t2v_studio.engines.diffusion.families.objective import Objective

Quality = Literal["fast", "balanced", "high"]
Part = Literal["tokenizer", "text_encoder", "transformer", "transformer_2", "vae", "scheduler_config"]
Parts = dict[str, Any]
"""Parts of a pipeline by name, as `load_part` returned them; a missing one is None in the pipeline."""

Encoded = dict[str, Any]
"""One prompt as the transformer takes it: "embeds" (1, tokens, width), and "mask" (1, tokens) where the family has one."""

NEAR = 0.07
"""Share by which a side or a rate may differ from training before that is worth a word: 848x480, 15 fps."""


@dataclass(frozen=True)
class Profile:
    """What a quality level means for a family. flow_shift: None where the size decides or the family has none."""

    frames: int
    steps: int
    guidance: float
    fps: float
    width: int
    height: int
    flow_shift: float | None = None


@dataclass(frozen=True)
class Source:
    """Where the parts of one model lie on this disk.

    shared: parts that another model's folder holds, such as the text encoder of all Wan models.
    revision: a commit of the hub, or for a folder of one's own its `model_files.fingerprint`. stamp: `model_files.stamp`
    of all parts: another one where files changed since.
    """

    folder: Path
    name: str = ""
    repo_id: str = ""
    revision: str = ""
    shared: Mapping[str, Path] = field(default_factory=dict)
    stamp: str = ""

    def mend(self, part: str) -> str:
        """What to do where a part's files are broken."""
        folder = self.part(part)
        if not self.repo_id:
            return f"Put whole files into {folder}; of a tiny model, delete its folder: it is made again."
        if folder.parent.name in ("bfloat16", "float16"):
            short = {"bfloat16": "bf16", "float16": "fp16"}[folder.parent.name]
            return f"Delete {folder}, then copy again: t2v models convert {self.name} --dtype {short}"
        return f"Check the files, and fetch what is damaged: t2v models download {self.name} --check"

    @classmethod
    def of(cls, source: Source | Path) -> Source:
        return source if isinstance(source, Source) else cls(Path(source), name=Path(source).name)

    def part(self, part: str) -> Path:
        """Folder of a part; "scheduler_config" lies in scheduler/."""
        sub = "scheduler" if part == "scheduler_config" else part
        return self.shared.get(sub, self.folder / sub)


@dataclass(frozen=True)
class Family:
    """One family. Sizes in pixels, `trained_frames` is the range within which the model was trained.

    trained_sizes: width and height, either way up; empty where nothing was learnt (random weights).
    """

    name: str
    kind: str
    """Which architecture: wan, cogvideox or ltx; adapters fit within a kind and width."""
    label: str
    pipeline: str
    transformer: str
    vae: str
    text_encoder: str
    tokenizer: str
    frame_stride: int
    size_multiple: int
    vae_stride: tuple[int, int, int]
    """Pixels a latent along time, height and width."""
    text_tokens: int
    default_dtype: str
    vae_dtype: str
    """dtype in which the VAE is loaded; "" follows the transformer."""
    trained_frames: tuple[int, int]
    trained_fps: float
    lora_targets: tuple[str, ...]
    keep_fp32: tuple[str, ...]
    defaults: Mapping[str, Profile]
    denoise_bytes: int
    """What one pass holds at its peak beside the weights, bytes a token in sixteen bits: about ten tensors of the model's
    width and two of its feed-forward layer, and two fifths more. Of the family's widest model."""
    decode_bytes: int
    """What decoding holds at its peak beside the weights, bytes a pixel of one frame in float32, untiled: counted on the
    full-size decoders, with a tenth for what their convolutions borrow. Of every frame, where `decodes_whole`."""
    tile_pixels: int
    """Pixels of the tiles that the decoder works in, where memory is short."""
    trained_sizes: tuple[tuple[int, int], ...] = ()
    takes_flow_shift: bool = True
    max_frames: int | None = None
    decodes_whole: bool = False
    """Whether the decoder holds all frames at once, and not a few after another."""

    schedulers: ClassVar[tuple[str, ...]] = ()
    """Scheduler classes that a model folder may name; anything else is refused."""
    fewest_steps: ClassVar[int] = 1
    """Fewer denoising steps than these the scheduler cannot lay out."""
    kernels: ClassVar[tuple[str, ...]] = ("flash3", "cudnn", "native")
    """Attention kernels that the transformer can be given (`attention.BACKENDS`), fastest first."""
    many_sizes: ClassVar[bool] = False
    """Whether it was trained at all sizes up to those of `trained_sizes`."""
    takes_fps: ClassVar[bool] = False
    """Whether the model is told the frame rate, and moves accordingly."""
    masks_text: ClassVar[bool] = False
    """Whether its attention to the text has a mask, which not every kernel takes."""
    patch: ClassVar[int] = 2
    """Latents along height and width that make one token of the transformer."""
    cfg_batched: ClassVar[bool] = False
    """Whether guidance runs both passes as one batch of two (True) or one after the other."""

    @property
    def transformers(self) -> tuple[str, ...]:
        """Names of the parts that denoise: one, or two where two experts share the steps."""
        return tuple(part for part in self.part_names if part.startswith("transformer"))

    @property
    def part_names(self) -> tuple[str, ...]:
        """What a model of this family consists of."""
        return ("tokenizer", "text_encoder", "transformer", "vae", "scheduler_config")

    # rules

    def frames(self, frames: int) -> int:
        """The nearest count of the form stride * k + 1, the lower one on a tie, as diffusers rounds."""
        count = max(1, _nearest(frames - 1, self.frame_stride)) * self.frame_stride + 1
        return min(count, self.max_frames) if self.max_frames else count

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The nearest size that the family can make, the smaller one on a tie."""
        multiple = self.size_multiple
        return max(1, _nearest(width, multiple)) * multiple, max(1, _nearest(height, multiple)) * multiple

    def notices(self, frames: int, width: int, height: int, fps: float) -> list[str]:
        """Sentences for the user, before a run: what is rounded, and what lies outside the trained range."""
        notes = []
        made, size = self.frames(frames), self.size(width, height)
        if made != frames:
            rule = f"{self.frame_stride}k+1"
            notes.append(
                f"{plural(frames, 'frame')} {'becomes' if frames == 1 else 'become'} {made}: {self.label} makes {rule} frames ({made / fps:.2f} s at {fps:g} fps)."
            )
        if size != (width, height):
            notes.append(
                f"{width}x{height} becomes {size[0]}x{size[1]}: "
                f"{self.label} needs sides that are multiples of {self.size_multiple}."
            )
        return notes + self._untrained(made, *size, fps)

    def _untrained(self, frames: int, width: int, height: int, fps: float) -> list[str]:
        notes = []
        low, high = self.trained_frames
        if frames < low:
            trained = f"{low} to {high}" if low < high else f"{low}"
            notes.append(
                f"{frames} frames a scene are fewer than {self.label} was trained on ({trained}): the first ones "
                f"may be blurred or grey. From {low} on it looks better, and takes longer."
            )
        elif frames > high:
            notes.append(
                f"{frames} frames a scene are more than {self.label} was trained on ({high}): motion may repeat."
            )
        if not self._knows(width, height):
            upto, sizes = "up to " if self.many_sizes else "", " and ".join(f"{w}x{h}" for w, h in self.trained_sizes)
            notes.append(
                f"{self.label} was trained at {upto}{sizes}, not at {width}x{height}: "
                "pictures may be less sharp, or show things twice."
            )
        if self.trained_sizes and not self.takes_fps and not _near(fps, self.trained_fps):
            looks = "slower" if fps < self.trained_fps else "faster"
            notes.append(
                f"{self.label} was trained at {self.trained_fps:g} fps: at {fps:g}, motion may look {looks} than it should."
            )
        return notes

    def _knows(self, width: int, height: int) -> bool:
        if not self.trained_sizes:
            return True
        if self.many_sizes:
            return width * height <= max(across * down for across, down in self.trained_sizes)
        both = [size for one in self.trained_sizes for size in (one, one[::-1])]
        return any(_near(width, across) and _near(height, down) for across, down in both)

    def profile(self, quality: str) -> Profile:
        """Defaults of a quality level."""
        if quality not in self.defaults:
            raise InputError("unknown_name", f"quality: {quality!r} is not known.", "Use fast, balanced or high.")
        return self.defaults[quality]

    def latent_shape(self, frames: int, width: int, height: int) -> tuple[int, int, int]:
        """Latent frames, height and width of a clip."""
        time, down, across = self.vae_stride
        return (frames - 1) // time + 1, height // down, width // across

    def tokens(self, frames: int, width: int, height: int) -> int:
        """Tokens that the transformer makes of a clip."""
        time, down, across = self.latent_shape(frames, width, height)
        return time * (down // self.patch) * (across // self.patch)

    # loading

    def load_part(self, part: str, source: Source | Path, *, dtype: Any = None, device: str = "cpu") -> Any:
        """One part from its folder: a module in eval mode, a tokenizer, or the scheduler's config (dict).

        All `from_pretrained` calls of the project go through here. dtype: a torch dtype or its name;
        None takes the family's. Raises StudioError `model_broken` for files that cannot be read and
        `text_encoder_broken` for an encoder whose embeddings are missing or zero.
        """
        where = Source.of(source)
        if part not in self.part_names:
            raise ValueError(f"{self.name} has no part {part!r}")
        try:
            return self._load_part(part, where, dtype, device)
        except StudioError as error:
            if error.code != "model_broken":
                raise
            raise StudioError("model_broken", error.message, where.mend(part)) from error

    def _load_part(self, part: str, where: Source, dtype: Any, device: str) -> Any:
        folder = where.part(part)
        if part == "scheduler_config":
            return loading.read_scheduler_config(folder, self.schedulers)
        if part == "tokenizer":
            return loading.load_tokenizer(folder)
        chosen = dtype or (self.vae_dtype if part == "vae" else "") or self.default_dtype
        if part == "text_encoder":
            return loading.load_text_encoder(self.text_encoder, folder, dtype=chosen, device=device)
        class_name = self.vae if part == "vae" else self.transformer
        return loading.load_model(class_name, folder, dtype=chosen, device=device)

    def pipeline_from(self, parts: Parts) -> Any:
        """The diffusers pipeline over `parts`; absent parts are None. A scheduler is made from the config."""
        import diffusers

        scheduler = parts.get("scheduler")
        if scheduler is None and parts.get("scheduler_config") is not None:
            scheduler = self.scheduler(parts["scheduler_config"])
        modules = {name: parts.get(name) for name in self.part_names if name != "scheduler_config"}
        pipe = getattr(diffusers, self.pipeline)(scheduler=scheduler, **modules, **self._pipeline_config(parts))
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def _pipeline_config(self, parts: Parts) -> dict[str, Any]:
        return {}

    def scheduler(
        self,
        config: Mapping[str, Any],
        *,
        flow_shift: float | None = None,
        height: int = 480,
        width: int = 832,
        distilled: bool = False,
    ) -> Any:
        """A fresh scheduler for one clip (schedulers keep state). flow_shift None follows the size."""
        return self._scheduler(config, self.flow_shift(height, width) if flow_shift is None else flow_shift, distilled)

    def _scheduler(self, config: Mapping[str, Any], shift: float | None, distilled: bool) -> Any:
        """shift: None where neither the caller nor the size asks for one."""
        raise NotImplementedError

    def flow_shift(self, height: int, width: int) -> float | None:
        """The shift that a size asks for; None where the family has no such knob."""
        return None

    # text

    def encode_text(self, parts: Any, prompts: Sequence[str], *, max_tokens: int | None = None) -> list[Encoded]:
        """Each prompt by the family's own `encode_prompt`, one at a time, padded to `max_tokens`.

        parts: a pipeline, or a dict that holds "tokenizer" and "text_encoder". Results lie on the
        encoder's device in its dtype. Raises StudioError `text_encoder_broken` for embeddings that
        are zero, not finite, or the same for prompts with different tokens.
        """
        import torch

        from t2v_studio.engines.diffusion.families.text_checks import check_encoded

        get = parts.get if isinstance(parts, dict) else lambda name: getattr(parts, name)
        tokenizer, encoder = get("tokenizer"), get("text_encoder")
        pipe = self.pipeline_from({"tokenizer": tokenizer, "text_encoder": encoder})
        tokens = max_tokens or self.text_tokens
        with torch.no_grad():
            encoded = [self._encode_one(pipe, prompt, tokens) for prompt in prompts]
        check_encoded(tokenizer, prompts, [one["embeds"] for one in encoded], tokens)
        return encoded

    def _encode_one(self, pipe: Any, prompt: str, tokens: int) -> Encoded:
        embeds, _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=tokens)
        return {"embeds": embeds}

    def call_embeds(self, cond: Encoded, uncond: Encoded | None) -> dict[str, Any]:
        """Keyword arguments of the pipeline call that carry the text; uncond None for guidance 1."""
        return {"prompt_embeds": cond["embeds"], "negative_prompt_embeds": uncond["embeds"] if uncond else None}

    # one clip

    def call_kwargs(
        self, *, frames: int, width: int, height: int, steps: int, guidance: float, fps: float
    ) -> dict[str, Any]:
        """Keyword arguments of the pipeline call that shape a clip."""
        return {
            "num_frames": frames,
            "width": width,
            "height": height,
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            **self._own_kwargs(guidance, fps),
        }

    def _own_kwargs(self, guidance: float, fps: float) -> dict[str, Any]:
        """What this pipeline's call takes beside."""
        return {}

    def latents_to_pixels(
        self,
        vae: Any,
        latents: torch.Tensor,
        *,
        dtype: Any = None,
        frames: int | None = None,
        width: int | None = None,
        height: int | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Pixels (F, 3, H, W) in [0, 1] of one clip's latents, bit for bit the pipeline's own decode.

        dtype: None decodes in the VAE's own; a wider one is used for this decode alone and put back.
        frames, width, height: needed where the pipeline's latents do not carry their shape (LTX).
        generator: the clip's generator as denoising left it (LTX mixes noise in before it decodes).
        """
        import torch
        from diffusers.video_processor import VideoProcessor

        with torch.no_grad(), loading.widened(vae, dtype):
            decoded = self._decode(vae, latents, (frames, width, height), generator)
            processor = VideoProcessor(vae_scale_factor=self.vae_stride[1])
            return processor.postprocess_video(decoded, output_type="pt")[0]

    def _decode(self, vae: Any, latents: torch.Tensor, shape: tuple[Any, Any, Any], generator: Any) -> torch.Tensor:
        raise NotImplementedError

    def decode_generator(self, seed: int, latents: torch.Tensor, device: str = "cpu") -> torch.Generator:
        """The generator of `seed` as denoising leaves it, so that stored latents decode to the same frames."""
        import torch

        generator = torch.Generator(device).manual_seed(seed)
        torch.randn(latents.shape, generator=generator, device=device, dtype=torch.float32)
        return generator

    def pixels_to_latents(self, vae: Any, video: torch.Tensor, *, sample: bool = False) -> torch.Tensor:
        """Normalised latents of a batch (B, 3, F, H, W) in [-1, 1], in the layout of the pipeline.

        The posterior's mode; `sample` draws from the posterior and normalises the draw.
        """
        import torch

        with torch.no_grad():
            posterior = vae.encode(video.to(vae.device, vae.dtype)).latent_dist
            return self._normalised(vae, (posterior.sample() if sample else posterior.mode()).float())

    def _normalised(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Raw latents of the VAE as the transformer takes them, in the layout of the pipeline."""
        raise NotImplementedError

    # training

    def objective(self, scheduler_config: Mapping[str, Any], *, height: int = 480) -> Objective:
        """What a trainer needs: noise levels (larger pictures want more noise), noising, target, forward call."""
        raise NotImplementedError

    # size and cost

    def decode_peak(
        self, frames: int, width: int, height: int, *, dtype: str = "float32", tiled: bool = False
    ) -> float:
        """Bytes that decoding a clip takes beside the decoder's weights, all at once or in tiles."""
        pixels, wide = width * height, 1.0 if dtype == "float32" else 0.5
        at_once = min(pixels, self.tile_pixels) if tiled else pixels
        held = self.decode_bytes * at_once * (frames if self.decodes_whole else 1)
        return wide * (held + (_OUT * pixels * frames if tiled else 0))

    def parameters(self, part: str, config: Mapping[str, Any]) -> int:
        """Parameters of a part from its config.json, counted on the meta device (no memory)."""
        class_name = {"vae": self.vae, "text_encoder": self.text_encoder}.get(part, self.transformer)
        return loading.count_parameters(class_name, config)

    def flops_per_step(
        self, config: Mapping[str, Any], frames: int, width: int, height: int, *, cfg: bool = True
    ) -> float:
        """Floating-point operations of one denoising step (a multiply-add is two), from the transformer's config."""
        return self._flops(config, self.latent_shape(frames, width, height)) * (2 if cfg else 1)

    def _flops(self, config: Mapping[str, Any], latent: tuple[int, int, int]) -> float:
        raise NotImplementedError


_OUT = 16
"""Bytes a pixel of every frame, in float32: the finished tiles, and the picture that is put together of them."""


def block_flops(tokens: int, dim: int, text: int, text_width: int, hidden: int) -> int:
    """Operations of one block of self attention, cross attention over `text` words, and a feed-forward of `hidden`."""
    return (
        8 * tokens * dim**2
        + 4 * tokens**2 * dim
        + 4 * tokens * dim**2
        + 4 * text * text_width * dim
        + 4 * tokens * text * dim
        + 4 * tokens * dim * hidden
    )


def _near(value: float, trained: float) -> bool:
    return abs(value - trained) <= NEAR * trained


def _nearest(value: int, unit: int) -> int:
    """How many units lie nearest to `value`; the lower count on a tie."""
    low, rest = divmod(value, unit)
    return low if 2 * rest <= unit else low + 1
