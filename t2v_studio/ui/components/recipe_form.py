"""The form of a training: every field of the Recipe, with its explanation, most of them folded."""

from __future__ import annotations

import typing
from typing import Any, Literal

import gradio as gr

from t2v_studio.adapters.recipe import GROUPS, Recipe

FIELDS = Recipe.model_fields
PATHS = ("validation_prompts", "clip_weights")
"""Fields that name files. No text box of the page becomes a path: these come from the recipe's own YAML."""
NAMES = tuple(name for name in FIELDS if name not in ("name", "about", *PATHS))
"""The form's fields, in the order of its inputs."""
FIRST = ("model", "trigger", "steps", "rank", "alpha", "learning_rate")
"""What most people change; the rest is folded away by group."""
LABELS = {
    "dtype": "Base number format", "base_quantised": "Quantised base", "fps": "Frames a second", "size_buckets": "Sizes",
    "frame_buckets": "Clip lengths", "lora_dropout": "Dropout", "targets": "Layers", "scale": "Recommended scale",
    "beta1": "Beta 1", "beta2": "Beta 2", "clip_norm": "Largest gradient norm", "latents_dtype": "Cache number format",
    "workers": "Reading threads", "checkpointing": "Checkpoint every n-th block", "keep_top_k": "Adapters kept",
    "export_comfyui": "Write for ComfyUI too", "push_to": "Push to a private repository",
    "save_every": "Steps between checkpoints", "validate_every": "Steps between checks", "accumulation": "Passes a step",
    "start_from": "Start from adapter", "max_regression": "Allowed regression", "logger": "Second log",
}  # fmt: skip


def build() -> dict[str, Any]:
    """Every field by name: the first ones open, then one fold a group."""
    made: dict[str, Any] = {}
    for pair in (FIRST[:2], FIRST[2:4], FIRST[4:]):
        with gr.Row():
            for name in pair:
                made[name] = _field(name)
    for group in GROUPS:
        members = [name for name in NAMES if group_of(name) == group and name not in FIRST]
        with gr.Accordion(group, open=False, elem_id=f"train-group-{group.split()[0].lower()}"):
            for name in members:
                made[name] = _field(name)
    return made


def group_of(name: str) -> str:
    more = FIELDS[name].json_schema_extra
    return str(more.get("group", "")) if isinstance(more, dict) else ""


def _field(name: str) -> Any:
    kind, about = _kind(name), FIELDS[name].description
    usual = shown(Recipe().model_dump(mode="json")[name])
    common: dict[str, Any] = {"label": label(name), "info": about, "elem_id": f"train-{name.replace('_', '-')}"}
    if kind is bool:
        return gr.Checkbox(bool(usual), **common)
    if typing.get_origin(kind) is Literal:
        return gr.Dropdown(list(typing.get_args(kind)), value=usual, filterable=False, min_width=130, **common)
    return gr.Textbox(str(usual), lines=1, max_lines=1, max_length=500, min_width=130, **common)


def label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ").capitalize())


def _kind(name: str) -> Any:
    """The type of a field without None."""
    kinds = [one for one in typing.get_args(FIELDS[name].annotation) if one is not type(None)]
    optional = type(None) in typing.get_args(FIELDS[name].annotation)
    return kinds[0] if optional and len(kinds) == 1 else FIELDS[name].annotation


def shown(value: Any) -> Any:
    """A value as its field shows it: lists with commas, nothing for None."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, float):
        return f"{value:.12g}"
    return "" if value is None else str(value)


def values_of(recipe: Recipe) -> list[Any]:
    """The form's values for a recipe, in the order of NAMES."""
    fields = recipe.model_dump(mode="json")
    return [shown(fields[name]) for name in NAMES]


def fields_of(values: tuple[Any, ...], recipe: Recipe) -> dict[str, Any]:
    """A recipe's fields from the form's values, the rest from the recipe that was chosen.

    An empty field that may be empty is None, any other its default.
    """
    found: dict[str, Any] = {name: getattr(recipe, name) for name in ("name", *PATHS)}
    for field, value in zip(NAMES, values, strict=True):
        kind = _kind(field)
        listed = typing.get_origin(kind) is list
        text = value.strip() if isinstance(value, str) else value
        if listed:
            parts = [part.strip() for part in str(text or "").split(",") if part.strip()]
            if parts or field == "scenario_filter":
                found[field] = parts
            elif type(None) in typing.get_args(FIELDS[field].annotation):
                found[field] = None
        elif text == "" and kind is not str:
            if type(None) in typing.get_args(FIELDS[field].annotation):
                found[field] = None
        elif text is not None:
            found[field] = text
    return found
