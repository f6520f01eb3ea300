"""Whether an adapter fits a base: its layers beside the model's linear layers, by name and by shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.files import DTYPES
from t2v_studio.adapters.keys import numberless
from t2v_studio.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from t2v_studio.adapters.card import AdapterCard
    from t2v_studio.adapters.layers import Outline
    from t2v_studio.adapters.state import AdapterState

Shapes = Mapping[str, tuple[int, int]]
"""A model's linear layers: diffusers' name -> (outputs, inputs)."""

SHOWN = 5
"""Layers that a message names before it counts the rest."""


@dataclass(frozen=True)
class Match:
    """matched: layers that take a pair of factors. unmatched: layers of the adapter that the model has not.

    wrong_shape: layer -> what does not fit, in words. ignored: tensors of the file that mean no layer.
    """

    matched: tuple[str, ...]
    unmatched: tuple[str, ...]
    wrong_shape: Mapping[str, str]
    ignored: Mapping[str, str]
    rank: int

    @property
    def counts(self) -> str:
        """How many layers fit, in words."""
        others = {"of another shape": len(self.wrong_shape), "by names that it has not": len(self.unmatched)}
        said = [f"{number} {words}" for words, number in others.items() if number]
        every = len(self.matched) + sum(others.values())
        return f"{len(self.matched)} of {every} layers match{''.join(f', {one}' for one in said)}"

    def as_row(self) -> dict[str, Any]:
        return {
            "matched": list(self.matched),
            "unmatched": list(self.unmatched),
            "wrong_shape": dict(self.wrong_shape),
            "ignored": dict(self.ignored),
            "rank": self.rank,
        }


def shapes_of(transformer: nn.Module) -> dict[str, tuple[int, int]]:
    """The linear layers of a model, on any device (the meta device too), quantised ones by their stated sizes.

    Wrappers of torch.compile and of PEFT leave no trace in the names.
    """
    module = getattr(transformer, "_orig_mod", transformer)
    found = {}
    for name, part in module.named_modules():
        if hasattr(part, "in_features") and hasattr(part, "out_features") and ".lora_" not in name:
            found[name.removesuffix(".base_layer")] = (int(part.out_features), int(part.in_features))
    return found


def shapes_from_config(transformer_class: str, config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The same from a configuration alone: the model is made on the meta device, which takes no memory."""
    import diffusers
    import torch

    kind = getattr(diffusers, transformer_class)
    with torch.device("meta"):
        return shapes_of(kind.from_config(dict(config)))


def shapes_from_files(folder: Path) -> dict[str, tuple[int, int]]:
    """The same from the headers of a model's safetensors files, without torch; empty where they do not tell."""
    from safetensors import SafetensorError, safe_open

    found = {}
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(str(path), framework="np") as file:
                for name in file.keys():  # noqa: SIM118  (it is no mapping)
                    part = file.get_slice(name)
                    if part.get_dtype() not in DTYPES:
                        return {}  # quantised: the sizes that are stored are not those of the layer
                    if name.endswith(".weight") and len(part.get_shape()) == 2:
                        outputs, inputs = part.get_shape()
                        found[name.removesuffix(".weight")] = (int(outputs), int(inputs))
    except (SafetensorError, OSError, ValueError):
        return {}
    return found


def compare(layers: Mapping[str, Any], shapes: Shapes, *, ignored: Mapping[str, str] | None = None) -> Match:
    """Layers with their sizes (inputs, outputs, rank) beside a model's. Nothing is raised."""
    matched, unmatched, wrong = [], [], {}
    for name, layer in layers.items():
        if name not in shapes:
            unmatched.append(name)
            continue
        made = (layer.outputs, layer.inputs)
        if made != shapes[name]:
            wrong[name] = f"made for {made[0]} x {made[1]}, the model has {shapes[name][0]} x {shapes[name][1]}"
        else:
            matched.append(name)
    ranks = [layers[name].rank for name in matched] or [0]
    return Match(tuple(matched), tuple(unmatched), wrong, dict(ignored or {}), max(set(ranks), key=ranks.count))


def match(
    state: AdapterState | Outline,
    shapes: Shapes,
    *,
    expert: int = 1,
    card: AdapterCard | None = None,
    model: str = "",
    names: Iterable[str] = (),
) -> Match:
    """`compare` for one expert, refused where the adapter is not for this base.

    model: what the base is called in messages. names: all the names that the base has (short name, repository);
    with a card that names another base, and does not list this one under also_for, it is refused even if shapes fit.
    Raises InputError adapter_wrong_base or adapter_no_match; details hold the rows of the match.
    """
    layers = state.for_expert(expert)
    found = compare(layers, shapes, ignored=state.ignored)
    label, title = model or "this model", (card.name if card else state.name) or "this LoRA"
    made_for = (card.base_model if card else state.base_model) or state.made_for or "another model"
    if made_for in names or made_for == model:  # so its card says, which the file does not bear out
        made_for = state.made_for if state.made_for not in (made_for, "") else "another model"
    check_base(card, names, model)
    if found.wrong_shape or _too_deep(found.unmatched, shapes):
        first = next(iter(found.wrong_shape.items()), None)
        why = f"{first[0]} is {first[1]}" if first else f"it has blocks that {label} has not"
        raise InputError(
            "adapter_wrong_base",
            f"adapter: {title} was made for {made_for}, not for {label}: {why} ({found.counts}).",
            "Choose the model that it was made for, or another adapter.",
            **found.as_row(),
        )
    if layers and not found.matched:
        raise InputError(
            "adapter_no_match",
            f"adapter: none of the {len(layers)} layers of {title} is in {label}; it seems to be for {made_for}.",
            f"It names, for example: {', '.join(list(layers)[:SHOWN])}.",
            **found.as_row(),
        )
    return found


def check_base(card: AdapterCard | None, names: Iterable[str], model: str = "") -> None:
    """Refuse a card that names another base. Without a base on the card, or names of the model, nothing is known."""
    known = {name.casefold() for name in names if name}
    if card is None or not card.base_model or not known:
        return
    if known & {name.casefold() for name in (card.base_model, *card.also_for)}:
        return
    raise InputError(
        "adapter_wrong_base",
        f"adapter: {card.name} was made for {card.base_model}, not for {model or sorted(known)[0]}.",
        f"If it may be used there too: t2v adapters edit {card.id} --also-for {model or sorted(known)[0]}",
        made_for=card.base_model,
    )


def _too_deep(unmatched: Iterable[str], shapes: Shapes) -> bool:
    """Whether a block is named that the base has not, though its other blocks have such a layer."""
    kinds = {numberless(name) for name in shapes}
    return any(numberless(name) in kinds for name in unmatched)
