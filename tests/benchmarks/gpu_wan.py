"""Wan at full size with random weights on one card: each figure with its share of the physical limit, as JSON.

Run: python tests/benchmarks/gpu_wan.py [--models 1.3b 14b] [--parts kernels jobs caps] [--steps 10] [--output figures.json]
     python tests/benchmarks/gpu_wan.py --tiny    (a tiny model on a CPU: whether the script itself runs)

Part "kernels" measures steps, decodes and adapters on a model in memory; "jobs" (`gpu_wan_jobs.py`) whole videos on one
that it writes to the disk of --folder first (1.3B: 14 GB, 14B: 40 GB), and "caps" the same under the memory of smaller
cards. Each figure is printed as a line of JSON at once, so nothing is lost where time runs out: with ten minutes a
command, 14B takes one command a part, its kernels with --steps 3. Random weights tell nothing of quality, of
skip rates of a step cache or of bad frames; mechanics alone are measured. Three steps warm up.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from gpu_wan_jobs import measure_jobs
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode
from wan_random import CONFIGS, SCHEDULER, WAN, Figures, transformer_and_vae

from t2v_studio.adapters.state import AdapterState, LoraLayer
from t2v_studio.engines.diffusion import attention, compile, limits
from t2v_studio.engines.diffusion.adapter_hotswap import HotSwap
from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot
from t2v_studio.engines.diffusion.decode import decode
from t2v_studio.engines.diffusion.denoise import Clip, denoise
from t2v_studio.engines.diffusion.memory_plan import GIB, PartBytes, Work, choose
from t2v_studio.errors import CancelledError

SHAPES = {"1.3b": ((832, 480, 17), (832, 480, 81)), "14b": ((832, 480, 17), (832, 480, 81), (1280, 720, 17)), "tiny": ((48, 32, 5),)}  # fmt: skip
DECODES = (
    ("float32", torch.float32, False, torch.contiguous_format),
    ("float32 tiled", torch.float32, True, torch.contiguous_format),
    ("float32, channels last", torch.float32, False, torch.channels_last_3d),
    ("bfloat16", torch.bfloat16, False, torch.contiguous_format),
    ("bfloat16, channels last", torch.bfloat16, False, torch.channels_last_3d),
)
TEXT_ENCODER_BYTES = 11.4e9
PARTS = ("kernels", "jobs", "caps")


@dataclass
class Bench:
    """One model on one device; `rows` are the figures."""

    name: str
    device: str
    steps: int
    cache: Path

    def __post_init__(self) -> None:
        self.figures = Figures(self.name)
        self.dtype = torch.float32 if self.device == "cpu" else torch.bfloat16
        self.card = limits.card_name(self.device)
        self.config = CONFIGS[self.name]
        self.pipe = self._pipeline()
        generator = torch.Generator("cpu").manual_seed(0)
        shape = (1, WAN.text_tokens, self.config["text_dim"])
        self.cond, self.uncond = ({"embeds": torch.randn(shape, generator=generator).to(self.device, self.dtype)} for _ in range(2))  # fmt: skip

    def _pipeline(self) -> Any:
        transformer, vae = transformer_and_vae(self.name, self.device, self.dtype)
        return WAN.pipeline_from({"transformer": transformer, "vae": vae, "scheduler_config": SCHEDULER})

    def clip(self, shape: tuple[int, int, int], steps: int) -> Clip:
        return Clip(frames=shape[2], width=shape[0], height=shape[1], fps=16.0, steps=steps, guidance=5.0, seed=1)

    def run(self, clip: Clip, report: Callable[[int, int], None] = lambda *_: None) -> Any:
        return denoise(WAN, self.pipe, SCHEDULER, self.cond, self.uncond, clip, device=self.device, report=report)

    def raw(self, clip: Clip) -> None:
        self.pipe.scheduler = WAN.scheduler(SCHEDULER, height=clip.height, width=clip.width)
        shape = WAN.call_kwargs(frames=clip.frames, width=clip.width, height=clip.height, steps=clip.steps, guidance=5.0, fps=16.0)  # fmt: skip
        texts = WAN.call_embeds(self.cond, self.uncond)
        self.pipe(**texts, **shape, generator=torch.Generator("cpu").manual_seed(1), output_type="latent")

    def seconds(self, work: Callable[[], Any], repeats: int = 1) -> float:
        """Median of the repeats, to the end of what the card was given."""
        spent = []
        for _ in range(repeats):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            spent.append(time.perf_counter() - began)
        return statistics.median(spent)

    def wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()

    # --- what is measured ----------------------------------------------------------------------
    def denoising(self, label: str, shape: tuple[int, int, int]) -> None:
        step = self.step(shape)
        flops = WAN.flops_per_step(self.config, shape[2], shape[0], shape[1], cfg=True)
        self.figures.row(
            "step", step * 1000, "ms", way=label, shape=shape, limit=limits.achieved(flops, step, self.card)
        )

    def against_raw(self, shape: tuple[int, int, int]) -> None:
        clip = self.clip(shape, self.steps)
        ours, theirs = self.seconds(lambda: self.run(clip), 3), self.seconds(lambda: self.raw(clip), 3)
        each = (ours - theirs) / clip.steps * 1000
        self.figures.row("our loop against raw", each, "ms/step", shape=shape, share=round(ours / theirs - 1, 4))

    def compiled(self, shapes: Sequence[tuple[int, int, int]]) -> None:
        """Seconds that the first clip takes longer, as the cache folder is and once more from what it holds then; graphs."""
        if lacking := compile.why_not(self.device, self.cache / "inductor"):
            print(f"Nothing can be compiled here: {lacking}", file=sys.stderr)
            return
        for way in ("as the cache folder was", "from the cache folder"):
            compile.forget([self.pipe.transformer])
            compile.use([self.pipe.transformer], True, self.cache / "inductor")
            before = _graphs()
            first, again = (self.seconds(lambda: self.run(self.clip(shapes[0], 1))) for _ in range(2))
            self.figures.row(
                "compile, first clip", first - again, "s", way=way, shape=shapes[0], graphs=_graphs() - before
            )
        for shape in shapes:
            before = _graphs()
            self.run(self.clip(shape, 1))
            self.figures.row("graphs added by one more clip", _graphs() - before, "graphs", shape=shape)

    def unmerged(self, shape: tuple[int, int, int]) -> None:
        """What an adapter costs that is computed beside the weights, as on quantised ones. The slot stays in the model."""
        compile.use([self.pipe.transformer], False, self.cache / "inductor")
        plain = self.step(shape)
        slot = HotSwap(self.pipe.transformer, rank=32)
        slot.write(_lora(self.pipe.transformer, 1).layers, 0.7)
        beside = self.step(shape)
        more = round(beside / plain - 1, 4)
        self.figures.row(
            "adapter beside the weights, rank 32", (beside - plain) * 1000, "ms/step", shape=shape, share=more
        )

    def step(self, shape: tuple[int, int, int]) -> float:
        """Seconds a step, after three that warm up."""
        self.run(self.clip(shape, 3))
        return self.seconds(lambda: self.run(self.clip(shape, self.steps))) / self.steps

    def decoding(self, shape: tuple[int, int, int]) -> None:
        latents = self.run(self.clip(shape, 1)).latents
        vae, size = self.pipe.vae, {"frames": shape[2], "width": shape[0], "height": shape[1], "seed": 1}
        with FlopCounterMode(display=False) as counted:
            decode(WAN, vae, latents, tiled=False, **size)
        flops = counted.get_total_flops()
        for label, dtype, tiled, layout in DECODES:
            _laid_out(vae.to(dtype), layout)
            if self.device != "cpu":
                torch.cuda.reset_peak_memory_stats()
            spent = self.seconds(lambda tiled=tiled: decode(WAN, vae, latents, tiled=tiled, **size), 3)
            peak = torch.cuda.max_memory_allocated() / GIB if self.device != "cpu" else 0.0
            limit = limits.achieved(flops, spent, self.card)
            self.figures.row("decode", spent, "s", way=label, shape=shape, peak_gib=round(peak, 2), limit=limit)
        _laid_out(vae.to(torch.float32), torch.contiguous_format)

    def adapter(self) -> None:
        slot, transformer = AdapterSlot(self.pipe.transformer), self.pipe.transformer
        before = transformer.blocks[0].attn1.to_q.weight.clone()
        first, second = (_lora(transformer, seed) for seed in (1, 2))
        for label, work in (
            ("set", lambda: slot.set(first, 0.7)),
            ("change scale", lambda: slot.set(first, 0.4)),
            ("swap", lambda: slot.set(second, 0.7)),
            ("remove", lambda: slot.set(None)),
        ):
            self.figures.row("adapter", self.seconds(work) * 1000, "ms", way=f"{label} ({slot.way})")
        same = bool(torch.equal(before, transformer.blocks[0].attn1.to_q.weight))
        self.figures.row("adapter, restored bit for bit", float(same), "1 = yes")
        slot.release()

    def cancelling(self, shape: tuple[int, int, int]) -> None:
        asked: list[float] = []

        def report(step: int, total: int) -> None:
            if step == 1:
                asked.append(time.perf_counter())
                raise CancelledError()

        def stopped() -> None:
            try:
                self.run(self.clip(shape, self.steps), report)
            except CancelledError:
                self.wait()

        stopped()
        self.figures.row("cancel, until the card is still", (time.perf_counter() - asked[-1]) * 1000, "ms", shape=shape)
        held = self.held()
        for _ in range(5):
            stopped()
            self.run(self.clip(shape, 2))
        self.figures.row("memory kept after 5 clips and 5 cancels", (self.held() - held) / 2**20, "MiB")

    def held(self) -> int:
        return torch.cuda.memory_allocated() if self.device != "cpu" else 0

    def tiers(self, shape: tuple[int, int, int]) -> None:
        """The plan for cards of several sizes, as reckoned."""
        weights = {name: sum(p.nbytes for p in part.parameters()) for name, part in self.pipe.components.items() if name in ("transformer", "vae")}  # fmt: skip
        parts = PartBytes(weights["transformer"], TEXT_ENCODER_BYTES, weights["vae"])
        for card in (8, 12, 16, 24, 48, 80):
            plan = choose(card * GIB, parts, Work.of(WAN, shape[2], shape[0], shape[1], "bfloat16", "float32"))
            self.figures.row("plan of memory", plan.needs / GIB, "GiB", card_gib=card, tier=plan.tier, shape=shape)


def _graphs() -> int:
    return int(counters["stats"]["unique_graphs"])


def _laid_out(vae: Any, layout: torch.memory_format) -> None:
    """The kernels of three-dimensional convolutions in a memory layout; the others have too few dimensions for it."""
    for parameter in vae.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=layout)


def _lora(transformer: Any, seed: int, rank: int = 32) -> AdapterState:
    generator = torch.Generator("cpu").manual_seed(seed)
    layers = {}
    for name, module in transformer.named_modules():
        if name.startswith("blocks.") and isinstance(module, torch.nn.Linear):
            down = torch.randn((rank, module.in_features), generator=generator) * 0.01
            up = torch.randn((module.out_features, rank), generator=generator) * 0.01
            layers[name] = LoraLayer(down.to(torch.bfloat16), up.to(torch.bfloat16), float(rank))
    return AdapterState(
        layers=layers, second=None, family="wan", made_for="", rank=rank, alpha=float(rank), alpha_source="random",
        sha256=f"{seed:064d}",
    )  # fmt: skip


def measure_kernels(name: str, device: str, steps: int, cache: Path) -> list[dict[str, Any]]:
    """The figures of one model in memory."""
    bench = Bench(name, device, steps, cache)
    shapes = SHAPES[name]
    for shape in shapes:
        bench.denoising("eager, native attention", shape)
    bench.against_raw(shapes[0])
    bench.cancelling(shapes[0])
    chosen = attention.choose("auto", device, str(bench.dtype).removeprefix("torch."), cache / "attention.json")
    if chosen != "native":
        attention.use([bench.pipe.transformer], chosen)
        for shape in shapes:
            bench.denoising(f"eager, {chosen} attention", shape)
    bench.adapter()
    bench.compiled(shapes)
    for shape in shapes:
        bench.denoising(f"compiled blocks, {chosen} attention", shape)
    for shape in shapes:
        bench.decoding(shape)
    bench.tiers(shapes[0])
    bench.unmerged(shapes[0])
    return bench.figures.rows


def _jobs(name: str, device: str, steps: int, folder: Path, parts: list[str]) -> list[dict[str, Any]]:
    """Whole videos of one model. Its weights leave the disk afterwards, but for the text encoder, which all share."""
    kept = folder / "text_encoder"
    jobs = measure_jobs(name, device, steps, folder / name, kept if kept.is_dir() else None, parts=parts)
    encoder = jobs.folder / "text_encoder"
    if not encoder.is_symlink():
        encoder.rename(kept)
    shutil.rmtree(folder / name)
    return jobs.figures.rows


def _give_back(device: str) -> None:
    if device != "cpu":
        gc.collect()
        torch.cuda.empty_cache()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=("1.3b", "14b"), default=["1.3b", "14b"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--steps", type=int, default=10, help="timed steps of a figure in part kernels")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the CPU")
    parser.add_argument("--cache", type=Path, help="folder of compiled graphs; a second run then starts warm")
    parser.add_argument("--folder", type=Path, help="disk for the random models (by default that of temporary files)")
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    asked = parser.parse_args(arguments)
    if not asked.tiny and not torch.cuda.is_available():
        print("There is no CUDA card here. Try the script itself with --tiny.", file=sys.stderr)
        return 1
    device = "cpu" if asked.tiny else "cuda"
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for name in ["tiny"] if asked.tiny else asked.models:
            if "kernels" in asked.parts:
                rows += measure_kernels(name, device, asked.steps, asked.cache or Path(folder))
            _give_back(device)
            if {"jobs", "caps"} & set(asked.parts):
                rows += _jobs(name, device, 2 if asked.tiny else 16, Path(folder), asked.parts)
            _give_back(device)
    report = {
        "card": limits.card_name(device),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "reachable_share_of_peak": limits.REACHABLE,
        "figures": rows,
    }
    if asked.output:
        asked.output.write_text(json.dumps(report, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
