"""Latents to frames: in the VAE's own dtype or a wider one, in tiles where memory is short, to bytes on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from t2v_studio.engines.diffusion.families.base import Family

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Decoded:
    """Frames (F, H, W, 3) uint8; finite is False where the decoder gave values that are no numbers."""

    frames: NDArray[np.uint8]
    finite: bool


def decode(
    family: Family,
    vae: Any,
    latents: torch.Tensor,
    *,
    frames: int,
    width: int,
    height: int,
    seed: int,
    dtype: str = "",
    tiled: bool = False,
) -> Decoded:
    """One clip's latents as the family's pipeline decodes them, rounded to bytes as diffusers rounds.

    latents: on the VAE's device. dtype: "" decodes in the VAE's own. seed: of the clip, for families that mix noise in before they decode.
    Raises torch.OutOfMemoryError.
    """
    import torch

    with torch.no_grad(), _tiling(vae, tiled):
        pixels = family.latents_to_pixels(
            vae,
            latents,
            dtype=dtype or None,
            frames=frames,
            width=width,
            height=height,
            generator=family.decode_generator(seed, latents),
        )
        finite = bool(torch.isfinite(pixels).all())
        if not finite:
            pixels = torch.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
        levels = (pixels.float() * 255).round_().clamp_(0, 255).to(torch.uint8)
        return Decoded(levels.permute(0, 2, 3, 1).contiguous().cpu().numpy(), finite)


@contextmanager
def _tiling(vae: Any, tiled: bool) -> Iterator[None]:
    """Tiles for one decode; the VAE goes back to what it did before."""
    before = bool(getattr(vae, "use_tiling", False))
    if tiled == before:
        yield
        return
    (vae.enable_tiling if tiled else vae.disable_tiling)()
    try:
        yield
    finally:
        (vae.enable_tiling if before else vae.disable_tiling)()
