"""An adapter merged into plain weights: always from pristine copies, in place, so that no compiled graph is touched.

Merging and unmerging as fuse_lora does drifts in bfloat16 (0.002 of 0.2 after five rounds at scale 0.7); a weight that is
computed from its pristine copy each time, in float32 and rounded once, does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from t2v_studio.adapters.state import LoraLayer
from t2v_studio.engines.diffusion.families.loading import out_of_memory
from t2v_studio.engines.diffusion.offloading import renew

Keep = Literal["device", "host"]
CPU_NUMBERS = 1 << 19
"""On a CPU a weight is merged in pieces that stay in its cache: twice as fast as whole matrices (lab log)."""
PLAIN = (torch.float32, torch.bfloat16, torch.float16)


class MergedWeights:
    """The linear layers of one transformer and the pristine copies of those that were ever changed."""

    way = "merged"

    def __init__(self, transformer: nn.Module, keep: Keep = "device") -> None:
        self._transformer = getattr(transformer, "_orig_mod", transformer)
        self._keep: Keep = keep
        self._pristine: dict[str, Tensor] = {}
        self._changed: set[str] = set()

    @torch.no_grad()
    def write(self, layers: Mapping[str, LoraLayer], scale: float) -> None:
        """Make every weight W0 + scale * (alpha / rank) * B @ A, and those that no layer names W0 itself."""
        parameters = self._parameters(layers)
        wanted = set(parameters) if scale != 0 else set()
        for name in sorted(self._changed - wanted):
            self._transformer.get_parameter(name).copy_(self._pristine[name])
            self._changed.discard(name)
        for name in sorted(wanted):
            parameter, (layer, kind) = self._transformer.get_parameter(name), parameters[name]
            base = self._base(name, parameter)
            self._changed.add(name)
            _merge(parameter, base, layer, kind, scale)
        renew(self._transformer)

    def keep_on(self, keep: Keep) -> None:
        """Move the pristine copies: to the host when the device is short of memory, or back."""
        self._keep = keep
        for name, copy in self._pristine.items():
            device = self._transformer.get_parameter(name).device
            self._pristine[name] = _on_host(copy) if keep == "host" else copy.to(device)

    def release(self) -> None:
        """Drop the copies of weights that are pristine themselves."""
        self._pristine = {name: copy for name, copy in self._pristine.items() if name in self._changed}

    def kept_bytes(self) -> int:
        """Memory of the pristine copies."""
        return sum(copy.nbytes for copy in self._pristine.values())

    def _parameters(self, layers: Mapping[str, LoraLayer]) -> dict[str, tuple[LoraLayer, str]]:
        found: dict[str, tuple[LoraLayer, str]] = {}
        for module, layer in layers.items():
            found[f"{module}.weight"] = (layer, "weight")
            if layer.bias is not None and self._transformer.get_submodule(module).bias is not None:
                found[f"{module}.bias"] = (layer, "bias")
        return found

    def _base(self, name: str, parameter: nn.Parameter) -> Tensor:
        """The pristine copy of a parameter, made at the first change of it."""
        if name not in self._pristine:
            source = parameter.detach()
            try:
                copy = _on_host(source) if self._keep == "host" else source.clone()
            except RuntimeError as error:
                if self._keep == "host" or not out_of_memory(error):
                    raise
                # The device has no room for a second set of weights: all copies go to the host.
                self.keep_on("host")
                copy = _on_host(source)
            self._pristine[name] = copy
        return self._pristine[name]


def is_plain(transformer: nn.Module) -> bool:
    """Whether every linear weight is an ordinary tensor of 16 or 32 bits with its numbers in memory.

    Quantised weights, weights kept in eight bits, and those that sequential offloading left empty are not.
    """
    module = getattr(transformer, "_orig_mod", transformer)
    weights = [part.weight for part in module.modules() if isinstance(part, nn.Linear)]
    return all(
        type(weight) is nn.Parameter
        and type(weight.data) is Tensor
        and weight.dtype in PLAIN
        and weight.device.type != "meta"
        for weight in weights
    )


def _merge(parameter: Tensor, base: Tensor, layer: LoraLayer, kind: str, scale: float) -> None:
    """Write `base` with one layer's change, computed in float32; the one rounding is the copy into the parameter."""
    device = _computing_device(parameter)
    if kind == "bias":
        assert layer.bias is not None
        parameter.copy_(base.to(device, torch.float32).add_(layer.bias.to(device, torch.float32), alpha=scale))
        return
    up, down = (part.to(device, torch.float32) for part in (layer.up, layer.down))
    outputs, inputs = base.shape
    rows = outputs if device.type == "cuda" else max(1, CPU_NUMBERS // inputs)
    for first in range(0, outputs, rows):
        part = slice(first, first + rows)
        full = base[part].to(device, torch.float32, copy=True)
        parameter[part].copy_(full.addmm_(up[part], down, alpha=scale * layer.factor))


def _computing_device(parameter: Tensor) -> torch.device:
    """The GPU also for weights that wait on the host: faster, and the same bits wherever a weight is at the moment."""
    return torch.device("cuda") if torch.cuda.is_available() and not parameter.is_cuda else parameter.device


def _on_host(tensor: Tensor) -> Tensor:
    """A copy in main memory; pinned beside a card, where there is room for that, since it is written back sooner."""
    try:
        copy = torch.empty_like(tensor, device="cpu", pin_memory=torch.cuda.is_available())
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        copy = torch.empty_like(tensor, device="cpu")
    return copy.copy_(tensor)
