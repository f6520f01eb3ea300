"""Tensors on disk that only save time: where they cannot be kept, nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from t2v_studio.engines.diffusion.kept_json import discard, part_of

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def on_host(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As a file takes them."""
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}


def keep(path: Path, tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """Write to a temporary name, then rename. A full disk, or a folder that takes nothing, is no reason to lose a clip.

    It is logged, with what was lost.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), str(part))
        part.replace(path)
    except (OSError, SafetensorError) as error:  # safetensors has its own error class, for a full disk too
        log.warning("%s could not be kept: %s", what, error)
        discard(part)
