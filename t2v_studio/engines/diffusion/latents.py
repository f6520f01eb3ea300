"""Latents of finished scenes, kept on disk until their video is done, so that a decode can be repeated.

A file's name says all that decided it, so a video that is made again after a kill finds the scenes it had denoised.
"""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.engines.diffusion.kept_json import key_of
from t2v_studio.engines.diffusion.kept_tensors import keep, on_host

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

KEPT_S = 24 * 3600.0
"""Latents of videos that never got finished go after this time."""


class LatentStore:
    """A folder of latents by key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> torch.Tensor | None:
        """The latents kept under a key, on the host."""
        path = self._path(key)
        if not path.is_file():
            return None
        from safetensors.torch import load_file

        try:
            return load_file(str(path))["latents"]
        except Exception as error:  # safetensors has its own error class
            log.warning("kept latents %s are damaged: %s", key[:12], error)
            path.unlink(missing_ok=True)
            return None

    def put(self, key: str, latents: torch.Tensor) -> None:
        """Keep latents where the disk takes them."""
        keep(self._path(key), on_host({"latents": latents}), "latents")

    def drop(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def sweep(self, *, older_than_s: float = KEPT_S) -> int:
        """Remove what unfinished videos left behind; returns the number of files."""
        count = 0
        for path in self._folder.glob("*"):
            with suppress(OSError):  # another process may take its own away meanwhile
                if time.time() - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    count += 1
        return count

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


def latent_key(parts: dict[str, Any]) -> str:
    return key_of(parts)[:32]


def digest(latents: torch.Tensor) -> str:
    """SHA-256 of the numbers, for the record."""
    import torch

    raw = latents.detach().to("cpu").contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(raw.tobytes()).hexdigest()
