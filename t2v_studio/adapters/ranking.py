"""Which adapters of a training stay: by mean rank over the measures, and a frozen clip never wins.

A measure that is unavailable for one candidate ranks none of them: missing is not 0. Losers are moved aside
with the reason, never deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2v_studio.adapters.runs import Part, step_name, write_json

BETTER: Mapping[str, str] = {"val_loss": "lower", "warp_score": "lower", "clip_text": "higher"}
"""What ranks an adapter: loss on held-out clips, steadiness of its samples, and how well they match their prompts."""


@dataclass(frozen=True)
class Standing:
    """One checked adapter. bad: how many of its samples are frozen, black or otherwise nothing to look at."""

    step: int
    mean_rank: float
    frozen: int
    bad: int
    used: tuple[str, ...]


def standings(rows: Sequence[Mapping[str, Any]]) -> list[Standing]:
    """The checked adapters, best first. rows: of validation_metrics.jsonl, one a step."""
    from scipy.stats import rankdata

    rows = list({int(row["step"]): row for row in rows if int(row["step"]) > 0}.values())
    if not rows:
        return []
    used = [name for name in BETTER if all(isinstance(row.get(name), int | float) for row in rows)]
    ranks = [0.0] * len(rows)
    for name in used:
        values = [float(row[name]) * (1 if BETTER[name] == "lower" else -1) for row in rows]
        ranks = [total + float(one) for total, one in zip(ranks, rankdata(values), strict=True)]
    found = [
        Standing(
            int(row["step"]),
            round(total / len(used), 4) if used else 0.0,
            int(row.get("frozen", 0)),
            int(row.get("bad", 0)),
            tuple(used),
        )
        for row, total in zip(rows, ranks, strict=True)
    ]
    # Of equal ranks the later step: it has seen more.
    return sorted(found, key=lambda one: (one.frozen > 0, one.bad, one.mean_rank, -one.step))


def winner(found: Sequence[Standing]) -> Standing | None:
    """The best adapter; None where every one of them makes frozen clips."""
    return next((one for one in found if not one.frozen), None)


def prune(part: Part, rows: Sequence[Mapping[str, Any]], keep: int) -> list[dict[str, Any]]:
    """Move all but the best `keep` adapters of a part to pruned/, each with its reason. keep 0 moves none.

    Only adapters that are still there compete. Returns what was moved: step and reason.
    """
    if keep <= 0:
        return []
    there = [row for row in rows if (part.adapters / step_name(int(row["step"]))).is_dir()]
    ordered = standings(there)
    moved = []
    for place, one in enumerate(ordered[keep:], start=keep + 1):
        reason = _reason(one, place, len(ordered), keep)
        target = part.pruned / step_name(one.step)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(part.adapters / step_name(one.step), target)
        write_json(
            target / "reason.json", {"step": one.step, "reason": reason, "place": place, "mean_rank": one.mean_rank}
        )
        moved.append({"step": one.step, "reason": reason})
    return moved


def _reason(one: Standing, place: int, many: int, keep: int) -> str:
    if one.frozen:
        return f"{one.frozen} of its samples stand still; a frozen clip never wins"
    if one.bad:
        return f"{one.bad} of its samples are black, white or noise"
    measures = ", ".join(one.used) or "the step alone"
    return f"place {place} of {many} by mean rank {one.mean_rank:g} over {measures}; the best {keep} stay"
