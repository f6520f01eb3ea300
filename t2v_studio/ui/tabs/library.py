"""Books: add, look through, search, check, remove."""

from __future__ import annotations

import gradio as gr

from t2v_studio.ui.page import Page

NAME, LABEL, ORDER = "library", "Library", 10


def build(page: Page) -> None:
    gr.HTML("")
