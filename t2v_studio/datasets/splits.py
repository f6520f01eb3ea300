"""Training, validation and test sets that share no family: by topic and seed, never by file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from t2v_studio.datasets.rows import SPLITS, ManifestRow, Split
from t2v_studio.errors import InputError

SHARES = (0.8, 0.1, 0.1)
RULE = (
    "Families are put in an order drawn from the seed. Each split gets its share of the families by largest "
    "remainder, and none with a share above 0 stays empty while another holds two; with fewer families than "
    "splits, train comes first, then val, then test. Val and test take, in that order, the families whose number of "
    "clips fits their share best; train has the rest."
)


@dataclass(frozen=True)
class Splitting:
    """Which split each family belongs to, how many families and clips each holds, and what is odd about it."""

    by_family: dict[str, Split]
    families: dict[str, int]
    clips: dict[str, int]
    warnings: list[str] = field(default_factory=list)


def parse_shares(text: str) -> tuple[float, float, float]:
    """ "0.8,0.1,0.1" as shares of train, val and test; two numbers leave test empty. Raises InputError."""
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError("bad_split", f"split: {text!r} is no list of numbers.", "Write 0.8,0.1,0.1.") from error
    return checked_shares(shares)


def checked_shares(shares: Sequence[float]) -> tuple[float, float, float]:
    """Three shares that add up to 1, the first above 0. Raises InputError."""
    padded = [*shares, *[0.0] * (3 - len(shares))]
    good = 1 <= len(shares) <= 3 and all(0 <= one <= 1 for one in padded) and abs(sum(padded) - 1) < 1e-6
    if not good or padded[0] <= 0:
        raise InputError(
            "bad_split",
            f"split: {','.join(f'{one:g}' for one in shares)} are no shares of train, val and test.",
            "They add up to 1, and train is above 0: 0.8,0.1,0.1.",
        )
    return padded[0], padded[1], padded[2]


def split_families(clips: Mapping[str, int], shares: Sequence[float] = SHARES, seed: int = 42) -> Splitting:
    """Give every family to one split. clips: family to how many clips it has. See RULE.

    The same families, shares and seed give the same result on every machine, whatever the order they come in.
    """
    wanted = checked_shares(shares)
    order = sorted(clips, key=lambda family: hashlib.sha256(f"{seed}:{family}".encode()).digest())
    counts = _counts(len(order), wanted)
    by_family: dict[str, Split] = {}
    for number in (1, 2):
        if counts[number]:
            fitting = wanted[number] * sum(clips.values()) / counts[number]
            rest = [family for family in order if family not in by_family]
            rest.sort(key=lambda family: abs(clips[family] - fitting))
            by_family |= dict.fromkeys(rest[: counts[number]], SPLITS[number])
    by_family = {family: by_family.get(family, "train") for family in order}
    held: dict[str, int] = {name: 0 for name in SPLITS}
    for family, name in by_family.items():
        held[name] += clips[family]
    families: dict[str, int] = {name: count for name, count in zip(SPLITS, counts, strict=True)}
    return Splitting(by_family, families, held, _warnings(families, held, wanted))


def _counts(total: int, shares: Sequence[float]) -> list[int]:
    """Families a split: largest remainder, then one each for splits that got none."""
    open_to = [number for number in range(3) if shares[number] > 0]
    if total < len(open_to):
        return [int(number in open_to[:total]) for number in range(3)]
    quotas = [share * total for share in shares]
    counts = [int(quota + 1e-9) for quota in quotas]
    by_remainder = sorted(range(3), key=lambda n: (counts[n] - quotas[n], n))
    for number in by_remainder[: total - sum(counts)]:
        counts[number] += 1
    for number in open_to:
        if counts[number] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[number] += 1
    return counts


def _warnings(families: Mapping[str, int], clips: Mapping[str, int], shares: Sequence[float]) -> list[str]:
    total, found = sum(clips.values()), []
    empty = [name for name, share in zip(SPLITS, shares, strict=True) if share > 0 and families[name] == 0]
    if total and empty:
        many = sum(families.values())
        found.append(
            f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty: there {'is' if many == 1 else 'are'} only "
            f"{many} {'family' if many == 1 else 'families'} (clips of one topic and seed, or of one source video)."
        )
    off = [
        f"{name} {clips[name] / total:.0%} instead of {share:.0%}"
        for name, share in zip(SPLITS, shares, strict=True)
        if total and name not in empty and abs(clips[name] / total - share) > 0.1
    ]
    if off:
        found.append(f"Families are kept whole, so the shares of clips are off: {', '.join(off)}.")
    return found


def check_leaks(rows: Iterable[ManifestRow]) -> dict[str, Any]:
    """Whether anything stands in two splits: ok, leaks[] (kind, what, splits), and notes[].

    A leak is a family, a record or a file in more than one split. One topic with different seeds in several
    splits is no leak, but a note says so.
    """
    rows = list(rows)
    leaks = []
    for kind, name in (("family", "family"), ("record", "record_id"), ("file", "sha256")):
        for what, splits in _spread(rows, name).items():
            if what and len(splits) > 1:
                leaks.append({"kind": kind, "what": what, "splits": splits})
    topics = [what for what, splits in _spread(rows, "topic").items() if what and len(splits) > 1]
    notes = []
    if topics:
        shown = ", ".join(sorted(topics)[:4]) + (" and others" if len(topics) > 4 else "")
        notes.append(
            f"In several splits with other seeds: {shown}. Validation then measures new seeds, not new topics."
        )
    return {"ok": not leaks, "leaks": leaks, "notes": notes}


def _spread(rows: list[ManifestRow], name: str) -> dict[str, list[str]]:
    """Value of a field to the splits that hold it, in their order."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(getattr(row, name), set()).add(row.split)
    return {what: [split for split in SPLITS if split in splits] for what, splits in found.items()}


def split_table(rows: Iterable[ManifestRow]) -> list[dict[str, Any]]:
    """A row a split: split, clips, families, seconds, topics (tag to clips)."""
    rows = list(rows)
    table = []
    for name in SPLITS:
        mine = [row for row in rows if row.split == name]
        table.append(
            {
                "split": name,
                "clips": len(mine),
                "families": len({row.family for row in mine}),
                "seconds": round(sum(row.duration_s for row in mine), 1),
                "topics": dict(sorted(Counter(row.topic_tag for row in mine).items())),
            }
        )
    return table
