"""Which attention kernel runs: the fastest that gives right answers on this card, found once and remembered.

Sage attention is never chosen: most reports of black or noisy clips name it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

from t2v_studio.engines.diffusion import kept_json
from t2v_studio.engines.diffusion.families.loading import out_of_memory
from t2v_studio.errors import InputError

log = logging.getLogger(__name__)

BACKENDS = {"native": "native", "cudnn": "_native_cudnn", "flash3": "_flash_3_hub"}
"""Our names and diffusers' own."""
WRONG = "its results are off by"
_last = ["native"]
_found_here: dict[tuple[str, str], dict[str, str]] = {}
"""What this process found, by cache file and machine, then by kernel."""
FASTEST_FIRST = ("flash3", "cudnn", "native")
TOLERANCE = 0.02
"""Largest difference from float32 that sixteen bits explain on numbers of size one."""


def choose(
    asked: str,
    device: str,
    dtype: str,
    cache: Path,
    *,
    kernels: Sequence[str] = FASTEST_FIRST,
    masked: bool = False,
) -> str:
    """native, cudnn or flash3: what was asked for, or for "auto" the fastest that passes its self-test here.

    cache: a JSON file of earlier verdicts, by card and versions. kernels: those that the model can take, fastest first.
    masked: whether the model gives a mask along. Raises InputError where the asked one fails.
    """
    if asked == "native" or (asked == "auto" and not device.startswith("cuda")):
        return "native"
    mark = _machine_mark(device, dtype) + (", masked" if masked else "")
    for name in (asked,) if asked != "auto" else kernels:
        lacking = "this model has a kernel of its own"
        if name in kernels:
            test = partial(why_not, name, device, dtype, masked)
            lacking = _lacking(cache, mark, name, test, anew=asked != "auto")
        if not lacking:
            return name
        if asked != "auto":
            raise InputError(
                "attention_unavailable",
                f"attention: {asked} cannot run here ({lacking}).",
                "Use --attention auto.",
            )
    return "native"


def _lacking(cache: Path, mark: str, name: str, test: Callable[[], str], *, anew: bool) -> str:
    """What `test` says of a kernel, asked once: a verdict on its results is kept in the file, all else in this process.

    anew: asked again where it failed, since that may have been the network or a package.
    """
    here = _found_here.setdefault((str(cache), mark), {})
    known = here | _verdicts(cache, mark)
    if name in known and not (anew and known[name]):
        return known[name]
    try:
        here[name] = found = test()
    except RuntimeError as error:  # no memory for the self-test, which says nothing of the kernel
        return str(error).partition("\n")[0]
    if _is_verdict(found):
        kept_json.amend(
            cache,
            lambda kept: kept | {mark: _verdicts(cache, mark) | {name: found}},
            "the self-test of an attention kernel",
        )
    return found


def why_not(name: str, device: str, dtype: str, masked: bool = False) -> str:
    """Self-test of a kernel: "" where it answers as float32 does, else what is wrong, in words.

    Raises RuntimeError where there is no memory for it.
    """
    if name == "native":
        return ""
    if not device.startswith("cuda"):
        return "it needs a CUDA card"
    if name == "flash3":
        lacking = _no_flash3(device)
        if lacking:
            return lacking
    try:
        difference = _difference(BACKENDS[name], device, dtype, masked)
    except Exception as error:  # a kernel may fail in any way; whatever it is, the next one is tried
        if out_of_memory(error):
            raise
        return next(iter(str(error).splitlines()), type(error).__name__)[:200]
    return "" if difference <= TOLERANCE else f"{WRONG} {difference:.3g}"


def use(transformers: list[Any], name: str) -> None:
    """Set the kernel on models; nothing is touched where it is set already."""
    for transformer in transformers:
        # A model on which none was set follows the one that was set last in this process, on whichever model.
        if getattr(transformer, "_studio_attention", _last[0]) != name:
            transformer.set_attention_backend(BACKENDS[name])
            _last[0] = name
        transformer._studio_attention = name


def _no_flash3(device: str) -> str:
    import torch

    if torch.cuda.get_device_capability(device) != (9, 0):
        return "it needs a Hopper card (H100, H200)"
    if util.find_spec("kernels") is None:
        return "it needs the package kernels (pip install kernels)"
    return ""


def _difference(backend: str, device: str, dtype: str, masked: bool = False) -> float:
    """The largest difference between a kernel and plain attention in float32, at Wan's head size."""
    import torch
    from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend, dispatch_attention_fn

    generator = torch.Generator("cpu").manual_seed(0)
    shape = (1, 1000, 4, 128)
    query, key, value = (torch.randn(shape, generator=generator).to(device, getattr(torch, dtype)) for _ in range(3))
    mask = None
    if masked:  # as LTX has it: the words of a prompt, then padding
        mask = torch.zeros((1, 4, 1, 1000), device=device, dtype=getattr(torch, dtype))
        mask[..., 900:] = -10000.0
    with torch.no_grad(), attention_backend(AttentionBackendName(backend)):
        found = dispatch_attention_fn(query, key, value, attn_mask=mask)
    heads = [part.float().transpose(1, 2) for part in (query, key, value)]
    exact = torch.nn.functional.scaled_dot_product_attention(
        *heads, attn_mask=None if mask is None else mask.float()
    ).transpose(1, 2)
    difference = float((found.float() - exact).abs().max())
    return difference if difference == difference else float("inf")


def _machine_mark(device: str, dtype: str) -> str:
    from t2v_studio.engines.diffusion.limits import card_name

    names = [name for name in ("torch", "diffusers", "kernels") if util.find_spec(name) is not None]
    versions = [f"{name} {metadata.version(name)}" for name in names]
    return ", ".join([card_name(device), dtype, *versions])


def _verdicts(cache: Path, mark: str) -> dict[str, str]:
    """Verdicts in the file, by kernel. Earlier versions kept any failure there; those are asked again."""
    found = kept_json.kept(cache).get(mark)
    return {name: said for name, said in found.items() if _is_verdict(said)} if isinstance(found, dict) else {}


def _is_verdict(said: object) -> bool:
    return isinstance(said, str) and (not said or said.startswith(WRONG))
