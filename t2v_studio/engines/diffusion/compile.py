"""Regional compilation: one graph for the block that a transformer repeats, with a warm cache in the workspace.

The VAE is never compiled: it decodes chunks of changing shapes, and each would be compiled anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from t2v_studio.engines.diffusion.memory_plan import MemoryPlan


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
    """What keeps this machine from compiling for a device, "" for nothing: tried on one small sum."""
    import torch

    _keep(cache)
    try:
        torch.compile(lambda x: x * 2 + 1, fullgraph=True)(torch.ones(8, device=device))
    except Exception as error:  # no compiler, no Triton, no room: each raises its own
        return str(error).strip().partition("\n")[0][:200] or type(error).__name__
    return ""


def compile_blocks(transformers: list[Any], cache: Path, *, backend: str = "inductor", fullgraph: bool = True) -> None:
    """Compile the repeated blocks of models that are not compiled yet. Compilation itself happens at the first call.

    fullgraph: a block that cannot be compiled as one graph, or for one more shape, is an error; else it runs as it is.
    """
    _keep(cache)
    for transformer in transformers:
        if not getattr(transformer, "_studio_compiled", False):
            transformer.compile_repeated_blocks(fullgraph=fullgraph, backend=backend)
            transformer._studio_compiled = True


def _keep(cache: Path) -> None:
    """What is compiled from now on is kept there, and found there by the next process."""
    cache.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
