"""Named sets of choices (data/diffusion_presets.yaml): what each sets, and what it leaves to what is given beside it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from t2v_studio.engines.diffusion.options import Quality
from t2v_studio.errors import InputError, unknown_name, wrong_fields
from t2v_studio.workspace import SHIPPED

PRESETS = SHIPPED / "diffusion_presets.yaml"
LENGTHS = ("seconds", "scene_frames", "frames")
_BY_QUALITY = ("steps", "guidance", "flow_shift", "scene_frames")
_OF_ADAPTER = ("lora_scale", "lora_trigger")


class _Strict(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class PresetValues(_Strict):
    """What a preset may set: fields of a video's request, whose own limits hold."""

    model_id: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    seconds: float | None = None
    scene_frames: int | None = None
    seed: int | None = None
    style: str | None = None
    quality: Quality | None = None
    steps: int | None = None
    guidance: float | None = None
    flow_shift: float | None = None
    lora_scale: float | None = None
    lora_trigger: str | None = None
    lora_prompt_profile: str | None = None
    diagram_lock: bool | None = None
    cfg_cutoff: float | None = None
    step_cache: str | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class Preset(_Strict):
    """A named set of choices. families: names of families whose models it suits; empty for all."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    about: str
    families: list[str] = Field(default_factory=list)
    needs_adapter: bool = False
    sets: PresetValues

    def as_row(self) -> dict[str, Any]:
        return {**self.model_dump(exclude={"sets"}), "sets": self.sets.given()}

    def beside(self, data: dict[str, Any]) -> dict[str, Any]:
        """What the preset adds to a request that gives `data`.

        A length of one's own drops the preset's; a quality drops its steps, guidance, shift and frames.
        """
        given = {name for name, value in data.items() if value is not None and value != ""}
        added = {name: value for name, value in self.sets.given().items() if name not in given}
        if given & set(LENGTHS):
            added = {name: value for name, value in added.items() if name not in LENGTHS}
        if "quality" in given:
            added = {name: value for name, value in added.items() if name not in _BY_QUALITY}
        if not data.get("adapter"):
            added = {name: value for name, value in added.items() if name not in _OF_ADAPTER}
        return added

    def said(self, request: Any) -> str:
        """What it sets in a request, in words, and what stands otherwise there."""
        sets = self.sets.given()
        own = [name for name, value in sets.items() if getattr(request, name) != value]
        shown = (f"{_spaced(name)} {_plain(value)}" for name, value in sets.items() if name not in own)
        rest = f" Set otherwise, or left out: {', '.join(map(_spaced, own))}." if own else ""
        return f"Preset {self.name}: {', '.join(shown) or 'nothing'}.{rest}"


def presets(path: Path = PRESETS) -> dict[str, Preset]:
    """Every preset by name. Raises InputError that names the field."""
    return dict(_read(path))


def preset(name: str) -> Preset:
    """Raises unknown_name with the nearest name."""
    found = presets()
    if name not in found:
        raise unknown_name("preset", name, list(found))
    return found[name]


@cache
def _read(path: Path) -> dict[str, Preset]:
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = [Preset.model_validate(row) for row in rows]
    except ValidationError as error:
        known = [*Preset.model_fields, *PresetValues.model_fields]
        raise wrong_fields("bad_preset", error, path.name, known=known) from error
    except (OSError, TypeError, yaml.YAMLError) as error:
        raise InputError("bad_preset", f"{path.name}: {error}", "Correct the YAML of this file.") from error
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise InputError("bad_preset", f"{path.name}: two presets share a name.", "Give each its own.")
    return {one.name: one for one in found}


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else f"{value}"
