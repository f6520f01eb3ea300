"""Named ways to use an adapter: scale with limits, trigger, and the steps and guidance of distilled ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2v_studio.adapters.card import SCALE, SCALE_MAX, SCALE_MIN, AdapterCard, Profile
from t2v_studio.errors import InputError, unknown_name, wrong_fields
from t2v_studio.workspace import SHIPPED, Workspace

FILE = "adapter_presets.yaml"


class AdapterPreset(BaseModel):
    """One entry of adapter_presets.yaml. What is left open comes from the adapter's card or the model's family."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")
    title: str = Field("", max_length=120)
    adapter: str = Field(
        min_length=1, max_length=120, description="Name or id of the adapter in the catalogue that this is for."
    )
    base: str = Field("", max_length=200, description="Model that it is meant for.")
    scenario: str = Field("", max_length=60, description="Scenario of data/scenarios.yaml that it was trained for.")
    scale: float = SCALE
    scale_min: float = SCALE_MIN
    scale_max: float = SCALE_MAX
    trigger: str = Field("", max_length=80)
    profile: Profile = "auto"
    steps: int | None = Field(None, ge=1, le=200)
    guidance: float | None = Field(None, ge=0, le=30, description="1 for distilled adapters: half the work a step.")
    flow_shift: float | None = Field(None, gt=0, le=20)
    fps: float | None = Field(None, gt=0, le=60)
    frames: int | None = Field(None, ge=1, le=1000, description="Frames a scene.")

    @model_validator(mode="after")
    def _scales_in_order(self) -> AdapterPreset:
        if not self.scale_min <= self.scale <= self.scale_max:
            raise ValueError(f"scale {self.scale:g} is not between {self.scale_min:g} and {self.scale_max:g}")
        return self


def presets(workspace: Workspace | None = None) -> dict[str, AdapterPreset]:
    """The shipped presets, then those of the workspace's own data/adapter_presets.yaml, which win by name."""
    found = read_presets(SHIPPED / FILE)
    own = workspace.data / FILE if workspace is not None else None
    if own is not None and own.is_file() and own.resolve() != (SHIPPED / FILE).resolve():
        found |= read_presets(own)
    return found


def read_presets(path: Path) -> dict[str, AdapterPreset]:
    """The presets of one file. Raises InputError that names file, preset and field, with the nearest known name."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError("presets_unreadable", f"{path.name}: {error}", "Correct the YAML of this file.") from error
    if not isinstance(data, dict) or not all(isinstance(value, dict) for value in data.values()):
        raise InputError(
            "bad_preset", f"{path.name}: a preset is a name with fields below it.", "See data/adapter_presets.yaml."
        )
    return {str(name): _preset(path.name, str(name), fields) for name, fields in data.items()}


def preset(name: str, workspace: Workspace | None = None) -> AdapterPreset:
    """The preset of a name. Raises InputError with the nearest name."""
    found = presets(workspace)
    if name not in found:
        raise unknown_name("adapter preset", name, list(found))
    return found[name]


def preset_for(card: AdapterCard, workspace: Workspace | None = None) -> AdapterPreset | None:
    """The preset that names this adapter; one of its id goes before one of its name."""
    found = presets(workspace).values()
    return next(
        (one for wanted in (card.id, card.name) for one in found if one.adapter == wanted),
        None,
    )


def checked_scale(card: AdapterCard, preset: AdapterPreset | None, asked: float | None) -> float:
    """The scale to use: `asked`, else the preset's, else the card's; within the limits of both.

    Raises InputError adapter_scale, which names the limits and whose they are. Nothing is clamped in silence.
    """
    scale = asked if asked is not None else (preset.scale if preset is not None else card.scale)
    if not math.isfinite(scale):
        raise InputError("adapter_scale", f"lora_scale: {scale} is not a number.", f"Try {card.scale:g}.")
    edit = f"t2v adapters edit {card.id}"
    limits = [(card.scale_min, card.scale_max, f"the card of {card.name}", f"change the limits with: {edit}")]
    if preset is not None:
        own = f"give a preset of this name other limits in {FILE} of your data folder."
        limits.append((preset.scale_min, preset.scale_max, f"the preset {preset.name}", own))
    for low, high, owner, change in limits:
        if not low <= scale <= high:
            raise InputError(
                "adapter_scale",
                f"lora_scale: {scale:g} is outside {low:g} to {high:g}, the limits of {owner}.",
                f"Use {min(max(scale, low), high):g}, or {change}",
                low=low,
                high=high,
            )
    return scale


def _preset(file: str, name: str, fields: dict[str, Any]) -> AdapterPreset:
    try:
        return AdapterPreset.model_validate({"name": name} | fields)
    except ValidationError as error:
        known = [one for one in AdapterPreset.model_fields if one != "name"]
        raise wrong_fields("bad_preset", error, f"{file}: {name}", known=known) from error
