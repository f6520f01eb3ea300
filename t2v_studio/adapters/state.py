"""The weights of an adapter in memory: per layer two factors, an alpha, and perhaps a bias. torch is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2v_studio.adapters.files import sha256_of
from t2v_studio.adapters.layers import LayerPlan, expert_layers, read_plan
from t2v_studio.adapters.numbers import not_finite
from t2v_studio.errors import InputError


@dataclass(frozen=True)
class LoraLayer:
    """W becomes W + scale * factor * up @ down; a bias becomes b + scale * bias (alpha is in it already).

    down: (rank, inputs), up: (outputs, rank), bias: (outputs,) or None; on the CPU, in the file's dtype.
    """

    down: Tensor
    up: Tensor
    alpha: float
    bias: Tensor | None = None

    @property
    def rank(self) -> int:
        return int(self.down.shape[0])

    @property
    def inputs(self) -> int:
        return int(self.down.shape[1])

    @property
    def outputs(self) -> int:
        return int(self.up.shape[0])

    @property
    def factor(self) -> float:
        """alpha / rank: the only place where alpha enters."""
        return self.alpha / self.rank


@dataclass(frozen=True)
class AdapterState:
    """A whole adapter. layers: diffusers' name of a layer -> its factors.

    second: the same for the second expert (transformer_2); None where the first serves as well.
    ignored: tensors of the file that no layer takes, with the reason.
    """

    layers: Mapping[str, LoraLayer]
    second: Mapping[str, LoraLayer] | None
    family: str
    made_for: str
    rank: int
    alpha: float
    alpha_source: str
    sha256: str
    second_sha256: str = ""
    experts: str = "both"
    ignored: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    name: str = ""
    base_model: str = ""

    @property
    def identity(self) -> tuple[str, str, float, str]:
        """What decides how it changes a model beside its scale: another alpha or expert is another adapter."""
        return self.sha256, self.second_sha256, self.alpha, self.experts

    def for_expert(self, number: int) -> Mapping[str, LoraLayer]:
        """The layers for transformer (1, high noise) or transformer_2 (2, low noise); empty where it is left alone."""
        return expert_layers(self.layers, self.second, self.experts, number)


def read_state(
    path: Path, *, second: Path | None = None, alpha: float | None = None, experts: str = "both", **known: Any
) -> AdapterState:
    """The weights in a safetensors file, checked. known: id, name, base_model of the card.

    second: a file of its own for the second expert. alpha: goes before what the files say.
    Raises InputError (see `layers.read_plan`), adapter_not_finite among them.
    """
    plan = read_plan(path, alpha=alpha)
    layers = {expert: _loaded(path, group) for expert, group in plan.layers.items()}
    if second is not None:
        plans = read_plan(second, alpha=alpha).layers
        layers[2] = _loaded(second, plans[min(plans)])
    if 1 not in layers:
        # transformer_2 alone: a file for the low-noise expert.
        layers[1], experts = layers.pop(2), "low"
    return AdapterState(
        layers=layers[1],
        second=layers.get(2),
        family=plan.family,
        made_for=plan.made_for,
        rank=plan.rank,
        alpha=plan.alpha,
        alpha_source=plan.alpha_source,
        sha256=sha256_of(path),
        second_sha256=sha256_of(second) if second is not None else "",
        experts="pair" if 2 in layers else experts,
        ignored=plan.ignored,
        **known,
    )


def _loaded(path: Path, plans: Mapping[str, LayerPlan]) -> dict[str, LoraLayer]:
    from safetensors import safe_open

    layers = {}
    with safe_open(str(path), framework="pt") as file:
        for module, plan in plans.items():
            down = _finite(file.get_tensor(plan.down), plan.down)
            # A whole difference is its own `down`, with nothing to multiply it by.
            up = _finite(file.get_tensor(plan.up), plan.up) if plan.up else torch.eye(plan.outputs)
            alpha = plan.alpha if plan.up else float(plan.outputs)
            layers[module] = LoraLayer(down, up, alpha, _bias(file, plan))
    return layers


def _bias(file: Any, plan: LayerPlan) -> Tensor | None:
    if not plan.bias:
        return None
    bias = _finite(file.get_tensor(plan.bias), plan.bias)
    if tuple(bias.shape) != (plan.outputs,):
        raise InputError(
            "adapter_shape", f"adapter: {plan.bias} has the shape {list(bias.shape)}.", "Export the adapter again."
        )
    return bias.float().mul(plan.alpha / plan.rank) if plan.bias_scaled else bias


def _finite(tensor: Tensor, name: str) -> Tensor:
    if not bool(torch.isfinite(tensor).all()):
        raise not_finite(name)
    return tensor
