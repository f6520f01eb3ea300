"""The dry run: what a training would need and take, from headers and configs alone. Nothing is loaded.

    python -m training.video.estimate --recipe NAME_OR_FILE --dataset PATH    prints one JSON object

Compute model (notes, section 3): a forward pass of the transformer counts its linear layers and its
attention; the backward pass through a frozen base costs 1x the linear layers and 2.5x the attention, and a
checkpointed block one more forward. Cards reach about half of their peak: an A100 at 8.3 s, a 4090 at 13 s
and an A800 at 40 s a step are within a tenth of this model.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2v_studio.adapters.recipe import Recipe, parse_recipe, read_recipe, read_size
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.engines.diffusion.limits import is_named
from t2v_studio.errors import UnavailableError
from t2v_studio.settings import load_settings
from t2v_studio.workspace import Workspace
from training.answer import answer
from training.video import cache
from training.video.buckets import Bucket, Clip, Selection, counts, select
from training.video.cache_text import captions
from training.video.rows import read_sources
from training.video.sampling import read_prompts
from training.video.session import Base, base_of, cache_of
from training.video.shapes import SHAPES

GIB = 2**30
PEAKS_TF = {
    "H200": 790.0,
    "H100": 790.0,
    "A100": 312.0,
    "A800": 312.0,
    "L40S": 362.0,
    "4090": 165.0,
    "5090": 210.0,
    "3090": 71.0,
}
"""Dense bf16 tera-operations a second with fp32 sums, from the makers' data sheets."""
SHARE_OF_PEAK = 0.5
SHOWN_CARDS = ("4090", "A100", "H100")
BYTES = {"bf16": 2, "fp32": 4}
BITS = {"none": None, "int8": 1.02, "nf4": 0.53}
"""Bytes a weight of a quantised base, with its scales."""


@dataclass(frozen=True)
class Cost:
    """One clip of a bucket, forward and backward: operations and memory of activations."""

    flops: float
    activations: float


def estimate(recipe: Recipe, dataset: Path, base: Base, workspace: Workspace) -> dict[str, Any]:
    """The whole dry run as JSON. Raises InputError as `select` does."""
    selection = select(read_sources(dataset, recipe.seed), recipe, base.family)
    config = config_of(base)
    weights = base.family.parameters("transformer", config)
    trainable, layers = adapter_parameters(base.family, config, recipe)
    costs = {bucket: cost(base.family, config, recipe, bucket) for bucket in {clip.bucket for clip in selection.train}}
    world = 1
    batches = batches_of(selection.train, recipe.batch_size)
    steps = recipe.steps_for(batches, world)
    passes = steps * recipe.accumulation
    mean = sum(costs[clip.bucket].flops for clip in selection.train) / len(selection.train) * recipe.batch_size
    held = memory(recipe, weights, trainable, max(one.activations for one in costs.values()) * recipe.batch_size)
    sampling = sampling_flops(base.family, config, recipe, steps, batches)
    return {
        "model": base.name,
        "clips": {
            "train": len(selection.train),
            "validation": len(selection.validation),
            "dropped": len(selection.dropped),
        },
        "buckets": counts(selection.train),
        "dropped": [{"id": one.id, "reason": one.reason} for one in selection.dropped],
        "notices": [*selection.notices, *_range_notices(base.family, selection.train), *_absent(base)],
        "parameters": {"base": weights, "trainable": trainable, "layers": layers},
        "steps": steps,
        "epochs": round(passes / batches, 2),
        "memory_gib": {name: round(value / GIB, 3) for name, value in held.items()},
        "flops_a_step": mean * recipe.accumulation,
        "speed": [speed(name, tf, mean * recipe.accumulation, steps, sampling) for name, tf in machines().items()],
        "disk": disk(recipe, base, selection, workspace, trainable),
    }


def config_of(base: Base) -> dict[str, Any]:
    """config.json of the base's transformer, or the shape that is known of a model which was not fetched yet.

    Raises UnavailableError where neither is there.
    """
    if base.on_disk:
        found: dict[str, Any] = json.loads(
            (base.source.part("transformer") / "config.json").read_text(encoding="utf-8")
        )
        return found
    if base.name not in SHAPES:
        raise UnavailableError(
            "model_missing", f"model: {base.name} is not on this disk.", f"Fetch it: t2v models download {base.name}"
        )
    return dict(SHAPES[base.name])


def _absent(base: Base) -> list[str]:
    if base.on_disk:
        return []
    return [f"{base.name} is not on this disk yet. Before training: t2v models download {base.name}"]


def batches_of(clips: Sequence[Clip], size: int) -> int:
    """Batches of an epoch: as `data.Order` makes them."""
    found: dict[Bucket, int] = {}
    for clip in clips:
        found[clip.bucket] = found.get(clip.bucket, 0) + max(1, round(clip.source.row.weight))
    return sum(math.ceil(count / size) for count in found.values())


def adapter_parameters(family: Family, config: Mapping[str, Any], recipe: Recipe) -> tuple[int, int]:
    """Trainable parameters, r (in + out) a layer, and how many layers, counted on the meta device."""
    import diffusers
    import torch

    from training.video.lora import check_targets

    with torch.device("meta"):
        transformer = getattr(diffusers, family.transformer).from_config(dict(config))
    targets = list(recipe.targets or family.lora_targets)
    check_targets(transformer, targets)
    found = [
        module.in_features + module.out_features
        for name, module in transformer.named_modules()
        if isinstance(module, torch.nn.Linear) and any(name == one or name.endswith(f".{one}") for one in targets)
    ]
    return recipe.rank * sum(found), len(found)


def cost(family: Family, config: Mapping[str, Any], recipe: Recipe, bucket: Bucket) -> Cost:
    """Operations and activation bytes of one clip."""
    frames, width, height = bucket
    forward = family.flops_per_step(config, frames, width, height, cfg=False)
    layers, dim = shape_of(config)
    tokens = tokens_of(family, config, bucket)
    attention = min(forward, 4.0 * tokens**2 * dim * layers)
    linear = forward - attention
    again = 1.0 / recipe.checkpointing if recipe.checkpointing else 0.0
    flops = (2.0 + again) * linear + (3.5 + again) * attention
    size = BYTES[recipe.dtype]
    # What a block keeps for its backward pass: norms in fp32, q, k, v, attention, the feed-forward, LoRA inputs.
    inside = tokens * (30 * dim + 2 * feed_forward(config, dim)) * size
    kept = layers / recipe.checkpointing if recipe.checkpointing else 0
    whole = layers - kept
    return Cost(flops, kept * tokens * dim * size + max(1.0, whole) * inside)


def shape_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """Blocks and width."""
    return int(config["num_layers"]), int(config["num_attention_heads"]) * int(config["attention_head_dim"])


def feed_forward(config: Mapping[str, Any], dim: int) -> int:
    return int(config.get("ffn_dim") or 4 * dim)


def tokens_of(family: Family, config: Mapping[str, Any], bucket: Bucket) -> int:
    """Tokens of a clip in the transformer."""
    time, down, across = family.latent_shape(*bucket)
    patch = config.get("patch_size", 1)
    if isinstance(patch, Sequence):
        return (time // patch[0]) * (down // patch[1]) * (across // patch[2])
    return math.ceil(time / (config.get("patch_size_t") or 1)) * (down // patch) * (across // patch)


def memory(recipe: Recipe, weights: int, trainable: int, activations: float) -> dict[str, float]:
    """Bytes on the card while training: the frozen base, adapter with gradients and optimiser, activations, reserve."""
    a_weight = BITS[recipe.base_quantised] or BYTES[recipe.dtype]
    optimiser = {"adamw": 8.0, "adamw8bit": 2.1}[recipe.optimiser]
    found = {
        "base": weights * a_weight,
        "adapter_and_optimiser": trainable * (4 + 4 + optimiser),
        "activations": activations,
    }
    found["reserve"] = 0.08 * sum(found.values())
    return found | {"total": sum(found.values())}


def sampling_flops(family: Family, config: Mapping[str, Any], recipe: Recipe, steps: int, batches: int) -> float:
    """Operations of all samples of all checks."""
    prompts = len(read_prompts(recipe))
    width, height = family.size(*read_size(recipe.sample_size))
    frames = family.frames(recipe.sample_frames)
    one = family.flops_per_step(config, frames, width, height, cfg=recipe.sample_guidance > 1) * recipe.sample_steps
    every = recipe.validate_every or max(1, round(batches / recipe.accumulation))
    return one * prompts * (1 + math.ceil(steps / every))


def machines() -> dict[str, float]:
    """Name and peak (TF/s) of this machine, then of well-known cards."""
    import torch

    found: dict[str, float] = {}
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        peak = next((tf for card, tf in PEAKS_TF.items() if is_named(name, card)), None)
        if peak is not None:
            found[f"this machine ({name})"] = peak
    else:
        found["this machine (CPU)"] = _cpu_peak() / SHARE_OF_PEAK
    return found | {name: PEAKS_TF[name] for name in SHOWN_CARDS}


def _cpu_peak() -> float:
    """TF/s of a matrix product in fp32 here, measured in a tenth of a second."""
    import time

    import torch

    one = torch.randn(512, 512)
    one @ one
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < 0.1:
        one @ one
        count += 1
    return count * 2 * 512**3 / (time.perf_counter() - began) / 1e12


def speed(name: str, peak: float, flops: float, steps: int, sampling: float) -> dict[str, Any]:
    """Seconds of an optimiser step and of the whole run at half of a card's peak."""
    rate = peak * SHARE_OF_PEAK * 1e12
    return {
        "machine": name,
        "step_s": round(flops / rate, 4),
        "training_s": round(steps * flops / rate, 1),
        "sampling_s": round(sampling / rate, 1),
        "total_s": round((steps * flops + sampling) / rate, 1),
    }


def disk(recipe: Recipe, base: Base, selection: Selection, workspace: Workspace, trainable: int) -> dict[str, Any]:
    """Bytes that the run will write: cache (what is missing of it), checkpoints, adapters; and how much is there."""
    import shutil

    files = cache_of(workspace, base, recipe)
    size = BYTES[recipe.latents_dtype]
    latents, missing = 0, 0
    channels = 128 if base.family.kind == "ltx" else 48 if base.family.name == "wan22-5b" else 16
    for clip in selection.clips:
        one = math.prod(base.family.latent_shape(*clip.bucket)) * channels * size
        latents += one
        missing += 0 if cache.is_right(files.clip_file(clip), files.clip_header(clip)) else one
    words = len(captions(selection.clips, recipe.trigger)) + len(read_prompts(recipe))
    kept = (recipe.keep_top_k or 10) + recipe.keep_checkpoints * 3
    return {
        "cache_bytes": latents,
        "cache_missing_bytes": missing,
        "captions": words,
        "checkpoints_bytes": int(kept * trainable * 4),
        "free_bytes": shutil.disk_usage(workspace.outputs).free,
    }


def _range_notices(family: Family, clips: Sequence[Clip]) -> list[str]:
    """What the family says of lengths and sizes outside of its trained range, each once."""
    found: dict[str, None] = {}
    for clip in clips:
        frames, width, height = clip.bucket
        # The clips' own rate is the recipe's choice: it is what the adapter is to learn.
        found |= dict.fromkeys(family.notices(frames, width, height, family.trained_fps))
    return list(found)


def main(arguments: list[str] | None = None) -> int:
    """One JSON object on stdout: the estimate, or the error. Exit code 0 only for an estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="Name or YAML file of a recipe, or - for JSON on stdin.")
    parser.add_argument("--dataset", type=Path, required=True)
    asked = parser.parse_args(arguments)

    def made() -> dict[str, Any]:
        settings = load_settings()
        workspace = Workspace.at(settings.home)
        recipe = parse_recipe(json.load(sys.stdin)) if asked.recipe == "-" else read_recipe(asked.recipe)
        base = base_of(recipe.model, settings, workspace, must_be_there=False)
        return estimate(recipe, asked.dataset, base, workspace)

    return answer(made)


if __name__ == "__main__":
    sys.exit(main())
