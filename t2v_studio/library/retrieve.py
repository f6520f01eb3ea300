"""Passages of one or several books for a query: vectors and words, fused, floored and made diverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from t2v_studio.library.build import passage_of, vector_texts, with_section
from t2v_studio.library.index import VectorIndex
from t2v_studio.library.lexical import LexicalIndex
from t2v_studio.library.passages import Passage

WORD_WEIGHT = 0.3
"""What the best word match is worth beside a cosine; the others in proportion to their BM25 score."""
VECTORS_PER_PASSAGE = 4
"""Windows asked for beyond the number of passages wanted: neighbours of one passage often come together."""
MMR_LAMBDA = 0.9
"""0.7 cost five points of hit@5 on paraphrased questions, 0.9 at most one and a half."""
NEAR_COPY = 0.95
"""Passages this close (another edition, a summary that repeats) say the same; the second one waits behind all others."""


@dataclass(frozen=True)
class BookIndex:
    """What is searched of one book."""

    book_id: str
    title: str
    collection: str
    passages: Mapping[str, Passage]
    words: LexicalIndex
    vector_ids: dict[str, list[str]] = field(default_factory=dict)
    """Per passage asked for so far, the ids of its vectors: finding its windows again costs more than the search."""


@dataclass(frozen=True)
class Candidate:
    """A passage with its scores: cosine (mean of the whole's and its best window's), words (0 to 1), and their sum."""

    passage: Passage
    book: str
    cosine: float
    words: float
    score: float
    vector: np.ndarray


def candidates(
    books: Sequence[BookIndex], query: str, vector: np.ndarray, index: VectorIndex, *, candidate_k: int
) -> list[Candidate]:
    """Passages that either retriever puts among its first `candidate_k` a book, best first, ties by id.

    The score is cosine + WORD_WEIGHT * BM25 / (the query's best BM25 over all books). Chosen on half of the questions
    of `tests/library/paraphrases`, confirmed on the other half and on the terms of a back-of-book index.
    """
    found: list[tuple[BookIndex, str, float, float, np.ndarray]] = []
    for book in books:
        near = index.query(book.collection, vector, candidate_k * VECTORS_PER_PASSAGE)
        dense = list(dict.fromkeys(passage_of(entry_id) for entry_id, _ in near))[:candidate_k]
        lexical = dict(book.words.query(query, candidate_k))
        wanted = [passage_id for passage_id in dict.fromkeys([*dense, *lexical]) if passage_id in book.passages]
        cosines, wholes = _cosines(index, book, wanted, vector)
        found += [
            (book, item, cosines[item], lexical.get(item, 0.0), wholes[item]) for item in wanted if item in wholes
        ]
    best_words = max((words for *_, words, _ in found), default=0.0) or 1.0
    ranked = [
        Candidate(
            book.passages[item],
            book.title,
            cosine,
            words / best_words,
            cosine + WORD_WEIGHT * words / best_words,
            whole,
        )
        for book, item, cosine, words, whole in found
    ]
    return sorted(ranked, key=lambda one: (-round(one.score, 6), one.passage.id))


def diverse(ranked: Sequence[Candidate], k: int, weight: float = MMR_LAMBDA) -> list[Candidate]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): k passages that answer and do not repeat each other."""
    chosen: list[Candidate] = []
    left = list(ranked)
    nearest = np.full(len(left), 0.0)
    while left and len(chosen) < k:
        gains = [
            weight * one.score - (1 - weight) * close - (close >= NEAR_COPY)
            for one, close in zip(left, nearest, strict=True)
        ]
        place = int(np.argmax(np.round(gains, 6)))
        one = left.pop(place)
        nearest = np.delete(nearest, place)
        chosen.append(one)
        if left:
            nearest = np.maximum(nearest, np.stack([other.vector for other in left]) @ one.vector)
    return chosen


def searched_text(passage: Passage) -> str:
    """What the word search reads of a passage."""
    return with_section(passage.section, passage.text)


def _cosines(
    index: VectorIndex, book: BookIndex, passage_ids: Sequence[str], vector: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Per passage: the mean of the whole's cosine and its best window's, and the whole's vector."""
    for passage_id in passage_ids:
        if passage_id not in book.vector_ids:
            book.vector_ids[passage_id] = [item.id for item in vector_texts(book.passages[passage_id])]
    ids = [vector_id for passage_id in passage_ids for vector_id in book.vector_ids[passage_id]]
    wholes: dict[str, np.ndarray] = {}
    best: dict[str, float] = {}
    for vector_id, embedding in index.vectors(book.collection, ids).items():
        passage_id = passage_of(vector_id)
        if vector_id == passage_id:
            wholes[passage_id] = embedding
        else:
            best[passage_id] = max(best.get(passage_id, -1.0), float(embedding @ vector))
    cosines = {}
    for passage_id, whole in wholes.items():
        cosine = float(whole @ vector)
        cosines[passage_id] = (cosine + best.get(passage_id, cosine)) / 2
    return cosines, wholes
