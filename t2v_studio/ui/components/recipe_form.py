"""The form of a training: every field of a recipe, with its explanation, most of them folded."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any, Literal

import gradio as gr
from pydantic import BaseModel

from t2v_studio.adapters.recipe import GROUPS, Recipe
from t2v_studio.adapters.text_recipe import TEXT_GROUPS, TextRecipe

LABELS = {
    "dtype": "Base number format", "base_quantised": "Quantised base", "fps": "Frames a second", "size_buckets": "Sizes",
    "frame_buckets": "Clip lengths", "lora_dropout": "Dropout", "targets": "Layers", "scale": "Recommended scale",
    "beta1": "Beta 1", "beta2": "Beta 2", "clip_norm": "Largest gradient norm", "latents_dtype": "Cache number format",
    "workers": "Reading threads", "checkpointing": "Checkpoint every n-th block", "keep_top_k": "Adapters kept",
    "export_comfyui": "Write for ComfyUI too", "push_to": "Push to a private repository",
    "save_every": "Steps between checkpoints", "validate_every": "Steps between checks", "accumulation": "Passes a step",
    "start_from": "Start from adapter", "max_regression": "Allowed regression", "logger": "Second log",
}  # fmt: skip
TEXT_LABELS = {
    "checkpointing": "Recompute activations", "max_length": "Tokens a row", "task": "Judged as", "system": "System text",
    "batch_size": "Rows a pass", "num_ctx": "Window", "num_predict": "Longest answer", "steps": "Steps instead of epochs",
    "keep_checkpoints": "Checkpoints kept", "early_stop_patience": "Checks without gain", "early_stop_threshold": "Least gain",
}  # fmt: skip


@dataclass(frozen=True)
class RecipeForm:
    """The form of one kind of recipe.

    first: pairs of what most people change; the rest is folded away by group. hidden: fields that only a recipe's own
    YAML sets; no text box of the page becomes a path. prefix: of element ids.
    """

    model: type[BaseModel]
    prefix: str
    groups: tuple[str, ...]
    first: tuple[tuple[str, ...], ...]
    hidden: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The form's fields, in the order of its inputs."""
        return tuple(name for name in self.model.model_fields if name not in self.hidden)

    def build(self) -> dict[str, Any]:
        """Every field by name: the first ones open, then one fold a group."""
        made: dict[str, Any] = {}
        for pair in self.first:
            with gr.Row():
                for name in pair:
                    made[name] = self._field(name)
        for group in self.groups:
            members = [name for name in self.names if self._group_of(name) == group and name not in made]
            if members:
                with gr.Accordion(group, open=False, elem_id=f"{self.prefix}-group-{group.split()[0].lower()}"):
                    for name in members:
                        made[name] = self._field(name)
        return made

    def values_of(self, recipe: BaseModel) -> list[Any]:
        """The form's values for a recipe, in the order of `names`."""
        fields = recipe.model_dump(mode="json")
        return [shown(fields[name]) for name in self.names]

    def fields_of(self, values: tuple[Any, ...], recipe: BaseModel) -> dict[str, Any]:
        """A recipe's fields from the form's values, the rest from the recipe that was chosen.

        An empty field that may be empty is None, any other its default.
        """
        found: dict[str, Any] = {name: getattr(recipe, name) for name in self.hidden if name != "about"}
        for name, value in zip(self.names, values, strict=True):
            kind, optional = self._kind(name), self._optional(name)
            text = value.strip() if isinstance(value, str) else value
            if typing.get_origin(kind) is list:
                parts = [part.strip() for part in str(text or "").split(",") if part.strip()]
                if parts or name == "scenario_filter":
                    found[name] = parts
                elif optional:
                    found[name] = None
            elif text == "" and kind is not str:
                if optional:
                    found[name] = None
            elif text is not None:
                found[name] = text
        return found

    def _field(self, name: str) -> Any:
        kind, about = self._kind(name), self.model.model_fields[name].description
        usual = shown(self.model().model_dump(mode="json")[name])
        label = self.labels.get(name) or LABELS.get(name, name.replace("_", " ").capitalize())
        elem_id = f"{self.prefix}-{name.replace('_', '-')}"
        common: dict[str, Any] = {"label": label, "info": about, "elem_id": elem_id}
        if kind is bool:
            return gr.Checkbox(bool(usual), **common)
        if typing.get_origin(kind) is Literal:
            return gr.Dropdown(list(typing.get_args(kind)), value=usual, filterable=False, min_width=130, **common)
        lines = 3 if name == "system" else 1
        return gr.Textbox(str(usual), lines=lines, max_lines=lines, max_length=2000, min_width=130, **common)

    def _group_of(self, name: str) -> str:
        more = self.model.model_fields[name].json_schema_extra
        return str(more.get("group", "")) if isinstance(more, dict) else ""

    def _optional(self, name: str) -> bool:
        return type(None) in typing.get_args(self.model.model_fields[name].annotation)

    def _kind(self, name: str) -> Any:
        """The type of a field without None."""
        annotation = self.model.model_fields[name].annotation
        kinds = [one for one in typing.get_args(annotation) if one is not type(None)]
        return kinds[0] if self._optional(name) and len(kinds) == 1 else annotation


VIDEO = RecipeForm(
    Recipe,
    "train",
    tuple(GROUPS),
    (("model", "trigger"), ("steps", "rank"), ("alpha", "learning_rate")),
    tuple(
        name for name in ("kind", "name", "about", "validation_prompts", "clip_weights") if name in Recipe.model_fields
    ),
)
TEXT = RecipeForm(
    TextRecipe,
    "text-train",
    TEXT_GROUPS,
    (("model", "task"), ("epochs", "rank"), ("alpha", "learning_rate")),
    ("kind", "name", "about"),
    TEXT_LABELS,
)


def shown(value: Any) -> Any:
    """A value as its field shows it: lists with commas, nothing for None."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, float):
        return f"{value:.12g}"
    return "" if value is None else str(value)
