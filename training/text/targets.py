"""Which layers of a model get an adapter: every name is checked against the model, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import InputError

OUTSIDE = ("lm_head", "embed_tokens")


def linear_layers(model: Any) -> list[str]:
    """Names of the linear layers of the blocks; bitsandbytes' are linear layers as well."""
    import torch

    named = model.named_modules()
    return [
        name
        for name, module in named
        if isinstance(module, torch.nn.Linear) and name.rpartition(".")[2] not in OUTSIDE and ".layers." in f".{name}"
    ]


def matched(model: Any, recipe: TextRecipe) -> dict[str, int]:
    """Target name to how many layers it means; all kinds of linear layers where the recipe names none.

    Raises InputError for a name that means no layer, with the names there are: a list made for another family
    (o_proj on LFM2, say) would leave most of the model untouched without a word.
    """
    names = linear_layers(model)
    kinds = _kinds(names)
    targets = list(recipe.targets) if recipe.targets else kinds
    found = {target: sum(_means(target, name) for name in names) for target in targets}
    missing = [target for target, count in found.items() if not count]
    if missing:
        raise InputError(
            "bad_target",
            f"targets: no layer is called {', '.join(missing)} (matched: {_counts(found)}).",
            f"This model has: {', '.join(kinds)}.",
        )
    return found


def _kinds(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))


def _means(target: str, name: str) -> bool:
    """As PEFT reads a list of target names."""
    return name == target or name.endswith(f".{target}")


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in found.items())
