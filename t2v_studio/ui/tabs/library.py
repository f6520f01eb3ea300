"""Books: add, look through, search, check, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError, StudioError
from t2v_studio.jobs.model import Job
from t2v_studio.library.passages import SearchResult
from t2v_studio.studio import Studio
from t2v_studio.ui import markup, uploads
from t2v_studio.ui.components import books, job_card, viewer
from t2v_studio.ui.notices import guarded, warn
from t2v_studio.ui.page import QUIET, Page, busy, settle
from t2v_studio.workspace import SHIPPED, new_id

NAME, LABEL, ORDER = "library", "Library", 10
PER_PAGE = 50
ALL_REASONS = "all reasons"


def sample_book() -> Path | None:
    """The course notes that ship with the program, if they are there."""
    found = sorted((SHIPPED / "sample").glob("*.pdf"))
    return found[0] if found else None


def build(page: Page) -> None:
    studio = page.studio
    chosen, following, searching = gr.State(""), gr.State([]), gr.State("")
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=280):
            drop = gr.File(
                label="Add books: drop PDF, TXT or MD files",
                file_count="multiple",
                file_types=list(uploads.SUFFIXES),
                type="filepath",
                height=165,
                elem_id="drop",
            )
            adding = gr.HTML("", elem_id="adding", apply_default_css=False)
            with gr.Accordion("Options for the next book", open=False):
                password = gr.Textbox(
                    label="Password of the PDF",
                    type="password",
                    placeholder="Only for encrypted files",
                    elem_id="password",
                )
                with gr.Row():
                    least = gr.Number(
                        value=studio.settings.min_words,
                        label="Fewest words",
                        minimum=5,
                        maximum=400,
                        precision=0,
                        min_width=110,
                    )
                    most = gr.Number(
                        value=studio.settings.max_words,
                        label="Most words",
                        minimum=20,
                        maximum=1000,
                        precision=0,
                        min_width=110,
                    )
                keep_rejected = gr.Checkbox(value=True, label="Keep the text of rejected passages")
        with gr.Column(scale=7, min_width=300):
            shelf = gr.HTML(
                books.no_books(sample_book() is not None),
                js_on_load=markup.CLICKS,
                elem_id="books",
                apply_default_css=False,
            )
    with gr.Row(equal_height=False, elem_classes="t2-section"):
        with gr.Column(scale=6, min_width=300), gr.Tabs(elem_id="library-views") as views:
            with gr.Tab("Search", id="search"):
                handles = _search_box(page)
            with gr.Tab("Passages", id="passages"):
                browse = _passages_box()
            with gr.Tab("About the book", id="about"):
                facts = _about_box()
        with gr.Column(scale=6, min_width=300):
            detail = gr.HTML(_no_detail(), elem_id="passage-detail", apply_default_css=False)

    _wire_adding(page, drop, [password, least, most, keep_rejected], adding, shelf, chosen, following)
    _wire_search(page, handles, searching, detail)
    _wire_book(page, shelf, chosen, views, browse, facts, detail, following)


def _no_detail() -> str:
    return markup.empty(
        "The page beside the words", "Choose a hit or a passage: it is shown here in full, with a picture of its page."
    )


def _search_box(page: Page) -> dict[str, Any]:
    with gr.Row(equal_height=False, elem_id="search-row"):
        query = gr.Textbox(
            show_label=True,
            label="Search in all books",
            placeholder="Why does a large learning rate diverge?",
            scale=5,
            min_width=180,
            elem_id="search-query",
            max_length=300,
        )
        go = gr.Button("Search", variant="primary", scale=1, min_width=90, elem_id="search-go")
    answers = gr.HTML("", js_on_load=markup.CLICKS, elem_id="hits", apply_default_css=False)
    return {"query": query, "go": go, "answers": answers, "job": gr.State("")}


def _passages_box() -> dict[str, Any]:
    with gr.Row(equal_height=True):
        state = gr.Radio(
            [("Kept", "kept"), ("Rejected", "rejected")],
            value="kept",
            label="Show",
            min_width=150,
            elem_id="passage-state",
        )
        reason = gr.Dropdown(
            [ALL_REASONS],
            value=ALL_REASONS,
            label="Reason of rejection",
            interactive=False,
            min_width=170,
            elem_id="passage-reason",
        )
    table = gr.HTML(
        markup.empty("No book chosen", "Choose a book in the table above."),
        js_on_load=markup.CLICKS,
        elem_id="passages",
        apply_default_css=False,
    )
    with gr.Row(equal_height=True):
        back = gr.Button("Earlier", size="sm", min_width=80, interactive=False)
        place = gr.HTML("", elem_id="passages-place", apply_default_css=False)
        more = gr.Button("Later", size="sm", min_width=80, interactive=False)
    return {
        "state": state,
        "reason": reason,
        "table": table,
        "back": back,
        "place": place,
        "more": more,
        "offset": gr.State(0),
        "passage": gr.State(""),
    }


def _about_box() -> dict[str, Any]:
    words = gr.HTML(
        markup.empty("No book chosen", "Choose a book in the table above."),
        elem_id="about-book",
        apply_default_css=False,
    )
    with gr.Row():
        measure = gr.Button("Measure search", size="sm", interactive=False, min_width=110, elem_id="measure")
        export = gr.Button("Export passages", size="sm", interactive=False, min_width=110, elem_id="export")
        remove = gr.Button("Remove the book", size="sm", interactive=False, min_width=110, elem_id="remove")
    files = gr.File(label="Exported files", visible=False, interactive=False, elem_id="exported")
    with gr.Row(visible=False) as sure:
        gr.HTML(
            markup.notice(
                "Remove this book and all its passages?",
                "Videos made from it keep their quotes. This cannot be undone.",
            ),
            apply_default_css=False,
        )
        yes = gr.Button("Yes, remove it", variant="stop", size="sm", min_width=110, elem_id="remove-yes")
        no = gr.Button("Keep it", size="sm", min_width=110, elem_id="remove-no")
    return {
        "words": words,
        "measure": measure,
        "export": export,
        "remove": remove,
        "files": files,
        "sure": sure,
        "yes": yes,
        "no": no,
    }


def _submit(studio: Studio, paths: list[str], options: list[Any]) -> list[str]:
    """Queue each dropped file; one that is refused does not stop the others. Ids of the jobs."""
    secret, least, most, rejected = options
    if least and most and least > most:
        raise InputError("bad_words", "Fewest words is larger than most words.", "Lower the one or raise the other.")
    jobs = []
    for dropped in paths:
        try:
            path = uploads.kept(studio, dropped)
            job = studio.submit_book(
                path,
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


def _adding_line(jobs: list[Job]) -> str:
    """Progress beside the drop zone; a failure stays there until the next drop."""
    lines = [
        f'<div class="t2-hit"><header><b>{markup.text(job.title)}</b></header>{job_card.progress(job)}{job_card.failure(job)}</div>'
        for job in jobs
        if not job.ended or job.state in ("failed", "lost")
    ]
    return f'<div class="t2-list">{"".join(lines)}</div>' if lines else ""


def _wire_adding(
    page: Page,
    drop: gr.File,
    options: list[Any],
    adding: gr.HTML,
    shelf: gr.HTML,
    chosen: gr.State,
    following: gr.State,
) -> None:
    studio = page.studio
    seen = gr.State("")

    def shelf_view(book: str) -> str:
        rows = studio.books()
        return books.books_table(rows, book) if rows else books.no_books(sample_book() is not None)

    @guarded
    def dropped(paths: list[str] | None, secret: str, least: Any, most: Any, rejected: bool, before: list[str]) -> Any:
        jobs = _submit(studio, paths or [], [secret, least, most, rejected])
        return None, "", [*jobs, *before][:6], busy(), "", _adding_line([studio.job(name) for name in jobs])

    @guarded
    def follow(names: list[str], book: str, before: str) -> Any:
        line = _adding_line([studio.job(name) for name in names])
        view = shelf_view(book)
        now = f"{line}\n{view}"
        if now == before:
            return gr.skip()
        return line, view, now

    @guarded
    def opened(book: str) -> Any:
        names = [job.id for job in studio.jobs(active=True) if job.lane == "library" and job.kind == "ingest"]
        line = _adding_line([studio.job(name) for name in names])
        view = shelf_view(book)
        return line, view, f"{line}\n{view}", names

    drop.upload(
        dropped,
        [drop, *options, following],
        [drop, options[0], following, page.timer, page.rows, adding],
        show_progress="hidden",
        api_visibility="private",
    )
    page.rows.change(follow, [following, chosen, seen], [adding, shelf, seen], trigger_mode="once", **QUIET)
    page.on_load(opened, chosen, [adding, shelf, seen, following])


def _wire_search(page: Page, box: dict[str, Any], searching: gr.State, detail: gr.HTML) -> None:
    studio = page.studio
    pulse = gr.Timer(0.7, active=False)
    outputs = [box["answers"], searching, box["job"], pulse]

    def answer(job: Job) -> tuple[Any, str, str, Any]:
        if not job.ended:
            waiting = f'<div class="t2-hit">{markup.bar(0, 0, "Searching")}<p class="t2-stage">Searching. The first search also loads the language model.</p></div>'
            return waiting, job.id, job.id, gr.Timer(active=True)
        if job.state != "succeeded":
            return (
                job_card.failure(job) or markup.notice("The search was cancelled.", kind="warn"),
                "",
                "",
                gr.Timer(active=False),
            )
        return books.hits(SearchResult.model_validate(job.result["results"][0])), "", job.id, gr.Timer(active=False)

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
        hits = SearchResult.model_validate(studio.job(job_id).result["results"][0]).hits
        index = viewer.page_number(int(event._data["index"]) + 1) - 1
        if index >= len(hits):
            raise InputError("bad_hit", "This hit is gone.", "Search again.")
        hit = hits[index]
        where = f"{hit.book} · {markup.pages({'page': hit.page, 'label': hit.label})}"
        return viewer.spread(
            studio,
            book_id=hit.passage.book_id,
            page=hit.page,
            heading=hit.passage.section or hit.book,
            words=hit.passage.text,
            where=where,
        )

    gr.on(
        [box["go"].click, box["query"].submit],
        search,
        box["query"],
        outputs,
        show_progress="minimal",
        api_visibility="private",
        concurrency_limit=4,
    )
    pulse.tick(follow, searching, outputs, trigger_mode="once", **QUIET)
    box["answers"].click(show, box["job"], detail, show_progress="minimal", api_visibility="private")


def _wire_book(
    page: Page,
    shelf: gr.HTML,
    chosen: gr.State,
    views: gr.Tabs,
    box: dict[str, Any],
    facts: dict[str, Any],
    detail: gr.HTML,
    following: gr.State,
) -> None:
    studio = page.studio
    listed = [box["table"], box["place"], box["back"], box["more"], box["offset"], box["reason"]]
    actions = [facts["words"], facts["measure"], facts["export"], facts["remove"], facts["files"], facts["sure"]]

    def page_of(book: str, state: str, reason: str, offset: int, passage: str) -> tuple[Any, ...]:
        row = studio.book(book)
        why = "" if reason == ALL_REASONS or state == "kept" else reason
        found = studio.passages(book, state=state, reason=why, offset=offset, limit=PER_PAGE + 1)
        there, more = found[:PER_PAGE], len(found) > PER_PAGE
        line = (
            f'<p class="t2-muted" style="text-align:center">{offset + 1:,}–{offset + len(there):,}</p>' if there else ""
        )
        reasons = gr.Dropdown(
            [ALL_REASONS, *sorted(row.get("reasons") or {})], value=reason, interactive=state == "rejected"
        )
        return (
            books.passages_table(there, passage),
            line,
            gr.Button(interactive=offset > 0),
            gr.Button(interactive=more),
            offset,
            reasons,
        )

    def about(book: str) -> tuple[Any, ...]:
        on = gr.Button(interactive=True)
        return books.about(studio.book(book)), on, on, on, gr.File(value=None, visible=False), gr.Row(visible=False)

    @guarded
    def choose(state: str, reason: str, event: gr.EventData) -> Any:
        sent = event._data or {}
        if sent.get("act") == "sample":
            sample = sample_book()
            if sample is None:
                raise InputError("no_sample", "The sample book is not there.", "Drop a PDF of your own.")
            return (gr.skip(),) * (len(listed) + len(actions) + 4) + ([studio.submit_book(sample).id], busy())
        return show_book(str(sent.get("book", "")), state)

    def show_book(book: str, state: str) -> tuple[Any, ...]:
        rows = studio.books()
        return (
            *page_of(book, state, ALL_REASONS, 0, ""), *about(book), book, books.books_table(rows, book), gr.Tabs(selected="passages"), "",
            gr.skip(), gr.skip(),
        )  # fmt: skip

    everything = [*listed, *actions, chosen, shelf, views, box["passage"], following, page.timer]
    shelf.click(choose, [box["state"], box["reason"]], everything, show_progress="minimal", api_visibility="private")

    @guarded
    def open_book(what: dict[str, Any] | None, state: str) -> Any:
        return show_book(what["id"], state) if what and what["kind"] == "book" else gr.skip()

    page.opened.change(open_book, [page.opened, box["state"]], everything, **QUIET)

    def turn(by: int) -> Any:
        @guarded
        def turned(book: str, state: str, reason: str, offset: int, passage: str) -> Any:
            return page_of(book, state, reason, max(0, offset + by) if by else 0, passage) if book else gr.skip()

        return turned

    inputs = [chosen, box["state"], box["reason"], box["offset"], box["passage"]]
    gr.on([box["state"].input, box["reason"].input], turn(0), inputs, listed, **QUIET)
    box["back"].click(turn(-PER_PAGE), inputs, listed, **QUIET)
    box["more"].click(turn(PER_PAGE), inputs, listed, **QUIET)

    @guarded
    def show_passage(book: str, state: str, reason: str, offset: int, event: gr.EventData) -> Any:
        name = str((event._data or {}).get("passage", ""))
        why = "" if reason == ALL_REASONS or state == "kept" else reason
        found = studio.passages(book, state=state, reason=why, offset=offset, limit=PER_PAGE)
        one = next((one for one in found if one.id == name), None)
        if one is None:
            raise InputError("unknown_passage", "This passage is no longer in the list.", "Choose it again.")
        where = " · ".join(
            part
            for part in (
                markup.pages({"page": one.page, "page_last": one.page_last, "label": one.label}),
                markup.plural(one.words, "word"),
                f"rejected: {one.reason.replace('_', ' ')}" if one.reason else "",
            )
            if part
        )
        text = viewer.spread(
            studio,
            book_id=one.book_id,
            page=one.page,
            heading=one.section or studio.book(book)["title"],
            words=one.text,
            where=where,
        )
        return text, name, books.passages_table(found, name)

    box["table"].click(
        show_passage,
        [chosen, box["state"], box["reason"], box["offset"]],
        [detail, box["passage"], box["table"]],
        show_progress="minimal",
        api_visibility="private",
    )
    _wire_actions(page, chosen, facts, detail, actions, about)


def _wire_actions(
    page: Page, chosen: gr.State, facts: dict[str, Any], detail: gr.HTML, actions: list[Any], about: Any
) -> None:
    studio = page.studio
    measuring = gr.State("")

    @guarded
    def measure(book: str) -> Any:
        job = studio.submit_evaluation(book)
        gr.Info("Measuring search on this book. Its progress stands in the jobs drawer.")
        return job.id, busy()

    @guarded
    def measured(job_id: str, book: str) -> Any:
        if not job_id or not studio.job(job_id).ended:
            return gr.skip()
        return (*about(book), "")

    @guarded
    def export(book: str) -> Any:
        folder = studio.workspace.cache / "web" / "export" / new_id("export")
        folder.mkdir(parents=True, exist_ok=True)
        return gr.File(value=[str(path) for path in studio.export_book(book, folder)], visible=True)

    @guarded
    def remove(book: str) -> Any:
        studio.submit_removal(book)
        gone = markup.empty("No book chosen", "Choose a book in the table above.")
        off = gr.Button(interactive=False)
        return gone, off, off, off, gr.File(value=None, visible=False), gr.Row(visible=False), "", _no_detail(), busy()

    facts["measure"].click(measure, chosen, [measuring, page.timer], **QUIET)
    page.rows.change(measured, [measuring, chosen], [*actions, measuring], trigger_mode="once", **QUIET)
    facts["export"].click(export, chosen, facts["files"], show_progress="minimal", api_visibility="private")
    facts["remove"].click(lambda: gr.Row(visible=True), None, facts["sure"], **QUIET)
    facts["no"].click(lambda: gr.Row(visible=False), None, facts["sure"], **QUIET)
    facts["yes"].click(remove, chosen, [*actions, chosen, detail, page.timer], **QUIET)
