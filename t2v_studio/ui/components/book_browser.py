"""One book: its passages by page and reason, what was measured on it, its export and its removal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.jobs.model import Job
from t2v_studio.library.passages import Passage
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import books, viewer
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, busy
from t2v_studio.workspace import new_id

PER_PAGE = 50
KEPT, REJECTED = "kept", "rejected"
NO_BOOK = markup.empty("No book chosen", "Choose a book in the table above.")


@dataclass
class Browser:
    """The controls of the passages. `offset` is the first row shown, `passage` the chosen one."""

    state: gr.Dropdown
    number: gr.Textbox
    table: gr.HTML
    offset: gr.State = field(default_factory=lambda: gr.State(0))
    passage: gr.State = field(default_factory=lambda: gr.State(""))


@dataclass
class About:
    """The facts of a book, whose markup carries the buttons, and the files of its export."""

    words: gr.HTML
    files: gr.File
    measuring: gr.State


def build() -> Browser:
    with gr.Row(equal_height=True, elem_id="passage-filter"):
        state = gr.Dropdown(
            [("Kept passages", KEPT), ("Rejected, all reasons", REJECTED)],
            value=KEPT,
            label="Which passages",
            show_label=False,
            container=False,
            filterable=False,
            scale=3,
            min_width=170,
            elem_id="passage-state",
        )
        number = gr.Textbox(
            label="Page",
            show_label=False,
            container=False,
            placeholder="All pages",
            lines=1,
            max_lines=1,
            max_length=6,
            scale=1,
            min_width=110,
            elem_id="passage-page",
        )
    table = gr.HTML(NO_BOOK, js_on_load=markup.CLICKS, elem_id="passages", apply_default_css=False)
    return Browser(state, number, table)


def build_about() -> About:
    words = gr.HTML(NO_BOOK, js_on_load=markup.CLICKS, elem_id="about-book", apply_default_css=False)
    files = gr.File(label="Exported files", show_label=False, visible=False, interactive=False, elem_id="exported")
    return About(words, files, gr.State(""))


def state_choices(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Kept, rejected, and each reason of rejection, with their counts."""
    reasons = sorted((row.get("reasons") or {}).items(), key=lambda pair: -pair[1])
    return [
        (f"Kept passages ({row.get('kept', 0):,})", KEPT),
        (f"Rejected, all reasons ({row.get('rejected', 0):,})", REJECTED),
        *((f"Rejected: {books.reason_words(name)} ({count:,})", f"{REJECTED}:{name}") for name, count in reasons),
    ]


class Browsing:
    """The way through one book, from its row in the table to a page and back."""

    def __init__(self, page: Page, shelf: gr.HTML, chosen: gr.State, views: gr.Tabs, browser: Browser, about: About,
                 detail: gr.HTML) -> None:  # fmt: skip
        self.page, self.studio = page, page.studio
        self.shelf, self.chosen, self.views = shelf, chosen, views
        self.browser, self.about, self.detail = browser, about, detail
        self.listed = [browser.table, browser.offset]
        self.facts = [about.words, about.files]

    def found(self, book: str, state: str, number: Any, offset: int) -> list[Passage]:
        """The passages of one table page, and one more if there are more."""
        state, _, reason = state.partition(":")
        page = viewer.page_number(number) if str(number or "").strip() else None
        return self.studio.passages(
            book, state=state, reason=reason, page=page, offset=max(0, int(offset)), limit=PER_PAGE + 1
        )

    def listing(self, book: str, state: str, number: Any, offset: int, passage: str) -> tuple[Any, ...]:
        """Values of `listed`."""
        there = self.found(book, state, number, offset)
        return books.passages_table(there[:PER_PAGE], passage, offset, more=len(there) > PER_PAGE), offset

    def facts_of(self, book: str, sure: bool = False) -> tuple[Any, ...]:
        """Values of `facts`."""
        return books.about(self.studio.book(book), sure), gr.File(value=None, visible=False)

    def show_book(self, book: str, state: str = KEPT) -> tuple[Any, ...]:
        """Values for everything that follows the chosen book."""
        row = self.studio.book(book)
        return (
            *self.listing(book, state, None, 0, ""), *self.facts_of(book), book, books.books_table(self.studio.books(), book),
            gr.Tabs(selected="passages"), gr.Dropdown(state_choices(row), value=state), "", "",
        )  # fmt: skip

    # --- listeners ---------------------------------------------------------------------------
    def wire(self, following: gr.State, submit_sample: Callable[[Studio], Job]) -> None:
        self._wire_choosing(following, submit_sample)
        self._wire_passages()
        self._wire_actions()

    def _wire_choosing(self, following: gr.State, submit_sample: Callable[[Studio], Job]) -> None:
        box = self.browser
        everything = [
            *self.listed,
            *self.facts,
            self.chosen,
            self.shelf,
            self.views,
            box.state,
            box.number,
            box.passage,
        ]

        @guarded
        def choose(event: gr.EventData) -> Any:
            sent = event._data or {}
            if sent.get("act") == "sample":
                job = submit_sample(self.studio)
                return *[gr.skip()] * len(everything), [job.id], busy(), ""
            return *self.show_book(str(sent.get("book", ""))), gr.skip(), gr.skip(), gr.skip()

        @guarded
        def open_book(what: dict[str, Any] | None) -> Any:
            return self.show_book(what["id"]) if what and what["kind"] == "book" else gr.skip()

        self.shelf.click(
            choose, None, [*everything, following, self.page.timer, self.page.rows],
            show_progress="hidden", api_visibility="private",
        )  # fmt: skip
        self.page.opened.change(open_book, self.page.opened, everything, **QUIET)

    def _wire_passages(self) -> None:
        box = self.browser
        inputs = [self.chosen, box.state, box.number]

        @guarded
        def narrowed(book: str, state: str, number: Any) -> Any:
            return self.listing(book, state, number, 0, "") if book else gr.skip()

        @guarded
        def act(book: str, state: str, number: Any, offset: int, event: gr.EventData) -> Any:
            sent = event._data or {}
            if sent.get("act") == "turn":
                step = PER_PAGE if sent.get("by") == "later" else -PER_PAGE
                return *self.listing(book, state, number, max(0, offset + step), ""), "", gr.skip()
            one = next((one for one in self.found(book, state, number, offset) if one.id == sent.get("passage")), None)
            if one is None:
                raise InputError("unknown_passage", "This passage is no longer in the list.", "Choose it again.")
            return *self.listing(book, state, number, offset, one.id), one.id, self.spread(one)

        gr.on(
            [box.state.input, box.number.submit, box.number.blur],
            narrowed,
            inputs,
            self.listed,
            trigger_mode="always_last",
            **QUIET,
        )
        box.table.click(
            act, [*inputs, box.offset], [*self.listed, box.passage, self.detail],
            show_progress="hidden", api_visibility="private",
        )  # fmt: skip

    def spread(self, one: Passage) -> str:
        """A passage beside its page."""
        parts = [markup.pages(one.model_dump()), markup.plural(one.words, "word"),
                 f"rejected: {books.reason_words(one.reason)}" if one.reason else ""]  # fmt: skip
        return viewer.spread(
            self.studio,
            book_id=one.book_id,
            page=one.page,
            heading=one.section or self.studio.book(one.book_id)["title"],
            words=one.text,
            where=" · ".join(part for part in parts if part),
        )

    def _wire_actions(self) -> None:
        about = self.about
        outputs = [*self.facts, self.chosen, self.detail, about.measuring, self.page.timer, self.page.rows]

        def answer(**changed: Any) -> tuple[Any, ...]:
            names = ("words", "files", "chosen", "detail", "measuring", "timer", "rows")
            return tuple(changed.get(name, gr.skip()) for name in names)

        @guarded
        def act(book: str, event: gr.EventData) -> Any:
            wanted = (event._data or {}).get("act")
            if wanted == "measure":
                job = self.studio.submit_evaluation(book)
                return answer(
                    words=books.about(self.studio.book(book), measuring=True), measuring=job.id, timer=busy(), rows=""
                )
            if wanted == "export":
                folder = self.studio.workspace.cache / "web" / "export" / new_id("export")
                folder.mkdir(parents=True, exist_ok=True)
                written = [str(path) for path in self.studio.export_book(book, folder)]
                return answer(files=gr.File(value=written, visible=True))
            if wanted in ("remove", "keep"):
                return answer(words=books.about(self.studio.book(book), sure=wanted == "remove"))
            if wanted == "remove-now":
                self.studio.submit_removal(book)
                gone = gr.File(value=None, visible=False)
                return answer(words=NO_BOOK, files=gone, chosen="", detail=viewer.NOTHING, timer=busy(), rows="")
            return gr.skip()

        @guarded
        def measured(job_id: str, book: str) -> Any:
            if not job_id or not self.studio.job(job_id).ended:
                return gr.skip()
            return *(self.facts_of(book) if book else (gr.skip(), gr.skip())), ""

        about.words.click(act, self.chosen, outputs, show_progress="hidden", api_visibility="private")
        self.page.rows.change(
            measured, [about.measuring, self.chosen], [*self.facts, about.measuring], trigger_mode="once", **QUIET
        )
