"""Models whose weights stream from main memory to the card, layer by layer (diffusers' group offloading)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from t2v_studio.machine import free_memory


def stream(model: Any, device: str, *, ahead: bool = True) -> None:
    """Let a model compute on a card whose memory does not hold it; a diffusers or transformers model on the host.

    ahead: each layer is fetched while the one before it computes, from pinned memory, which the weights fill once more.
    """
    import torch
    from diffusers.hooks import apply_group_offloading

    weights = sum(parameter.nbytes for parameter in model.parameters())
    ahead = ahead and device != "cpu"
    apply_group_offloading(
        model,
        onload_device=torch.device(device),
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=ahead,
        record_stream=ahead,
        low_cpu_mem_usage=free_memory() < 2 * weights,
    )


def streams(model: Any) -> bool:
    """Whether the weights of a model come layer by layer."""
    from diffusers.hooks.group_offloading import _is_group_offload_enabled

    return bool(_is_group_offload_enabled(model))


@contextmanager
def lifted(model: Any) -> Iterator[None]:
    """Without offloading, which is made anew afterwards; nothing happens to a model that does not stream.

    Its hooks leave at the first forward, and would take hooks along that came after them. It also keeps host copies of
    its own; made anew, they hold the weights as they are.
    """
    from diffusers.hooks import HookRegistry, group_offloading

    top = group_offloading._get_top_level_group_offload_hook(model)
    if top is None:
        yield
        return
    registry = HookRegistry.check_if_exists_or_initialize(model)
    for name in ("_GROUP_OFFLOADING", "_LAYER_EXECUTION_TRACKER", "_LAZY_PREFETCH_GROUP_OFFLOADING"):
        registry.remove_hook(getattr(group_offloading, name), recurse=True)
    try:
        yield
    finally:
        group_offloading._apply_group_offloading(model, top.config)


def renew(model: Any) -> None:
    """After a change of weights in place: offloading holds the changed ones."""
    with lifted(model):
        pass
