"""Noise to latents through the family's own diffusers pipeline: progress, cancel, an eye on broken numbers, previews.

The pipeline runs with latent output, so that decoding is a step of its own. Stopping is an exception out of the step
callback or out of a forward pass; afterwards the pipeline's hooks are put back, so that the next clip is not touched by
this one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from t2v_studio.engines.diffusion.families.base import Encoded, Family

if TYPE_CHECKING:
    import torch

    from t2v_studio.engines.diffusion.preview import Projection


@dataclass(frozen=True)
class Clip:
    """What shapes one clip. frames as the model makes them, with those that are thrown away later."""

    frames: int
    width: int
    height: int
    fps: float
    steps: int
    guidance: float
    seed: int
    flow_shift: float | None = None
    distilled: bool = False
    cfg_cutoff: float | None = None


@dataclass
class Denoised:
    """Latents, in the family's layout. finite: every step gave numbers. step_s: seconds of each step as the host saw them."""

    latents: torch.Tensor | None
    finite: bool
    forwards: int
    step_s: list[float] = field(default_factory=list)
    seconds: float = 0.0


class _NotFinite(Exception):
    """Latents hold values that are no numbers; there is no use in going on."""


def guided_steps(family: Family, steps: int, guidance: float, cfg_cutoff: float | None) -> int:
    """How many steps have guidance: one at least where there is any, all where a family runs both passes as one."""
    if guidance <= 1:
        return 0
    if cfg_cutoff is None or family.cfg_batched:
        return steps
    return max(1, round(cfg_cutoff * steps))


def forwards(family: Family, steps: int, guidance: float, cfg_cutoff: float | None) -> int:
    """Passes of the transformer that one clip takes, where no step cache leaves any out."""
    return steps if family.cfg_batched else steps + guided_steps(family, steps, guidance, cfg_cutoff)


def denoise(
    family: Family,
    pipe: Any,
    scheduler_config: dict[str, Any],
    cond: Encoded,
    uncond: Encoded | None,
    clip: Clip,
    *,
    device: str,
    report: Callable[[int, int], None],
    watch: Callable[[Any, int], None] | None = None,
    preview: Projection | None = None,
    show: Callable[[Any], None] | None = None,
) -> Denoised:
    """One clip's latents. report(step, steps) may raise CancelledError at a step or between two passes of one.

    watch(pipe, step) is called after each step (MagCache reads its figures there). show(picture) gets a small RGB
    picture of the clip now and then. Raises what report raises, and torch.OutOfMemoryError.
    """
    import torch

    pipe.scheduler = family.scheduler(
        scheduler_config,
        flow_shift=clip.flow_shift,
        height=clip.height,
        width=clip.width,
        distilled=clip.distilled,
    )
    guided = clip.guidance > 1
    texts = family.call_embeds(_on(cond, device), _on(uncond, device) if guided and uncond else None)
    watcher = _Steps(
        clip, guided_steps(family, clip.steps, clip.guidance, clip.cfg_cutoff), report, watch, preview, show
    )
    began = time.perf_counter()
    with _counted(pipe, watcher):
        try:
            latents = pipe(
                **texts,
                **family.call_kwargs(
                    frames=clip.frames,
                    width=clip.width,
                    height=clip.height,
                    steps=clip.steps,
                    guidance=clip.guidance,
                    fps=clip.fps,
                ),
                generator=torch.Generator("cpu").manual_seed(clip.seed),
                output_type="latent",
                return_dict=False,
                callback_on_step_end=watcher,
                callback_on_step_end_tensor_inputs=["latents"],
            )[0]
        except BaseException as error:
            # A pipeline that ends by itself does this; one that is left leaves the state of its hooks behind.
            pipe.maybe_free_model_hooks()
            if not isinstance(error, _NotFinite):
                raise
            latents = None
    finite = latents is not None and bool(torch.isfinite(latents).all())
    return Denoised(
        latents if finite else None,
        finite,
        watcher.forwards,
        watcher.step_s,
        time.perf_counter() - began,
    )


class _Steps:
    """The pipeline's step callback."""

    def __init__(
        self,
        clip: Clip,
        guided: int,
        report: Callable[[int, int], None],
        watch: Callable[[Any, int], None] | None,
        preview: Projection | None,
        show: Callable[[Any], None] | None,
    ) -> None:
        self._clip, self._guided, self._report, self._watch = clip, guided, report, watch
        self._preview, self._show = preview, show
        self._numbers: _Numbers | None = None
        self._at = time.perf_counter()
        self.done = self.forwards = 0
        self.step_s: list[float] = []

    def before_forward(self, *_: Any) -> None:
        """A cancel is seen between the two passes of a step, too; a step may last 16 s."""
        self.forwards += 1
        self._report(self.done, self._clip.steps)

    def __call__(self, pipe: Any, step: int, timestep: Any, kept: dict[str, Any]) -> dict[str, Any]:
        latents = kept["latents"]
        now = time.perf_counter()
        self.step_s.append(now - self._at)
        self._at = now
        self.done = step + 1
        if self._numbers is None:
            self._numbers = _Numbers(latents)
        if not self._numbers.still_finite(latents):
            raise _NotFinite
        if self._watch is not None:
            self._watch(pipe, step)
        if self._preview is not None and self._show is not None and self.done < self._clip.steps:
            picture = self._preview.picture(pipe, latents)
            if picture is not None:
                self._show(picture)
        self._report(self.done, self._clip.steps)
        if self.done == self._guided:
            pipe._guidance_scale = 1.0
        return kept


class _Numbers:
    """Whether latents were finite so far, without making the host wait for the card.

    The flag is gathered on the device and copied to the host beside the work; what is read is what had arrived, so a
    broken step is seen a step later at worst. The last step is checked for good by the caller.
    """

    def __init__(self, like: torch.Tensor) -> None:
        import torch

        self._flag = torch.ones((), dtype=torch.bool, device=like.device)
        self._seen = torch.ones((), dtype=torch.bool, pin_memory=like.device.type == "cuda")

    def still_finite(self, latents: torch.Tensor) -> bool:
        import torch

        self._flag &= torch.isfinite(latents).all()
        self._seen.copy_(self._flag, non_blocking=True)
        return bool(self._seen)


@contextmanager
def _counted(pipe: Any, watcher: _Steps) -> Iterator[None]:
    """Hear of every forward pass of the transformers, outside their compiled blocks."""
    names = ("transformer", "transformer_2")
    handles = [
        part.register_forward_pre_hook(watcher.before_forward)
        for part in (getattr(pipe, name, None) for name in names)
        if part is not None
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _on(encoded: Encoded, device: Any) -> Encoded:
    return {name: tensor.to(device) for name, tensor in encoded.items()}
