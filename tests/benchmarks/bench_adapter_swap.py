"""Seconds to put an adapter on a Wan of full width, to exchange it, to change its scale, and to take it off.

Run: python tests/benchmarks/bench_adapter_swap.py [--blocks N] [--model 1.3b|14b] [--device cuda] [--keep host]
Random bfloat16 weights, rank 16 on all attention layers and both of the feed-forward, as catalogue files would be. The
limit is memory: each changed weight is read once from its pristine copy and written once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from diffusers import WanTransformer3DModel

from t2v_studio.adapters.state import AdapterState, LoraLayer
from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot
from t2v_studio.engines.diffusion.matching import shapes_of

SIZES = {"1.3b": (12, 8960), "14b": (40, 13824)}
KINDS = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
RANK = 16


def base(size: str, blocks: int, device: str) -> WanTransformer3DModel:
    heads, ffn = SIZES[size]
    with torch.device("meta"):
        model = WanTransformer3DModel(
            num_attention_heads=heads, ffn_dim=ffn, num_layers=blocks, text_dim=4096, freq_dim=256
        ).to(torch.bfloat16)
    model = model.to_empty(device=device)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.02)
    return model


def adapter(model: torch.nn.Module, seed: int) -> AdapterState:
    made = torch.Generator().manual_seed(seed)
    layers = {
        name: LoraLayer(torch.randn(RANK, inputs, generator=made), torch.randn(outputs, RANK, generator=made), 32.0)
        for name, (outputs, inputs) in shapes_of(model).items()
        if name.startswith("blocks.") and name.endswith(KINDS)
    }
    return AdapterState(layers, None, "wan", "", RANK, 32.0, "", str(seed))


def seconds(work: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=list(SIZES), default="1.3b")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--keep", choices=("device", "host"), default="device")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    model = base(asked.model, asked.blocks, asked.device)
    one, two = adapter(model, 1), adapter(model, 2)
    slot = AdapterSlot(model, keep=asked.keep)
    first = seconds(lambda: slot.set(one, 0.7), asked.device)
    kept = slot.kept_bytes()
    rows: dict[str, list[float]] = {"exchange": [], "scale": [], "off": [], "on again": []}
    for _ in range(asked.repeats):
        rows["exchange"].append(seconds(lambda: slot.set(two, 0.7), asked.device))
        rows["scale"].append(seconds(lambda: slot.set(two, 0.35), asked.device))
        rows["off"].append(seconds(lambda: slot.set(None), asked.device))
        rows["on again"].append(seconds(lambda: slot.set(one, 0.7), asked.device))
    print(
        f"{asked.model}, {asked.blocks} blocks on {asked.device}, copies on {asked.keep}: {len(one.layers)} layers, {kept / 1e9:.2f} GB kept"
    )
    print(f"  first time    {first * 1e3:9.1f} ms")
    for name, found in rows.items():
        best = statistics.median(found)
        print(f"  {name:<12}  {best * 1e3:9.1f} ms, {2 * kept / best / 1e9:6.1f} GB/s read and written")


if __name__ == "__main__":
    main()
