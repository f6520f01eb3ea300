"""Parts of a model onto a device, as a memory plan has them. All files are read through `Family.load_part`."""

from __future__ import annotations

import gc
import json
import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2v_studio.engines.diffusion.families.base import Family, Source
from t2v_studio.engines.diffusion.memory_plan import MemoryPlan, PartBytes
from t2v_studio.engines.diffusion.offloading import stream
from t2v_studio.errors import InputError
from t2v_studio.machine import free_memory

log = logging.getLogger(__name__)

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class LoadKey:
    """What a loaded model is: another key is another load."""

    model: str
    revision: str
    folder: str
    dtype: str
    device: str
    weights: str
    streamed: bool


def device_here() -> str:
    """cuda, or cpu where there is no card."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype_for(usual: str, asked: str, device: str) -> str:
    """The dtype of transformer and text encoder: the asked one, else the model's usual one; float32 on a CPU.

    asked: "", fp16 or bf16 (T2V_DTYPE). Cards before Ampere get float16 for bfloat16, with the eye on broken numbers
    that every run has. Raises InputError where it was asked for.
    """
    wanted = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "auto": ""}.get(asked, asked)
    if device == "cpu":
        return "float32"
    import torch

    able = torch.cuda.get_device_capability(device) >= (8, 0)
    if wanted == "bfloat16" and not able:
        raise InputError(
            "dtype_unavailable",
            f"T2V_DTYPE: {torch.cuda.get_device_name(device)} does not compute in bfloat16.",
            "Set T2V_DTYPE=fp16, or leave it empty.",
        )
    return wanted or ("float16" if usual == "bfloat16" and not able else usual)


def part_bytes(family: Family, source: Source, dtype: str) -> PartBytes:
    """What the parts will weigh, from the headers of their files."""
    item = ITEM_BYTES[dtype]
    numbers = {part: _numbers(source.part(part)) for part in family.part_names if part not in _WEIGHTLESS}
    vae_item = ITEM_BYTES[dtype if dtype == "float32" else family.vae_dtype or dtype]
    return PartBytes(
        transformer=item * sum(count for part, count in numbers.items() if part.startswith("transformer")),
        text_encoder=item * numbers.get("text_encoder", 0),
        vae=vae_item * numbers.get("vae", 0),
    )


_WEIGHTLESS = ("tokenizer", "scheduler_config")


def free_bytes(device: str) -> float:
    """Bytes that this process can still have on a card: what is free, what it has reserved and does not use, and no more
    than its own share where `torch.cuda.set_per_process_memory_fraction` gave it one."""
    import torch

    if device == "cpu":
        return free_memory()
    free, total = torch.cuda.mem_get_info(device)
    used = torch.cuda.memory_allocated(device)
    share = torch.cuda.get_per_process_memory_fraction() * total  # it takes no "cuda", unlike the others
    return float(min(free + torch.cuda.memory_reserved(device) - used, share - used))


def load_transformers(family: Family, source: Source, plan: MemoryPlan, dtype: str) -> dict[str, Any]:
    """The transformer, or both of a model of two experts, laid out by the plan."""
    names = [part for part in family.part_names if part.startswith("transformer")]
    return {name: _laid_out(family, source, name, plan, dtype) for name in names}


def load_vae(family: Family, source: Source, plan: MemoryPlan, dtype: str) -> Any:
    """The decoder, in the family's own dtype, or as wide as the transformer where the plan or the family has none."""
    chosen = dtype if plan.narrow_decode or plan.device == "cpu" else family.vae_dtype or dtype
    return family.load_part("vae", source, dtype=chosen, device=plan.device)


def _laid_out(family: Family, source: Source, name: str, plan: MemoryPlan, dtype: str) -> Any:
    import torch

    direct = plan.weights == "plain" and not plan.streamed
    model = family.load_part(name, source, dtype=dtype, device=plan.device if direct else "cpu")
    if plan.weights == "float8":
        model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=getattr(torch, dtype))
    if plan.streamed:
        stream(model, plan.device)
    elif not direct:
        model.to(plan.device)
    return model


def empty_cache() -> None:
    """Give back what nobody holds any more: to the allocator, and to other processes."""
    import torch

    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.accelerator.empty_host_cache()  # pinned copies of what streamed


def _numbers(folder: Path) -> int:
    """How many numbers the safetensors files of a folder hold."""
    return sum(_header_numbers(path) for path in sorted(folder.glob("*.safetensors")))


def _header_numbers(path: Path) -> int:
    """From the header alone: its length in eight bytes, then JSON with the shape of each tensor."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 100_000_000)))
    except (OSError, ValueError, struct.error):
        return 0  # load_part says what is wrong with it
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            count = 1
            for side in entry["shape"]:
                count *= side
            total += count
    return total
