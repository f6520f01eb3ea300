"""Parts of a model onto a device, as a memory plan has them. All files are read through `Family.load_part`."""

from __future__ import annotations

import gc
import json
import logging
import math
import struct
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from t2v_studio.engines.base import Canvas
from t2v_studio.engines.diffusion.families.base import Family, Source
from t2v_studio.engines.diffusion.memory_plan import GIB, MemoryPlan, PartBytes, Work, choose, halved, least, on_cpu
from t2v_studio.engines.diffusion.offloading import stream
from t2v_studio.errors import InputError, LimitError
from t2v_studio.machine import free_memory

log = logging.getLogger(__name__)

_STORED = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class LoadKey:
    """How a model is loaded: another key is another load. asked_dtype: before main memory had its say."""

    dtype: str
    device: str
    weights: str
    streamed: bool
    asked_dtype: str


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


def part_bytes(family: Family, source: Source, dtype: str, device: str = "cuda") -> PartBytes:
    """What the parts will weigh, from the headers of their files."""
    files = [
        (part, stored, numbers)
        for part in (*family.transformers, "text_encoder", "vae")
        for stored, numbers in _numbers(source.part(part)).items()
    ]
    return PartBytes.of(files, dtype, vae_dtype(family, dtype, device))


def planned(family: Family, source: Source, dtype: str, device: str, work: Work) -> tuple[str, PartBytes, MemoryPlan]:
    """How a model will lie in the memory that is free now: its dtype, what its parts weigh, the plan.

    Without a card, a main memory too small for thirty-two bits a number makes it sixteen. Raises LimitError main_memory
    where loading would need more than there is, swap included: the system would end the program without a word.
    """
    sizes = part_bytes(family, source, dtype, device)
    free, most = free_bytes(device), free_memory(swap=True)
    plan = plan_for(sizes, work, device, free, free_memory())
    if device == "cpu" and least(sizes) > free:  # whatever the clip: its size must not decide its numbers
        narrow = part_bytes(family, source, "bfloat16", device)
        half = halved(narrow, replace(work, denoise=work.denoise / 2), free)
        if half.host <= max(most, plan.host):
            dtype, sizes, plan = "bfloat16", narrow, half
    if plan.host > most:
        copy = source.repo_id and sizes.copy_of("transformer")
        convert = f" A copy that takes less to load: t2v models convert {source.name}" if copy else ""
        raise LimitError(
            "main_memory",
            f"Model {source.name or source.repo_id} needs {plan.host / GIB:.1f} GiB of main memory to load, and "
            f"{most / GIB:.1f} are free.",
            f"Close other programs, or take a smaller model.{convert}",
        )
    return dtype, sizes, plan


def work_of(family: Family, canvas: Canvas, dtype: str, device: str, extra_frames: int = 0) -> Work:
    """What the longest scene of a canvas takes. extra_frames: made in front of it and thrown away."""
    frames = family.frames(max(canvas.scene_frames) + extra_frames)
    return Work.of(family, frames, canvas.width, canvas.height, dtype, vae_dtype(family, dtype, device))


def plan_for(sizes: PartBytes, work: Work, device: str, free: float, host: float) -> MemoryPlan:
    """The plan for `free` bytes of a device and, beside a card, `host` bytes of main memory."""
    return on_cpu(sizes, work, free) if device == "cpu" else choose(free, sizes, work, host)


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
    return {name: _laid_out(family, source, name, plan, dtype) for name in family.transformers}


def load_vae(family: Family, source: Source, plan: MemoryPlan, dtype: str) -> Any:
    """The decoder, in the family's own dtype, or as wide as the transformer where the plan or the family has none."""
    chosen = dtype if plan.narrow_decode else vae_dtype(family, dtype, plan.device)
    return family.load_part("vae", source, dtype=chosen, device=plan.device)


def vae_dtype(family: Family, dtype: str, device: str) -> str:
    """The decoder's dtype beside a transformer in `dtype`: without a card always float32, since the time goes elsewhere."""
    return "float32" if device == "cpu" else family.vae_dtype or dtype


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


def _numbers(folder: Path) -> Counter[str]:
    """How many numbers the safetensors files of a folder hold, by the dtype in which they are stored."""
    return sum((_header_numbers(path) for path in sorted(folder.glob("*.safetensors"))), Counter())


def _header_numbers(path: Path) -> Counter[str]:
    """From the header alone: its length in eight bytes, then JSON with dtype and shape of each tensor."""
    found: Counter[str] = Counter()
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 100_000_000)))
    except (OSError, ValueError, struct.error):
        return found  # load_part says what is wrong with it
    for name, entry in header.items():
        if name != "__metadata__":
            found[_STORED.get(entry["dtype"], entry["dtype"])] += math.prod(entry["shape"])
    return found
