"""The trained adapter as files that other programs load, each read back and compared before it counts.

diffusers' own layout carries alpha only in its header (`lora_adapter_metadata`); without it a rank-16, alpha-32
adapter loads at half its strength and nothing says so. ComfyUI's layout carries a tensor for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.keys import export_name
from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import COMFYUI
from t2v_studio.disk import room_for, save_tensors
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.errors import StudioError
from training.video.checkpoints import HINT
from training.video.lora import NAME, adapter_state

if TYPE_CHECKING:
    import torch


def export(transformer: Any, family: Family, folder: Path, recipe: Recipe) -> Path:
    """Write the adapter of `transformer` in every layout that the recipe asks for, and hold each to the trained weights.

    Raises StudioError export_differs, and LimitError disk_full with nothing of it left.
    """
    write_diffusers(transformer, family, folder)
    files = [folder / WEIGHTS]
    if recipe.export_comfyui:
        with room_for(f"the adapter {folder.name}", folder, hint=HINT):
            files.append(write_comfyui(folder, family))
    check_round_trip(transformer, *files)
    return folder


def write_diffusers(transformer: Any, family: Family, folder: Path) -> Path:
    """The adapter of `transformer` as a folder that `load_lora_weights` reads, alpha included. Written, then renamed."""
    import diffusers

    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    with room_for(f"the adapter {folder.name}", temporary, hint=HINT):
        temporary.mkdir(parents=True)
        getattr(diffusers, family.pipeline).save_lora_weights(
            str(temporary),
            transformer_lora_layers=adapter_state(transformer),
            transformer_lora_adapter_metadata=_plain(transformer.peft_config[NAME].to_dict()),
        )
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return folder


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """PEFT's settings without what no header can hold, and in an order that does not change."""
    return {
        name: sorted(value) if isinstance(value, set) else value for name, value in config.items() if value is not None
    }


def write_comfyui(folder: Path, family: Family) -> Path:
    """The same weights with the names of the original code, and an alpha a layer."""
    import torch

    from t2v_studio.adapters.state import read_state

    tensors: dict[str, torch.Tensor] = {}
    for module, layer in read_state(folder / WEIGHTS).layers.items():
        tensors[export_name(module, family.kind, "comfyui", "down")] = layer.down
        tensors[export_name(module, family.kind, "comfyui", "up")] = layer.up
        tensors[export_name(module, family.kind, "comfyui", "alpha")] = torch.tensor(float(layer.alpha))
    path = folder / COMFYUI
    save_tensors(path, {name: one.contiguous().clone() for name, one in tensors.items()}, {}, HINT)
    return path


def check_round_trip(transformer: Any, *files: Path) -> None:
    """Read each file back and compare every layer's factors and its alpha / r with the trained ones, to the last bit.

    Raises StudioError export_differs where a layer is missing or a single number differs.
    """
    import torch

    from t2v_studio.adapters.state import read_state

    trained = factors(transformer)
    for path in files:
        layers = read_state(path).layers
        if set(layers) != set(trained):
            raise _differs(path, f"it holds {len(layers)} layers instead of {len(trained)}")
        for module, (down, up, scaling) in trained.items():
            read = layers[module]
            same = torch.equal(read.down, down) and torch.equal(read.up, up) and read.factor == scaling
            if not same:
                raise _differs(path, f"{module} does not change the model as it did in training")


def factors(transformer: Any) -> dict[str, tuple[torch.Tensor, torch.Tensor, float]]:
    """Layer to A, B and alpha / r of its adapter, on the CPU."""
    found = {}
    for name, module in transformer.named_modules():
        if hasattr(module, "lora_A") and NAME in module.lora_A:
            down, up = (side[NAME].weight.detach().cpu() for side in (module.lora_A, module.lora_B))
            found[name] = (down, up, float(module.scaling[NAME]))
    return found


def _differs(path: Path, why: str) -> StudioError:
    return StudioError(
        "export_differs", f"{path.name} was read back and {why}.", "The checkpoint is whole: export it again."
    )


def push(folder: Path, repository: str, card: AdapterCard) -> str:
    """Upload the folder to a private repository of the hub; returns its address. Raises StudioError.

    Only by option. The token is the one of `hf auth login` or HF_TOKEN; it is never written anywhere.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        made = api.create_repo(repository, private=True, exist_ok=True)
        if not api.repo_info(repository).private:
            raise StudioError(
                "repository_public",
                f"push_to: {repository} is public; nothing was uploaded.",
                "Make it private on the hub, or name another one.",
            )
        api.upload_folder(repo_id=repository, folder_path=str(folder), commit_message=f"Adapter {card.name}")
    except (HfHubHTTPError, OSError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise StudioError(
            "push_failed", f"push_to: {repository} could not be written: {first}", "Log in with: hf auth login"
        ) from error
    return str(made)
