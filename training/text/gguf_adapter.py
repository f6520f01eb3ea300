"""A LoRA as a GGUF file that llama.cpp (--lora) and Ollama (ADAPTER) load; read back and compared before it counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.text_adapters import pairs_of, peft_config
from t2v_studio.disk import room_for
from t2v_studio.errors import InputError, StudioError
from training.text.gguf_names import architecture, gguf_name, heads_of, turned, turned_back

if TYPE_CHECKING:
    import numpy as np

_FACTOR = re.compile(r"^base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight$")


@dataclass(frozen=True)
class Lora:
    """Factors in fp32 by layer: A (rank, inputs), B (outputs, rank). The change is alpha / rank * B A."""

    layers: Mapping[str, tuple[np.ndarray, np.ndarray]]
    alpha: float


def read_lora(weights: Path, config_folder: Path) -> Lora:
    """PEFT's files. Raises InputError for what one alpha and two factors a layer cannot say."""
    from safetensors.torch import load_file

    config = peft_config(config_folder)
    for field in ("use_rslora", "use_dora", "alpha_pattern", "rank_pattern", "modules_to_save"):
        if config.get(field):
            raise InputError(
                "gguf_unsupported", f"GGUF: the adapter uses {field}, which such a file cannot hold.", "Train without."
            )
    pairs_of(weights)
    sides: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in load_file(weights).items():
        match = _FACTOR.match(name)
        assert match is not None, "pairs_of looked at every name"
        sides.setdefault(match["layer"], {})[match["side"]] = tensor.float().numpy()
    rank = next(iter(sides.values()))["A"].shape[0]
    layers = {layer: (both["A"], both["B"]) for layer, both in sides.items()}
    return Lora(layers, float(config.get("lora_alpha") or rank))


def write_gguf_adapter(lora: Lora, family: str, config: Mapping[str, Any], path: Path, name: str = "") -> Path:
    """Write `lora` for a base of `family` with its config.json; half of the file's numbers are never lost to rounding.

    Raises InputError for a layer that the format does not name, StudioError where the file reads back otherwise.
    """
    import gguf

    arch = architecture(family)
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(part, arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, lora.alpha)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    if name:
        writer.add_name(name)
    for layer, (down, up) in lora.layers.items():
        tensor, heads = gguf_name(layer, family, config), heads_of(layer, family, config)
        writer.add_tensor(f"{tensor}.lora_a", down.copy())
        writer.add_tensor(f"{tensor}.lora_b", (turned(up, heads) if heads else up).copy())
    with room_for(path.name, part):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    check_same(lora, read_gguf_adapter(part, config), path.name)
    part.replace(path)
    return path


_SAID = ("general.type", "adapter.type", "adapter.lora.alpha", "general.architecture")


def read_gguf_adapter(path: Path, config: Mapping[str, Any]) -> Lora:
    """The factors of a file with transformers' names and order. Raises InputError where it is no adapter."""
    import gguf

    try:
        reader = gguf.GGUFReader(path)
        fields = [reader.get_field(key) for key in _SAID]
        kind, how, alpha, arch = (field.contents() if field is not None else None for field in fields)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError("gguf_damaged", f"GGUF: {path.name} cannot be read ({error}).", "Export it again.") from error
    if (kind, how) != ("adapter", "lora") or alpha is None or arch is None:
        raise InputError("gguf_no_adapter", f"GGUF: {path.name} is no LoRA adapter.", "Give the file of an adapter.")
    layers: dict[str, dict[str, np.ndarray]] = {}
    back = _back(arch, config)
    for tensor in reader.tensors:
        name, _, side = tensor.name.rpartition(".lora_")
        layer = back.get(name)
        if layer is None:
            raise InputError("gguf_unknown_layer", f"GGUF: {tensor.name} is no layer of this base.", "Check the base.")
        rows = tensor.data.astype("float32").reshape(tuple(int(side) for side in reversed(tensor.shape)))
        heads = heads_of(layer, arch, config) if side == "b" else 0
        layers.setdefault(layer, {})[side] = turned_back(rows, heads) if heads else rows
    return Lora({layer: (both["a"], both["b"]) for layer, both in layers.items()}, float(alpha))


_KINDS = (
    *(f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj", "out_proj")),
    *(f"mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")),
    *(f"feed_forward.{name}" for name in ("w1", "w2", "w3")),
    *(f"conv.{name}" for name in ("in_proj", "out_proj")),
)
_FAMILY_KINDS = {"lfm2": ("out_proj", "w1", "w2", "w3", "in_proj"), "": ("o_proj", "gate_proj", "up_proj", "down_proj")}


def _back(family: str, config: Mapping[str, Any]) -> dict[str, str]:
    """Name in the file to layer of transformers; where two layers share a name, that of the family."""
    own = (*_FAMILY_KINDS["lfm2" if family == "lfm2" else ""], "q_proj", "k_proj", "v_proj")
    found = {}
    for block in range(int(config["num_hidden_layers"])):
        for kind in _KINDS:
            layer = f"model.layers.{block}.{kind}"
            if kind.rpartition(".")[2] in own:
                try:
                    found[gguf_name(layer, family, config)] = layer
                except InputError:
                    continue
    return found


def check_same(ours: Lora, read: Lora, name: str) -> None:
    """Raises StudioError where a file does not hold the trained factors and alpha, to the last bit."""
    import numpy as np

    wrong = sorted(set(ours.layers) ^ set(read.layers))
    for layer, (down, up) in ours.layers.items():
        if layer in read.layers:
            other = read.layers[layer]
            if not (np.array_equal(down, other[0]) and np.array_equal(up, other[1])):
                wrong.append(layer)
    if wrong or read.alpha != np.float32(ours.alpha):
        raise StudioError(
            "export_differs",
            f"{name} was read back and differs from the adapter ({', '.join(wrong[:3]) or 'alpha'}).",
            "This is a defect of the export, or of the installed gguf package.",
        )
