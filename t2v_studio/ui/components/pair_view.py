"""Both arms of a pair in two players, the plans' differing words, and what retrieval brought to each scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from t2v_studio.production.record import VideoRecord
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import evidence, player, result_view, scene_details
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import OFF, ON, Page

PLAIN, TREATED = "Without retrieval", "With retrieval"
TOGETHER = """
element.addEventListener('click', (event) => {
  if (!event.target.closest('[data-together]')) return;
  const films = [...element.closest('[id$=-pair]').querySelectorAll('video')];
  const play = films.some((film) => film.paused);
  films.forEach((film) => { film.currentTime = play ? films[0].currentTime : film.currentTime; play ? film.play() : film.pause(); });
});
"""


@dataclass
class PairView:
    """One instance a tab. `show` gives the values of `outputs`."""

    studio: Studio
    outputs: list[Any]

    def show(self, pair_id: str) -> list[Any]:
        found = self.studio.pair(pair_id)
        plain, treated = found["no_rag"], found["rag_semantic"]
        return [
            gr.Column(elem_classes=ON),
            pair_id,
            f'<h2 class="t2-title">{markup.text(plain.plan.topic)}</h2>'
            '<div class="t2-row"><button type="button" class="t2-button primary" data-together="1">Play or pause both</button>'
            f"{markup.chip(f'seed {plain.request.seed}')}{markup.chip(f'{plain.width} × {plain.height}')}"
            f"{markup.chip(markup.duration(plain.duration_s))}</div>",
            *(_arm(self.studio, name, record) for name, record in ((PLAIN, plain), (TREATED, treated))),
            evidence.grounding(found.get("grounding"))
            or '<p class="t2-muted">This pair holds no grounding report.</p>',
            evidence.difference(plain.plan, treated.plan),
            evidence.sources(treated.plan),
            settings(plain, treated),
        ]

    def hide(self) -> list[Any]:
        return [gr.Column(elem_classes=OFF), *[gr.skip()] * (len(self.outputs) - 1)]


def _arm(studio: Studio, name: str, record: VideoRecord) -> str:
    chip = scene_details.verdict_chip(record.verdict)
    return f'<div class="t2-row"><h3 class="t2-h">{name}</h3>{chip}</div>{player.film(studio, record, name)}'


def settings(plain: VideoRecord, treated: VideoRecord) -> str:
    """What both videos share, then scenes, verdicts and tries of each, then the prompts side by side."""
    body = f'<div class="t2-columns">{markup.facts(result_view.asked(treated))}</div>'
    for name, record in ((PLAIN, plain), (TREATED, treated)):
        body += f'<h3 class="t2-h">{name}</h3>{scene_details.scenes_table(record, name)}'
        body += evidence.notices(record.notices)
    body += scene_details.checked() + scene_details.machine(treated)
    return body + scene_details.prompts((PLAIN, plain), (TREATED, treated))


def build(page: Page, name: str) -> PairView:
    """The view, hidden until a pair is shown."""
    studio = page.studio
    shown = gr.State("")
    with gr.Column(elem_classes=OFF, elem_id=f"{name}-pair") as box:
        head = gr.HTML("", js_on_load=TOGETHER, apply_default_css=False)
        with gr.Row():
            plain = gr.HTML("", min_width=260, elem_id=f"{name}-plain", apply_default_css=False)
            treated = gr.HTML("", min_width=260, elem_id=f"{name}-treated", apply_default_css=False)
        with gr.Accordion("What retrieval brought", open=True):
            words = gr.HTML("", apply_default_css=False, elem_id=f"{name}-grounding")
        with gr.Accordion("Where the two plans differ", open=True):
            differing = gr.HTML("", apply_default_css=False, elem_id=f"{name}-difference")
        with gr.Accordion("Sources", open=False):
            cited = gr.HTML("", js_on_load=markup.CLICKS, apply_default_css=False)
        with gr.Accordion("Settings, scenes and prompts", open=False):
            made = gr.HTML("", apply_default_css=False, elem_id=f"{name}-pair-settings")

    @guarded
    def show_source(pair_id: str, event: gr.EventData) -> str:
        return evidence.source_spread(
            studio, studio.pair(pair_id)["rag_semantic"].plan, str((event._data or {}).get("source", ""))
        )

    cited.click(show_source, shown, page.viewer, show_progress="minimal", api_visibility="private")
    return PairView(studio, [box, shown, head, plain, treated, words, differing, cited, made])
