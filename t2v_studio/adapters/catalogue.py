"""The adapters there are: one folder each under outputs/adapters, with the weights and a card.

A folder is named by the hash of its weights, so the same file is adopted once and has the same id everywhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.card import AdapterCard, card_from, read_card, write_card
from t2v_studio.adapters.files import (
    CONFIG_MAX_BYTES,
    MAX_BYTES,
    PEFT_CONFIG,
    SECOND_WEIGHTS,
    WEIGHTS,
    copy_checked,
    find_weights,
)
from t2v_studio.adapters.layers import FilePlan, read_plan
from t2v_studio.adapters.metadata import GIVEN
from t2v_studio.adapters.numbers import require_usable
from t2v_studio.errors import ConflictError, InputError, NotFoundError, StudioError, unknown_name
from t2v_studio.workspace import Workspace, new_id

if TYPE_CHECKING:
    from t2v_studio.adapters.state import AdapterState

CARD = "card.json"
EDITABLE = (
    "name", "base_model", "base_revision", "also_for", "trigger", "profile", "scale", "scale_min", "scale_max",
    "experts", "license", "data_hash", "metrics", "notes",
)  # fmt: skip
_HIGH, _LOW = ("high_noise", "highnoise", "high-noise"), ("low_noise", "lownoise", "low-noise")


def catalogue(workspace: Workspace) -> list[AdapterCard]:
    """Every adapter whose card can be read, newest first."""
    cards = []
    for folder in _folders(workspace):
        try:
            cards.append(adapter(workspace, folder.name))
        except StudioError:
            continue
    return sorted(cards, key=lambda card: (card.created_at, card.id), reverse=True)


def damaged(workspace: Workspace) -> dict[str, str]:
    """Folders of the catalogue that cannot be used: id -> why."""
    found = {}
    for folder in _folders(workspace):
        try:
            adapter(workspace, folder.name)
        except StudioError as error:
            found[folder.name] = error.message
    return found


def adapter(workspace: Workspace, adapter_id: str) -> AdapterCard:
    """The card of one adapter. Raises NotFoundError, or ConflictError where its files are damaged."""
    folder = workspace.adapter(adapter_id)
    card, weights = folder / CARD, folder / WEIGHTS
    if not card.is_file():
        raise NotFoundError(
            "unknown_adapter", f"There is no adapter {adapter_id!r}.", "List them with: t2v adapters list"
        )
    for path in (card, weights):
        # A link planted in outputs/ would let a card speak for a file elsewhere.
        if path.is_symlink() or not path.is_file():
            raise ConflictError(
                "adapter_damaged",
                f"The adapter {adapter_id} has no {path.name} of its own.",
                "Remove it and add the file again.",
            )
    return read_card(card)


def find(workspace: Workspace, id_or_name: str) -> AdapterCard:
    """An adapter by its id, or by its name where one alone has it."""
    cards = catalogue(workspace)
    by_name = [card for card in cards if id_or_name in (card.id, card.name)]
    if len(by_name) == 1:
        return by_name[0]
    if by_name:
        ids = ", ".join(card.id for card in by_name)
        raise InputError("which_adapter", f"adapter: several have the name {id_or_name}: {ids}.", "Give the id.")
    if (workspace.adapters / id_or_name).is_dir() and "/" not in id_or_name:
        return adapter(workspace, id_or_name)
    if not cards:
        raise NotFoundError(
            "unknown_adapter", f"There is no adapter {id_or_name!r}.", "Add one with: t2v adapters add FILE"
        )
    known = unknown_name("adapter", id_or_name, [card.name for card in cards])
    raise NotFoundError("unknown_adapter", known.message, known.hint)


def weights(workspace: Workspace, card: AdapterCard) -> tuple[Path, Path | None]:
    """The weights of an adapter, and those of the second expert where they are a file of their own."""
    folder = workspace.adapter(card.id)
    second = folder / SECOND_WEIGHTS
    return folder / WEIGHTS, second if card.second_sha256 else None


def load_state(workspace: Workspace, adapter_id: str) -> AdapterState:
    """The weights of an adapter of the catalogue, held to the hash on its card. Raises ConflictError, InputError."""
    from t2v_studio.adapters.state import read_state

    card = adapter(workspace, adapter_id)
    if card.is_text:
        raise InputError(
            "adapter_wrong_base", f"adapter: {card.name} is of a language model.", "Choose one of a video model."
        )
    first, second = weights(workspace, card)
    state = read_state(
        first,
        second=second,
        alpha=card.alpha if card.alpha_given else None,
        experts=card.experts,
        id=card.id,
        name=card.name,
        base_model=card.base_model,
    )
    if state.sha256 != card.sha256:
        raise ConflictError(
            "adapter_changed",
            f"The weights of {card.name} are not those that its card names.",
            "Remove it and add the file again; videos made with it name the old hash.",
        )
    return state


def adopt(
    workspace: Workspace,
    path: Path,
    *,
    weight_name: str = "",
    second: Path | None = None,
    alpha: float | None = None,
    max_bytes: int = MAX_BYTES,
    **fields: Any,
) -> AdapterCard:
    """Copy a LoRA into the catalogue and give its card; a file that is there already gives the card it has.

    second: the low-noise expert's file, where each expert has one. fields: of `EDITABLE`, and made_from.
    Nothing is left behind when it fails. Raises InputError, NotFoundError, LimitError.
    """
    source = find_weights(path, weight_name)
    other = find_weights(second) if second is not None else None
    unknown = next((name for name in fields if name not in (*EDITABLE, "made_from")), None)
    if unknown:
        raise unknown_name("adapter", unknown, [*EDITABLE, "made_from"])
    workspace.adapters.mkdir(parents=True, exist_ok=True)
    # Beside the others, so that the last step is a rename; the dot keeps it out of every list.
    work = workspace.adapters / f".{new_id('add')}"
    work.mkdir()
    try:
        card = _filled(work, source, other, alpha, max_bytes, fields)
        final = workspace.adapter(card.id)
        if (final / CARD).is_file():
            return adapter(workspace, card.id)
        write_card(work / CARD, card)
        if final.is_dir():
            shutil.rmtree(final)
        try:
            work.rename(final)
        except OSError:
            # Another process was quicker with the same file.
            return adapter(workspace, card.id)
        return card
    finally:
        shutil.rmtree(work, ignore_errors=True)


def edit(workspace: Workspace, adapter_id: str, **fields: Any) -> AdapterCard:
    """Change fields of a card (see `EDITABLE`). Raises InputError that names the field."""
    card = adapter(workspace, adapter_id)
    unknown = next((name for name in fields if name not in EDITABLE), None)
    if unknown:
        raise unknown_name("adapter", unknown, list(EDITABLE))
    changed = card_from(card.model_dump() | fields, "adapter")
    write_card(workspace.adapter(card.id) / CARD, changed)
    return changed


def remove(workspace: Workspace, adapter_id: str) -> str:
    """Delete an adapter's folder, damaged or not, and give the name it had. Records keep its hash."""
    folder = workspace.adapter(adapter_id)
    if not folder.is_dir() or folder.is_symlink():
        raise NotFoundError(
            "unknown_adapter", f"There is no adapter {adapter_id!r}.", "List them with: t2v adapters list"
        )
    try:
        name = adapter(workspace, adapter_id).name
    except StudioError:
        name = adapter_id
    gone = folder.with_name(f".{folder.name}-{new_id('gone')}")
    folder.rename(gone)
    shutil.rmtree(gone)
    return name


def _filled(
    work: Path, source: Path, other: Path | None, alpha: float | None, max_bytes: int, fields: dict[str, Any]
) -> AdapterCard:
    """The files copied into `work` and checked there, and the card for them."""
    digest, size = copy_checked(source, work / WEIGHTS, max_bytes)
    _copy_config(source.with_name(PEFT_CONFIG), work / PEFT_CONFIG)
    plan = read_plan(work / WEIGHTS, alpha=alpha, name=source.name)
    require_usable(work / WEIGHTS, plan, source.name)
    second_digest = ""
    if other is not None:
        second_digest, more = copy_checked(other, work / SECOND_WEIGHTS, max_bytes)
        size += more
        beside = read_plan(work / SECOND_WEIGHTS, alpha=alpha, name=other.name)
        _same_kind(plan, beside, other.name)
        require_usable(work / SECOND_WEIGHTS, beside, other.name)
    content = hashlib.sha256(f"{digest}{second_digest}".encode()).hexdigest() if second_digest else digest
    own = _own_words(plan)
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    return card_from(
        own
        | {"name": source.stem if source.name not in (WEIGHTS, "adapter_model.safetensors") else _folder_name(source)}
        | {"made_from": source.name, "experts": experts_of(plan, source, other)}
        | _around(given)
        | {
            "id": f"lora_{content[:16]}",
            "family": plan.family,
            "made_for": plan.made_for,
            "width": plan.width,
            "rank": plan.rank,
            "alpha": plan.alpha,
            "alpha_source": plan.alpha_source,
            "alpha_given": plan.alpha_source == GIVEN,
            "targets": plan.targets,
            "modules": len(plan.every),
            "sha256": digest,
            "second_sha256": second_digest,
            "size_bytes": size,
            "format": plan.layout,
            "created_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        },
        "adapter",
    )


def _around(fields: dict[str, Any]) -> dict[str, Any]:
    """Limits that hold a scale that was given without them: a distilled LoRA at 1.8 is above the usual 1.5."""
    scale = fields.get("scale")
    if isinstance(scale, int | float):
        if "scale_max" not in fields and scale > 1.5:
            return fields | {"scale_max": scale}
        if "scale_min" not in fields and scale < 0:
            return fields | {"scale_min": scale}
    return fields


def _own_words(plan: FilePlan) -> dict[str, Any]:
    """What the file itself says of base, trigger and licence (our own export, PEFT and the modelspec keys)."""
    found = {
        "base_model": plan.metadata.get("base_model", "") or plan.base_said,
        "trigger": plan.metadata.get("trigger", "") or plan.metadata.get("modelspec.trigger_phrase", ""),
        "license": plan.metadata.get("license", "") or plan.metadata.get("modelspec.license", ""),
    }
    limits = {"base_model": 200, "trigger": 80, "license": 120}
    return {name: value.strip()[: limits[name]] for name, value in found.items() if value.strip()}


def worn_experts(workspace: Workspace, card: AdapterCard) -> str:
    """The expert that an adapter changes: its card's word counts where one set of weights could serve either."""
    first, second = weights(workspace, card)
    layers = read_plan(first).layers
    if second is not None or len(layers) == 2:
        return "pair"
    return card.experts if 1 in layers else "low"


def experts_of(plan: FilePlan, source: Path, other: Path | None = None) -> str:
    """Which expert of a two-expert model a file is for, by its layers and its name; `other` is the low-noise file."""
    if other is not None or len(plan.layers) == 2:
        return "pair"
    name = source.name.lower()
    if 1 not in plan.layers or any(word in name for word in _LOW):
        return "low"
    return "high" if any(word in name for word in _HIGH) else "both"


def _same_kind(first: FilePlan, second: FilePlan, name: str) -> None:
    if first.family != second.family or first.width != second.width:
        raise InputError(
            "adapter_pair",
            f"second: {name} is for {second.made_for or 'another model'}, the first file for {first.made_for}.",
            "Give the high-noise and the low-noise file of one adapter.",
        )


def _folder_name(source: Path) -> str:
    return source.resolve().parent.name or source.stem


def _copy_config(source: Path, target: Path) -> None:
    """PEFT's adapter_config.json, which holds alpha; only what is sound JSON of a usual size."""
    if not source.is_file() or source.stat().st_size > CONFIG_MAX_BYTES:
        return
    try:
        config = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    target.write_text(json.dumps(config, indent=2), encoding="utf-8")


def _folders(workspace: Workspace) -> list[Path]:
    if not workspace.adapters.is_dir():
        return []
    return sorted(
        one for one in workspace.adapters.iterdir() if one.is_dir() and not one.is_symlink() and one.name[0] != "."
    )
