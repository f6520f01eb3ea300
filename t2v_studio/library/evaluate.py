"""How well a book is found: measured with its own back-of-book index and its own headings.

Neither was made for this purpose, so nobody could tune for it: an index names, for a term, the pages that the author
thinks worth turning to; a heading names the pages below it. Headings are asked for with the section paths left out of
what is searched, else the answer would stand in the text. Index terms are short and favour the word search: a screening
test, not a proof.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2v_studio.library import store
from t2v_studio.library.build import passage_of
from t2v_studio.library.embedder import Embedder
from t2v_studio.library.index import VectorIndex, index_missing
from t2v_studio.library.lexical import LexicalIndex
from t2v_studio.library.metrics import DEPTH, summary
from t2v_studio.library.passages import Passage
from t2v_studio.library.retrieve import WORD_WEIGHT, searched_text
from t2v_studio.workspace import Workspace

FEWEST_QUERIES = 5
FEWEST_TERM_WORDS = 2
"""One-word terms are left out: "plot" has as many pages as the index gives it, and hundreds that mention it."""
RRF_K = 60

_RUNNING_HEAD = re.compile(r"^(?:\d+\s+)?(?:index|sachverzeichnis|register)(?:\s+\d+)?$", re.IGNORECASE)
Query = tuple[str, list[int]]
_ENTRY = re.compile(r"^(?P<term>.*?[^\d\s,.;–-].*?)[,.]?\s+(?P<labels>\d+(?:\s*[,–-]\s*\d+)*)[.,]?$")


@dataclass(frozen=True)
class _Arrays:
    """A book's stored vectors as matrices, and its passages in their order."""

    passages: Sequence[Passage]
    whole: np.ndarray
    windows: np.ndarray
    owner: np.ndarray
    words: LexicalIndex
    words_bare: LexicalIndex


def evaluate_book(
    book_id: str,
    *,
    workspace: Workspace,
    index: VectorIndex,
    embedder: Embedder,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Figures of dense search, word search, rank fusion and the shipped fusion on both kinds of query.

    Keys: book, title, passages, index_terms, outline; the latter two hold `available`, `message` and, where available,
    queries and figures (system -> hit@5, mrr@10, recall@10, ndcg@10, each mean and 95 % interval). `shuffled` among the
    systems is the shipped ranking with its passages' pages dealt anew: what chance gives.
    Raises NotFoundError on an unknown book or a missing index; `report(done, total)` may raise CancelledError.
    """
    book = store.book(workspace, book_id)
    if book.collection not in index.collections():
        raise index_missing(book.collection)
    labels = {str(page["label"]): int(page["number"]) for page in reversed(store.pages(workspace, book_id))}
    lines = [one.text for one in store.passages(workspace, book_id, state="", reason="index", limit=None)]
    passages = store.passages(workspace, book_id, state="kept", limit=None)
    terms = index_terms(lines, labels)
    headings = heading_queries(passages)
    total = len(terms) + len(headings)
    arrays = _arrays(index, book.collection, passages) if passages else None
    done = 0

    def measured(queries: list[Query], bare: bool, lacking: str) -> dict[str, Any]:
        nonlocal done
        if arrays is None or len(queries) < FEWEST_QUERIES:
            return {"available": False, "queries": len(queries), "message": lacking}
        rankings: dict[str, list[tuple[list[int], list[int]]]] = {}
        for text, pages in queries:
            vector = embedder.encode_query(text)
            for system, ranking in _rankings(arrays, text, vector, bare).items():
                rankings.setdefault(system, []).append((ranking, pages))
            done += 1
            if report:
                report(done, total)
        figures = {system: summary(pairs) for system, pairs in rankings.items()}
        return {"available": True, "queries": len(queries), "message": "", "figures": figures}

    return {
        "book": book_id,
        "title": book.title,
        "passages": len(passages),
        "index_terms": measured(
            terms, False, "This book has no back-of-book index that could be read; see the headings."
        ),
        "outline": measured(headings, True, "This book has too few headings to ask for."),
    }


def index_terms(texts: Sequence[str], labels: Mapping[str, int]) -> list[Query]:
    """Terms of a back-of-book index with the PDF pages that their printed numbers name.

    An entry ends in page numbers and may be broken over lines; ranges are filled. Entries whose numbers are no labels
    of the book, and terms of one word, are left out.
    """
    found: dict[str, set[int]] = {}
    pending = ""
    for line in "\n".join(texts).split("\n"):
        line = " ".join(line.split())
        if len(line) < 2 or _RUNNING_HEAD.match(line):
            continue
        pending = f"{pending} {line}".strip()
        match = _ENTRY.match(pending)
        if pending.endswith((",", "–", "-")) or match is None:
            if len(pending) > 120:
                pending = ""
            continue
        pending = ""
        pages = {labels[number] for number in _numbers(match["labels"]) if number in labels}
        term = match["term"].strip(" ,.;")
        if pages and len(term.split()) >= FEWEST_TERM_WORDS:
            found.setdefault(term, set()).update(pages)
    return [(term, sorted(pages)) for term, pages in found.items()]


def heading_queries(passages: Sequence[Passage]) -> list[Query]:
    """Headings of two words and more with the pages of the passages right below them."""
    pages: dict[str, set[int]] = {}
    for passage in passages:
        if passage.section:
            pages.setdefault(passage.section, set()).update(range(passage.page, passage.page_last + 1))
    queries: dict[str, set[int]] = {}
    for section, numbers in pages.items():
        title = re.sub(r"^(?:[A-Z]?\d+(?:\.\d+)*|[A-Z])[.\s]\s*", "", section.rsplit(" > ", 1)[-1]).strip()
        if len(title.split()) >= FEWEST_TERM_WORDS:
            # a title that occurs in several chapters ("Problem solving") is answered by any of them
            queries.setdefault(title, set()).update(numbers)
    return [(title, sorted(numbers)) for title, numbers in queries.items()]


def page_ranking(order: Sequence[int], passages: Sequence[Passage], depth: int = DEPTH) -> list[int]:
    """Distinct pages in the order in which the ranked passages bring them."""
    pages: dict[int, None] = {}
    for place in order:
        pages.update(dict.fromkeys(range(passages[place].page, passages[place].page_last + 1)))
        if len(pages) >= depth:
            break
    return list(pages)[:depth]


def _numbers(text: str) -> list[str]:
    numbers: list[str] = []
    for part in re.split(r"\s*,\s*", text):
        ends = [int(one) for one in re.findall(r"\d+", part)]
        if len(ends) == 2 and 0 < ends[1] - ends[0] < 100:
            numbers += [str(one) for one in range(ends[0], ends[1] + 1)]
        else:
            numbers += [str(one) for one in ends]
    return numbers


def _arrays(index: VectorIndex, collection: str, passages: Sequence[Passage]) -> _Arrays:
    place = {passage.id: number for number, passage in enumerate(passages)}
    entries = [entry for entry in index.get(collection) if passage_of(entry.id) in place]
    whole: Any = [None] * len(passages)
    windows, owner = [], []
    for entry in entries:
        number = place[passage_of(entry.id)]
        if entry.id == passages[number].id:
            whole[number] = entry.embedding
        else:
            windows.append(entry.embedding)
            owner.append(number)
    if any(vector is None for vector in whole):
        raise index_missing(collection)
    with_windows = set(owner)
    for number, vector in enumerate(whole):
        if number not in with_windows:
            windows.append(vector)
            owner.append(number)
    ids = [str(number) for number in range(len(passages))]
    return _Arrays(
        passages,
        np.stack(whole),
        np.stack(windows),
        np.asarray(owner),
        LexicalIndex(ids, [searched_text(passage) for passage in passages]),
        LexicalIndex(ids, [passage.text for passage in passages]),
    )


def _rankings(arrays: _Arrays, text: str, vector: np.ndarray, bare: bool) -> dict[str, list[int]]:
    """Page rankings of each system; `bare` leaves the section paths out."""
    count = len(arrays.passages)
    best = np.full(count, -1.0)
    np.maximum.at(best, arrays.owner, arrays.windows @ vector)
    dense = best if bare else (best + arrays.whole @ vector) / 2
    words = np.zeros(count)
    for number, score in (arrays.words_bare if bare else arrays.words).query(text, count):
        words[int(number)] = score
    fused = dense + WORD_WEIGHT * words / (words.max() or 1.0)
    ranks = 1.0 / (RRF_K + _ranks(dense)) + np.where(words > 0, 1.0 / (RRF_K + _ranks(words)), 0.0)
    orders = {"dense": dense, "words": words, "rank fusion": ranks, "shipped": fused}
    rankings = {name: page_ranking(_order(scores), arrays.passages) for name, scores in orders.items()}
    dealt = np.random.default_rng(len(text)).permutation(count)
    rankings["shuffled"] = page_ranking([int(dealt[number]) for number in _order(fused)], arrays.passages)
    return rankings


def _order(scores: np.ndarray) -> list[int]:
    return [int(number) for number in np.argsort(-scores, kind="stable")]


def _ranks(scores: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(scores))
    ranks[_order(scores)] = np.arange(1, len(scores) + 1)
    return ranks
