"""A picture of a clip while it is denoised: three linear mixes of its latent channels, a few microseconds.

The mixes are found once a model by asking its own decoder what random latents look like.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from t2v_studio.engines.diffusion.families.base import Family

if TYPE_CHECKING:
    import torch

EVERY_S = 2.0
_SIDE = 12
"""Side of the latent square from which the mixes are found; a multiple of two for every family."""


class Projection:
    """Latents of one shape to a small RGB picture of the clip's middle frame."""

    def __init__(
        self, mixes: Callable[[], torch.Tensor], shape: tuple[int, int, int], every_s: float | None = None
    ) -> None:
        """mixes: gives (channels + 1, 3), the last row is the constant; asked when the first picture is due.
        shape: latent frames, height, width."""
        self._mixes, self._shape, self._every_s = mixes, shape, EVERY_S if every_s is None else every_s
        self._at = time.monotonic()
        self._waiting: tuple[Any, Any] | None = None

    def picture(self, pipe: Any, latents: torch.Tensor) -> Any:
        """RGB uint8 (height, width, 3), or None while none is due or the copy from the card has not arrived."""
        if self._waiting is not None:
            done, copied = self._waiting
            if done is not None and not done.query():
                return None
            self._waiting = None
            return copied.numpy()
        now = time.monotonic()
        if now - self._at < self._every_s:
            return None
        self._at = now
        self._waiting = self._start(_clean_guess(pipe, latents))
        return self.picture(pipe, latents) if self._waiting[0] is None else None

    def _start(self, latents: torch.Tensor) -> tuple[Any, Any]:
        import torch

        frame = channels_last(latents, self._shape)[self._shape[0] // 2].float()
        mixes = self._mixes().to(frame.device)
        rgb = (frame @ mixes[:-1] + mixes[-1]).clamp(0, 1).mul(255).to(torch.uint8)
        if rgb.device.type != "cuda":
            return None, rgb.cpu()
        copied = torch.empty(rgb.shape, dtype=torch.uint8, pin_memory=True)
        copied.copy_(rgb, non_blocking=True)
        done = torch.cuda.Event()
        done.record()
        return done, copied


def find_mixes(family: Family, vae: Any, channels: int) -> torch.Tensor:
    """The (channels + 1, 3) mixes that come nearest to what the decoder makes of smooth random latents."""
    import torch

    generator = torch.Generator("cpu").manual_seed(0)
    shape = (1, _SIDE, _SIDE)
    coarse = torch.randn((1, channels, _SIDE // 3, _SIDE // 3), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(_SIDE, _SIDE), mode="bilinear")[0].permute(1, 2, 0)
    packed = _packed(family, smooth[None], shape)
    size = _SIDE * family.vae_stride[1]
    pixels = family.latents_to_pixels(
        vae,
        packed.to(vae.device),
        frames=1,
        width=size,
        height=size,
        generator=family.decode_generator(0, packed),
    )
    seen = torch.nn.functional.adaptive_avg_pool2d(pixels[:1].float().cpu(), (_SIDE, _SIDE))[0]
    points = torch.cat([smooth.reshape(-1, channels), torch.ones(_SIDE * _SIDE, 1)], dim=1)
    return torch.linalg.lstsq(points, seen.permute(1, 2, 0).reshape(-1, 3)).solution


def channels_last(latents: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """One clip's latents as (frames, height, width, channels), from the layout of any family.

    LTX packs to (1, positions, channels), CogVideoX puts frames before channels, Wan channels before frames.
    """
    if latents.ndim == 3:
        return latents[0].reshape(*shape, -1)
    first = latents[0]
    frames_first = first.shape[0] == shape[0] and first.shape[1] != shape[0]
    return first.permute(0, 2, 3, 1) if frames_first else first.permute(1, 2, 3, 0)


def _packed(family: Family, latents: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """(frames, height, width, channels) back to the family's own layout."""
    if family.kind == "ltx":
        return latents.reshape(1, shape[0] * shape[1] * shape[2], -1)
    if family.kind == "cogvideox":
        return latents.permute(0, 3, 1, 2)[None]
    return latents.permute(3, 0, 1, 2)[None]


def _clean_guess(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """What the scheduler thinks the finished clip is (UniPC keeps it), else the noisy latents themselves."""
    guesses = getattr(pipe.scheduler, "model_outputs", None) or [None]
    guess = guesses[-1]
    return guess if guess is not None and guess.shape == latents.shape else latents
