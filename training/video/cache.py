"""The cache files: one safetensors for each clip and each caption, with a header that says what it holds.

    <cache>/<model>/17x832x480@16-head-bf16/<group>/<sha256>[-<start>].safetensors    latents of a clip
    <cache>/<model>/text-bf16/<hash of the caption>.safetensors                         text of a caption

A file is written to a temporary name, synced and renamed, so what has a name is whole. What a file's header
does not promise is made again; what is right is not touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.datasets.rows import latent_path, slug
from t2v_studio.disk import save_tensors
from t2v_studio.errors import StudioError
from training.video.buckets import Clip

if TYPE_CHECKING:
    import torch

FORMAT = "1"


@dataclass(frozen=True)
class Cache:
    """Where the cached clips and captions of one base model lie.

    model: name and revision of the base, part of every header. dtype: "bf16" or "fp32".
    """

    root: Path
    model: str
    revision: str
    dtype: str
    how: str

    @classmethod
    def of(cls, root: Path, model: str, revision: str, recipe: Recipe) -> Cache:
        return cls(root, model, revision, recipe.latents_dtype, recipe.frame_extraction)

    @property
    def folder(self) -> Path:
        name = slug(self.model, 60)
        return self.root / (f"{name}-{self.revision[:8]}" if self.revision else name)

    def clip_file(self, clip: Clip) -> Path:
        """Latents of a clip, by the rule that scenario_metadata.json follows too."""
        geometry = f"{'x'.join(map(str, clip.bucket))}@{clip.fps:g}-{self.how}-{self.dtype}"
        name = latent_path(clip.source.row.sha256, clip.source.group, start_frame=clip.start)
        return self.folder / geometry / name

    def text_file(self, caption: str) -> Path:
        return self.folder / f"text-{self.dtype}" / f"{hashlib.sha256(caption.encode()).hexdigest()[:40]}.safetensors"

    def clip_header(self, clip: Clip) -> dict[str, str]:
        """What a right latents file says of itself."""
        frames, width, height = clip.bucket
        return {
            "kind": "latents",
            "format_version": FORMAT,
            "model": self.model,
            "revision": self.revision,
            "dtype": self.dtype,
            "clip_sha256": clip.source.row.sha256,
            "frames": str(frames),
            "width": str(width),
            "height": str(height),
            "fps": f"{clip.fps:g}",
            "picks": json.dumps(clip.picks),
        }

    def text_header(self, caption: str) -> dict[str, str]:
        kept = {"kind": "text", "format_version": FORMAT, "model": self.model, "revision": self.revision}
        return {**kept, "dtype": self.dtype, "caption": caption}


def is_right(path: Path, header: Mapping[str, str]) -> bool:
    """Whether a cache file is there and its header promises what is wanted."""
    found = read_header(path)
    return bool(found) and all(found.get(name) == value for name, value in header.items())


def read_header(path: Path) -> dict[str, str]:
    """The header of a safetensors file; empty where it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}


def write(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> None:
    """Write, sync and rename. Raises StudioError for numbers that are not finite, LimitError disk_full."""
    import torch

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise StudioError(
                "not_finite",
                f"{header.get('kind', 'cache')}: {name} of {path.name} holds numbers that are not finite.",
                "The model's number format is too small for this clip, or its files are damaged. Try dtype fp32.",
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, header, "Free some space, then resume the run: what is cached is kept.")


# --- text: only the rows that hold something ---------------------------------------------------
def trimmed(encoded: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors of one prompt without their trailing rows of zeros, and the lengths to pad them to again.

    Wan's own padding is zeros (512 rows of which a caption fills about 50), so nothing is lost; the
    padding of CogVideoX and LTX is not zero and stays.
    """
    tensors, lengths = {}, {}
    for name, tensor in encoded.items():
        if tensor is None:
            continue
        rows = tensor.reshape(tensor.shape[0] * tensor.shape[1], -1) if tensor.ndim > 2 else tensor.reshape(-1, 1)
        filled = int((rows != 0).any(dim=1).nonzero().max().item()) + 1 if bool((rows != 0).any()) else 1
        tensors[name] = tensor[:, :filled]
        lengths[f"length:{name}"] = str(tensor.shape[1])
    return tensors, lengths


def padded(tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """The tensors of a prompt at their full length."""
    import torch

    full = {}
    for name, tensor in tensors.items():
        length = int(header[f"length:{name}"])
        shape = (tensor.shape[0], length, *tensor.shape[2:])
        whole = torch.zeros(shape, dtype=tensor.dtype)
        whole[:, : tensor.shape[1]] = tensor
        full[name] = whole
    return full


def read_text(path: Path) -> dict[str, torch.Tensor]:
    """One prompt as the family's forward call takes it."""
    from safetensors.torch import load_file

    return padded(load_file(str(path)), read_header(path))


def read_latents(path: Path) -> torch.Tensor:
    from safetensors.torch import load_file

    return load_file(str(path))["latents"]


def unused(cache: Cache, used: Iterable[Path]) -> tuple[int, int]:
    """Cached files of this model that this run does not use, and their bytes. They are told, never deleted."""
    kept = {path.resolve() for path in used}
    others = [path for path in cache.folder.rglob("*.safetensors") if path.resolve() not in kept]
    return len(others), sum(path.stat().st_size for path in others)
