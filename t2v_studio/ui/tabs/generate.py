"""From a topic to a video: plan, edit, generate, pair."""

from __future__ import annotations

import gradio as gr

from t2v_studio.ui.page import Page

NAME, LABEL, ORDER = "generate", "Generate", 20


def build(page: Page) -> None:
    gr.HTML("")
