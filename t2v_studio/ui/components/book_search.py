"""Search in all books: a question, the hits with their scores, and the page of a hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.jobs.model import Job
from t2v_studio.library.passages import SearchResult
from t2v_studio.ui import markup
from t2v_studio.ui.components import books, job_card, viewer
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, settle

PULSE_S = 0.7
WAITING = (
    f'<div class="t2-hit">{markup.bar(0, 0, "Searching")}'
    '<p class="t2-stage">Searching. The first search also loads the language model.</p></div>'
)


@dataclass
class SearchBox:
    """The controls. `job` is the search whose hits are shown."""

    query: gr.Textbox
    go: gr.Button
    answers: gr.HTML
    job: gr.State


def build() -> SearchBox:
    with gr.Row(equal_height=True, elem_id="search-row"):
        query = gr.Textbox(
            label="Search in all books",
            show_label=False,
            container=False,
            placeholder="Ask the books: why does a large learning rate diverge?",
            scale=5,
            min_width=160,
            elem_id="search-query",
        )
        go = gr.Button("Search", variant="primary", scale=1, min_width=90, elem_id="search-go")
    answers = gr.HTML("", js_on_load=markup.CLICKS, elem_id="hits", apply_default_css=False)
    return SearchBox(query, go, answers, gr.State(""))


def wire(page: Page, box: SearchBox, detail: gr.HTML) -> None:
    studio = page.studio
    searching, pulse = gr.State(""), gr.Timer(PULSE_S, active=False)
    outputs = [box.answers, searching, box.job, pulse]

    def answer(job: Job) -> tuple[Any, str, str, Any]:
        if not job.ended:
            return WAITING, job.id, job.id, gr.Timer(active=True)
        still = gr.Timer(active=False)
        if job.state != "succeeded":
            return job_card.failure(job) or markup.notice("The search was cancelled.", kind="warn"), "", "", still
        return books.hits(SearchResult.model_validate(job.result["results"][0])), "", job.id, still

    @guarded
    def search(query: str) -> Any:
        if not query.strip():
            raise InputError("no_query", "Search: there is nothing to look for.", "Type a question or a few words.")
        if not studio.books():
            return books.hits(SearchResult(query=query, outcome="no_book")), "", "", gr.Timer(active=False)
        return answer(settle(studio, studio.submit_search([query.strip()], k=10)))

    @guarded
    def follow(job_id: str) -> Any:
        return answer(studio.job(job_id)) if job_id else gr.skip()

    @guarded
    def show(job_id: str, event: gr.EventData) -> Any:
        result = SearchResult.model_validate(studio.job(job_id).result["results"][0])
        index = viewer.page_number(int(event._data["index"]) + 1) - 1
        if index >= len(result.hits):
            raise InputError("bad_hit", "This hit is gone.", "Search again.")
        hit = result.hits[index]
        where = f"{hit.book} · {markup.pages({'page': hit.page, 'label': hit.label})} · score {hit.score:.2f}"
        spread = viewer.spread(
            studio,
            book_id=hit.passage.book_id,
            page=hit.page,
            heading=hit.passage.section or hit.book,
            words=hit.passage.text,
            marked=[quote.text for quote in hit.quotes],
            where=where,
        )
        return spread, books.hits(result, index)

    gr.on(
        [box.go.click, box.query.submit],
        search,
        box.query,
        outputs,
        show_progress="minimal",
        api_visibility="private",
        concurrency_limit=4,
    )
    pulse.tick(follow, searching, outputs, trigger_mode="once", **QUIET)
    box.answers.click(show, box.job, [detail, box.answers], show_progress="hidden", api_visibility="private")
