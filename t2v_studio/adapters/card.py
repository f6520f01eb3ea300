"""What is known about one adapter: kept as card.json beside its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2v_studio.errors import ConflictError, InputError, wrong_fields

SCALE, SCALE_MIN, SCALE_MAX = 0.7, 0.0, 1.5
"""Scale and limits where an adapter comes without its own."""

TEXT_FAMILIES = ("llama", "qwen3", "lfm2")
"""Families of language models; every other is of video models."""

Format = Literal["peft", "comfyui", "kohya"]
Profile = Literal["auto", "none", "academic_infographic"]
Experts = Literal["both", "high", "low", "pair"]


class AdapterCard(BaseModel):
    """One LoRA of the catalogue. Its id is made from its content, so that a file has one id everywhere."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, allow_inf_nan=False)

    id: str
    name: str = Field(min_length=1, max_length=120)
    base_model: str = Field("", max_length=200, description="Model that it was trained on; empty where nobody knows.")
    base_revision: str = Field("", max_length=80)
    family: str = Field("", description="wan, cogvideox, ltx, llama, qwen3 or lfm2; empty where the keys fit several.")
    made_for: str = Field("", description="What the shapes tell of the base, in words.")
    width: int = Field(0, ge=0, description="Size of the base's hidden states; 0 where the layers do not tell.")
    also_for: list[str] = Field(default_factory=list, description="Other models that it may be used on.")
    trigger: str = Field("", max_length=80, description="Word that is put before the prompt.")
    profile: Profile = Field("auto", description="Prompt profile that suits it.")
    scale: float = Field(SCALE, description="Recommended scale.")
    scale_min: float = SCALE_MIN
    scale_max: float = SCALE_MAX
    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    alpha_source: str = Field(description="Where alpha was read, or that it was assumed, in words.")
    alpha_given: bool = Field(False, description="A person said alpha; it goes before what the file says.")
    targets: list[str] = Field(default_factory=list, description="Kinds of layers that it changes.")
    modules: int = Field(0, ge=0, description="Number of layers that it changes.")
    experts: Experts = Field(
        "both", description="Which expert of a two-expert model it is for; pair: one set of weights for each."
    )
    sha256: str
    second_sha256: str = ""
    size_bytes: int = 0
    format: Format
    license: str = Field("", max_length=120)
    data_hash: str = Field("", max_length=128, description="Hash of the manifest that it was trained on.")
    metrics: dict[str, float | int | str | None] = Field(default_factory=dict)
    notes: str = Field("", max_length=4000)
    made_from: str = Field("", max_length=300, description="File, or training run, that it came from.")
    created_at: str

    @property
    def is_text(self) -> bool:
        """Whether it is for a language model."""
        return self.family in TEXT_FAMILIES

    @model_validator(mode="after")
    def _scales_in_order(self) -> AdapterCard:
        if not self.scale_min <= self.scale <= self.scale_max:
            raise ValueError(f"scale {self.scale:g} is not between {self.scale_min:g} and {self.scale_max:g}")
        return self


def card_from(fields: dict[str, Any], where: str) -> AdapterCard:
    """A card, or an InputError that names the field; `where` says whose fields they are."""
    try:
        return AdapterCard.model_validate(fields)
    except ValidationError as error:
        raise wrong_fields("bad_adapter", error, where, known=AdapterCard.model_fields) from error


def read_card(path: Path) -> AdapterCard:
    """The card in `path`. Raises ConflictError where it is damaged."""
    try:
        return card_from(json.loads(path.read_text(encoding="utf-8")), path.parent.name)
    except (OSError, ValueError, InputError) as error:
        raise ConflictError(
            "adapter_card_damaged",
            f"The card of the adapter {path.parent.name} cannot be read: {error}",
            "Correct card.json, or remove this adapter's folder and add the file again.",
        ) from error


def write_card(path: Path, card: AdapterCard) -> None:
    """Write to a temporary name, then rename: a reader sees the old card or the new one."""
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(card.model_dump(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
