"""An adapter as a file for other programs: diffusers, ComfyUI, kohya. Each file is read back and compared before it counts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.keys import NAMES, Kind, Layout, export_name
from t2v_studio.adapters.metadata import LORA_METADATA, peft_metadata
from t2v_studio.disk import room_for, save_tensors
from t2v_studio.errors import ConflictError, InputError, StudioError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from t2v_studio.adapters.state import AdapterState, LoraLayer

Target = Literal["diffusers", "comfyui", "kohya"]
TARGETS: dict[str, Layout] = {"diffusers": "peft", "comfyui": "comfyui", "kohya": "kohya"}
SUFFIX = ".safetensors"


def export(state: AdapterState, card: AdapterCard, target: str, output: Path) -> list[Path]:
    """Write `state` for `target` to a file, or into the folder `output`; two files where each expert has its own.

    alpha travels along: in diffusers' metadata, or as a tensor a layer. Raises InputError, LimitError disk_full,
    ConflictError where a file is there already, StudioError export_differs where what was read back is not what was
    written.
    """
    if target not in TARGETS:
        raise unknown_name("format", target, list(TARGETS))
    family = card.family or state.family
    if family not in NAMES:
        raise InputError(
            "adapter_family",
            f"adapter: {card.name} fits several families, so the names of its layers are not known.",
            f"Say its base first: t2v adapters edit {card.id} --base MODEL",
        )
    groups = {1: state.layers} if state.second is None else {1: state.layers, 2: state.second}
    words = {"name": card.name, "base_model": card.base_model, "trigger": card.trigger, "license": card.license}
    about = {key: value for key, value in words.items() if value}
    if target == "diffusers":
        path = _free(output, WEIGHTS)
        _write(path, _diffusers(groups, family), about | _peft(groups))
        _check(path, groups)
        return [path]
    paths: list[Path] = []
    for expert, layers in groups.items():
        ending = {1: "_high_noise", 2: "_low_noise"}[expert] if len(groups) == 2 else ""
        path = _free(output, f"{slug(card.name)}{SUFFIX}", ending)
        with room_for(path.name, *paths):  # one expert's file alone is no adapter
            _write(path, _named(layers, family, TARGETS[target]), about)
        _check(path, {1: layers})
        paths.append(path)
    return paths


def slug(name: str) -> str:
    """A name as a file name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "lora"


def _diffusers(groups: Mapping[int, Mapping[str, LoraLayer]], family: str) -> dict[str, Tensor]:
    import torch

    made: dict[str, Tensor] = {}
    for expert, layers in groups.items():
        biased = any(layer.bias is not None for layer in layers.values())
        for name, layer in layers.items():
            made[export_name(name, family, "peft", "down", expert)] = layer.down
            made[export_name(name, family, "peft", "up", expert)] = layer.up
            if biased:
                # PEFT multiplies the bias by alpha / rank, and wants one in every layer once there is one.
                bias = torch.zeros(layer.up.shape[0]) if layer.bias is None else layer.bias.float() / layer.factor
                made[export_name(name, family, "peft", "bias", expert)] = bias
    return made


def _peft(groups: Mapping[int, Mapping[str, LoraLayer]]) -> dict[str, str]:
    packed: dict[str, Any] = {}
    for expert, layers in groups.items():
        prefix = "transformer" if expert == 1 else "transformer_2"
        biased = any(layer.bias is not None for layer in layers.values())
        config = peft_metadata({name: (layer.rank, layer.alpha) for name, layer in layers.items()}, bias=biased)
        packed |= {f"{prefix}.{key}": value for key, value in config.items()}
    return {LORA_METADATA: json.dumps(packed, indent=2, sort_keys=True)}


def _named(layers: Mapping[str, LoraLayer], family: str, layout: Layout) -> dict[str, Tensor]:
    import torch

    made: dict[str, Tensor] = {}
    for name, layer in layers.items():
        parts: dict[Kind, Tensor | None] = {
            "down": layer.down,
            "up": layer.up,
            "alpha": torch.tensor(float(layer.alpha)),
            "bias": layer.bias,
        }
        made |= {export_name(name, family, layout, kind): part for kind, part in parts.items() if part is not None}
    return made


def _free(output: Path, name: str, ending: str = "") -> Path:
    """The file to write: never one that is there."""
    output = Path(output).expanduser()
    path = output if output.suffix == SUFFIX else output / name
    path = path.with_name(f"{path.stem}{ending}{SUFFIX}")
    if path.exists():
        raise ConflictError("file_exists", f"output: {path} is there already.", "Name another file, or move it away.")
    return path


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        save_tensors(path, whole, {"format": "pt", **metadata})
    except OSError as error:
        raise InputError(
            "bad_output",
            f"output: {path} cannot be written ({error.strerror}).",
            "Name a folder that you may write to.",
        ) from error


def _check(path: Path, groups: Mapping[int, Mapping[str, LoraLayer]]) -> None:
    """Read the file as a stranger's and hold every layer to what was to be written."""
    import torch

    from t2v_studio.adapters.state import read_state

    read = read_state(path)
    found = {1: read.layers, **({2: read.second} if read.second is not None else {})}
    for expert, layers in groups.items():
        for name, layer in layers.items():
            other = found.get(expert, {}).get(name)
            same = (
                other is not None
                and torch.equal(other.down, layer.down)
                and torch.equal(other.up, layer.up)
                and abs(other.factor - layer.factor) <= 1e-6 * layer.factor
                and _close(other.bias, layer.bias)
            )
            if not same:
                path.unlink()
                raise StudioError(
                    "export_differs",
                    f"{path.name} was read back, and {name} is not what was written; the file was taken away.",
                    "Export to another format.",
                )


def _close(left: Tensor | None, right: Tensor | None) -> bool:
    import torch

    if left is None or right is None:
        present = left if left is not None else right
        return present is None or not bool(present.any())
    return torch.allclose(left.float(), right.float(), rtol=1e-5, atol=1e-7)
