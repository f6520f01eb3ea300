"""An adapter beside quantised weights: one PEFT slot whose factors are exchanged in place.

The slot is opened with zeros over all linear layers, before the model is compiled; afterwards every exchange gives PEFT
a whole set of factors of one rank (zeros where the adapter has none), so no layer is added and nothing compiles again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from t2v_studio.adapters.state import LoraLayer
from t2v_studio.engines.diffusion.adapter_merge import PLAIN
from t2v_studio.engines.diffusion.matching import shapes_of
from t2v_studio.engines.diffusion.offloading import renew

NAME = "slot"


class HotSwap:
    """The slot of one transformer. rank: of the slot; a larger adapter opens it anew, which compiles again."""

    way = "hotswap"

    def __init__(self, transformer: nn.Module, rank: int = 128) -> None:
        self._transformer: Any = getattr(transformer, "_orig_mod", transformer)
        self._rank = rank
        self._shapes = shapes_of(transformer)
        self._targets: tuple[str, ...] = ()

    def open(self, targets: tuple[str, ...] = (), rank: int = 0) -> None:
        """Put the zero adapter in; targets: layers outside the blocks that are wanted too. Nothing to do twice."""
        wanted = tuple(sorted({*self._usual(), *targets, *self._targets}))
        rank = max(rank, self._rank)
        # An exchange that failed inside diffusers has deleted the slot.
        there = NAME in getattr(self._transformer, "peft_config", {})
        if there and wanted == self._targets and rank == self._rank:
            return
        if there:
            self._transformer.delete_adapters(NAME)
        self._targets, self._rank = wanted, rank
        self._transformer.enable_lora_hotswap(target_rank=rank, check_compiled="ignore")
        self._transformer.load_lora_adapter(
            self._factors({}), adapter_name=NAME, prefix=None, metadata=self._config(), low_cpu_mem_usage=False
        )
        self._transformer.set_adapters(NAME, 1.0)
        self._widen()
        renew(self._transformer)

    def _widen(self) -> None:
        """PEFT gives factors the dtype of the weight beside them; eight bits cannot be computed with."""
        for name, parameter in self._transformer.named_parameters():
            if f".{NAME}." in name and parameter.dtype not in PLAIN:
                parameter.data = parameter.data.to(self._transformer.dtype)

    def write(self, layers: Mapping[str, LoraLayer], scale: float) -> None:
        """Exchange the factors and set the scale, which PEFT resets to 1 at every exchange."""
        on = layers if scale != 0 else {}
        self.open(tuple(on), max((layer.rank for layer in on.values()), default=0))
        self._transformer.load_lora_adapter(
            self._factors(on), adapter_name=NAME, prefix=None, metadata=self._config(), hotswap=True
        )
        self._transformer.set_adapters(NAME, float(scale) if on else 1.0)
        renew(self._transformer)

    def release(self) -> None:
        """Nothing is kept beside the slot itself."""

    def keep_on(self, keep: str) -> None:
        """Base weights are never changed, so there are no copies to move."""

    def kept_bytes(self) -> int:
        """Memory of the slot's factors."""
        sides = (outputs + inputs for outputs, inputs in (self._shapes[name] for name in self._targets))
        return sum(sides) * self._rank * 4

    def _usual(self) -> list[str]:
        """The layers of the repeated blocks; the first and last layers of a model are seldom adapted."""
        return [name for name in self._shapes if "blocks." in name]

    def _config(self) -> dict[str, Any]:
        return {
            "r": self._rank,
            "lora_alpha": self._rank,
            "target_modules": list(self._targets),
            "lora_bias": self._biased(),
        }

    def _biased(self) -> bool:
        parts = (self._part(name) for name in self._targets)
        return all(getattr(part, "bias", None) is not None for part in parts)

    def _part(self, name: str) -> nn.Module:
        part = self._transformer.get_submodule(name)
        return getattr(part, "base_layer", part)

    def _factors(self, layers: Mapping[str, LoraLayer]) -> dict[str, Tensor]:
        """A whole set for every target, in float32; alpha / rank is in `up`, since the slot's own factor is 1."""
        made: dict[str, Tensor] = {}
        for name in self._targets:
            outputs, inputs = self._shapes[name]
            down, up = torch.zeros(self._rank, inputs), torch.zeros(outputs, self._rank)
            layer = layers.get(name)
            if layer is not None:
                down[: layer.rank] = layer.down.float()
                up[:, : layer.rank] = layer.up.float() * layer.factor
            made[f"{name}.lora_A.weight"], made[f"{name}.lora_B.weight"] = down, up
            if self._biased():
                bias = layer.bias if layer is not None else None
                made[f"{name}.lora_B.bias"] = torch.zeros(outputs) if bias is None else bias.float()
        return made
