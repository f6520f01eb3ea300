"""What moves in the diffusion part of the form: lists that follow the disk, presets that fill fields, the note ahead."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.production.record import VideoRecord
from t2v_studio.studio import Studio
from t2v_studio.ui import form
from t2v_studio.ui.components import diffusion_form, manim_view, request_form
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page

LISTED = (
    "model_id", "preset", "adapter", "planner_model_id", "prompt_writer", "manim_model_id", "manim_adapter",
)  # fmt: skip
"""Fields whose choices are what is there."""


def lists(studio: Studio, model: str) -> dict[str, list[tuple[str, str]]]:
    """The choices of LISTED for a model."""
    return {
        "model_id": diffusion_form.model_choices(studio),
        "preset": diffusion_form.preset_choices(studio, model),
        "adapter": diffusion_form.adapter_choices(studio, model),
        "planner_model_id": diffusion_form.planner_choices(studio),
        "prompt_writer": diffusion_form.writer_choices(studio),
        "manim_model_id": manim_view.model_choices(studio),
        "manim_adapter": manim_view.adapter_choices(studio),
    }


def as_made(studio: Studio, record: VideoRecord, values: dict[str, Any]) -> dict[str, Any]:
    """The form's values for a record, with the scale that was worn where the request left it to the card.

    A model, an adapter or a planner that is no longer there is left open.
    """
    choices = lists(studio, values["model_id"])
    made = dict(values)
    made["model_id"] = "" if made["model_id"] == diffusion_form.usual_model(studio) else made["model_id"]
    for name in LISTED:
        made[name] = form.known(choices[name], made[name])
    worn = next((scene.details.get("adapter") for scene in record.scenes if scene.details.get("adapter")), None)
    if not made["lora_scale"]:
        made["lora_scale"] = form.shown((worn or {}).get("scale"))
    return made


def shown(studio: Studio, values: dict[str, Any]) -> list[Any]:
    """Values as updates of their controls, in the order of `values`: lists with their choices."""
    if values.get("model_id") == diffusion_form.usual_model(studio):
        values = {**values, "model_id": ""}
    choices = lists(studio, str(values.get("model_id") or ""))
    updates = {name: gr.Dropdown(choices[name], value=values[name]) for name in LISTED if name in values}
    updates |= {name: form.shown(values[name]) for name in form.NUMBERS if isinstance(values.get(name), int | float)}
    return [updates.get(name, value) for name, value in values.items()]


def wire(page: Page, controls: dict[str, Any]) -> None:
    """Listeners of the diffusion part, on the whole form."""
    _wire_lists(page, controls)
    _wire_choices(page.studio, controls)
    _wire_ahead(page, controls)


def _wire_lists(page: Page, controls: dict[str, Any]) -> None:
    studio = page.studio

    @guarded
    def refresh(*now: str) -> Any:
        found = lists(studio, now[0])
        lines = [form.listed(found[name], value, "") for name, value in zip(LISTED, now, strict=True)]
        model = form.known(found["model_id"], now[0])
        return (*lines, diffusion_form.model_note(studio, model), *diffusion_form.effect_notes(studio))

    inputs = [controls[name] for name in LISTED]
    effects = [controls[f"{switch}_effect"] for switch in diffusion_form.SWITCHES]
    outputs = [*inputs, controls["model_note"], *effects]
    page.on_load(refresh, inputs, outputs)
    if page.tab is not None:
        page.tab.select(refresh, inputs, outputs, **QUIET)
    controls["model_id"].change(refresh, inputs, outputs, **QUIET)
    controls["engine"].change(
        lambda engine: gr.Accordion(visible=engine == "diffusion"), controls["engine"], controls["diffusion"], **QUIET
    )


def _wire_choices(studio: Studio, controls: dict[str, Any]) -> None:
    filling = [controls[name] for name in diffusion_form.FILLED]
    last = gr.State({})

    @guarded
    def fill(name: str, adapter: str, before: dict[str, Any], *now: Any) -> Any:
        sets = diffusion_form.filled(studio, name, adapter, before, dict(zip(diffusion_form.FILLED, now, strict=True)))
        return [sets, *(sets.get(field, gr.skip()) for field in diffusion_form.FILLED)]

    @guarded
    def told(adapter: str) -> Any:
        row = studio.adapters.row(adapter) if adapter else {}
        return (
            gr.Accordion(open=True) if adapter else gr.skip(),
            diffusion_form.lora_note(studio, adapter),
            gr.Textbox(placeholder=row.get("trigger") or diffusion_form.OWN),
            gr.Textbox(placeholder=f"{row['scale']:g}, {diffusion_form.OWN}" if row else diffusion_form.OWN),
        )

    controls["preset"].input(fill, [controls["preset"], controls["adapter"], last, *filling], [last, *filling], **QUIET)
    # another LoRA, another scale: what was typed for the last one is not meant for it
    controls["adapter"].input(lambda: "", None, controls["lora_scale"], **QUIET)
    # whoever chose it: a person, a training or a video made again
    controls["adapter"].change(
        told,
        controls["adapter"],
        [controls[name] for name in ("lora", "lora_note", "lora_trigger", "lora_scale")],
        **QUIET,
    )


def _wire_ahead(page: Page, controls: dict[str, Any]) -> None:
    """The note of what the form will come to, whenever a field of the form has changed."""
    inputs = [controls[name] for name in form.NAMES]

    @guarded
    def ahead(*values: Any) -> str:
        return request_form.ahead(page.studio, dict(zip(form.NAMES, values, strict=True)))

    gr.on([control.change for control in inputs], ahead, inputs, controls["ahead"], trigger_mode="always_last", **QUIET)
