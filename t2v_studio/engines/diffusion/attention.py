"""Which attention kernel runs: the fastest that gives right answers on this card, found once and remembered.

Sage attention is never chosen: most reports of black or noisy clips name it.
"""

from __future__ import annotations

import json
import logging
from importlib import metadata, util
from pathlib import Path
from typing import Any

from t2v_studio.errors import InputError

log = logging.getLogger(__name__)

BACKENDS = {"native": "native", "cudnn": "_native_cudnn", "flash3": "_flash_3_hub"}
"""Our names and diffusers' own."""
FASTEST_FIRST = ("flash3", "cudnn", "native")
TOLERANCE = 0.02
"""Largest difference from float32 that sixteen bits explain on numbers of size one."""


def choose(asked: str, device: str, dtype: str, cache: Path) -> str:
    """native, cudnn or flash3: what was asked for, or for "auto" the fastest that passes its self-test here.

    cache: a JSON file of earlier results, by card and versions. Raises InputError where the asked one fails.
    """
    if asked == "native" or (asked == "auto" and not device.startswith("cuda")):
        return "native"
    mark = _machine_mark(device, dtype)
    known = _read(cache).get(mark, {})
    for name in (asked,) if asked != "auto" else FASTEST_FIRST:
        if name not in known:
            known[name] = why_not(name, device, dtype)
            _write(cache, mark, known)
        if not known[name]:
            return name
        if asked != "auto":
            raise InputError(
                "attention_unavailable",
                f"attention: {asked} cannot run here ({known[name]}).",
                "Use --attention auto.",
            )
    return "native"


def why_not(name: str, device: str, dtype: str) -> str:
    """Self-test of a kernel: "" where it answers as float32 does, else what is wrong, in words."""
    if name == "native":
        return ""
    if not device.startswith("cuda"):
        return "it needs a CUDA card"
    if name == "flash3":
        lacking = _no_flash3(device)
        if lacking:
            return lacking
    try:
        difference = _difference(BACKENDS[name], device, dtype)
    except Exception as error:  # a kernel may fail in any way; whatever it is, the next one is tried
        return next(iter(str(error).splitlines()), type(error).__name__)[:200]
    return "" if difference <= TOLERANCE else f"its results are off by {difference:.3g}"


def use(transformers: list[Any], name: str) -> None:
    """Set the kernel on models; nothing is touched where it is set already."""
    backend = BACKENDS[name]
    for transformer in transformers:
        if getattr(transformer, "_studio_attention", "native") != name:
            transformer.set_attention_backend(backend)
            transformer._studio_attention = name


def _no_flash3(device: str) -> str:
    import torch

    if torch.cuda.get_device_capability(device) != (9, 0):
        return "it needs a Hopper card (H100, H200)"
    if util.find_spec("kernels") is None:
        return "it needs the package kernels (pip install kernels)"
    return ""


def _difference(backend: str, device: str, dtype: str) -> float:
    """The largest difference between a kernel and plain attention in float32, at Wan's head size."""
    import torch
    from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend, dispatch_attention_fn

    generator = torch.Generator("cpu").manual_seed(0)
    shape = (1, 1000, 4, 128)
    query, key, value = (torch.randn(shape, generator=generator).to(device, getattr(torch, dtype)) for _ in range(3))
    with torch.no_grad(), attention_backend(AttentionBackendName(backend)):
        found = dispatch_attention_fn(query, key, value)
    heads = [part.float().transpose(1, 2) for part in (query, key, value)]
    exact = torch.nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2)
    difference = float((found.float() - exact).abs().max())
    return difference if difference == difference else float("inf")


def _machine_mark(device: str, dtype: str) -> str:
    from t2v_studio.engines.diffusion.limits import card_name

    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "diffusers")]
    return ", ".join([card_name(device), dtype, *versions])


def _read(cache: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(cache: Path, mark: str, known: dict[str, str]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_name(f".{cache.name}.part")
    part.write_text(json.dumps(_read(cache) | {mark: known}, indent=2), encoding="utf-8")
    part.replace(cache)
