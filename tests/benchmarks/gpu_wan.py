"""Wan at full size with random weights on one card: each figure with its share of the physical limit, as JSON.

Run: python tests/benchmarks/gpu_wan.py [--models 1.3b 14b] [--steps 10] [--output figures.json]
     python tests/benchmarks/gpu_wan.py --tiny    (a tiny model on a CPU: whether the script itself runs)

Random weights tell nothing of quality, of skip rates of a step cache or of bad frames; mechanics alone are measured.
Weights are normal with a standard deviation of 0.02, since zeros would change power and clocks. Three steps warm up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from t2v_studio.adapters.state import AdapterState, LoraLayer
from t2v_studio.engines.diffusion import attention, compile, limits
from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot
from t2v_studio.engines.diffusion.decode import decode
from t2v_studio.engines.diffusion.denoise import Clip, denoise
from t2v_studio.engines.diffusion.families.registry import family
from t2v_studio.engines.diffusion.memory_plan import GIB, PartBytes, Work, choose
from t2v_studio.errors import CancelledError

WAN = family("wan")
COMMON: dict[str, Any] = {
    "patch_size": (1, 2, 2), "attention_head_dim": 128, "in_channels": 16, "out_channels": 16, "text_dim": 4096,
    "freq_dim": 256, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
}  # fmt: skip
CONFIGS = {
    "1.3b": COMMON | {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
    "14b": COMMON | {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
    "tiny": COMMON | {"num_attention_heads": 2, "attention_head_dim": 12, "text_dim": 32, "freq_dim": 64, "ffn_dim": 64, "num_layers": 2},
}  # fmt: skip
VAE: dict[str, dict[str, Any]] = {
    "full": {},
    "tiny": {"base_dim": 8, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [False, True, True]},
}  # fmt: skip
SHAPES = {"1.3b": ((832, 480, 17), (832, 480, 81)), "14b": ((832, 480, 17), (832, 480, 81), (1280, 720, 17)), "tiny": ((48, 32, 5),)}  # fmt: skip
TEXT_ENCODER_BYTES = 11.4e9
SCHEDULER = {
    "_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction", "use_flow_sigmas": True,
    "num_train_timesteps": 1000, "flow_shift": 3.0,
}  # fmt: skip


@dataclass
class Bench:
    """One model on one device; `rows` are the figures."""

    name: str
    device: str
    steps: int
    cache: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dtype = torch.float32 if self.device == "cpu" else torch.bfloat16
        self.card = limits.card_name(self.device)
        self.config = CONFIGS[self.name]
        self.pipe = self._pipeline()
        generator = torch.Generator("cpu").manual_seed(0)
        shape = (1, WAN.text_tokens, self.config["text_dim"])
        self.cond, self.uncond = ({"embeds": torch.randn(shape, generator=generator).to(self.device, self.dtype)} for _ in range(2))  # fmt: skip

    def _pipeline(self) -> Any:
        from diffusers import AutoencoderKLWan, WanTransformer3DModel

        with torch.device("meta"):
            transformer = WanTransformer3DModel(**self.config)
            vae = AutoencoderKLWan(**VAE["tiny" if self.name == "tiny" else "full"])
        transformer = _random(_typed(transformer, self.dtype), self.device)
        return WAN.pipeline_from(
            {"transformer": transformer, "vae": _random(vae, self.device), "scheduler_config": SCHEDULER}
        )

    def row(self, metric: str, value: float, unit: str, **more: Any) -> None:
        self.rows.append({"metric": metric, "model": self.name, "value": round(value, 4), "unit": unit, **more})
        print(json.dumps(self.rows[-1]), flush=True)

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
        self.run(self.clip(shape, 3))
        step = self.seconds(lambda: self.run(self.clip(shape, self.steps))) / self.steps
        flops = WAN.flops_per_step(self.config, shape[2], shape[0], shape[1], cfg=True)
        self.row("step", step * 1000, "ms", way=label, shape=shape, limit=limits.achieved(flops, step, self.card))

    def against_raw(self, shape: tuple[int, int, int]) -> None:
        clip = self.clip(shape, self.steps)
        ours, theirs = self.seconds(lambda: self.run(clip), 3), self.seconds(lambda: self.raw(clip), 3)
        each = (ours - theirs) / clip.steps * 1000
        self.row("our loop against raw", each, "ms/step", shape=shape, share=round(ours / theirs - 1, 4))

    def compiled(self, shape: tuple[int, int, int]) -> None:
        backend = "inductor" if self.device != "cpu" else "eager"
        compile.compile_blocks([self.pipe.transformer], self.cache / "inductor", backend=backend)
        first = self.seconds(lambda: self.run(self.clip(shape, 1)))
        again = self.seconds(lambda: self.run(self.clip(shape, 1)))
        self.row("compile, first clip", first - again, "s", shape=shape, cache="as the cache folder was")

    def decoding(self, shape: tuple[int, int, int]) -> None:
        latents = self.run(self.clip(shape, 1)).latents
        vae, size = self.pipe.vae, {"frames": shape[2], "width": shape[0], "height": shape[1], "seed": 1}
        for label, dtype, tiled in (("float32", torch.float32, False), ("float32 tiled", torch.float32, True), ("bfloat16", torch.bfloat16, False)):  # fmt: skip
            vae.to(dtype)
            if self.device != "cpu":
                torch.cuda.reset_peak_memory_stats()
            spent = self.seconds(lambda tiled=tiled: decode(WAN, vae, latents, tiled=tiled, **size), 3)
            peak = torch.cuda.max_memory_allocated() / GIB if self.device != "cpu" else 0.0
            self.row("decode", spent, "s", way=label, shape=shape, peak_gib=round(peak, 2))
        vae.to(torch.float32)

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
            self.row("adapter", self.seconds(work) * 1000, "ms", way=f"{label} ({slot.way})")
        same = bool(torch.equal(before, transformer.blocks[0].attn1.to_q.weight))
        self.row("adapter, restored bit for bit", float(same), "1 = yes")
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
        self.row("cancel, until the card is still", (time.perf_counter() - asked[-1]) * 1000, "ms", shape=shape)
        held = self.held()
        for _ in range(5):
            stopped()
            self.run(self.clip(shape, 2))
        self.row("memory kept after 5 clips and 5 cancels", (self.held() - held) / 2**20, "MiB")

    def held(self) -> int:
        return torch.cuda.memory_allocated() if self.device != "cpu" else 0

    def tiers(self, shape: tuple[int, int, int]) -> None:
        """The plan for cards of several sizes, as reckoned."""
        weights = {name: sum(p.nbytes for p in part.parameters()) for name, part in self.pipe.components.items() if name in ("transformer", "vae")}  # fmt: skip
        parts = PartBytes(weights["transformer"], TEXT_ENCODER_BYTES, weights["vae"])
        for card in (8, 12, 16, 24, 48, 80):
            plan = choose(card * GIB, parts, Work.of(shape[2], shape[0], shape[1]))
            self.row("plan of memory", plan.needs / GIB, "GiB", card_gib=card, tier=plan.tier, shape=shape)


def _typed(transformer: Any, dtype: torch.dtype) -> Any:
    """In `dtype`, but for the modules that from_pretrained keeps in float32."""
    transformer.to(dtype)
    for name, parameter in transformer.named_parameters():
        if any(part in name for part in WAN.keep_fp32):
            parameter.data = parameter.data.float()
    return transformer


def _random(model: Any, device: str) -> Any:
    """A model from the meta device with random weights that keep its values finite."""
    model = model.to_empty(device=device).eval()
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("bias"):
                tensor.zero_()
            elif "norm" in name or name.endswith("gamma"):
                tensor.fill_(1.0)
            elif tensor.is_floating_point():
                tensor.normal_(0.0, 0.02, generator=generator)
    if hasattr(model, "rope"):  # its tables are buffers that were never computed
        patch, dim = model.config.patch_size, model.config.attention_head_dim
        model.rope = type(model.rope)(dim, patch, model.config.rope_max_seq_len).to(device)
    return model


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


def measure(name: str, device: str, steps: int, cache: Path) -> list[dict[str, Any]]:
    """All figures of one model."""
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
    bench.compiled(shapes[0])
    for shape in shapes:
        bench.denoising(f"compiled blocks, {chosen} attention", shape)
    for shape in shapes:
        bench.decoding(shape)
    bench.tiers(shapes[0])
    return bench.rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=("1.3b", "14b"), default=["1.3b", "14b"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the CPU")
    parser.add_argument("--cache", type=Path, help="folder of compiled graphs; a second run then starts warm")
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    asked = parser.parse_args(arguments)
    if not asked.tiny and not torch.cuda.is_available():
        print("There is no CUDA card here. Try the script itself with --tiny.", file=sys.stderr)
        return 1
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ["tiny"] if asked.tiny else asked.models:
            rows += measure(name, "cpu" if asked.tiny else "cuda", asked.steps, asked.cache or Path(folder))
            if not asked.tiny:
                torch.cuda.empty_cache()
    report = {
        "card": limits.card_name("cpu" if asked.tiny else "cuda"),
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
