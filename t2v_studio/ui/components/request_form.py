"""The controls of the form, in one column: what to explain, what may be quoted, how it is drawn."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.errors import StudioError
from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup
from t2v_studio.ui.components import diffusion_form, manim_view
from t2v_studio.ui.page import QUIET
from t2v_studio.ui.wording import CHOICES, FIELDS, choice, on_page


def template_choices(studio: Studio) -> list[tuple[str, str]]:
    return [("Chosen by topic", "auto"), *((row["title"], row["name"]) for row in studio.templates())]


def book_choices(studio: Studio) -> list[tuple[str, str]]:
    return [(str(row["title"]), row["book"]) for row in studio.books()]


def engine_notes(studio: Studio, engine: str) -> str:
    """What to install for the chosen engine, where it is missing."""
    rows = {row["name"]: row for row in studio.engines()}
    chosen = rows.get(engine)
    if chosen and not chosen["ok"]:
        return markup.notice(f"{choice('engine', engine)}: {chosen['message']}", chosen["hint"], "warn")
    return ""


def ahead(studio: Studio, values: dict[str, Any]) -> str:
    """What the form asks for will come to: length, size, work, whatever is rounded and whatever is lacking for it; or
    the field that is wrong."""
    if not str(values.get("topic") or "").strip():
        return ""
    try:
        diffusion_form.check(studio, values)
        said = studio.diffusion.foretold(form.request_from(values))
    except StudioError as error:
        return markup.notice(error.message, error.hint, "warn")
    lacking = [markup.notice(error.message, error.hint, "warn") for error in studio.diffusion.lacking(values)]
    first, *rest = said
    more = "".join(f"<li>{markup.text(on_page(sentence))}</li>" for sentence in rest)
    return (
        "".join(lacking)
        + f'<p class="t2-muted">{markup.text(on_page(first))}</p>'
        + (f'<ul class="t2-ahead">{more}</ul>' if more else "")
    )


def build(studio: Studio) -> tuple[dict[str, Any], list[Any], list[gr.Button]]:
    """All controls by name, the list in the order of form.NAMES, and the buttons Plan, Generate, Make the pair."""
    made: dict[str, Any] = {}
    made["topic"] = form.words(
        "topic",
        lines=2,
        max_lines=4,
        info=None,
        placeholder="What should the video explain? For example: gradient descent",
        autofocus=True,
    )
    with gr.Row():
        made["course_template"] = gr.Dropdown(
            [("Chosen by topic", "auto")],
            value="auto",
            label=FIELDS["course_template"],
            min_width=130,
            elem_id="course-template",
        )
        made["engine"] = gr.Dropdown(
            CHOICES["engine"],
            value=form.default("engine"),
            label=FIELDS["engine"],
            filterable=False,
            min_width=130,
            elem_id="engine",
        )
    made["engine_notes"] = gr.HTML("", elem_id="engine-notes", apply_default_css=False)
    made["use_rag"] = form.switch("use_rag", info="The scenes say what the books say, with pages.")
    with gr.Row(visible=False, elem_id="retrieval") as retrieval:
        made["rag_mode"] = gr.Dropdown(
            CHOICES["rag_mode"],
            value=form.default("rag_mode"),
            label=FIELDS["rag_mode"],
            filterable=False,
            min_width=130,
            elem_id="rag-mode",
        )
        made["book_ids"] = gr.Dropdown(
            [], value=[], multiselect=True, label=f"{FIELDS['book_ids']} (none: all)", min_width=130, elem_id="book-ids"
        )
    with gr.Row(elem_id="form-actions"):
        buttons = [
            gr.Button("Plan", min_width=60, elem_id="plan-button"),
            gr.Button("Generate", variant="primary", min_width=90, elem_id="generate-button"),
            gr.Button("Make the pair", min_width=110, elem_id="pair-button"),
        ]
    made["ahead"] = gr.HTML("", elem_id="ahead", apply_default_css=False)
    made["diffusion"] = diffusion_form.build(made)
    made["manim"] = manim_view.build_form(made)
    _folded(made)
    made["use_rag"].change(lambda on: gr.Row(visible=bool(on)), made["use_rag"], retrieval, **QUIET)
    return made, [made[name] for name in form.NAMES], buttons


def _folded(made: dict[str, Any]) -> None:
    """What most videos leave as it is, with what an empty field stands for."""
    with gr.Accordion("Length, size and look", open=False):
        with gr.Row():
            made["seconds"] = form.number("seconds", info=None, min_width=110, placeholder="auto: reading time")
            made["fps"] = form.number("fps", info=None, min_width=110, placeholder="auto")
        with gr.Row():
            made["size"] = gr.Dropdown(
                [("The engine's own", form.OWN_SIZE), *((name, name) for name in form.SIZES)],
                value=form.OWN_SIZE,
                label="Size",
                filterable=False,
                elem_id="size",
                min_width=110,
            )
            made["seed"] = form.number("seed", info=None, min_width=110, placeholder="drawn and recorded")
        made["theme"] = form.radio("theme", info=None)
        made["show_sources"] = form.switch("show_sources", info=None)
    with gr.Accordion("Who plans", open=False):
        made["use_llm_planner"] = form.switch("use_llm_planner")
        made["planner_model_id"] = gr.Dropdown(
            [("As set for this studio", "")],
            value="",
            label=FIELDS["planner_model_id"],
            filterable=False,
            elem_id="planner-model-id",
            info="Its plan is checked; where it cannot be used the rules plan, and the record says so.",
        )
    with gr.Accordion("Audience and objective", open=False):
        made["audience"] = form.words("audience")
        made["objective"] = form.words("objective", lines=2)
    with gr.Accordion("Advanced", open=False):
        made["rag_query"] = form.words("rag_query")
        with gr.Row():
            made["rag_top_k"] = form.number("rag_top_k", info=None, min_width=90, placeholder="3")
            made["frames"] = form.number("frames", info=None, min_width=90, placeholder="auto")
            made["scene_frames"] = form.number("scene_frames", info=None, min_width=90, placeholder="auto")
        made["style"] = form.words("style")
        made["course_mode"] = form.switch("course_mode")
        made["course_few_shot"] = form.switch("course_few_shot")
        made["fallback_local_on_fail"] = form.switch("fallback_local_on_fail")
