"""What the library gives out: passages of a book, and evidence found in them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Passage(BaseModel):
    """A run of whole sentences from one section of one book.

    `page` and `page_last` count the PDF's pages from 1; the labels are the numbers printed on them.
    Ids are stable: the same file ingested twice gives the same ids. A rejected passage keeps its
    id, pages, reason and full text.
    """

    model_config = ConfigDict(defer_build=True, frozen=True)

    id: str
    book_id: str
    ordinal: int = Field(description="Position in the book, over kept and rejected passages alike.")
    page: int
    page_last: int
    label: str
    label_last: str
    section: str = Field(description='Section path, outermost first, joined by " > "; empty if the book has none.')
    text: str
    words: int
    start_word: int = Field(0, description="Offset of the first word among all words of the book's text.")
    kind: str = "prose"
    state: str = "kept"
    reason: str = ""
    content_hash: str
    breaks: list[int] = Field(
        default_factory=list, description="Offsets in `text` at which the pages after the first begin, one a page."
    )

    def page_at(self, offset: int) -> int:
        """The page on which the character at `offset` of `text` stands."""
        return self.page + sum(1 for start in self.breaks if start <= offset)


class Quote(BaseModel):
    """One whole sentence of a passage that answers a query."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    text: str
    page: int
    label: str
    passage_id: str
    score: float


class Evidence(BaseModel):
    """A passage found for a query, with the sentences to use and the page they stand on."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    passage: Passage
    book: str = Field(description="Title of the book.")
    page: int = Field(description="Page of the best sentence.")
    label: str
    score: float = Field(description="Cosine similarity of query and passage, -1 to 1.")
    quotes: list[Quote] = Field(default_factory=list)
    sentences: list[Quote] = Field(
        default_factory=list,
        exclude=True,
        repr=False,
        description="Every sentence that can be quoted, in order, each scored against the query. Not stored.",
    )


class Outcome(StrEnum):
    """How a search ended. No result is silently empty."""

    found = "found"
    weak = "weak"
    nothing_relevant = "nothing_relevant"
    no_book = "no_book"
    index_missing = "index_missing"


class SearchResult(BaseModel):
    """Hits, best first, and how the search ended."""

    query: str
    outcome: Outcome
    hits: list[Evidence] = Field(default_factory=list)
    message: str = ""
