"""Adapters of language models in the catalogue: PEFT's own folder, told from a video adapter by its family."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from t2v_studio.adapters.card import TEXT_FAMILIES, AdapterCard, card_from, write_card
from t2v_studio.adapters.catalogue import CARD, adapter
from t2v_studio.adapters.files import CONFIG_MAX_BYTES, MAX_BYTES, PEFT_CONFIG, WEIGHTS, copy_checked, read_header
from t2v_studio.errors import InputError
from t2v_studio.workspace import Workspace, new_id

PEFT_WEIGHTS = "adapter_model.safetensors"
_FACTOR = re.compile(r"^base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight$")


def peft_config(folder: Path) -> dict[str, Any]:
    """adapter_config.json of a LoRA. Raises InputError where it is none."""
    path = folder / PEFT_CONFIG
    try:
        if path.stat().st_size > CONFIG_MAX_BYTES:
            raise ValueError("it is too large")
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("peft_type") != "LORA":
            raise ValueError("it is not that of a LoRA")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            "adapter_no_config", f"adapter: {PEFT_CONFIG} of {folder.name} cannot be used ({error}).", "Save it again."
        ) from error
    return dict(config)


def pairs_of(weights: Path) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Layer to the shapes of A and B. Raises InputError where a file holds anything but whole pairs."""
    header = read_header(weights)
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, (_, shape) in header.tensors.items():
        match = _FACTOR.match(name)
        if not match:
            raise InputError(
                "adapter_unsupported",
                f"adapter: {name} is no factor of a LoRA.",
                "Whole layers that were trained beside it (modules_to_save) are not taken.",
            )
        shapes.setdefault(match["layer"], {})[match["side"]] = shape
    for layer, sides in shapes.items():
        if set(sides) != {"A", "B"} or sides["A"][0] != sides["B"][1]:
            raise InputError("adapter_shape", f"adapter: the factors of {layer} do not fit together.", "Save it again.")
    return {layer: (sides["A"], sides["B"]) for layer, sides in shapes.items()}


def adopt_text(workspace: Workspace, folder: Path, family: str, **fields: Any) -> AdapterCard:
    """Copy PEFT's folder of a language model's LoRA into the catalogue; the same weights again give their card.

    fields: of the card (name, base_model, base_revision, license, data_hash, metrics, notes, made_from).
    """
    if family not in TEXT_FAMILIES:
        raise InputError("bad_family", f"family: {family} is none of {', '.join(TEXT_FAMILIES)}.")
    config, pairs = peft_config(folder), pairs_of(folder / PEFT_WEIGHTS)
    workspace.adapters.mkdir(parents=True, exist_ok=True)
    work = workspace.adapters / f".{new_id('add')}"
    work.mkdir()
    try:
        digest, size = copy_checked(folder / PEFT_WEIGHTS, work / WEIGHTS, MAX_BYTES)
        (work / PEFT_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        rank = next(iter(pairs.values()))[0][0]
        card = card_from(
            {"name": f"{family} adapter", **{name: value for name, value in fields.items() if value not in (None, "")}}
            | {
                "id": f"lora_{digest[:16]}",
                "family": family,
                "made_for": f"a {family} language model",
                "scale": 1.0,
                "rank": rank,
                "alpha": float(config.get("lora_alpha") or rank),
                "alpha_source": PEFT_CONFIG,
                "targets": sorted({layer.rpartition(".")[2] for layer in pairs}),
                "modules": len(pairs),
                "sha256": digest,
                "size_bytes": size,
                "format": "peft",
                "created_at": datetime.now(UTC).isoformat(timespec="microseconds"),
            },
            "adapter",
        )
        final = workspace.adapter(card.id)
        if (final / CARD).is_file():
            return adapter(workspace, card.id)
        write_card(work / CARD, card)
        shutil.rmtree(final, ignore_errors=True)
        work.rename(final)
        return card
    finally:
        shutil.rmtree(work, ignore_errors=True)


def peft_folder(workspace: Workspace, card: AdapterCard, folder: Path) -> Path:
    """The adapter with the file names that PEFT and the hub expect, copied into `folder`."""
    source = workspace.adapter(card.id)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / WEIGHTS, folder / PEFT_WEIGHTS)
    shutil.copyfile(source / PEFT_CONFIG, folder / PEFT_CONFIG)
    return folder
