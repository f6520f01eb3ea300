"""Part of train_steps.py: the trainer's step on a full-size random Wan 1.3B, on a CUDA card."""

from __future__ import annotations

import statistics
import time
from typing import Any


def gpu(steps: int, rate: float) -> list[dict[str, Any]]:
    """Full-size random Wan 1.3B in bf16: seconds a step and share of the card's limit, 17, 33 and 81 frames at 832x480."""
    import torch
    from wan_random import CONFIGS  # beside this file

    from t2v_studio.adapters.recipe import Recipe
    from t2v_studio.engines.diffusion.families.registry import family
    from t2v_studio.engines.diffusion.limits import is_named
    from training.video import estimate, lora

    if not torch.cuda.is_available():
        raise SystemExit("--gpu needs a CUDA card; there is none.")
    from diffusers import WanTransformer3DModel

    wan, recipe, config = family("wan"), Recipe(model="wan2.1-1.3b"), CONFIGS["1.3b"]
    with torch.device("cuda"):
        model = WanTransformer3DModel(**config).to(torch.bfloat16).train()
    parameters = lora.add_adapter(model, recipe, wan)
    lora.checkpoint_blocks(model, recipe.checkpointing)
    optimiser = torch.optim.AdamW(parameters, lr=rate)
    text = torch.randn(1, 512, 4096, device="cuda", dtype=torch.bfloat16)
    peak = next((tf for card, tf in estimate.PEAKS_TF.items() if is_named(torch.cuda.get_device_name(), card)), None)
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
