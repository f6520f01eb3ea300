"""Pairs of instruction and code from a set of another's making, with flattened code mended or rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from t2v_studio.datasets.text_pairs.files import Read
from t2v_studio.datasets.text_pairs.flattened import CannotRepair, repaired
from t2v_studio.datasets.text_pairs.rows import RowError, normalised


def extract_pairs(
    rows: Iterable[Read], *, source: str, license: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, int]]:
    """Rows {instruction, code, source, license, repaired, origin}, those rejected with their reason, and counts.

    origin is file:line of the set. Code that parses is kept as it stands.
    """
    pairs, rejected = [], []
    counts: Counter[str] = Counter()
    for row in rows:
        counts["read"] += 1
        try:
            if row.fault:
                raise RowError("unreadable", "row", row.fault, "")
            pair = normalised(row.data, source=source, license=license)
            code = repaired(pair.answer)
        except (RowError, CannotRepair) as error:
            field = f"{error.field}: " if isinstance(error, RowError) else ""
            rejected.append({"origin": row.place, "reason": f"{field}{error}", "row": row.data})
            counts["rejected"] += 1
            continue
        mended = code != pair.answer.strip()
        counts["repaired" if mended else "as_it_was"] += 1
        pairs.append(
            {
                "instruction": pair.asked,
                "code": code,
                "source": pair.source,
                "license": pair.license,
                "repaired": mended,
                "origin": row.place,
            }
        )
    return pairs, rejected, dict(counts)
