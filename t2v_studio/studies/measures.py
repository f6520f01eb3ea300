"""Automatic measures of both arms beside the ratings. Exploratory: nothing here is corrected for multiplicity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import CancelledError, StudioError
from t2v_studio.studies.analysis import LEVEL, mean_interval, rank_biserial, wilcoxon_p, without_nan
from t2v_studio.studies.progress import Report, nothing
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

RESAMPLES = 2000
_DIGITS = 9


def measured(
    workspace: Workspace,
    clips: list[dict[str, Any]],
    texts: dict[str, str],
    *,
    weights: Path | None = None,
    report: Report = nothing,
) -> list[dict[str, Any]]:
    """Measures of a study's clips: rows of topic, variant, sha256, version, weights_sha256, measures[].

    clips: rows of `StudyDesk.clips`. texts: topic key -> topic and objective. weights: folder of a CLIPModel.
    Results are kept by the hashes of clip and weights, so that a second report measures nothing again, and one that
    was stopped goes on. A clip that cannot be measured has measures [] and says why in `error`.
    """
    from t2v_studio.video.metrics import VERSION, measure_clip, weights_hash

    folder = workspace.cache / "measures"
    folder.mkdir(parents=True, exist_ok=True)
    mark = weights_hash(weights)
    rows = []
    for number, clip in enumerate(clips):
        kept = folder / "-".join(part for part in (clip["sha256"], VERSION, mark[:16]) if part)
        kept = kept.with_name(f"{kept.name}.json")
        row = {name: clip[name] for name in ("topic", "variant", "sha256")}
        row |= {"version": VERSION, "weights_sha256": mark}
        try:
            found = json.loads(kept.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            try:
                found = measure_clip(
                    _there(workspace, clip["path"]),
                    text=texts.get(clip["topic"], ""),
                    clip_weights=weights,
                    watch=_watched(report, clips, number),
                )["measures"]
            except CancelledError:
                raise
            except StudioError as error:
                rows.append({**row, "measures": [], "error": error.message})
                continue
            found = without_nan(found)
            kept.write_text(json.dumps(found), encoding="utf-8")
        rows.append({**row, "measures": found})
    return rows


def _watched(report: Report, clips: list[dict[str, Any]], number: int) -> Callable[[int, int], None]:
    """Progress within a clip as progress over the frames of all of them."""
    before, whole = (sum(clip["frames"] for clip in part) for part in (clips[:number], clips))

    def watch(done: int, total: int) -> None:
        report("measuring", before + done, whole, f"video {number + 1} of {len(clips)}")

    return watch


def _there(workspace: Workspace, path: str) -> Path:
    return workspace.outputs.parent / path


def compare(
    rows: list[dict[str, Any]], ratings: pd.DataFrame, control: str, treated: str, seed: int
) -> dict[str, Any] | None:
    """Measures paired by topic, and their Spearman correlation with each criterion; None without measures.

    rows: topic, variant, measures[{name, value, better, status, note}]. Returns metrics[], correlations[], notes[].
    """
    values: dict[str, dict[tuple[str, str], float]] = {}
    better: dict[str, str] = {}
    notes: dict[str, None] = {}
    for row in rows:
        if row.get("error"):
            notes[f"{row['topic']}, {row['variant']}: not measured ({row['error']})."] = None
        for measure in row["measures"]:
            name = measure["name"]
            better.setdefault(name, measure["better"])
            cells = values.setdefault(name, {})
            if measure["value"] is not None:
                cells[row["topic"], row["variant"]] = float(measure["value"])
            else:
                notes[f"{name.replace('_', ' ')}: {measure['status']} ({measure['note']})."] = None
    if not values:
        return None
    found = {
        "metrics": [_paired(name, better[name], cells, control, treated, seed) for name, cells in values.items()],
        "correlations": _correlations(values, ratings, (control, treated), seed),
        "notes": list(notes),
        "exploratory": True,
    }
    return dict(without_nan(found))


def _paired(
    name: str, better: str, cells: dict[tuple[str, str], float], control: str, treated: str, seed: int
) -> dict[str, Any]:
    import numpy as np

    topics = sorted({topic for topic, _ in cells if {(topic, control), (topic, treated)} <= set(cells)})
    a = np.array([cells[topic, control] for topic in topics], dtype=float)
    b = np.array([cells[topic, treated] for topic in topics], dtype=float)
    d = np.round(b - a, _DIGITS)
    low, high = mean_interval(d, seed)
    many = len(d) > 1
    return {
        "metric": name,
        "better": better,
        "topics": len(d),
        "mean_control": float(a.mean()) if len(d) else None,
        "sd_control": float(a.std(ddof=1)) if many else None,
        "mean_treated": float(b.mean()) if len(d) else None,
        "sd_treated": float(b.std(ddof=1)) if many else None,
        "gap": float(d.mean()) if len(d) else None,
        "ci_low": low,
        "ci_high": high,
        "p": wilcoxon_p(d) if len(d) else None,
        "rank_biserial": rank_biserial(d),
        "win": int((d > 0).sum()),
        "tie": int((d == 0).sum()),
        "loss": int((d < 0).sum()),
    }


def _correlations(
    values: dict[str, dict[tuple[str, str], float]], ratings: pd.DataFrame, arms: tuple[str, str], seed: int
) -> list[dict[str, Any]]:
    """rho over clips (topic and arm), with a percentile interval from resampled topics."""
    import numpy as np

    means = ratings.dropna(subset=["score"]).groupby(["criterion", "topic", "variant"], sort=True)["score"].mean()
    found = []
    for name, cells in values.items():
        for criterion in dict.fromkeys(ratings["criterion"]):
            scores = means.get(criterion)
            shared = [] if scores is None else [key for key in sorted(cells) if key in scores.index and key[1] in arms]
            x = np.array([cells[key] for key in shared], dtype=float)
            y = np.array([scores[key] for key in shared], dtype=float) if scores is not None else np.array([])
            topics = np.array([key[0] for key in shared])
            rho, low, high = spearman(x, y, topics, seed)
            row = {"metric": name, "criterion": criterion, "clips": len(shared)}
            found.append({**row, "rho": rho, "ci_low": low, "ci_high": high})
    return found


def spearman(
    x: np.ndarray, y: np.ndarray, topics: np.ndarray, seed: int
) -> tuple[float | None, float | None, float | None]:
    """Spearman's rho of clips and its 95 % interval, topics resampled whole. None where it is undefined.

    x, y, topics: shape (clips,). At least 4 clips of 3 topics, and both must vary.
    """
    import numpy as np
    from scipy.stats import rankdata, spearmanr

    names = np.unique(topics)
    if len(x) < 4 or len(names) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None, None, None
    members = [np.flatnonzero(topics == name) for name in names]
    most = max(map(len, members))
    # One row a topic; -1 where it has fewer clips than another, which becomes NaN and is left out below.
    table = np.array([np.pad(found, (0, most - len(found)), constant_values=-1) for found in members])
    drawn = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    chosen = table[drawn].reshape(RESAMPLES, -1)
    a, b = (rankdata(np.append(side, np.nan)[chosen], axis=-1, nan_policy="omit") for side in (x, y))
    a, b = (ranks - np.nanmean(ranks, axis=-1, keepdims=True) for ranks in (a, b))
    scale = np.sqrt(np.nansum(a**2, axis=-1) * np.nansum(b**2, axis=-1))
    resampled = np.nansum(a * b, axis=-1)[scale > 0] / scale[scale > 0]
    edges = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [edges, 1 - edges]) if resampled.size else (np.nan, np.nan)
    return float(spearmanr(x, y).statistic), float(low), float(high)
