"""Passages that say again what an earlier one said, found by MinHash over runs of words."""

from __future__ import annotations

import re

from t2v_studio.library.passages import Passage

THRESHOLD = 0.9
PERMUTATIONS = 128
SHINGLE_WORDS = 3


def mark_duplicates(passages: list[Passage]) -> list[Passage]:
    """The same passages; kept ones that repeat an earlier kept one exactly or nearly are rejected."""
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    shingles: dict[str, frozenset[str]] = {}
    hashes: set[str] = set()
    marked = []
    for passage in passages:
        if passage.state != "kept":
            marked.append(passage)
            continue
        grams = _shingles(passage.text)
        reason = "duplicate" if passage.content_hash in hashes else ""
        if not reason and grams:
            signature = _signature(grams)
            # the signature only proposes; the exact Jaccard similarity decides
            if any(_jaccard(grams, shingles[near]) >= THRESHOLD for near in index.query(signature)):
                reason = "near_duplicate"
            else:
                index.insert(passage.id, signature)
                shingles[passage.id] = grams
        hashes.add(passage.content_hash)
        rejected = {"state": "rejected", "reason": reason, "kind": reason, "breaks": []}
        marked.append(passage.model_copy(update=rejected) if reason else passage)
    return marked


def _shingles(text: str) -> frozenset[str]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(" ".join(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1))


def _signature(grams: frozenset[str]) -> object:
    from datasketch import MinHash

    signature = MinHash(num_perm=PERMUTATIONS, seed=1)
    signature.update_batch([gram.encode() for gram in sorted(grams)])
    return signature


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / max(1, len(a | b))
