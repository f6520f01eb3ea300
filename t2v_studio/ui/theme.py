"""The look: a Gradio theme with the system's own fonts (nothing is fetched), and one style sheet."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STYLE = Path(__file__).with_name("style.css")
FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace")

BLUE = gr.themes.Color(
    name="studio",
    c50="#eef6fb", c100="#d8eaf5", c200="#b3d5ea", c300="#84bbdb", c400="#4c9bc8", c500="#1f7fb3",
    c600="#0b6799", c700="#08527b", c800="#08435f", c900="#0a364d", c950="#062233",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """Calm blue on slate, small radii, quiet borders; the same roles in light and dark."""
    look = gr.themes.Default(
        primary_hue=BLUE,
        secondary_hue=BLUE,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=FONT,
        font_mono=MONO,
    )
    return look.set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#10161d",
        body_text_color_subdued="#56636f",
        body_text_color_subdued_dark="#a3b1bd",
        block_info_text_color="#56636f",
        block_info_text_color_dark="#a3b1bd",
        background_fill_secondary="#f1f4f7",
        background_fill_secondary_dark="#212c37",
        block_background_fill="#ffffff",
        block_background_fill_dark="#18212b",
        block_border_width="1px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_shadow="none",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        input_background_fill="#ffffff",
        input_background_fill_dark="#121a22",
    )
