"""Checkpoints: a folder that is there whole or not at all, and holds all that going on needs, bit for bit.

checkpoints/step_00000200/
    adapter.safetensors      PEFT's names, fp32
    optimizer.safetensors    every tensor of the optimiser's state
    rng.safetensors          random numbers of torch, a tensor a process and device
    state.json               counters, schedule, numbers of the optimiser, recipe
"""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import Part, step_name
from t2v_studio.disk import room_for, sync
from t2v_studio.errors import ConflictError
from training.video.lora import adapter_state, load_adapter_state

if TYPE_CHECKING:
    import torch

_NAME = re.compile(r"^step_(\d{8})$")
HINT = "Free some space, then resume the run: it goes on from its last checkpoint."
FREE_TO_CHANGE = frozenset(
    {"name", "about", "save_every", "keep_checkpoints", "keep_top_k", "validate_every", "workers", "steps", "epochs"}
    | {
        "validation_prompts",
        "validation_clips",
        "sigma_quantiles",
        "clip_weights",
        "max_regression",
        "push_to",
        "logger",
    }
    | {"sample_frames", "sample_size", "sample_steps", "sample_guidance", "export_comfyui", "scale", "compile_blocks"}
)
"""Fields of a recipe that may change between a checkpoint and its continuation; any other would be another training."""


def checkpoints(part: Part) -> list[tuple[int, Path]]:
    """Step and folder of each whole checkpoint, oldest first."""
    found = [(match, path) for path in part.checkpoints.glob("step_*") if (match := _NAME.match(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def save(part: Part, transformer: Any, optimiser: Any, schedule: Any, counters: dict[str, Any], recipe: Recipe) -> Path:
    """Write a checkpoint under a temporary name, sync it, rename it. Raises LimitError disk_full; the others stay."""
    from safetensors.torch import save_file

    folder = part.checkpoints / step_name(counters["step"])
    if folder.exists():
        return folder
    temporary = part.checkpoints / f".{folder.name}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    tensors, numbers = _flattened(optimiser.state_dict())
    state = {
        "counters": counters,
        "optimiser": numbers,
        "schedule": {name: value for name, value in schedule.state_dict().items() if name != "lr_lambdas"},
        "python_rng": random.getstate(),
        "recipe": recipe.model_dump(mode="json"),
    }
    with room_for(f"the checkpoint of step {counters['step']}", temporary, hint=HINT):
        temporary.mkdir(parents=True)
        save_file(adapter_state(transformer), temporary / "adapter.safetensors")
        save_file(tensors, temporary / "optimizer.safetensors")
        save_file(_rng_state(), temporary / "rng.safetensors")
        (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
        for path in temporary.iterdir():
            sync(path)
        sync(temporary)
        temporary.rename(folder)
    sync(part.checkpoints)
    return folder


def load(folder: Path, transformer: Any, optimiser: Any, schedule: Any, recipe: Recipe) -> dict[str, Any]:
    """Put a checkpoint back; returns its counters. Raises ConflictError where the recipe means another training."""
    from safetensors.torch import load_file

    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    check_recipe(state["recipe"], recipe)
    load_adapter_state(transformer, load_file(folder / "adapter.safetensors"))
    optimiser.load_state_dict(_unflattened(load_file(folder / "optimizer.safetensors"), state["optimiser"]))
    schedule.load_state_dict(schedule.state_dict() | state["schedule"])
    _restore_rng(load_file(folder / "rng.safetensors"), state["python_rng"])
    counters: dict[str, Any] = state["counters"]
    return counters


def check_recipe(before: dict[str, Any], recipe: Recipe) -> None:
    """Going on with other settings would be another training under the same name."""
    now = recipe.model_dump(mode="json")
    changed = sorted(name for name in now if name not in FREE_TO_CHANGE and before.get(name, now[name]) != now[name])
    if changed:
        raise ConflictError(
            "recipe_changed",
            f"The run began with another {', '.join(changed)}.",
            "Go on with the recipe it began with, or start a new run (start_from takes its adapter over).",
        )


def keep_newest(part: Part, count: int) -> None:
    """Delete all but the newest checkpoints, and what a kill left half-written. Adapters are kept elsewhere."""
    for path in part.checkpoints.glob(".step_*.part"):
        shutil.rmtree(path, ignore_errors=True)
    for _, path in checkpoints(part)[:-count]:
        shutil.rmtree(path, ignore_errors=True)


def _flattened(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as named tensors and as numbers; no pickle anywhere."""
    import torch

    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, Any] = {}

    def take(key: str, value: Any) -> None:
        if isinstance(value, dict):  # bitsandbytes keeps its 8-bit state a level deeper
            for name, one in value.items():
                take(f"{key}/{name}", one)
        elif isinstance(value, torch.Tensor):
            tensors[key] = value.detach().cpu().contiguous().clone()
        else:
            numbers[key] = value

    for index, fields in state["state"].items():
        take(str(index), fields)
    return tensors, {"numbers": numbers, "groups": state["param_groups"]}


def _unflattened(tensors: dict[str, torch.Tensor], kept: dict[str, Any]) -> dict[str, Any]:
    fields: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *kept["numbers"].items()]:
        index, *path, name = key.split("/")
        place = fields.setdefault(int(index), {})
        for step in path:
            place = place.setdefault(step, {})
        place[name] = value
    groups = [{**group, "betas": tuple(group["betas"])} if "betas" in group else group for group in kept["groups"]]
    return {"state": fields, "param_groups": groups}


def _rng_state() -> dict[str, torch.Tensor]:
    """torch's generators. The trainer seeds them anew at each pass; they are kept for what else may draw."""
    import torch

    states = {"cpu": torch.get_rng_state().clone()}
    if torch.cuda.is_available():
        states |= {f"cuda:{index}": one.clone() for index, one in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _restore_rng(states: dict[str, torch.Tensor], python: list[Any]) -> None:
    import torch

    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            if f"cuda:{index}" in states:
                torch.cuda.set_rng_state(states[f"cuda:{index}"], index)
    random.setstate((python[0], tuple(python[1]), python[2]))
