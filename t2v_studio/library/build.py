"""A book's vectors: what is embedded for each passage, and a collection built whole and checked."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from t2v_studio.errors import StudioError
from t2v_studio.library.embedder import Embedder
from t2v_studio.library.index import VectorIndex
from t2v_studio.library.passages import Passage
from t2v_studio.library.sentences import split

WINDOW_WORDS = 70
"""Words of a short window. Neighbouring windows share half of their sentences."""
VECTOR_LAYOUT = f"whole under its section, windows of {WINDOW_WORDS} words overlapping by half"
"""What `vector_texts` makes of a passage. It is part of a book's pipeline, so a change of it builds books anew."""
PROBES = 20
WINDOW_MARK = "#"

Report = Callable[[int, int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VectorText:
    """One text to embed: the whole passage, or (number above 0) one of its windows."""

    passage_id: str
    number: int
    text: str

    @property
    def id(self) -> str:
        return f"{self.passage_id}{WINDOW_MARK}{self.number}" if self.number else self.passage_id


def passage_of(vector_id: str) -> str:
    """The id of the passage that a stored vector belongs to."""
    return vector_id.partition(WINDOW_MARK)[0]


def with_section(section: str, text: str) -> str:
    """The text under its section path, as it is embedded and searched by words."""
    return f"{section.replace(' > ', '. ')}. {text}" if section else text


def vector_texts(passage: Passage) -> list[VectorText]:
    """What is embedded for a passage: the whole under its section path, and its windows without it.

    One vector for 220 words blurs a detail, and the model reads only the first 256 tokens of a text; windows alone lose
    the topic. The mean of both cosines found more answers than either (see `retrieve`). That the windows are free of
    headings also lets `evaluate` ask for a heading without giving the answer away.
    """
    whole = VectorText(passage.id, 0, with_section(passage.section, passage.text))
    parts = windows(split(passage.text))
    if parts == [whole.text]:
        return [whole]
    return [whole, *(VectorText(passage.id, place, part) for place, part in enumerate(parts, start=1))]


def windows(sentences: Sequence[str], size: int = WINDOW_WORDS) -> list[str]:
    """Runs of whole sentences of up to `size` words (a longer sentence is a run of its own), overlapping by half."""
    lengths = [len(sentence.split()) for sentence in sentences]
    runs: list[str] = []
    start = 0
    while start < len(sentences):
        end, words = start + 1, lengths[start]
        while end < len(sentences) and words + lengths[end] <= size:
            words += lengths[end]
            end += 1
        runs.append(" ".join(sentences[start:end]))
        if end == len(sentences):
            break
        passed, skipped = lengths[start], start + 1
        while skipped < end and passed < words / 2:
            passed += lengths[skipped]
            skipped += 1
        start = skipped
    return runs


def build_collection(
    index: VectorIndex,
    embedder: Embedder,
    passages: Sequence[Passage],
    collection: str,
    report: Report | None = None,
    *,
    reuse: Sequence[str] = (),
) -> dict[str, int]:
    """Fill `collection` with the vectors of the kept passages, anew, and check that they can be found.

    `reuse` names older collections of the book: a text that was embedded for one of them, by this model, is not
    embedded again. A leftover of `collection` itself counts too. `report(done, total)` may raise CancelledError:
    the collection is then incomplete and must not be switched to. Returns vectors, embedded, reused.
    Raises StudioError("index_check_failed") where count or self-search does not hold.
    """
    texts = [item for passage in passages if passage.state == "kept" for item in vector_texts(passage)]
    by_id = {passage.id: passage for passage in passages}
    hashes = [_text_hash(embedder, item.text) for item in texts]
    known = _known_vectors(index, [collection, *reuse], set(hashes))
    missing = sorted({place for place, key in enumerate(hashes) if key not in known})
    fresh = embedder.encode_passages([texts[place].text for place in missing], report)
    for row, place in enumerate(missing):
        known[hashes[place]] = fresh[row]
    index.delete(collection)
    index.create(collection)
    if texts:
        vectors = np.stack([known[key] for key in hashes]).astype(np.float32)
        index.upsert(
            collection,
            [item.id for item in texts],
            vectors,
            [item.text for item in texts],
            [_metadata(by_id[item.passage_id], item, key) for item, key in zip(texts, hashes, strict=True)],
        )
        _check(index, collection, [item.id for item in texts], vectors)
    counts = {"vectors": len(texts), "embedded": len(missing), "reused": len(texts) - len(missing)}
    log.info("collection %s: %s", collection, counts)
    return counts


def _known_vectors(index: VectorIndex, names: Sequence[str], wanted: set[str]) -> dict[str, np.ndarray]:
    held = set(index.collections())
    known: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(names):
        if name not in held:
            continue
        for entry in index.get(name):
            key = str(entry.metadata.get("embedded", ""))
            if key in wanted:
                known[key] = entry.embedding
    return known


def _check(index: VectorIndex, collection: str, ids: list[str], vectors: np.ndarray) -> None:
    """The count, and that probes spread over the collection find a vector equal to themselves first."""
    count = index.count(collection)
    lost = []
    for place in sorted(set(np.linspace(0, len(ids) - 1, min(PROBES, len(ids))).astype(int).tolist())):
        best = index.query(collection, vectors[place], 1)
        if not best or best[0][1] < 0.999:
            lost.append(ids[place])
    if count != len(ids) or lost:
        raise StudioError(
            "index_check_failed",
            f"The index holds {count} of {len(ids)} vectors, and {len(lost)} of {PROBES} probes were not found.",
            "The library is as it was before. Add the book again; if that fails too, look for a full disk.",
        )


def _metadata(passage: Passage, item: VectorText, key: str) -> dict[str, str | int | float | bool]:
    return {
        "book": passage.book_id,
        "passage": passage.id,
        "window": item.number,
        "ordinal": passage.ordinal,
        "page": passage.page,
        "page_last": passage.page_last,
        "label": passage.label,
        "section": passage.section,
        "words": passage.words,
        "kind": passage.kind,
        "embedded": key,
    }


def _text_hash(embedder: Embedder, text: str) -> str:
    return hashlib.sha256(f"{embedder.name}\0{embedder.max_tokens}\0{text}".encode()).hexdigest()[:24]
