"""Names of LoRA tensors: which trainer wrote them, which layer of diffusers they mean, and back.

Pure functions over names. Three layouts are known: PEFT (diffusers' own, PEFT's, and DiffSynth's
prefix-less one), ComfyUI (`diffusion_model.` and the names of the original code) and kohya or
musubi-tuner (`lora_unet_` and underscores). Source of the Wan names: the original repository's
model.py beside diffusers' WanTransformer3DModel; diffusers' own converter drops or rejects files
that hold only some of the layers, this one takes any subset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

Layout = Literal["peft", "comfyui", "kohya"]
Kind = Literal["down", "up", "alpha", "bias", "diff", "diff_b"]

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")

_WAN = {
    **{f"blocks.#.attn1.{ours}": f"blocks.#.self_attn.{o}" for ours, o in zip(_ATTENTION, "qkvo", strict=True)},
    **{f"blocks.#.attn2.{ours}": f"blocks.#.cross_attn.{o}" for ours, o in zip(_ATTENTION, "qkvo", strict=True)},
    "blocks.#.attn2.add_k_proj": "blocks.#.cross_attn.k_img",
    "blocks.#.attn2.add_v_proj": "blocks.#.cross_attn.v_img",
    "blocks.#.ffn.net.0.proj": "blocks.#.ffn.0",
    "blocks.#.ffn.net.2": "blocks.#.ffn.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "proj_out": "head.head",
}
_COGVIDEOX = {
    name: name
    for name in (
        *(f"transformer_blocks.#.attn1.{part}" for part in _ATTENTION),
        "transformer_blocks.#.ff.net.0.proj",
        "transformer_blocks.#.ff.net.2",
        "transformer_blocks.#.norm1.linear",
        "transformer_blocks.#.norm2.linear",
        "patch_embed.proj",
        "patch_embed.text_proj",
        "time_embedding.linear_1",
        "time_embedding.linear_2",
        "norm_out.linear",
        "proj_out",
    )
}
_LTX = {
    **{f"transformer_blocks.#.attn1.{part}": f"transformer_blocks.#.attn1.{part}" for part in _ATTENTION},
    **{f"transformer_blocks.#.attn2.{part}": f"transformer_blocks.#.attn2.{part}" for part in _ATTENTION},
    "transformer_blocks.#.ff.net.0.proj": "transformer_blocks.#.ff.net.0.proj",
    "transformer_blocks.#.ff.net.2": "transformer_blocks.#.ff.net.2",
    "proj_in": "patchify_proj",
    "time_embed.emb.timestep_embedder.linear_1": "adaln_single.emb.timestep_embedder.linear_1",
    "time_embed.emb.timestep_embedder.linear_2": "adaln_single.emb.timestep_embedder.linear_2",
    "time_embed.linear": "adaln_single.linear",
    "caption_projection.linear_1": "caption_projection.linear_1",
    "caption_projection.linear_2": "caption_projection.linear_2",
    "proj_out": "proj_out",
}
NAMES: Mapping[str, Mapping[str, str]] = {"wan": _WAN, "cogvideox": _COGVIDEOX, "ltx": _LTX}
"""Per family: diffusers' name of a layer -> the original code's name, with # for a block's number."""

_PREFIXES: tuple[tuple[str, Layout, int], ...] = (
    ("model.diffusion_model.", "comfyui", 1),
    ("diffusion_model.", "comfyui", 1),
    ("base_model.model.", "peft", 1),
    ("transformer_2.", "peft", 2),
    ("transformer.", "peft", 1),
)
_KOHYA = ("lora_unet__", "lora_unet_", "lora_transformer_")
_KINDS: Mapping[str, Kind] = {
    r"lora_A(?:\.[A-Za-z_]\w*)?\.weight": "down",
    r"lora_B(?:\.[A-Za-z_]\w*)?\.weight": "up",
    r"lora_B(?:\.[A-Za-z_]\w*)?\.bias": "bias",
    r"lora_down\.weight": "down",
    r"lora_up\.weight": "up",
    r"lora\.down\.weight": "down",
    r"lora\.up\.weight": "up",
    r"alpha": "alpha",
    r"diff_b": "diff_b",
    r"diff": "diff",
}
_ENDINGS = tuple((re.compile(rf"^(.+)\.{ending}$"), kind) for ending, kind in _KINDS.items())
_OTHER_KINDS = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lokr_": "LoKr",
    "hada_": "LoHa",
    "oft_": "OFT",
    "lora_mid": "LoCon with Tucker factors",
}


@dataclass(frozen=True)
class Part:
    """What one tensor is: `kind` of the layer `module` (diffusers' name) of expert 1 or 2."""

    module: str
    kind: Kind
    expert: int


@dataclass(frozen=True)
class Reading:
    """What the names of a file say. families: those that have all of the layers; empty if none has."""

    layout: Layout
    families: tuple[str, ...]
    parts: Mapping[str, Part]
    ignored: Mapping[str, str]
    unsupported: str

    @property
    def modules(self) -> set[str]:
        return {part.module for part in self.parts.values()}


def read_names(names: Iterable[str]) -> Reading:
    """Tell layout and family and give every tensor its layer.

    ignored: names that mean no layer, with the reason. unsupported: the kind of adapter, where it is not a LoRA.
    """
    parts: dict[str, Part] = {}
    ignored: dict[str, str] = {}
    found: set[Layout] = set()
    unsupported = ""
    for name in sorted(names):
        other = next((word for mark, word in _OTHER_KINDS.items() if mark in name), "")
        if other:
            unsupported = other
            continue
        layout, part, reason = _read(name)
        if part is None:
            ignored[name] = reason
            continue
        found.add(layout)
        parts[name] = part
    # Files that mix a prefix with none are PEFT's; kohya's and ComfyUI's never mix.
    order: tuple[Layout, ...] = ("kohya", "comfyui", "peft")
    layout = next((one for one in order if one in found), "peft")
    return Reading(layout, _families({part.module for part in parts.values()}), parts, ignored, unsupported)


def original_name(module: str, family: str) -> str:
    """The name that the family's original code gives to diffusers' layer `module`."""
    number = _number(module)
    pattern = NAMES[family].get(numberless(module), module)
    return pattern.replace("#", number)


def export_name(module: str, family: str, layout: Layout, kind: Kind, expert: int = 1) -> str:
    """The name of a tensor in `layout`; in ComfyUI's and kohya's an expert has a file of its own."""
    if layout == "peft":
        ending = {"down": "lora_A.weight", "up": "lora_B.weight", "bias": "lora_B.bias"}[kind]
        return f"{'transformer' if expert == 1 else 'transformer_2'}.{module}.{ending}"
    name = original_name(module, family)
    if layout == "comfyui":
        ending = {"down": "lora_A.weight", "up": "lora_B.weight", "bias": "diff_b", "alpha": "alpha"}[kind]
        return f"diffusion_model.{name}.{ending}"
    ending = {"down": "lora_down.weight", "up": "lora_up.weight", "bias": "diff_b", "alpha": "alpha"}[kind]
    return f"lora_unet_{name.replace('.', '_')}.{ending}"


def target_kinds(modules: Iterable[str]) -> list[str]:
    """Kinds of layers, such as attn1.to_q or ffn.net.2, each once and in order."""
    return sorted({re.sub(r"^(?:transformer_)?blocks\.\d+\.", "", name) for name in modules})


def _read(name: str) -> tuple[Layout, Part | None, str]:
    layout: Layout = "peft"
    rest, expert, kohya = name, 1, False
    prefix = next((one for one in _KOHYA if name.startswith(one)), "")
    if prefix:
        rest, layout, kohya = name.removeprefix(prefix), "kohya", True
    else:
        for start, kind_of, number in _PREFIXES:
            if rest.startswith(start):
                rest, layout, expert = rest.removeprefix(start), kind_of, number
                break
    for ending, kind in _ENDINGS:
        match = ending.match(rest)
        if match:
            module = _module(match[1], kohya=kohya)
            if module is None:
                return layout, None, "no layer of Wan, CogVideoX or LTX has this name"
            if kind in ("diff", "diff_b") and "norm" in module and "linear" not in module:
                return layout, None, "differences of a norm are not applied (diffusers does not either)"
            return layout, Part(module, kind, expert), ""
    return layout, None, "not a tensor of a LoRA"


def _module(name: str, *, kohya: bool) -> str | None:
    """Diffusers' name of a layer; unknown names with dots stay as they are, unknown kohya names are None."""
    if kohya:
        for pattern, ours in _kohya_patterns():
            match = pattern.match(name)
            if match:
                return ours.replace("#", match[1] if match.groups() else "")
        return None
    if not re.fullmatch(r"[A-Za-z_][\w]*(?:\.\w+)*", name):
        return None
    return _theirs().get(numberless(name), numberless(name)).replace("#", _number(name))


@cache
def _theirs() -> dict[str, str]:
    """Names of the original code that differ from diffusers', to diffusers'. No two families disagree."""
    return {theirs: ours for names in NAMES.values() for ours, theirs in names.items() if ours != theirs}


@cache
def _kohya_patterns() -> list[tuple[re.Pattern[str], str]]:
    """Names with underscores: both the original code's and diffusers' own are written by trainers."""
    made: dict[str, str] = {}
    for names in NAMES.values():
        for ours, theirs in names.items():
            for form in (theirs, ours):
                made.setdefault(form.replace(".", "_").replace("#", r"(\d+)"), ours)
    return [(re.compile(f"^{pattern}$"), ours) for pattern, ours in made.items()]


def _families(modules: set[str]) -> tuple[str, ...]:
    shapeless = {numberless(module) for module in modules}
    whole = tuple(family for family, names in NAMES.items() if shapeless <= set(names))
    if whole or not shapeless:
        return whole
    # A few layers that no table lists (norms, say) do not hide the family.
    share = {family: len(shapeless & set(names)) / len(shapeless) for family, names in NAMES.items()}
    best = max(share.values())
    return tuple(family for family, value in share.items() if value == best and best >= 0.5)


def numberless(module: str) -> str:
    """The name with # for a block's number, as in `NAMES`."""
    return re.sub(r"^((?:transformer_)?blocks)\.\d+\.", r"\1.#.", module)


def _number(module: str) -> str:
    match = re.match(r"^(?:transformer_)?blocks\.(\d+)\.", module)
    return match[1] if match else ""
