"""The adapters as a table, one in full, and a way to add a file: for every tab that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.ui import markup
from t2v_studio.ui.components.study_view import CLICKS
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, target

NONE = markup.empty(
    "No LoRA yet",
    "Train one on clips that scored well, or add a safetensors file below. It can then be chosen in Generate.",
)
UNKNOWN = "not known"
FIELDS = ("name", "trigger", "base", "scale", "alpha")


def table(rows: Iterable[Mapping[str, Any]], chosen: str = "") -> str:
    """One row an adapter: name, base, trigger, scale with its limits, rank, origin, metrics, and the way to Generate."""
    found = list(rows)
    if not found:
        return NONE
    head = ("Name", "Base", "Trigger", "Scale", "Rank", "Made from", "Metrics", "")
    return markup.table(head, (_row(row, chosen) for row in found), caption="Adapters", kind="adapters stacked")


def details(row: Mapping[str, Any]) -> str:
    """Everything on a card; what is assumed is said as such."""
    assumed = row["alpha_source"].startswith("assumed")
    facts = markup.facts(
        [
            ("Made for", row["base_model"] or f"{UNKNOWN}; its shapes are those of {row['made_for']}"),
            ("Also for", ", ".join(row["also_for"])),
            ("Trigger", row["trigger"]),
            ("Scale", f"{row['scale']:g}, from {row['scale_min']:g} to {row['scale_max']:g}"),
            ("Preset", row["preset"]),
            ("Rank and alpha", f"{row['rank']} and {row['alpha']:g} ({row['alpha_source']})"),
            ("Layers", f"{row['modules']}: {', '.join(row['targets'])}"),
            ("Keys", row["format"]),
            ("Experts", "" if row["experts"] == "both" else row["experts"]),
            ("Made from", row["made_from"]),
            ("Licence", row["license"]),
            ("Metrics", _metrics(row["metrics"], 20)),
            ("Notes", row["notes"]),
            ("Training data", row["data_hash"]),
            ("SHA-256", row["sha256"]),
        ]
    )
    warning = (
        markup.notice(
            "Alpha is assumed to be the rank, because the file does not say it.",
            "If it was trained with another alpha, remove it and add it again with that number: its strength depends on it.",
            "warn",
        )
        if assumed
        else ""
    )
    question = f"Delete {row['name']}? Videos made with it cannot be made again without the file."
    remove = (
        f'<button type="button" class="t2-button quiet" data-act="remove" data-id="{markup.text(row["id"])}" '
        f'data-confirm="{markup.text(question)}">Remove</button>'
    )
    use = _use(row, "primary")
    return (
        f'<div class="t2-list"><h3 class="t2-h">{markup.text(row["name"])}</h3>{warning}{facts}'
        f'<div class="t2-row">{use}{remove}</div></div>'
    )


def for_generate(row: Mapping[str, Any]) -> dict[str, Any]:
    """The form's fields for one adapter: itself, its scale and its trigger, and its base where it is known. One of a
    language model is the prompt writer."""
    if row.get("is_text"):
        return {"engine": "diffusion", "prompt_writer": row["id"]}
    fields = {"engine": "diffusion", "adapter": row["id"], "lora_scale": row["scale"], "lora_trigger": row["trigger"]}
    return fields | ({"model_id": row["base_model"]} if row["base_model"] else {})


@dataclass(frozen=True)
class AdapterList:
    """The component in a tab. listing: the table; one: the chosen adapter in full."""

    listing: gr.HTML
    one: gr.HTML


def build(page: Page, prefix: str, models: Iterable[str] = ()) -> AdapterList:
    """Table, details and the form that adds a file; models: names of the bases that can be chosen.

    prefix: of element ids, so that two tabs may show it.
    """
    listing = gr.HTML(NONE, js_on_load=CLICKS, elem_id=f"{prefix}-adapters", apply_default_css=False)
    one = gr.HTML("", js_on_load=CLICKS, elem_id=f"{prefix}-adapter", apply_default_css=False)
    with gr.Accordion("Add a LoRA file", open=False, elem_id=f"{prefix}-adapter-add"):
        file = gr.File(
            label="Safetensors file", file_types=[".safetensors"], type="filepath", elem_id=f"{prefix}-adapter-file"
        )
        fields = _fields(prefix, models)
        add = gr.Button("Add it", variant="primary", elem_id=f"{prefix}-adapter-go")
        said = gr.HTML("", elem_id=f"{prefix}-adapter-said", apply_default_css=False)
    made = AdapterList(listing, one)
    _wire_looking(page, made)
    _wire_adding(page, made, file, fields, add, said)
    return made


def _fields(prefix: str, models: Iterable[str]) -> dict[str, Any]:
    with gr.Row():
        name = gr.Textbox("", label="Name", info="Empty: the file's.", max_length=120, elem_id=f"{prefix}-adapter-name")
        trigger = gr.Textbox(
            "",
            label="Trigger",
            info="Word that it was trained with.",
            max_length=80,
            elem_id=f"{prefix}-adapter-trigger",
        )
    with gr.Row():
        base = gr.Dropdown(
            [(UNKNOWN, ""), *((model, model) for model in models)],
            value="",
            label="Made for",
            info="A file that does not fit is refused.",
            elem_id=f"{prefix}-adapter-base",
        )
        # Text fields, because Gradio 6.31 shows an empty Number as 0, and a LoRA at scale 0 does nothing.
        scale, alpha = (
            gr.Textbox(
                "", label=label, info=info, max_lines=1, max_length=12, elem_id=f"{prefix}-adapter-{label.lower()}"
            )
            for label, info in (("Scale", "Empty: 0.7."), ("Alpha", "Only where the file does not say."))
        )
    return dict(zip(FIELDS, (name, trigger, base, scale, alpha), strict=True))


def _wire_looking(page: Page, made: AdapterList) -> None:
    shelf = page.studio.adapters

    @guarded
    def fill() -> Any:
        return table(shelf.rows())

    @guarded
    def clicked(event: gr.EventData) -> Any:
        sent = event._data or {}
        name = str(sent.get("id", ""))
        if sent.get("act") == "remove":
            shelf.remove(name)
            return table(shelf.rows()), "", gr.skip()
        row = shelf.row(name)
        if sent.get("act") == "use":
            return gr.skip(), gr.skip(), target("adapter", row["id"], fields=for_generate(row))
        return table(shelf.rows(), row["id"]), details(row), gr.skip()

    page.on_load(fill, None, made.listing)
    if page.tab is not None:
        # One that was trained or added elsewhere is there when the tab is opened.
        page.tab.select(fill, None, made.listing, **QUIET)
    outputs = [made.listing, made.one, page.again]
    made.listing.click(clicked, None, outputs, **QUIET)
    made.one.click(clicked, None, outputs, **QUIET)


def _wire_adding(
    page: Page, made: AdapterList, file: gr.File, fields: Mapping[str, Any], button: gr.Button, said: gr.HTML
) -> None:
    shelf = page.studio.adapters

    @guarded
    def add(path: str | None, name: str, trigger: str, base: str, scale: str, alpha: str) -> Any:
        if not path:
            raise InputError("no_file", "Safetensors file: none is chosen.", "Drop a file that ends in .safetensors.")
        strength = _read("Scale", scale)
        row = shelf.adopt(
            Path(path),
            base=base or "",
            alpha=_read("Alpha", alpha),
            name=name.strip(),
            trigger=trigger.strip(),
            **({} if strength is None else {"scale": strength}),
        )
        words = markup.notice(f"{row['name']} is added." if row["new"] else f"{row['name']} was there.", kind="good")
        words += "".join(markup.notice(one, kind="warn") for one in row["notices"])
        return table(shelf.rows(), row["id"]), details(row), words, None

    inputs = [file, *(fields[name] for name in FIELDS)]
    button.click(
        add, inputs, [made.listing, made.one, said, file], trigger_mode="once", show_progress="minimal",
        api_visibility="private",
    )  # fmt: skip


def _read(name: str, value: str) -> float | None:
    """A number of the form, or None for an empty field. Raises InputError that names it."""
    text = str(value or "").strip().replace(",", ".")
    try:
        return float(text) if text else None
    except ValueError:
        raise InputError("bad_number", f"{name}: {text!r} is no number.", "Write one, or leave it empty.") from None


def _row(row: Mapping[str, Any], chosen: str) -> tuple[str, ...]:
    if row.get("error") and "base_model" not in row:
        remove = markup.button("Remove", "remove", kind="quiet", id=row["id"])
        return (
            markup.text(row["name"]),
            markup.chip("damaged", "bad"),
            markup.text(row["error"]),
            "",
            "",
            "",
            "",
            remove,
        )
    name = (
        f'<button type="button" class="t2-link" data-act="show" data-id="{markup.text(row["id"])}" '
        f'aria-pressed="{str(row["id"] == chosen).lower()}"><strong>{markup.text(row["name"])}</strong></button>'
    )
    scale = (
        f'<span class="t2-num">{row["scale"]:g}</span> '
        f'<small class="t2-muted">{row["scale_min"]:g} to {row["scale_max"]:g}</small>'
    )
    rank = f'<span class="t2-num">{row["rank"]}</span> <small class="t2-muted">alpha {row["alpha"]:g}</small>'
    if row["alpha_source"].startswith("assumed"):
        rank += " " + markup.chip("assumed", "warn")
    return (
        name,
        markup.text(row["base_model"]) or f'<span class="t2-muted">{UNKNOWN}</span>',
        markup.text(row["trigger"]),
        scale,
        rank,
        f'<span class="t2-muted">{markup.text(row["made_from"])}</span>',
        markup.text(_metrics(row["metrics"], 3)),
        _use(row, "quiet strong"),
    )


def _use(row: Mapping[str, Any], kind: str) -> str:
    """The way to Generate; an adapter of a language model writes the prompts there."""
    if row.get("is_text"):
        writer = markup.button("Use as prompt writer", "use", kind=kind, id=row["id"])
        return f"{markup.chip('language model')} {writer}"
    return markup.button("Use in Generate", "use", kind=kind, id=row["id"])


def _metrics(found: Mapping[str, Any], most: int) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in list(found.items())[:most])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
