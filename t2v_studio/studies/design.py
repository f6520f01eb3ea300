"""Who sees which pair when, and on which side: fixed before the first rating.

The same topics, raters and seed give the same plan. Orders are rows of a balanced (Williams 1949)
Latin square, sides are counterbalanced over raters and topics.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from t2v_studio.errors import InputError

Kind = Literal["practice", "main", "repeat", "identical"]
MIN_TOPICS = 2
WARN_TOPICS = 8
RECOMMENDED_TOPICS = 12
PRACTICE_PAIRS = 2


class Placement(BaseModel):
    """One screen of one rater. `left` and `right` name arms; they never leave the server."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    rater: int
    position: int
    topic: str
    kind: Kind
    left: str
    right: str


def williams_square(size: int) -> list[list[int]]:
    """Rows of a Latin square in which each symbol follows each other equally often.

    `size` rows for an even size, twice as many (the square and its mirror) for an odd one.
    """
    if size < 1:
        raise ValueError("a square needs at least one symbol")
    first = [0]
    low, high = 1, size - 1
    while len(first) < size:
        first.append(low)
        low += 1
        if len(first) < size:
            first.append(high)
            high -= 1
    rows = [[(symbol + shift) % size for symbol in first] for shift in range(size)]
    return rows if size % 2 == 0 else rows + [row[::-1] for row in rows]


def repeats_for(topics: int) -> int:
    """How many topics a rater sees again: 15 %, at least 2 (and never more than there are)."""
    return min(topics, max(2, math.ceil(0.15 * topics)))


def plan_assignments(topics: Sequence[str], raters: int, arms: tuple[str, str], seed: int) -> list[Placement]:
    """Every screen of every rater, in order.

    topics: keys in canonical order. arms: (control, treated). Practice pairs come first, repeats with swapped
    sides stand at least half the study after their first showing, one pair shows the same clip twice.
    Raises InputError below two topics or one rater.
    """
    if len(set(topics)) != len(topics):
        raise InputError("topics_repeat", "Two topics of the study have the same key.", "Give each topic once.")
    if len(topics) < MIN_TOPICS:
        raise InputError(
            "too_few_topics", f"A study needs at least {MIN_TOPICS} topics; this has {len(topics)}.", "Add topics."
        )
    if raters < 1:
        raise InputError("no_raters", "A study needs at least one rater.", "Invite somebody.")
    generator = random.Random(seed)
    bit = generator.randrange(2)
    rows = williams_square(len(topics))
    generator.shuffle(rows)
    return [
        screen
        for rater in range(raters)
        for screen in _screens(topics, rater, rows[rater % len(rows)], arms, bit, seed)
    ]


def _screens(
    topics: Sequence[str], rater: int, order: list[int], arms: tuple[str, str], bit: int, seed: int
) -> list[Placement]:
    generator = random.Random(f"{seed}/{rater}")

    def sides(index: int, swapped: bool = False) -> tuple[str, str]:
        treated_left = (rater + index + bit) % 2 == 0
        left_first = treated_left != swapped
        return (arms[1], arms[0]) if left_first else arms

    screens: list[tuple[str, Kind, tuple[str, str]]] = [(topics[index], "main", sides(index)) for index in order]
    half = math.ceil(len(topics) / 2)
    again = generator.sample(order[:half], min(repeats_for(len(topics)), half))
    for index in sorted(again, key=order.index):
        screens.append((topics[index], "repeat", sides(index, swapped=True)))
    same = topics[order[generator.randrange(half, len(order))]] if len(order) > half else topics[order[-1]]
    arm = arms[generator.randrange(2)]
    screens.insert(half, (same, "identical", (arm, arm)))
    practice = [
        (topics[index], "practice", sides(index)) for index in generator.sample(order, min(PRACTICE_PAIRS, len(order)))
    ]
    return [
        Placement(rater=rater, position=position, topic=topic, kind=kind, left=left, right=right)
        for position, (topic, kind, (left, right)) in enumerate([*practice, *screens])
    ]


def design_hash(design: dict[str, Any]) -> str:
    """SHA-256 of the frozen design: the footnote of every table."""
    text = json.dumps(design, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
