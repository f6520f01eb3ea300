"""The controls of the form, in one column: what to explain, what may be quoted, how it is drawn."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup

ENGINE_NAMES = {"local": "Local drawing", "diffusion": "Diffusion", "manim": "Manim"}
MODES = [("Cues into each scene", "semantic"), ("Context as one block", "overlay")]


def template_choices(studio: Studio) -> list[tuple[str, str]]:
    return [("Chosen by topic", "auto"), *((row["title"], row["name"]) for row in studio.templates())]


def book_choices(studio: Studio) -> list[tuple[str, str]]:
    return [(str(row["title"]), row["book"]) for row in studio.books()]


def engine_notes(studio: Studio, engine: str) -> str:
    """What to install for the chosen engine, where it is missing; otherwise the missing ones in one line."""
    rows = {row["name"]: row for row in studio.engines()}
    chosen = rows.get(engine)
    if chosen and not chosen["ok"]:
        return markup.notice(f"{ENGINE_NAMES.get(engine, engine)}: {chosen['message']}", chosen["hint"], "warn")
    absent = [ENGINE_NAMES.get(name, name) for name, row in rows.items() if not row["ok"]]
    return (
        f'<p class="t2-muted">Not installed: {markup.text(", ".join(absent))}. Choose one to see what it needs.</p>'
        if absent
        else ""
    )


def build(studio: Studio) -> tuple[dict[str, Any], list[Any], list[gr.Button]]:
    """All controls by name, the list in the order of form.NAMES, and the buttons Plan, Generate, Make the pair."""
    made: dict[str, Any] = {}
    made["topic"] = form.words(
        "topic",
        "Topic",
        lines=2,
        max_lines=4,
        info=None,
        placeholder="What should the video explain? For example: gradient descent",
        autofocus=True,
    )
    made["course_template"] = gr.Dropdown(
        [("Chosen by topic", "auto")], value="auto", label="Template", elem_id="course-template"
    )
    made["use_rag"] = form.switch("use_rag", "Use my books")
    with gr.Group(visible=False, elem_id="retrieval") as retrieval:
        made["rag_mode"] = gr.Radio(
            MODES, value=form.default("rag_mode"), label="How retrieval enters", elem_id="rag-mode"
        )
        made["book_ids"] = gr.Dropdown(
            [], value=[], multiselect=True, label="Books to use", info="Empty: all books.", elem_id="book-ids"
        )
    with gr.Row(elem_id="form-actions"):
        buttons = [
            gr.Button("Plan", min_width=60, elem_id="plan-button"),
            gr.Button("Generate", variant="primary", min_width=90, elem_id="generate-button"),
            gr.Button("Make the pair", min_width=110, elem_id="pair-button"),
        ]
    made["engine"] = form.radio(
        "engine", "Engine", info=None, options=[(ENGINE_NAMES[name], name) for name in form.choices("engine")]
    )
    made["engine_notes"] = gr.HTML("", apply_default_css=False)
    with gr.Accordion("Audience and objective", open=False):
        made["audience"] = form.words("audience", "Audience")
        made["objective"] = form.words("objective", "Objective", lines=2)
    with gr.Accordion("Length, size and look", open=False):
        with gr.Row():
            made["seconds"] = form.number("seconds", "Seconds", info="Empty: from reading time.", min_width=110)
            made["fps"] = form.number("fps", "Frames a second", info="Empty: engine's own.", min_width=110)
        with gr.Row():
            made["size"] = gr.Dropdown(
                [form.OWN_SIZE, *form.SIZES], value=form.OWN_SIZE, label="Size", elem_id="size", min_width=110
            )
            made["seed"] = form.number("seed", "Seed", info=None, min_width=110, placeholder="drawn once")
        made["theme"] = form.radio("theme", "Colours", info=None)
    with gr.Accordion("Advanced", open=False):
        made["rag_query"] = form.words("rag_query", "One query for all scenes")
        with gr.Row():
            made["rag_top_k"] = form.number("rag_top_k", "Passages a scene", info=None, min_width=90)
            made["frames"] = form.number("frames", "Frames in all", info=None, min_width=90)
            made["scene_frames"] = form.number("scene_frames", "Frames a scene", info=None, min_width=90)
        made["style"] = form.words("style", "Style")
        made["course_mode"] = form.switch("course_mode", "Course mode")
        made["show_sources"] = form.switch("show_sources", "Show sources in the picture")
        made["fallback_local_on_fail"] = form.switch("fallback_local_on_fail", "Fall back to local drawing")
    made["use_rag"].change(
        lambda on: gr.Group(visible=bool(on)),
        made["use_rag"],
        retrieval,
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )
    return made, [made[name] for name in form.NAMES], buttons
