"""Several text sets as one: one form, no copies, and a split that near-copies never cross."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from t2v_studio.datasets.text_pairs.code import facts, looks_like_code
from t2v_studio.datasets.text_pairs.faults import secrets_in
from t2v_studio.datasets.text_pairs.files import Read
from t2v_studio.datasets.text_pairs.near import groups, near_pairs
from t2v_studio.datasets.text_pairs.rows import RowError, TextPair, normalised
from t2v_studio.errors import InputError, StudioError

NO_SCENE = "no visible scene"


def combine(
    rows: Sequence[Read],
    *,
    test_share: float = 0.2,
    seed: int = 42,
    license: str = "",
    source: str = "",
    keep_unparsed: bool = False,
) -> tuple[list[TextPair], list[dict[str, Any]], dict[str, Any]]:
    """Pairs with `group` and `split`, in a seeded order; what was dropped with its reason; counts of both.

    license, source: for rows that name none. Rows go into one group where their answers or questions nearly
    agree, or where they name the same group. Raises InputError; StudioError empty_set where nothing is left.
    """
    if not 0 < test_share < 1:
        raise InputError("bad_share", f"test_share: {test_share} is no share.", "Give a number such as 0.2.")
    kept, dropped = _kept(rows, license, source, keep_unparsed)
    if not kept:
        raise StudioError("empty_set", "No row is left.", "See t2v dataset validate for what is wrong with them.")
    numbers = _groups(kept)
    test = _test_groups(numbers, test_share, seed)
    pairs = [
        pair.model_copy(update={"group": f"g{number:05d}", "split": "test" if number in test else "train"})
        for pair, number in zip(kept, numbers, strict=True)
    ]
    random.Random(seed).shuffle(pairs)
    return pairs, dropped, _counts(rows, pairs, dropped) | {"seed": seed, "test_share": test_share}


def _kept(
    rows: Sequence[Read], license: str, source: str, keep_unparsed: bool
) -> tuple[list[TextPair], list[dict[str, Any]]]:
    kept: dict[str, TextPair] = {}
    dropped = []
    for row in rows:
        try:
            if row.fault:
                raise RowError("unreadable", "row", row.fault, "")
            pair = normalised(row.data, source=source, license=license)
            reason = _unwanted(pair, keep_unparsed)
            key = " ".join(f"{pair.asked}\0{pair.answer}".lower().split())
            reason = reason or ("duplicate" if key in kept else "")
        except RowError as error:
            reason = error.code
        if reason:
            dropped.append({"row": row.place, "reason": reason})
        else:
            kept[key] = pair
    return list(kept.values()), dropped


def _unwanted(pair: TextPair, keep_unparsed: bool) -> str:
    text = f"{pair.asked}\n{pair.answer}"
    if NO_SCENE in text.lower():
        return "no_visible_scene"
    if secrets_in(text):
        return "secret"
    if not keep_unparsed and looks_like_code(pair.answer) and facts(pair.answer).fault:
        return "no_parse"
    return ""


def _groups(pairs: Sequence[TextPair]) -> list[int]:
    links = [*near_pairs([pair.answer for pair in pairs]), *near_pairs([pair.asked for pair in pairs], 0.95)]
    first: dict[str, int] = {}
    for number, pair in enumerate(pairs):
        if pair.group:
            links.append((first.setdefault(pair.group, number), number))
    return groups(len(pairs), links)


def _test_groups(numbers: Sequence[int], share: float, seed: int) -> set[int]:
    """Groups for the test, in a seeded order, as long as they fit its share; the smallest alone where none does."""
    sizes = Counter(numbers)
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    room = round(share * len(numbers))
    taken: set[int] = set()
    for number in order:
        if sizes[number] <= room:
            taken.add(number)
            room -= sizes[number]
    if not taken and len(sizes) > 1:
        taken = {min(order, key=lambda number: sizes[number])}
    return taken


def _counts(rows: Sequence[Read], pairs: Sequence[TextPair], dropped: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sizes = Counter(pair.group for pair in pairs)
    splits = Counter(pair.split for pair in pairs)
    return {
        "read": len(rows),
        "kept": len(pairs),
        "dropped": dict(Counter(one["reason"] for one in dropped).most_common()),
        "train": splits["train"],
        "test": splits["test"],
        "groups": len(sizes),
        "largest_group": max(sizes.values()),
        "sources": dict(Counter(pair.source for pair in pairs).most_common()),
        "licenses": dict(Counter(pair.license for pair in pairs).most_common()),
    }
