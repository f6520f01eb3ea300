"""A pretended CUDA card, so that the paths of the engine that need one run on every machine.

Every tensor stays an ordinary CPU tensor; a mark says which of them lie "on the card". A torch function mode answers for
`device`, sets the mark where torch would move or make a tensor, and refuses what a real card refuses: operations over
tensors of both places, indices from the card into host memory, `numpy()` of a tensor on the card, pinning it.

It shows: tensors in two places, parts left behind, hooks that get lost, dtypes by the card's capability, choices by its
free memory, the way down after out-of-memory. It cannot show: whether a kernel exists or is right on a card, what fits
(sizes are what `Card` says and never change by themselves), the order of streams and copies beside the work, compiled
graphs, speed. What C++ or Rust does without torch's Python bindings (safetensors onto a device, a generator on the card)
is not pretended. `pytest -m gpu` shows those on a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

GIB = 2**30


@dataclass
class Card:
    """What the card says of itself; bytes of memory. May be changed while it is pretended."""

    name: str = "NVIDIA H100 80GB HBM3"
    capability: tuple[int, int] = (9, 0)
    total: int = 80 * GIB
    free: int = 80 * GIB
    share: float = 1.0
    """Of the total, as `torch.cuda.set_per_process_memory_fraction` sets it."""


@contextmanager
def pretended(card: Card) -> Iterator[None]:
    """Pretend `card` within this thread; afterwards everything is as before."""
    with pytest.MonkeyPatch.context() as patches:
        _pretend_torch_cuda(card, patches)
        with PretendedPlaces():
            yield


class PretendedPlaces(TorchFunctionMode):
    """Keeps the marks. Within it, "cuda" is a device that a CPU tensor can lie on."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        own = _OWN.get(function)
        if own is not None:
            return own(*args, **kwargs)
        given = _tensors(args, kwargs)
        there = sum(map(on_card, given))
        two = 0 < there < len(given) and function not in _BETWEEN_PLACES
        if two and any(not on_card(one) and not one.is_meta and one.dim() > 0 for one in given):
            raise _refusal(function, given)
        place = _place_asked(kwargs) or ("cuda" if there else "cpu")
        pinned = bool(kwargs.pop("pin_memory", False))
        made = function(*args, **kwargs)
        for tensor in _tensors(made):
            if not any(tensor is one for one in given):
                _put(tensor, place, pinned)
            elif two and not on_card(tensor):  # worked in place: a number of the host, of what lies on the card
                raise _refusal(function, given)
        return made


def on_card(tensor: Tensor) -> bool:
    return "_on_card" in tensor.__dict__


def _put(tensor: Tensor, place: str, pinned: bool = False) -> Tensor:
    """Mark a tensor. The marks are attributes of its own, which live as long as it does, and go along with a deep copy."""
    for mark, wanted in (("_on_card", place == "cuda"), ("_pinned", pinned)):
        if wanted:
            tensor.__dict__[mark] = True
        else:
            tensor.__dict__.pop(mark, None)
    return tensor


def _tensors(*values: Any) -> list[Tensor]:
    """All tensors in arguments or results."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _tensors(*value)
        elif isinstance(value, dict):
            found += _tensors(*value.values())
    return found


def _place_asked(kwargs: dict[str, Any]) -> str:
    """Where a factory is told to make its tensor, "" for nowhere; "cuda" becomes "cpu" in its arguments."""
    if kwargs.get("device") is None:
        return ""
    place = torch.device(kwargs["device"]).type
    if place == "cuda":
        kwargs["device"] = "cpu"
    return place


def _refusal(function: Any, given: list[Tensor]) -> RuntimeError:
    name = getattr(function, "__name__", str(function))
    shapes = [(tuple(one.shape), _device(one).type) for one in given]
    return RuntimeError(f"Expected all tensors to be on the same device: {name} of {shapes}")


_BETWEEN_PLACES = {Tensor.copy_, torch._has_compatible_shallow_copy_type}


# --- what answers or moves ---------------------------------------------------------------------
def _device(tensor: Tensor) -> torch.device:
    return torch.device("cuda", 0) if on_card(tensor) else tensor.device


def _to(tensor: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    other = args[0] if args and isinstance(args[0], Tensor) else kwargs.pop("other", None)
    if other is not None:
        args = (_device(other), other.dtype, *args[1:])
    device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    here = _device(tensor).type
    there = here if device is None else device.type
    if there == "meta":
        return tensor.to("meta", dtype)
    moved = tensor.to(dtype=dtype or tensor.dtype, copy=copy or here != there, memory_format=layout)
    return moved if moved is tensor else _put(moved, there)


def _pin(tensor: Tensor, device: Any = None) -> Tensor:
    if on_card(tensor):
        raise RuntimeError("cannot pin a tensor on the card, only dense CPU tensors can be pinned")
    return _put(tensor.clone(), "cpu", pinned=True)


def _set_data(tensor: Tensor, data: Tensor) -> None:
    tensor.data = data
    _put(tensor, _device(data).type, "_pinned" in data.__dict__)


def _get_item(tensor: Tensor, index: Any) -> Tensor:
    _refuse_index(tensor, index)
    return _put(tensor[index], _device(tensor).type)


def _set_item(tensor: Tensor, index: Any, value: Any) -> None:
    _refuse_index(tensor, index)
    tensor[index] = value


def _refuse_index(tensor: Tensor, index: Any) -> None:
    if not on_card(tensor) and any(on_card(one) and one.dim() > 0 for one in _tensors(index)):
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")


def _numpy(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    if on_card(tensor):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
    return tensor.numpy(*args, **kwargs)


def _record_stream(tensor: Tensor, stream: Any) -> None:
    if not on_card(tensor):
        raise RuntimeError("record_stream is for tensors on the card")


def _parameter(kind: Any, data: Tensor | None = None, requires_grad: bool = True) -> Any:
    made = _NEW_PARAMETER(kind, data, requires_grad)
    return made if data is None else _put(made, _device(data).type)


_NEW_PARAMETER = torch.nn.Parameter.__new__
_OWN: dict[Any, Callable[..., Any]] = {
    Tensor.device.__get__: _device,
    Tensor.is_cuda.__get__: on_card,
    Tensor.is_cpu.__get__: lambda tensor: tensor.is_cpu and not on_card(tensor),
    Tensor.is_pinned: lambda tensor, device=None: "_pinned" in tensor.__dict__,
    Tensor.to: _to,
    Tensor.cuda: lambda tensor, device=None, *args, **kwargs: _to(tensor, "cuda", *args, **kwargs),
    Tensor.cpu: lambda tensor, **kwargs: _to(tensor, "cpu", **kwargs),
    Tensor.pin_memory: _pin,
    Tensor.data.__set__: _set_data,
    Tensor.type_as: _to,
    Tensor.__getitem__: _get_item,
    Tensor.__setitem__: _set_item,
    Tensor.numpy: _numpy,
    Tensor.__array__: lambda tensor, dtype=None: _numpy(tensor).astype(dtype, copy=False),
}
"""Functions that the mode does in its own way."""


# --- torch.cuda --------------------------------------------------------------------------------
class Stream:
    """A stream that has always finished."""

    def synchronize(self) -> None:
        pass


class Event:
    """An event that has come as soon as it is recorded."""

    recorded = False

    def record(self, stream: Any = None) -> None:
        self.recorded = True

    def query(self) -> bool:
        return self.recorded


def _pretend_torch_cuda(card: Card, patches: pytest.MonkeyPatch) -> None:
    """What the engine, diffusers and torch itself ask of a card. Names that torch does not have raise AttributeError."""
    # Their modules look for a card while they are imported; what they find is to be the machine's own.
    for library in ("diffusers.hooks", "diffusers.models.attention_dispatch", "peft", "transformers"):
        import_module(library)
    cuda: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: card.name,
        "get_device_capability": lambda device=None: card.capability,
        "mem_get_info": lambda device=None: (card.free, card.total),
        "memory_allocated": lambda device=None: 0,
        "memory_reserved": lambda device=None: 0,
        "empty_cache": lambda: None,
        "synchronize": lambda device=None: None,
        "Event": Event,
        "Stream": Stream,
        "stream": lambda stream: nullcontext(),
        "current_stream": lambda device=None: Stream(),
        "manual_seed_all": lambda seed: None,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: None,
    }
    for name, pretended_one in cuda.items():
        patches.setattr(torch.cuda, name, pretended_one)
    patches.setattr(torch.accelerator, "empty_host_cache", lambda: None)
    # No torch function mode hears of these two.
    patches.setattr(Tensor, "record_stream", _record_stream)
    patches.setattr(torch.nn.Parameter, "__new__", staticmethod(_parameter))
    # `torch.cuda.get_per_process_memory_fraction` itself stays: it refuses devices that the others take.
    patches.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    patches.setattr(torch._C, "_cuda_getMemoryFraction", lambda index: card.share, raising=False)
