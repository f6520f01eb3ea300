"""CPU seconds a training step: ours and a bare diffusers and peft loop.

    python tests/benchmarks/train_steps.py [--steps 60] [--rounds 3]
    python tests/benchmarks/train_steps.py --gpu            full-size random Wan 1.3B on a CUDA card

Tiny random Wan (128 wide, 4 blocks, 320 tokens, text 512 x 4096), rank 16 on q, k, v, o, batch 1, fp32, one thread.
Process time, because machines are shared; rounds are interleaved and medians told.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
WIDTH, HEADS, BLOCKS, FFN, TEXT, TOKENS = 128, 4, 4, 512, 4096, 512
SHAPE = (1, 16, 5, 16, 16)
RANK, ALPHA, RATE = 16, 32, 1e-4
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def transformer() -> Any:
    import torch
    from diffusers import WanTransformer3DModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS, in_channels=16,
        out_channels=16, text_dim=TEXT, freq_dim=256, ffn_dim=FFN, num_layers=BLOCKS, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=1024,
    )  # fmt: skip


def bare(steps: int, checkpointing: bool) -> dict[str, Any]:
    """The ceiling: nothing but diffusers, peft and a loop."""
    import torch
    from peft import LoraConfig

    model = transformer()
    model.requires_grad_(False)
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS))
    if checkpointing:
        model.enable_gradient_checkpointing()
    model.train()
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=RATE)
    z, text = torch.randn(SHAPE), torch.zeros(1, TOKENS, TEXT)
    text[:, :64] = torch.randn(1, 64, TEXT)

    def step() -> None:
        eps = torch.randn(SHAPE)
        sigma = torch.sigmoid(torch.randn(1) + 1.0986)
        noisy = (1 - sigma) * z + sigma * eps
        out = model(hidden_states=noisy, timestep=1000 * sigma, encoder_hidden_states=text, return_dict=False)[0]
        torch.nn.functional.mse_loss(out, eps - z).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return timed(step, steps)


def ours(steps: int, checkpointing: bool) -> dict[str, Any]:
    """The trainer's own loop, with its cache read from the disk, its log written and its numbers drawn by place."""
    import tempfile
    from types import SimpleNamespace

    import torch

    model = transformer()
    with tempfile.TemporaryDirectory() as name:
        trainer, gauge = trainer_on(Path(name), model, SimpleNamespace, torch, checkpointing)
        from training.video.loggers import open_logger

        logger = open_logger("none", trainer.part, trainer.recipe, "bench")

        def step() -> None:
            trainer._tell(trainer._optimiser_step(gauge), logger)

        found = timed(step, steps)
        found["cache_bytes"] = sum(path.stat().st_size for path in Path(name).rglob("*.safetensors"))
    return found


def trainer_on(folder: Path, model: Any, space: Any, torch: Any, checkpointing: bool) -> Any:
    """A prepared Trainer over one cached clip."""
    from accelerate import Accelerator

    from t2v_studio.adapters.recipe import Recipe
    from t2v_studio.adapters.runs import create_run
    from t2v_studio.datasets.rows import ManifestRow
    from t2v_studio.engines.diffusion.families.base import Source as Place
    from t2v_studio.engines.diffusion.families.registry import family
    from t2v_studio.settings import Settings
    from t2v_studio.workspace import Workspace
    from training.video import cache
    from training.video.buckets import Clip
    from training.video.hardware import Gauge
    from training.video.loop import Trainer
    from training.video.objective import Maths
    from training.video.rows import Source
    from training.video.session import Base, Session

    wan, workspace = family("wan"), Workspace.at(folder)
    recipe = Recipe(
        model="bench", dtype="fp32", latents_dtype="fp32", rank=RANK, alpha=ALPHA, lora_dropout=0, accumulation=1,
        schedule="constant", warmup_steps=0, learning_rate=RATE, checkpointing=int(checkpointing), workers=0,
        prompt_dropout=0, steps=100_000, flow_shift=3.0,
    )  # fmt: skip
    run = create_run(workspace, recipe, folder)
    base = Base("bench", "bench", "", wan, Place(folder))
    session = Session(Settings(home=folder, _env_file=None), workspace, run, recipe, base, Accelerator(cpu=True))
    row = ManifestRow(
        id="one", video_path="one.mp4", caption="a square", split="train", topic_tag="bench", family="one",
        sha256="0" * 64, frames=17, fps=16, width=128, height=128,
    )  # fmt: skip
    clip = Clip(Source(row, folder / "one.mp4"), (17, 128, 128), tuple(range(17)), 16.0)
    cache.write(session.cache.clip_file(clip), {"latents": torch.randn(SHAPE)}, session.cache.clip_header(clip))
    text, lengths = cache.trimmed(
        {"embeds": torch.cat([torch.randn(1, 64, TEXT), torch.zeros(1, TOKENS - 64, TEXT)], 1)}
    )
    cache.write(session.cache.text_file("a square"), text, session.cache.text_header("a square") | lengths)
    run.part().folder.mkdir()
    trainer = Trainer(session, run.part(), model, [clip], Maths(recipe, wan, {"num_train_timesteps": 1000}))
    trainer.prepare()
    return trainer, Gauge()


def timed(step: Any, steps: int) -> dict[str, Any]:
    """Median process seconds of a step after a warm-up, and the peak of resident memory."""
    for _ in range(5):
        step()
    taken = []
    for _ in range(steps):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_s": statistics.median(taken), "peak_mib": round(peak)}


def gpu(steps: int) -> list[dict[str, Any]]:
    """Full-size random Wan 1.3B in bf16: seconds a step and share of the card's limit, 17, 33 and 81 frames at 832x480."""
    import torch

    from t2v_studio.adapters.recipe import Recipe
    from t2v_studio.engines.diffusion.families.registry import family
    from training.video import estimate, lora

    config = {
        "_class_name": "WanTransformer3DModel", "patch_size": [1, 2, 2], "num_attention_heads": 12,
        "attention_head_dim": 128, "in_channels": 16, "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
        "ffn_dim": 8960, "num_layers": 30, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
    }  # fmt: skip
    if not torch.cuda.is_available():
        raise SystemExit("--gpu needs a CUDA card; there is none.")
    from diffusers import WanTransformer3DModel

    wan, recipe = family("wan"), Recipe(model="wan2.1-1.3b")
    with torch.device("cuda"):
        model = WanTransformer3DModel.from_config(config).to(torch.bfloat16).train()
    parameters = lora.add_adapter(model, recipe, wan)
    lora.checkpoint_blocks(model, recipe.checkpointing)
    optimiser = torch.optim.AdamW(parameters, lr=RATE)
    text = torch.randn(1, 512, 4096, device="cuda", dtype=torch.bfloat16)
    peak = next((tf for card, tf in estimate.PEAKS_TF.items() if card in torch.cuda.get_device_name()), None)
    rows = []
    for frames in (17, 33, 81):
        bucket = (frames, 832, 480)
        z = torch.randn(1, 16, *wan.latent_shape(*bucket), device="cuda")
        torch.cuda.reset_peak_memory_stats()
        taken = []
        for _ in range(steps):
            torch.cuda.synchronize()
            began = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16):
                moment = torch.tensor([500.0], device="cuda")
                out = model(hidden_states=z, timestep=moment, encoder_hidden_states=text, return_dict=False)[0]
                out.float().square().mean().backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            torch.cuda.synchronize()
            taken.append(time.perf_counter() - began)
        seconds = statistics.median(taken[2:] or taken)
        share = estimate.cost(wan, config, recipe, bucket).flops / seconds / 1e12 / peak if peak else None
        memory = torch.cuda.max_memory_allocated() / 2**30
        rows.append(
            {"frames": frames, "step_s": round(seconds, 3), "peak_gib": round(memory, 2), "share_of_peak": share}
        )
    return rows


WORKERS = {"ours": ours, "bare": bare}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--worker", choices=sorted(WORKERS))
    parser.add_argument("--checkpointing", action="store_true")
    asked = parser.parse_args()
    if asked.gpu:
        print(json.dumps(gpu(asked.steps), indent=1))
        return
    if asked.worker:
        print(json.dumps(WORKERS[asked.worker](asked.steps, asked.checkpointing)))
        return
    found: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for _ in range(asked.rounds):
        for checkpointing in (False, True):
            for name in WORKERS:
                argv = [sys.executable, __file__, "--worker", name, "--steps", str(asked.steps)]
                argv += ["--checkpointing"] if checkpointing else []
                said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
                found.setdefault((name, checkpointing), []).append(json.loads(said.splitlines()[-1]))
    for (name, checkpointing), rows in sorted(found.items()):
        seconds = statistics.median(row["cpu_s"] for row in rows)
        ceiling = statistics.median(row["cpu_s"] for row in found["bare", checkpointing])
        how = "checkpointing" if checkpointing else "no checkpointing"
        more = f", cache {rows[0]['cache_bytes']:,} bytes a clip with its caption" if "cache_bytes" in rows[0] else ""
        print(
            f"{name:5} {how:17} {seconds:.4f} CPU s a step, {seconds / ceiling:.3f}x bare, peak {rows[0]['peak_mib']} MiB{more}"
        )


if __name__ == "__main__":
    main()
