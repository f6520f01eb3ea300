"""Books: add, look through, search, check, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError, StudioError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import markup, uploads
from t2v_studio.ui.components import book_browser, book_search, books, job_card, viewer
from t2v_studio.ui.notices import guarded, warn
from t2v_studio.ui.page import QUIET, Page, busy
from t2v_studio.workspace import SHIPPED

NAME, LABEL, ORDER = "library", "Library", 10
FOLLOWED = 6
PASSWORD_CODES = frozenset({"password_needed", "wrong_password"})
PASSWORD_PLACE = '<p class="t2-stage">Type it under "Options for the next book", then drop the file again.</p>'


def sample_book() -> Path | None:
    """The course notes that ship with the program, if they are there."""
    found = sorted((SHIPPED / "sample").glob("*.pdf"))
    return found[0] if found else None


def shelf_view(studio: Studio, chosen: str) -> str:
    """The table of books, or what to do while there is none."""
    rows = studio.books()
    return books.books_table(rows, chosen) if rows else books.no_books(sample_book() is not None)


def build(page: Page) -> None:
    """Left: adding, the books, and looking through them. Right: the page beside the words."""
    studio = page.studio
    chosen, following = gr.State(""), gr.State([])
    with gr.Row(equal_height=False, elem_id="library"):
        with gr.Column(scale=11, min_width=300, elem_id="library-shelf"):
            drop, options = _drop_zone(studio)
            adding = gr.HTML("", elem_id="adding", apply_default_css=False)
            shelf = gr.HTML(
                markup.OPENING,
                js_on_load=markup.CLICKS,
                elem_id="books",
                apply_default_css=False,
            )
            with gr.Tabs(elem_id="library-views") as views:
                with gr.Tab("Search", id="search"):
                    found = book_search.build()
                with gr.Tab("Passages", id="passages"):
                    browser = book_browser.build()
                with gr.Tab("About the book", id="about"):
                    facts = book_browser.build_about()
        with gr.Column(scale=12, min_width=300, elem_id="library-page"):
            detail = gr.HTML(
                viewer.NOTHING, js_on_load=viewer.DETAIL, elem_id="passage-detail", apply_default_css=False
            )
    wire_adding(page, drop, options, adding, shelf, chosen, following)
    book_search.wire(page, found, detail)
    browsing = book_browser.Browsing(page, shelf, chosen, views, browser, facts, detail)
    browsing.wire(following, submit_sample)


def _drop_zone(studio: Studio) -> tuple[gr.File, list[Any]]:
    drop = gr.File(
        label="Add books: PDF, TXT or MD files",
        show_label=False,
        file_count="multiple",
        file_types=list(uploads.SUFFIXES),
        type="filepath",
        height=70,
        elem_id="drop",
    )
    with gr.Accordion("Options for the next book", open=False, elem_id="drop-options"):
        password = gr.Textbox(
            label="Password of the PDF", type="password", placeholder="Only for encrypted files", elem_id="password"
        )
        with gr.Row():
            low, high = studio.settings.min_words, studio.settings.max_words
            least = gr.Number(low, label="Fewest words", minimum=5, maximum=400, precision=0, min_width=110)
            most = gr.Number(high, label="Most words", minimum=20, maximum=1000, precision=0, min_width=110)
        keep_rejected = gr.Checkbox(value=True, label="Keep the text of rejected passages")
    return drop, [password, least, most, keep_rejected]


def submit_sample(studio: Studio) -> Job:
    """Queue the sample book. Raises InputError where the program came without it."""
    sample = sample_book()
    if sample is None:
        raise InputError("no_sample", "The sample book is not there.", "Drop a PDF of your own.")
    return studio.submit_book(sample)


def submit_books(studio: Studio, paths: list[str], options: list[Any]) -> list[str]:
    """Queue each dropped file; one that is refused does not stop the others. Ids of the jobs."""
    secret, least, most, rejected = options
    if least and most and least > most:
        raise InputError("bad_words", "Fewest words is larger than most words.", "Lower the one or raise the other.")
    jobs = []
    for dropped in paths:
        try:
            job = studio.submit_book(
                uploads.kept(studio, dropped),
                password=secret or "",
                min_words=int(least) if least else None,
                max_words=int(most) if most else None,
                save_rejected=bool(rejected),
            )
        except StudioError as error:
            warn(error)
            continue
        jobs.append(job.id)
    return jobs


def adding_line(jobs: list[Job]) -> str:
    """Progress beside the drop zone; a failure stays there until the next drop."""
    lines = [
        f'<div class="t2-hit"><header><b>{markup.text(job.title)}</b></header>{job_card.progress(job)}{job_card.failure(job)}'
        f"{PASSWORD_PLACE if (job.error or {}).get('code') in PASSWORD_CODES else ''}</div>"
        for job in jobs
        if not job.ended or job.state in ("failed", "lost")
    ]
    return f'<div class="t2-list">{"".join(lines)}</div>' if lines else ""


def wire_adding(
    page: Page,
    drop: gr.File,
    options: list[Any],
    adding: gr.HTML,
    shelf: gr.HTML,
    chosen: gr.State,
    following: gr.State,
) -> None:
    """Dropping files, following their jobs, and the table of books that grows with them."""
    studio = page.studio
    seen = gr.State("")

    def view_of(names: list[str], book: str) -> tuple[str, str, str]:
        jobs = [studio.job(name) for name in names]
        uploads.sweep(studio, jobs)
        line, view = adding_line(jobs), shelf_view(studio, book)
        return line, view, f"{line}\n{view}"

    @guarded
    def dropped(paths: list[str] | None, secret: str, least: Any, most: Any, rejected: bool, book: str) -> Any:
        jobs = submit_books(studio, paths or [], [secret, least, most, rejected])
        running = [job.id for job in studio.jobs(active=True) if job.kind == "ingest" and job.id not in jobs]
        names = [*jobs, *running][:FOLLOWED]
        return None, "", names, busy(), "", *view_of(names, book)

    @guarded
    def follow(names: list[str], book: str, before: str) -> Any:
        view = view_of(names, book)
        return gr.skip() if view[-1] == before else view

    @guarded
    def opened(book: str) -> Any:
        names = [job.id for job in studio.jobs(active=True) if job.kind == "ingest"]
        return *view_of(names, book), names

    shown = [adding, shelf, seen]
    drop.upload(
        dropped,
        [drop, *options, chosen],
        [drop, options[0], following, page.timer, page.rows, *shown],
        show_progress="hidden",
        api_visibility="private",
    )
    page.rows.change(follow, [following, chosen, seen], shown, trigger_mode="once", **QUIET)
    page.on_load(opened, chosen, [*shown, following])
