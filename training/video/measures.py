"""What is measured of an adapter: loss on held-out clips, and steadiness, motion and CLIP of its samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t2v_studio.video.metrics import CLIP_FRAMES, Collector, Measure, clip_measures
from t2v_studio.video.quality import Judge
from training.video.buckets import Clip
from training.video.cache_text import caption_of
from training.video.data import Loader
from training.video.objective import Maths, fixed_quantiles, noise_like
from training.video.session import Session

STILL_MOTION = 0.02 / 256
"""Speed, as a share of the shorter side a frame, below which a clip counts as frozen: a fifth of a pixel in ten frames at 480p."""
MOTION_FLOOR = 1 / 256
"""Added to the speed that the warp error is divided by, so that little motion is no advantage."""
NOTHING_TO_SEE = ("black", "white", "underexposed", "washed_out", "noise", "undecodable")
_VALIDATION = 7


def held_out_loss(
    session: Session, maths: Maths, model: Any, clips: Sequence[Clip], *, weights: str = "adapter"
) -> dict[str, Any]:
    """Loss at fixed quantiles of the noise level with fixed noise: only the weights differ between two checks.

    Returns val_loss and by_quantile; val_loss None where no clip is held out. A curve of training losses
    mostly shows which noise levels were drawn; this one does not.
    """
    import torch

    from training.video.loop import to_device

    if not clips:
        return {"val_loss": None, "by_quantile": []}
    quantiles = fixed_quantiles(session.recipe.sigma_quantiles)
    loader = Loader(session.cache, 0)
    sums = np.zeros(len(quantiles))
    for number, clip in enumerate(clips):
        session.check_stopped()
        session.report("measuring the loss on held-out clips", number, len(clips), weights)
        batch = to_device(loader.read([clip], [caption_of(clip, session.recipe.trigger)]), session)
        seed = int(clip.source.row.sha256[:12], 16)
        for place, quantile in enumerate(quantiles):
            eps = noise_like(batch.latents, _VALIDATION, seed, clip.start, place).to(session.device)
            u = torch.tensor([quantile], dtype=torch.float64)
            sums[place] += float(maths.loss(model, batch, u, eps))
    means = sums / len(clips)
    return {"val_loss": float(means.mean()), "by_quantile": [round(float(value), 6) for value in means]}


def sample_measures(frames: NDArray[np.uint8], fps: float, text: str, clip_weights: Path | None) -> dict[str, Any]:
    """Measures of one sample: warp_error, motion, warp_score, frozen, verdict, clip_text, and why one is unavailable.

    motion: mean speed of the fastest 5 % of the picture, as a share of the shorter side a frame.
    warp_score: warp error (Lai et al. 2018) over motion plus a floor. Without the division a clip in
    which nothing happens would be the steadiest of all (notes on scoring, 3.1).
    """
    collector, judge = Collector(fps), Judge(fps, steps=2)
    for frame in frames:
        collector.add(frame)
        judge.see(frame)
    found = {measure.name: measure for measure in collector.measures()}
    short = min(frames.shape[1:3])
    warp = found["warp_error"].value
    motion = found["dynamic_degree"].details.get("top_radius_px", 0.0) / short
    still = found["still_share"].value
    verdict = judge.verdict().name
    picked = np.linspace(0, len(frames) - 1, min(CLIP_FRAMES, len(frames))).round().astype(int)
    clip = clip_measures([frames[index] for index in picked], text, clip_weights)[0]
    return {
        "warp_error": warp,
        "masked_share": found["warp_error"].details.get("masked_share"),
        "motion": motion,
        "warp_score": None if warp is None else warp / (motion + MOTION_FLOOR),
        "frozen": bool(len(frames) > 1 and (still == 1.0 or motion < STILL_MOTION)),
        "verdict": verdict,
        "clip_text": clip.value,
        "clip_note": _note(clip),
    }


def _note(measure: Measure) -> str:
    return f"{measure.status}: {measure.note}" if measure.status != "ok" else measure.note


def summary(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The samples of one adapter as one row: means over prompts, and counts of what is nothing to look at."""
    row: dict[str, Any] = {"prompts": len(samples)}
    for name in ("warp_error", "motion", "warp_score", "clip_text"):
        values = [one[name] for one in samples]
        row[name] = float(np.mean(values)) if values and all(value is not None for value in values) else None
    row["clip_note"] = next((one["clip_note"] for one in samples if one["clip_note"]), "")
    row["frozen"] = sum(bool(one["frozen"]) for one in samples)
    row["bad"] = sum(one["verdict"] in NOTHING_TO_SEE for one in samples)
    return row
