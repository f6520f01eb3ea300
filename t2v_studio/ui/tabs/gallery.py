"""Past videos as cards; choosing one shows the same view as after making it."""

from __future__ import annotations

import gradio as gr

from t2v_studio.ui.page import Page

NAME, LABEL, ORDER = "gallery", "Gallery", 30


def build(page: Page) -> None:
    gr.HTML("")
