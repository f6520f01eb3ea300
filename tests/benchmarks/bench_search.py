"""Search latency at 5,000 and 50,000 passages: python tests/benchmarks/bench_search.py [--passages 5000 50000].

Vectors are synthetic and clustered, three windows a passage; texts are drawn from a Zipf vocabulary. Measured: the vector
query, the word query, both fused (`retrieve.candidates`), and the embedding of a query by the shipped model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from t2v_studio.library.build import vector_texts
from t2v_studio.library.embedder import open_embedder
from t2v_studio.library.index_chroma import EmbeddedChromaIndex
from t2v_studio.library.lexical import LexicalIndex
from t2v_studio.library.passages import Passage
from t2v_studio.library.retrieve import BookIndex, candidates, diverse, searched_text
from t2v_studio.settings import Settings

DIMENSION = 384
BOOK = "0" * 16


def quantiles(call: Callable[[int], Any], rounds: int) -> dict[str, float]:
    """p50 and p95 in milliseconds over `rounds` calls, after three to warm up."""
    for turn in range(3):
        call(turn)
    times = []
    for turn in range(rounds):
        started = time.perf_counter()
        call(turn)
        times.append(1000 * (time.perf_counter() - started))
    return {"p50_ms": round(float(np.quantile(times, 0.5)), 2), "p95_ms": round(float(np.quantile(times, 0.95)), 2)}


def synthetic_passages(count: int, rng: np.random.Generator) -> list[Passage]:
    vocabulary = np.array([f"w{hashlib.sha256(str(place).encode()).hexdigest()[:6]}" for place in range(20_000)])
    passages = []
    for ordinal in range(count):
        words = vocabulary[np.minimum(rng.zipf(1.3, size=120), 20_000) - 1]
        sentences = [" ".join(words[start : start + 20]).capitalize() + "." for start in range(0, 120, 20)]
        passages.append(
            Passage(
                id=f"{ordinal:024d}",
                book_id=BOOK,
                ordinal=ordinal,
                page=1,
                page_last=1,
                label="1",
                label_last="1",
                section=f"Chapter {ordinal // 500}",
                text=" ".join(sentences),
                words=120,
                content_hash=str(ordinal),
            )
        )
    return passages


def measure(count: int, rounds: int, folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    passages = synthetic_passages(count, rng)
    ids = [item.id for passage in passages for item in vector_texts(passage)]
    centres = rng.standard_normal((200, DIMENSION)).astype(np.float32)
    vectors = centres[rng.integers(0, 200, len(ids))] + 0.8 * rng.standard_normal(
        (len(ids), DIMENSION), dtype=np.float32
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = EmbeddedChromaIndex(folder)
    index.batch = 5000
    index.create("bench")
    started = time.perf_counter()
    index.upsert("bench", ids, vectors, [""] * len(ids), [{"page": 1}] * len(ids))
    upsert_s = time.perf_counter() - started
    started = time.perf_counter()
    words = LexicalIndex([one.id for one in passages], [searched_text(one) for one in passages])
    words_s = time.perf_counter() - started
    book = BookIndex(BOOK, "bench", "bench", {one.id: one for one in passages}, words)
    queries = [" ".join(passages[int(place)].text.split()[3:9]) for place in rng.integers(0, count, rounds + 3)]
    targets = vectors[rng.integers(0, len(ids), rounds + 3)]
    return {
        "passages": count,
        "vectors": len(ids),
        "upsert_s": round(upsert_s, 1),
        "word_index_s": round(words_s, 2),
        "vector_query": quantiles(lambda turn: index.query("bench", targets[turn], 96), rounds),
        "word_query": quantiles(lambda turn: words.query(queries[turn], 24), rounds),
        "fused_and_diverse": quantiles(
            lambda turn: diverse(candidates([book], queries[turn], targets[turn], index, candidate_k=24), 3), rounds
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    embedder = open_embedder(Settings(_env_file=None))
    embedding = quantiles(lambda turn: embedder.encode_query(f"how does gradient descent find minimum {turn}?"), 50)
    print(json.dumps({"query_embedding": embedding}))
    for count in arguments.passages:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(count, arguments.rounds, Path(folder))))


if __name__ == "__main__":
    main()
