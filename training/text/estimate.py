"""The dry run of a text training: rows, a look at three of them, layers, memory, steps, disk. No weight is loaded.

python -m training.text.estimate --recipe NAME_OR_FILE|- --dataset PATH    prints one JSON object
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from t2v_studio.adapters.recipe import read_text_recipe
from t2v_studio.adapters.text_recipe import TextRecipe, parse_text_recipe
from t2v_studio.datasets.text_pairs.code import CodeTools
from t2v_studio.datasets.text_pairs.files import read_sets
from t2v_studio.datasets.text_pairs.tokens import histogram
from t2v_studio.datasets.text_pairs.validate import validate
from t2v_studio.settings import load_settings
from t2v_studio.workspace import Workspace
from training.answer import answer
from training.text.base import Base, base_of, hold, load_tokenizer
from training.text.rows import Encoded, coloured, encode, read_text_set
from training.text.targets import linear_layers, matched

GIB = 2**30
SHOWN_ROWS, SHOWN_FINDINGS = 3, 50
BYTES = {"bf16": 2.0, "fp32": 4.0}
BITS = {"none": None, "int8": 1.02, "nf4": 0.53}
"""Bytes a weight of a quantised layer, with its scales."""
OPTIMISER = {"adamw": 8.0, "adamw8bit": 2.1, "paged_adamw8bit": 0.3}
"""Bytes a trained weight on the card; a paged optimiser moves out when it is tight."""
HEAD_TOKENS = 256
"""Tokens whose logits TRL's fused head holds at a time."""


def estimate(recipe: TextRecipe, dataset: Path, base: Base, workspace: Workspace) -> dict[str, Any]:
    """The whole dry run as JSON. Raises InputError where the rows, the template or the targets do not fit."""
    import torch

    data = read_text_set(dataset, recipe)
    tokenizer = load_tokenizer(base)
    rows = [encode(tokenizer, pair, recipe.max_length) for pair in data.train]
    lengths = [row.full for row in rows]
    report = validate(read_sets([dataset]), tools=CodeTools()).as_dict()
    model = meta_model(base)
    targets = matched(model, recipe)
    weights, trainable = parameters(model, recipe, targets)
    cuda = torch.cuda.is_available()
    kept = [row for row in rows if row.loss_tokens]
    held = memory(recipe, base, model, weights, trainable, longest(kept) * recipe.batch_size)
    notices = [*data.notices, *hold(recipe, cuda=cuda).notices, *_row_notices(rows, recipe)]
    checkpoint = trainable * 12 + 20_000_000
    return {
        "kind": "text",
        "model": base.name,
        "family": base.family,
        "rows": {"train": len(kept), "test": len(data.held_out), "refused": len(data.refused)},
        "refused": data.refused[:SHOWN_FINDINGS],
        "findings": report["findings"][:SHOWN_FINDINGS],
        "counts": report["counts"],
        "tokens": histogram(lengths, recipe.max_length),
        "preview": [_preview(tokenizer, row) for row in rows[:SHOWN_ROWS]],
        "targets": targets,
        "parameters": {"base": weights, "trainable": trainable, "share": round(trainable / weights, 6)},
        "memory_gib": {name: round(value / GIB, 3) for name, value in held.items()},
        "steps": recipe.steps_for(len(kept)),
        "epochs": round(recipe.steps_for(len(kept)) / recipe.round_of(len(kept)), 2),
        "effective_batch": recipe.effective_batch,
        "disk": {
            "checkpoints_bytes": int(checkpoint * recipe.keep_checkpoints),
            "adapter_bytes": trainable * 4,
            "merged_bytes": weights * 2,
            "free_bytes": shutil.disk_usage(workspace.outputs).free,
        },
        "notices": notices,
    }


def meta_model(base: Base) -> Any:
    """The model's layers without a single weight: shapes alone."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def parameters(model: Any, recipe: TextRecipe, targets: dict[str, int]) -> tuple[int, int]:
    """All of the base, and r (in + out) of each layer that gets an adapter."""
    layers = dict(model.named_modules())
    means = [name for name in linear_layers(model) if any(name == one or name.endswith(f".{one}") for one in targets)]
    sides = sum(layers[name].in_features + layers[name].out_features for name in means)
    return sum(one.numel() for one in model.parameters()), recipe.rank * sides


def longest(rows: list[Encoded]) -> int:
    return max((len(row.ids) for row in rows), default=0)


def memory(recipe: TextRecipe, base: Base, model: Any, weights: int, trainable: int, tokens: int) -> dict[str, float]:
    """Bytes while training: base, adapter with gradients and optimiser, activations, logits, reserve.

    tokens: of the longest pass. A checkpointed block keeps its input alone; the open one keeps norms, q, k, v,
    attention and the feed-forward. The embedding and the head are never quantised.
    """
    config = base.config
    size = BYTES[recipe.dtype]
    hidden, blocks = int(config["hidden_size"]), int(config["num_hidden_layers"])
    vocabulary, inner = int(config["vocab_size"]), int(config.get("intermediate_size") or 4 * hidden)
    layers = dict(model.named_modules())
    linear = sum(layers[name].weight.numel() for name in linear_layers(model))
    held = BITS[recipe.base_quantised]
    open_block = tokens * (14 * hidden + 3 * inner) * size
    found = {
        "base": linear * (held or size) + (weights - linear) * size,
        "adapter_and_optimiser": trainable * (4 + 4 + OPTIMISER[recipe.optimiser]),
        "activations": blocks * tokens * hidden * size + open_block if recipe.checkpointing else blocks * open_block,
        "logits": min(tokens, HEAD_TOKENS) * vocabulary * 4.0 * 2,
    }
    found["reserve"] = 0.08 * sum(found.values())
    return found | {"total": sum(found.values())}


def _preview(tokenizer: Any, row: Encoded) -> dict[str, Any]:
    return {"parts": coloured(tokenizer, row), "tokens": len(row.ids), "loss_tokens": row.loss_tokens}


def _row_notices(rows: list[Encoded], recipe: TextRecipe) -> list[str]:
    cut = sum(row.full > recipe.max_length for row in rows)
    empty = sum(not row.loss_tokens for row in rows)
    found = []
    if cut:
        found.append(
            f"{cut} of {len(rows)} rows are longer than {recipe.max_length} tokens: they are cut at their end, so the "
            "model never sees how they end. Raise max_length, or take them out."
        )
    if empty:
        found.append(f"{empty} rows are left out: their prompt alone fills max_length.")
    return found


def main(arguments: list[str] | None = None) -> int:
    """One JSON object on stdout: the estimate, or the error. Exit code 0 only for an estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="Name or YAML file of a recipe, or - for JSON on stdin.")
    parser.add_argument("--dataset", type=Path, required=True)
    asked = parser.parse_args(arguments)

    def made() -> dict[str, Any]:
        settings = load_settings()
        recipe = parse_text_recipe(json.load(sys.stdin)) if asked.recipe == "-" else read_text_recipe(asked.recipe)
        return estimate(recipe, asked.dataset, base_of(recipe.model, settings), Workspace.at(settings.home))

    return answer(made)


if __name__ == "__main__":
    sys.exit(main())
