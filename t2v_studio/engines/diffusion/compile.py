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


def compile_blocks(transformers: list[Any], cache: Path, *, backend: str = "inductor") -> None:
    """Compile the repeated blocks of models that are not compiled yet. Compilation itself happens at the first call."""
    cache.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    for transformer in transformers:
        if not getattr(transformer, "_studio_compiled", False):
            transformer.compile_repeated_blocks(fullgraph=True, backend=backend)
            transformer._studio_compiled = True
