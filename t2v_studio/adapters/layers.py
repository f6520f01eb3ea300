"""From a file's header to the layers of a LoRA: what pairs with what, ranks, alphas, and for which base it was made."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from t2v_studio.adapters.files import (
    CONFIG_MAX_BYTES,
    PEFT_CONFIG,
    RANK_MAX,
    Header,
    read_header,
    read_scalars,
)
from t2v_studio.adapters.keys import NAMES, Layout, Reading, read_names, target_kinds
from t2v_studio.adapters.metadata import AlphaRule, alpha_rule, unsupported
from t2v_studio.errors import InputError, plural

Layer = TypeVar("Layer")


@dataclass(frozen=True)
class Base:
    """A published base model, as far as a LoRA's shapes can tell it: width of the hidden states, number of blocks."""

    label: str
    family: str
    width: int
    blocks: int


BASES: Mapping[str, Base] = {
    "wan2.1-1.3b": Base("Wan 2.1 1.3B", "wan", 1536, 30),
    "wan2.1-14b": Base("Wan 2.1 14B", "wan", 5120, 40),
    "wan2.2-t2v-a14b": Base("Wan 2.2 A14B", "wan", 5120, 40),
    "wan2.2-ti2v-5b": Base("Wan 2.2 TI2V 5B", "wan", 3072, 30),
    "cogvideox-2b": Base("CogVideoX 2B", "cogvideox", 1920, 30),
    "cogvideox-5b": Base("CogVideoX 5B", "cogvideox", 3072, 42),
    "ltx-0.9.1": Base("LTX-Video 2B", "ltx", 2048, 28),
}
"""By the name in `t2v models list`."""

_PICTURE_LAYERS = ("add_k_proj", "add_v_proj", "image_embedder")
"""Of Wan's models that start from a picture; none of `BASES` does."""


def layer_names(base: Base) -> set[str]:
    """Layers of a published base, by diffusers' names: those that LoRAs are made for."""
    usual = [name for name in NAMES[base.family] if not any(part in name for part in _PICTURE_LAYERS)]
    return {name.replace("#", str(number)) for name in usual for number in range(base.blocks)}


@dataclass(frozen=True)
class LayerPlan:
    """One layer of a file: names of its tensors, its sizes, and its alpha.

    up "" means that `down` is a whole difference of the weight (kohya's `.diff`), applied as it is.
    bias_scaled: the bias is PEFT's lora_B.bias, multiplied by alpha / rank as B is; else `.diff_b`, taken as it is.
    """

    down: str
    up: str
    bias: str
    bias_scaled: bool
    rank: int
    inputs: int
    outputs: int
    alpha: float


@dataclass(frozen=True)
class FilePlan:
    """A whole file. layers: expert 1 or 2 -> diffusers' layer -> plan. ignored: tensor -> why it is not applied."""

    layout: Layout
    families: tuple[str, ...]
    layers: Mapping[int, Mapping[str, LayerPlan]]
    ignored: Mapping[str, str]
    alpha_source: str
    metadata: Mapping[str, str]
    base_said: str = ""

    @property
    def every(self) -> dict[str, LayerPlan]:
        return {f"{expert}:{name}": plan for expert, group in self.layers.items() for name, plan in group.items()}

    @property
    def rank(self) -> int:
        """The rank that most layers have."""
        return Counter(plan.rank for plan in self._factored).most_common(1)[0][0]

    @property
    def alpha(self) -> float:
        """The alpha that most layers have."""
        return Counter(plan.alpha for plan in self._factored).most_common(1)[0][0]

    @property
    def _factored(self) -> list[LayerPlan]:
        return [plan for plan in self.every.values() if plan.up] or list(self.every.values())

    @property
    def targets(self) -> list[str]:
        return target_kinds(name for group in self.layers.values() for name in group)

    @property
    def width(self) -> int:
        """Size of the hidden states that the attention layers take in; 0 where none is touched."""
        sizes = Counter(
            plan.inputs for name, plan in self.every.items() if name.endswith((".attn1.to_q", ".attn2.to_q"))
        )
        sizes += Counter(plan.outputs for name, plan in self.every.items() if name.endswith(".attn1.to_out.0"))
        return sizes.most_common(1)[0][0] if sizes else 0

    @property
    def family(self) -> str:
        """The one family that has these layers; the width decides between several. Empty where nothing does."""
        if len(self.families) == 1:
            return self.families[0]
        fitting = {base.family for base in BASES.values() if base.family in self.families and base.width == self.width}
        return fitting.pop() if len(fitting) == 1 else ""

    @property
    def made_for(self) -> str:
        """What the shapes tell of the base, in words."""
        labels = [base.label for base in BASES.values() if (base.family, base.width) == (self.family, self.width)]
        if not labels and not self.width:
            return f"a {self.family} model" if self.family else ""
        shape = f"a {self.family or 'video'} transformer of width {self.width}"
        return f"{' or '.join(labels)} ({shape})" if labels else shape

    @property
    def blocks(self) -> int:
        """The least number of blocks that the base must have."""
        names = (name for group in self.layers.values() for name in group)
        found = [
            int(match[1]) for match in (re.match(r"^(?:transformer_)?blocks\.(\d+)\.", name) for name in names) if match
        ]
        return max(found, default=-1) + 1


@dataclass(frozen=True)
class Outline:
    """An adapter without its numbers, for a comparison with a base; the fields are those of `state.AdapterState`."""

    layers: Mapping[str, LayerPlan]
    second: Mapping[str, LayerPlan] | None
    experts: str
    ignored: Mapping[str, str]
    made_for: str
    name: str = ""
    base_model: str = ""

    @classmethod
    def of(cls, plan: FilePlan, second: FilePlan | None = None, experts: str = "both", **known: str) -> Outline:
        """Of one file, or of one for each expert. known: name, base_model."""
        layers = dict(plan.layers)
        if second is not None:
            layers[2] = second.layers[min(second.layers)]
        if 1 not in layers:
            layers[1], experts = layers.pop(2), "low"
        return cls(layers[1], layers.get(2), experts, plan.ignored, plan.made_for, **known)

    def for_expert(self, number: int) -> Mapping[str, LayerPlan]:
        """The layers for transformer (1) or transformer_2 (2); empty where it is left alone."""
        return expert_layers(self.layers, self.second, self.experts, number)


def expert_layers(
    layers: Mapping[str, Layer], second: Mapping[str, Layer] | None, experts: str, number: int
) -> Mapping[str, Layer]:
    """Of an adapter's layers, those for expert `number`; the first serves both where there is no second."""
    if second is not None:
        return layers if number == 1 else second
    wanted = {"high": (1,), "low": (2,)}.get(experts, (1, 2))
    return layers if number in wanted else {}


def read_plan(path: Path, *, alpha: float | None = None, name: str = "") -> FilePlan:
    """The layers of a safetensors file; adapter_config.json beside it is read for alpha.

    Raises InputError: adapter_damaged, adapter_dtype, adapter_unsupported, adapter_no_lora, bad_alpha.
    """
    header = read_header(path, name)
    reading = read_names(header.tensors)
    if reading.unsupported:
        raise unsupported(reading.unsupported)
    if not reading.parts:
        raise InputError(
            "adapter_no_lora",
            f"adapter: {name or path.name} holds no LoRA layer ({plural(len(header.tensors), 'tensor')} of another kind).",
            "A LoRA has pairs such as lora_A and lora_B; this may be a whole model.",
        )
    config = _peft_config(path.parent / PEFT_CONFIG)
    rules = {expert: alpha_rule(header.metadata, config, expert=expert, given=alpha) for expert in (1, 2)}
    groups, ignored = _grouped(reading), dict(reading.ignored)
    alphas = read_scalars(path, (names["alpha"] for names in groups.values() if "alpha" in names))
    layers: dict[int, dict[str, LayerPlan]] = {}
    own = 0
    for (expert, module), names in groups.items():
        plan, reason = _layer(module, names, header)
        if plan is None:
            ignored |= dict.fromkeys(names.values(), reason)
            continue
        said = alphas.get(names.get("alpha", "")) if alpha is None else None
        own += said is not None
        layers.setdefault(expert, {})[module] = _with_alpha(plan, module, said, rules[expert])
    if not layers:
        raise InputError(
            "adapter_no_lora",
            f"adapter: {name or path.name} holds no whole pair of LoRA factors.",
            f"For example: {next(iter(ignored.items()))[0]}: {next(iter(ignored.values()))}.",
        )
    source = "the file's .alpha tensors" if own else rules[min(layers)].source
    base = str((config or {}).get("base_model_name_or_path") or "")
    # A hub id; a path on the trainer's machine says nothing here.
    base = base if re.fullmatch(r"[\w.-]+/[\w.-]+", base) else ""
    return FilePlan(reading.layout, reading.families, layers, ignored, source, header.metadata, base)


def _with_alpha(plan: LayerPlan, module: str, said: float | None, rule: AlphaRule) -> LayerPlan:
    if not plan.up:
        return plan
    value = rule.alpha(module, plan.rank) if said is None else said
    if not 0 < value < 1e6:
        raise InputError("bad_alpha", f"adapter: alpha of {module} is {value:g}.", "Export the adapter again.")
    return replace(plan, alpha=value)


def _grouped(reading: Reading) -> dict[tuple[int, str], dict[str, str]]:
    groups: dict[tuple[int, str], dict[str, str]] = defaultdict(dict)
    for name, part in reading.parts.items():
        groups[(part.expert, part.module)][part.kind] = name
    return groups


def _layer(module: str, names: Mapping[str, str], header: Header) -> tuple[LayerPlan | None, str]:
    """The plan of one layer without its alpha, or why it cannot be applied."""
    shapes = {kind: header.tensors[name][1] for kind, name in names.items()}
    bias = names.get("bias") or names.get("diff_b", "")
    if "down" in shapes and "up" in shapes:
        if "diff" in shapes:
            return None, "a layer has both factors and a whole difference"
        down, up = shapes["down"], shapes["up"]
        if len(down) != 2 or len(up) != 2:
            return None, "factors of a convolution are not applied"
        if down[0] != up[1]:
            raise InputError(
                "adapter_shape",
                f"adapter: {module} has factors of {list(down)} and {list(up)}, which do not fit together.",
                "The file is damaged or was merged wrongly; export it again.",
            )
        if down[0] > RANK_MAX:
            raise InputError(
                "adapter_rank", f"adapter: {module} has rank {down[0]}; at most {RANK_MAX} is taken.", "Shrink it."
            )
        return LayerPlan(names["down"], names["up"], bias, "bias" in names, down[0], down[1], up[0], 1.0), ""
    if "diff" in shapes and len(shapes["diff"]) == 2:
        outputs, inputs = shapes["diff"]
        rank = min(outputs, inputs)
        return LayerPlan(names["diff"], "", bias, False, rank, inputs, outputs, float(rank)), ""
    return None, "only one of the two factors is there" if {"down", "up"} & set(shapes) else "a bias without its layer"


def _peft_config(path: Path) -> dict[str, Any] | None:
    if not path.is_file() or path.stat().st_size > CONFIG_MAX_BYTES:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
