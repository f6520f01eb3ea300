"""Regional compilation: one graph for the block that a transformer repeats, with a warm cache in the workspace.

The VAE is never compiled: it decodes chunks of changing shapes, and each would be compiled anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from t2v_studio.engines.diffusion.memory_plan import MemoryPlan

BACKEND = "inductor"
_able: set[str] = set()
"""Devices for which something was compiled in this process."""


def wanted(asked: str, plan: MemoryPlan, *, step_cache: str = "off") -> tuple[bool, str]:
    """Whether to compile, and why in words.

    auto: on a card whose weights lie on it as they are; hooks that stream or cast weights, and cache hooks,
    break the graph of a block into pieces, so that nothing is gained.
    """
    if asked == "off":
        return False, "switched off"
    if plan.weights != "plain" or plan.streamed:
        return False, f"off: the weights of tier {plan.tier} come through hooks, which break the graphs"
    if step_cache != "off":
        return False, "off: the step cache's hooks break the graphs"
    if asked == "auto" and plan.device == "cpu":
        return False, "off: no card"
    return True, "blocks are compiled; the first clip of a new shape takes longer"


def why_not(device: str, cache: Path) -> str:
    """What keeps this machine from compiling for a device, "" for nothing: tried on one small sum, until it works once."""
    import torch

    if device in _able:
        return ""
    _keep(cache)
    try:
        torch.compile(lambda x: x * 2 + 1, fullgraph=True)(torch.ones(8, device=device))
    except Exception as error:  # no compiler, no Triton, no room: each raises its own
        return str(error).strip().partition("\n")[0][:200] or type(error).__name__
    _able.add(device)
    return ""


def use(transformers: list[Any], on: bool, cache: Path) -> None:
    """Compile the repeated blocks of models, or let them run as they are; nothing is touched where it is so already.

    Compilation itself happens at the first call. A block that cannot be one graph runs in pieces.
    """
    _keep(cache)
    for transformer in transformers:
        if on == getattr(transformer, "_studio_compiled", False):
            continue
        for block in _blocks(transformer):
            if on:
                block.compile(backend=BACKEND)
            else:
                block._compiled_call_impl = None  # what `compile` set; the graphs stay, for the next time
        transformer._studio_compiled = on


def forget(transformers: list[Any]) -> None:
    """Free the graphs of models that leave the memory: they are counted by class, and there is a limit to their number."""
    if any(hasattr(transformer, "_studio_compiled") for transformer in transformers):
        import torch

        torch.compiler.reset()


def _blocks(transformer: Any) -> Iterator[Any]:
    """The blocks that a transformer repeats. diffusers' `compile_repeated_blocks` does not know those of CogVideoX."""
    from torch.nn import ModuleList

    for part in transformer.children():
        if isinstance(part, ModuleList):
            yield from part


def _keep(cache: Path) -> None:
    """What is compiled from now on is kept there, and found there by the next process."""
    cache.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
