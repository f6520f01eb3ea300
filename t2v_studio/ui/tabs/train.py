"""Adapters of video models and of language models: each with its recipe, its data and its runs; and the text sets."""

from __future__ import annotations

import gradio as gr

from t2v_studio.ui.components import text_sets
from t2v_studio.ui.components.text_training import TextTraining
from t2v_studio.ui.components.video_training import VideoTraining
from t2v_studio.ui.page import Page

NAME, LABEL, ORDER = "train", "Train", 75


def build(page: Page) -> None:
    with gr.Tabs(elem_id="train-kinds"):
        with gr.Tab("Video LoRA", id="train-video") as video:
            VideoTraining(page, video)
        with gr.Tab("Text LoRA", id="train-text") as text:
            TextTraining(page, text)
        with gr.Tab("Text sets", id="train-sets") as sets:
            text_sets.build(page, sets)
