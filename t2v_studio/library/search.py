"""Search: a question in, passages and whole sentences with their pages out, and a plain word on how it ended."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from t2v_studio.errors import InputError
from t2v_studio.library import store
from t2v_studio.library.embedder import Embedder
from t2v_studio.library.index import VectorIndex
from t2v_studio.library.lexical import LexicalIndex
from t2v_studio.library.passages import Evidence, Outcome, Passage, Quote, SearchResult
from t2v_studio.library.quotes import is_exercise, is_quotable, quality
from t2v_studio.library.retrieve import BookIndex, Candidate, candidates, diverse, searched_text
from t2v_studio.library.sentences import split
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

_LEAD = re.compile(r"^(?:[^\w\s\"“‘(\[]|Ì|\d{1,2}[.)]|[a-z][.)])\s+(?=[A-Z])")
"""A bullet (also in a glyph that its font maps to Ì) or the number of a list's item."""
_RUN_IN = re.compile(r"^[A-Z][\w’'-]*(?: [\w’'()-]+){0,5} [–—] (?=[A-Z]\S* \S+ \S+ \S+)")
"""A term set before the sentence that explains it: "Margin – The margin is …"."""
WEAK_SCORE = 0.28
"""Below this best cosine a result is called weak: no off-topic question of 26 reached it, 94 % of 128 on-topic ones did."""
MOST_QUERY_CHARS = 2000
QUOTES_A_PASSAGE = 3
CACHED_SENTENCES = 4000


@dataclass
class SearchMemory:
    """What the owner of the library keeps between searches: books' passages with their word index, sentence vectors.

    A book's entry is dropped when its row changes, so a re-added book is read anew.
    """

    books: dict[str, tuple[Hashable, BookIndex]] = field(default_factory=dict)
    sentences: dict[str, np.ndarray] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


def search(
    query: str,
    *,
    workspace: Workspace,
    settings: Settings,
    index: VectorIndex,
    embedder: Embedder,
    book_ids: Sequence[str] | None = None,
    k: int | None = None,
    memory: SearchMemory | None = None,
) -> SearchResult:
    """The best passages for a query over the named books (None: all), each with the sentences to use.

    Together the quotes of the hits keep within `settings.rag_max_context_words` words, but each search that finds
    anything quotable gives at least one. Raises InputError on an empty query and NotFoundError on an unknown book.
    """
    query = _checked(query)
    wanted = settings.rag_top_k if k is None else k
    if not 1 <= wanted <= 500:
        raise InputError("bad_k", f"k: {wanted} is not between 1 and 500.", "Ask for 1 to 500 passages.")
    wanted_books = _wanted_books(workspace, book_ids)
    if not wanted_books:
        return SearchResult(
            query=query,
            outcome=Outcome.no_book,
            message="The library holds no book yet. Add one with: t2v library add BOOK.pdf",
        )
    memory = memory or SearchMemory()
    held = set(index.collections())
    present = [book for book in wanted_books if book.collection in held]
    absent = [book.title for book in wanted_books if book.collection not in held]
    if not present:
        return SearchResult(query=query, outcome=Outcome.index_missing, message=_absent_message(absent))
    books = [_book_index(workspace, book, memory) for book in present]
    vector = embedder.encode_query(query)
    found = candidates(books, query, vector, index, candidate_k=max(settings.rag_candidate_k, wanted))
    usable = [one for one in found if _usable(one, settings)]
    note = f" {_absent_message(absent)}" if absent else ""
    if not usable:
        return SearchResult(
            query=query, outcome=Outcome.nothing_relevant, message=_nothing_message(found, settings) + note
        )
    chosen = diverse(usable, wanted)
    hits = _evidence(chosen, vector, embedder, memory, settings)
    best = max(one.cosine for one in chosen)
    if best < WEAK_SCORE:
        message = f"Only weak matches: the best has a cosine of {best:.2f}. The books may not treat this topic."
        return SearchResult(query=query, outcome=Outcome.weak, hits=hits, message=message + note)
    plural = "s" if len(hits) != 1 else ""
    return SearchResult(
        query=query, outcome=Outcome.found, hits=hits, message=f"{len(hits)} passage{plural} found.{note}"
    )


def _checked(query: str) -> str:
    query = " ".join(query.split())
    if not query:
        raise InputError("empty_query", "query: it is empty.", "Type a question or a few words.")
    if len(query) > MOST_QUERY_CHARS:
        raise InputError(
            "long_query",
            f"query: {len(query)} characters are more than {MOST_QUERY_CHARS}.",
            "Ask one question at a time.",
        )
    return query


def _usable(one: Candidate, settings: Settings) -> bool:
    return one.cosine >= settings.rag_min_score and one.passage.words >= settings.rag_min_chunk_words


def _nothing_message(found: Sequence[Candidate], settings: Settings) -> str:
    best = max((one.cosine for one in found), default=None)
    closest = "" if best is None else f" The closest passage has {best:.2f}."
    return f"No passage reaches the minimum score of {settings.rag_min_score:g}.{closest}"


def _absent_message(titles: Sequence[str]) -> str:
    names = ", ".join(f'"{title}"' for title in titles)
    return f"The index of {names} is missing. Add the file again to build it."


def _wanted_books(workspace: Workspace, book_ids: Sequence[str] | None) -> list[store.Book]:
    if book_ids is None:
        return store.books(workspace)
    return [store.book(workspace, book_id) for book_id in dict.fromkeys(book_ids)]


def _book_index(workspace: Workspace, book: store.Book, memory: SearchMemory) -> BookIndex:
    """A book's kept passages and their word index, read anew when its row has changed."""
    key = (book.collection, book.sha256, book.pipeline, book.kept, book.title)
    with memory.lock:
        held = memory.books.get(book.id)
        if held is None or held[0] != key:
            passages = store.passages(workspace, book.id, state="kept", limit=None)
            words = LexicalIndex([one.id for one in passages], [searched_text(one) for one in passages])
            by_id = {one.id: one for one in passages}
            held = (key, BookIndex(book.id, book.title, book.collection, by_id, words))
            memory.books[book.id] = held
        return held[1]


def _evidence(
    chosen: Sequence[Candidate], vector: np.ndarray, embedder: Embedder, memory: SearchMemory, settings: Settings
) -> list[Evidence]:
    """The hits with their quotes: the best sentences over all of them, first come first served within the budget."""
    scored: list[tuple[float, int, int, str]] = []
    offsets: dict[tuple[int, int], int] = {}
    for rank, one in enumerate(chosen):
        sentences = [_RUN_IN.sub("", _LEAD.sub("", sentence)) for sentence in split(one.passage.text)]
        exercise = is_exercise(one.passage.section)
        fit = [place for place, sentence in enumerate(sentences) if not exercise and is_quotable(sentence)]
        vectors = _sentence_vectors([sentences[place] for place in fit], embedder, memory)
        position = 0
        for place, sentence in enumerate(sentences):
            position = max(one.passage.text.find(sentence, position), position)
            offsets[rank, place] = position
        for row, place in enumerate(fit):
            score = float(vectors[row] @ vector) + quality(sentences[place])
            scored.append((score, rank, place, sentences[place]))
    picked = _within_budget(scored, settings.rag_max_context_words, settings.rag_min_score)
    return [_one_evidence(one, rank, picked, scored, offsets) for rank, one in enumerate(chosen)]


def _within_budget(
    scored: list[tuple[float, int, int, str]], budget: int, floor: float
) -> list[tuple[float, int, int, str]]:
    picked: list[tuple[float, int, int, str]] = []
    left = budget
    texts: set[str] = set()
    for item in sorted(scored, key=lambda item: (-round(item[0], 6), item[1], item[2])):
        words = len(item[3].split())
        same_passage = sum(1 for other in picked if other[1] == item[1])
        if (
            (picked and (words > left or item[0] < floor))
            or same_passage >= QUOTES_A_PASSAGE
            or item[3].lower() in texts
        ):
            continue
        picked.append(item)
        texts.add(item[3].lower())
        left -= words
    return picked


def _one_evidence(
    one: Candidate,
    rank: int,
    picked: list[tuple[float, int, int, str]],
    scored: list[tuple[float, int, int, str]],
    offsets: dict[tuple[int, int], int],
) -> Evidence:
    def quoted(items: list[tuple[float, int, int, str]]) -> list[Quote]:
        found = []
        for score, owner, place, sentence in items:
            if owner == rank:
                page, label = _page_of(one.passage, offsets[rank, place])
                found.append(
                    Quote(text=sentence, page=page, label=label, passage_id=one.passage.id, score=round(score, 4))
                )
        return found

    quotes = quoted(picked)
    page, label = (quotes[0].page, quotes[0].label) if quotes else (one.passage.page, one.passage.label)
    return Evidence(
        passage=one.passage,
        book=one.book,
        page=page,
        label=label,
        score=round(one.cosine, 4),
        quotes=quotes,
        sentences=quoted(scored),
    )


def _page_of(passage: Passage, offset: int) -> tuple[int, str]:
    """Page and printed label of the character at `offset` of the passage's text."""
    page = passage.page_at(offset)
    if page == passage.page:
        return page, passage.label
    if page == passage.page_last:
        return page, passage.label_last
    first = passage.label
    return page, str(int(first) + page - passage.page) if first.isdigit() else str(page)


def _sentence_vectors(sentences: Sequence[str], embedder: Embedder, memory: SearchMemory) -> np.ndarray:
    """Vectors of sentences, those of earlier searches from memory."""
    with memory.lock:
        missing = [text for text in dict.fromkeys(sentences) if text not in memory.sentences]
    if missing:
        fresh = embedder.encode_passages(missing)
        with memory.lock:
            if len(memory.sentences) + len(missing) > CACHED_SENTENCES:
                memory.sentences.clear()
            memory.sentences.update(zip(missing, fresh, strict=True))
            return np.stack([memory.sentences.get(text, np.zeros(embedder.dimension)) for text in sentences])
    with memory.lock:
        held = [memory.sentences[text] for text in sentences if text in memory.sentences]
    return np.stack(held) if held else np.zeros((0, embedder.dimension), dtype=np.float32)
