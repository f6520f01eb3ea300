"""Texts that say nearly the same, found by MinHash over runs of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

THRESHOLD = 0.8
"""Of the exact Jaccard similarity; the signature only proposes."""
PERMUTATIONS = 128
SHINGLE_TOKENS = 4
_TOKENS = re.compile(r"\w+|[^\w\s]")


def near_pairs(texts: Sequence[str], threshold: float = THRESHOLD) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of texts whose token runs overlap by `threshold` or more; equal texts are pairs, too."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold - 0.1, num_perm=PERMUTATIONS)
    kept: dict[frozenset[str], int] = {}
    shingles = [_shingles(text) for text in texts]
    pairs = []
    for number, grams in enumerate(shingles):
        if not grams:
            continue
        if grams in kept:
            pairs.append((kept[grams], number))
            continue
        signature = MinHash(num_perm=PERMUTATIONS, seed=1)
        signature.update_batch([gram.encode() for gram in sorted(grams)])
        near = sorted(index.query(signature))
        pairs += [(other, number) for other in near if _jaccard(grams, shingles[other]) >= threshold]
        index.insert(number, signature)
        kept[grams] = number
    return pairs


def groups(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """For each of `count` items the smallest item that it hangs together with over any chain of links."""
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(links)
    first = [0] * count
    for members in networkx.connected_components(graph):
        for member in members:
            first[member] = min(members)
    return first


def _shingles(text: str) -> frozenset[str]:
    tokens = _TOKENS.findall(text.lower())
    runs = max(1, len(tokens) - SHINGLE_TOKENS + 1) if tokens else 0
    return frozenset(" ".join(tokens[start : start + SHINGLE_TOKENS]) for start in range(runs))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
