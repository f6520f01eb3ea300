"""Whether the numbers of a LoRA can be used: finite, and no change of a weight larger than a model can hold.

Read in pieces with numpy, so that torch stays out of the page and of light commands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.files import raw_tensors
from t2v_studio.errors import InputError

if TYPE_CHECKING:
    from t2v_studio.adapters.layers import FilePlan, LayerPlan

LARGEST = 65504.0
"""Of float16, the narrowest format that a model computes in; weights themselves are about 1."""
PIECE_BYTES = 1 << 24


def require_usable(path: Path, plan: FilePlan, name: str = "") -> None:
    """Refuse a file whose layers hold NaN or infinity, or would change a weight beyond every measure.

    name: what the file is called in messages. Raises InputError adapter_not_finite, adapter_out_of_range.
    """
    layers = plan.every
    wanted = {tensor for layer in layers.values() for tensor in (layer.down, layer.up, layer.bias) if tensor}
    sizes = largest(path, wanted)
    broken = sorted(tensor for tensor, size in sizes.items() if not math.isfinite(size))
    if broken:
        raise not_finite(broken[0], len(broken), len(wanted))
    for module, layer in layers.items():
        change = _change(layer, sizes)
        if change > LARGEST:
            raise InputError(
                "adapter_out_of_range",
                f"adapter: {name or path.name} would change weights of {module.partition(':')[2]} by up to {change:.2g}; "
                "a model's weights are about 1.",
                "Its training went wrong or the file is damaged; use an earlier save.",
            )


def largest(path: Path, names: Iterable[str]) -> dict[str, float]:
    """The largest absolute number of each tensor; nan or inf where one is not finite."""
    return {name: _largest(dtype, blocks) for name, dtype, blocks in raw_tensors(path, names, PIECE_BYTES)}


def not_finite(name: str, broken: int = 1, of: int = 1) -> InputError:
    """The error for a tensor with NaN or infinity. broken, of: how many tensors there are like it, and in all."""
    more = f" ({broken} of its {of} tensors {'does' if broken == 1 else 'do'})" if of > 1 else ""
    return InputError(
        "adapter_not_finite",
        f"adapter: {name} holds numbers that are not finite{more}; the video would be black.",
        "Its training went wrong or the file is damaged; use an earlier save.",
    )


def _change(layer: LayerPlan, sizes: dict[str, float]) -> float:
    """No weight changes by more at scale 1: (alpha / rank) * (a sum of `rank` products)."""
    if not layer.up:
        return sizes[layer.down]
    return layer.alpha * sizes[layer.down] * sizes[layer.up]


def _largest(dtype: str, blocks: Iterable[bytes]) -> float:
    import numpy as np

    found = 0.0
    for block in blocks:
        numbers: Any
        if dtype == "BF16":  # the upper half of a float32, which numpy has not
            numbers = (np.frombuffer(block, "<u2").astype("<u4") << 16).view("<f4")
        else:
            numbers = np.frombuffer(block, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype])
        size = float(max(numbers.max(), -numbers.min()))  # nan stays nan through both
        if not math.isfinite(size):
            return size
        found = max(found, size)
    return found
