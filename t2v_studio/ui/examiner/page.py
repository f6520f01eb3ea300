"""The examiner's page: one component that draws every view itself and speaks to the JSON routes."""

from __future__ import annotations

import gradio as gr

from t2v_studio.ui.examiner.mount import WEB

SCRIPTS = ("keeper.js", "clock.js", "parts.js", "scoring.js", "views.js")
"""In the order in which they are joined; each one uses only those before it."""


class RatingScreen(gr.HTML):
    """Two players on one clock, five scales for each side, autosave and keyboard.

    It takes no value and has no listener: whatever it knows comes from the routes under /rate/api.
    """

    def __init__(self) -> None:
        super().__init__(
            "",
            html_template=(WEB / "screen.html").read_text(encoding="utf-8"),
            css_template="",
            js_on_load="\n".join((WEB / name).read_text(encoding="utf-8") for name in SCRIPTS),
            apply_default_css=False,
            elem_id="rating",
        )


def build() -> gr.Blocks:
    """The page. Its config holds this component's own files and nothing of any study."""
    with gr.Blocks(title="Video rating", analytics_enabled=False, fill_width=True, elem_id="t2v-rate") as demo:
        RatingScreen()
    return demo
