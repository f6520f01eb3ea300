"""How a LoRA of a small language model is trained: one model behind the YAML recipes of `kind: text` and their flags."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2v_studio.errors import wrong_fields

TEXT_GROUPS = ("Model", "Rows", "Adapter", "Learning", "Speed and memory", "Saving", "Checking", "Modelfile")


def _group(name: str) -> dict[str, Any]:
    return {"group": name}


_MODEL, _ROWS, _ADAPTER, _LEARNING, _SPEED, _SAVING, _CHECKING, _FILE = (_group(name) for name in TEXT_GROUPS)


class TextRecipe(BaseModel):
    """Every choice of one training of a language model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["text"] = Field("text", description="A recipe of a language model.")
    name: str = Field("own", min_length=1, max_length=60, description="What this recipe is called.")
    about: str = Field("", max_length=400, description="What it is for.")
    task: Literal["manim", "prompts", "chat"] = Field(
        "chat", description="What its answers are, which decides how they are judged.", json_schema_extra=_MODEL
    )

    model: str = Field(
        "qwen3-4b",
        max_length=300,
        description="Base model: a name in data/planner_models.yaml, a folder, or tiny-llama, tiny-qwen3, tiny-lfm2.",
        json_schema_extra=_MODEL,
    )
    dtype: Literal["bf16", "fp32"] = Field(
        "bf16", description="Number format of the frozen base. The adapter learns in fp32.", json_schema_extra=_MODEL
    )
    base_quantised: Literal["none", "int8", "nf4"] = Field(
        "none",
        description="Hold the frozen base in fewer bits (CUDA; without it the base stays as it is, and that is said).",
        json_schema_extra=_MODEL,
    )

    system: str = Field(
        "",
        max_length=2000,
        description="System text of rows that have none, of the samples and of the Modelfile.",
        json_schema_extra=_ROWS,
    )
    max_length: int = Field(
        1024,
        ge=32,
        le=131_072,
        description="Tokens of a row; what is longer is cut at its end.",
        json_schema_extra=_ROWS,
    )
    validation_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Held out by group where the set brings no test rows. 0 holds nothing out.",
        json_schema_extra=_ROWS,
    )
    validation_rows: int = Field(
        200, ge=0, le=10_000, description="Held-out rows whose loss is measured, at most.", json_schema_extra=_ROWS
    )

    rank: int = Field(16, ge=1, le=512, description="How much the adapter can learn.", json_schema_extra=_ADAPTER)
    alpha: float = Field(
        32, gt=0, le=1024, description="Strength: the change is multiplied by alpha / rank.", json_schema_extra=_ADAPTER
    )
    lora_dropout: float = Field(
        0.05, ge=0, lt=1, description="Share of the adapter's inputs left out at random.", json_schema_extra=_ADAPTER
    )
    targets: list[str] | None = Field(
        None,
        description="Names of linear layers that get an adapter. Empty: all of the blocks.",
        json_schema_extra=_ADAPTER,
    )

    steps: int | None = Field(
        None, ge=1, le=1_000_000, description="Optimiser steps, instead of epochs.", json_schema_extra=_LEARNING
    )
    epochs: float | None = Field(3, gt=0, le=1000, description="Rounds through the rows.", json_schema_extra=_LEARNING)
    batch_size: int = Field(1, ge=1, le=512, description="Rows in one forward pass.", json_schema_extra=_LEARNING)
    accumulation: int = Field(
        4,
        ge=1,
        le=1024,
        description="Passes before one optimiser step. Where memory forces a smaller batch, this grows instead.",
        json_schema_extra=_LEARNING,
    )
    optimiser: Literal["adamw", "adamw8bit", "paged_adamw8bit"] = Field(
        "adamw",
        description="The 8-bit ones need CUDA (bitsandbytes); without it AdamW is taken, and that is said.",
        json_schema_extra=_LEARNING,
    )
    learning_rate: float = Field(2e-4, gt=0, le=1, description="Peak learning rate.", json_schema_extra=_LEARNING)
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine", description="How the learning rate moves after its warm-up.", json_schema_extra=_LEARNING
    )
    warmup_ratio: float = Field(
        0.03, ge=0, le=1, description="Share of the steps over which the rate grows.", json_schema_extra=_LEARNING
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="Pull of the weights to 0.", json_schema_extra=_LEARNING)
    clip_norm: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Largest norm of a step's gradient; 0 does not clip.",
        json_schema_extra=_LEARNING,
    )
    seed: int = Field(
        42, ge=0, le=2**31 - 1, description="Order of rows, dropout and first weights.", json_schema_extra=_LEARNING
    )

    checkpointing: bool = Field(
        True, description="Compute activations again instead of keeping them.", json_schema_extra=_SPEED
    )

    save_every: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Steps between checkpoints. Empty: at each check.",
        json_schema_extra=_SAVING,
    )
    keep_checkpoints: int = Field(
        2, ge=1, le=100, description="Checkpoints that are kept for going on.", json_schema_extra=_SAVING
    )
    push_to: str = Field(
        "",
        max_length=120,
        description="Private repository of the hub that gets the adapter at the end. Empty: no push.",
        json_schema_extra=_SAVING,
    )
    logger: Literal["none", "tensorboard", "trackio", "wandb"] = Field(
        "none", description="A second log beside the JSON lines.", json_schema_extra=_SAVING
    )

    validate_every: int | None = Field(
        None, ge=1, le=100_000, description="Steps between checks. Empty: once an epoch.", json_schema_extra=_CHECKING
    )
    early_stop_patience: int = Field(
        0,
        ge=0,
        le=100,
        description="Stop after so many checks without a better held-out loss. 0 never stops early.",
        json_schema_extra=_CHECKING,
    )
    early_stop_threshold: float = Field(
        0.001, ge=0, le=10, description="By how much a loss must fall to count as better.", json_schema_extra=_CHECKING
    )

    temperature: float = Field(0.7, ge=0, le=2, description="For Ollama.", json_schema_extra=_FILE)
    top_p: float = Field(0.9, gt=0, le=1, description="For Ollama.", json_schema_extra=_FILE)
    top_k: int = Field(40, ge=0, le=1000, description="For Ollama.", json_schema_extra=_FILE)
    repeat_penalty: float = Field(1.0, gt=0, le=3, description="For Ollama.", json_schema_extra=_FILE)
    num_ctx: int = Field(
        4096, ge=64, le=1_000_000, description="Window in tokens, for Ollama.", json_schema_extra=_FILE
    )
    num_predict: int = Field(
        1024, ge=1, le=100_000, description="Longest answer in tokens, here and for Ollama.", json_schema_extra=_FILE
    )

    @model_validator(mode="before")
    @classmethod
    def _steps_stand_for_epochs(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("steps") is not None and "epochs" not in data:
            return {**data, "epochs": None}
        return data

    @model_validator(mode="after")
    def _one_length(self) -> TextRecipe:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("steps and epochs exclude each other; give one and leave the other empty")
        if any(target.rpartition(".")[2] in ("lm_head", "embed_tokens") for target in self.targets or ()):
            raise ValueError("targets: the head and the embedding take no adapter here; name layers of the blocks")
        return self

    @property
    def effective_batch(self) -> int:
        """Rows of one optimiser step."""
        return self.batch_size * self.accumulation

    def steps_for(self, rows: int) -> int:
        """Optimiser steps of the whole run over `rows` rows."""
        return self.steps if self.steps is not None else max(1, math.ceil((self.epochs or 1) * self.round_of(rows)))

    def round_of(self, rows: int) -> int:
        """Optimiser steps of one round through the rows; the last one may hold fewer."""
        return math.ceil(rows / self.effective_batch)


def parse_text_recipe(data: dict[str, Any], where: str = "recipe") -> TextRecipe:
    """A recipe from fields. Raises InputError that names the field, with the nearest name for an unknown one."""
    try:
        return TextRecipe.model_validate(data)
    except ValidationError as error:
        see = "See the fields with: t2v train text --help"
        raise wrong_fields("bad_recipe", error, where, known=TextRecipe.model_fields, hint=see) from error
