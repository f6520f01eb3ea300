"""The same pack drawn by the base model and with an adapter: clip beside clip, measures and scores, better or worse.

Only clips that differ in the adapter alone are compared: same topic and arm, same plan's scenes, seed, size, length and steps.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from t2v_studio.datasets.ratings import ClipScore, clip_scores
from t2v_studio.errors import InputError, StudioError, plural
from t2v_studio.production.packs_run import PackRun, write_whole
from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.production.records import RECORD, read_record
from t2v_studio.studies.measures import measured
from t2v_studio.studies.progress import Report, nothing
from t2v_studio.workspace import Workspace

MEASURES = {"warp_error": "lower", "dynamic_degree": "neither", "still_share": "lower", "clip_text": "higher"}
"""What is told of each clip, and which way is better. Warp error is read beside dynamic degree: stillness has none."""
SCORE = "score"
OF_THE_ADAPTER = ("adapter", "lora_scale", "lora_trigger", "lora_prompt_profile", "lora_negative_boost", "preset")
"""Fields of a request that may differ."""
NAME = "base_and_adapter"


def compare_runs(
    base: PackRun, adapter: PackRun, workspace: Workspace, *, weights: Path | None = None, report: Report = nothing
) -> dict[str, Any]:
    """Both runs clip by clip: rows[], left_out[], summary[], adapter, markdown and csv (paths in the adapter's run).

    weights: folder of a CLIPModel. Raises InputError where no clip can be compared, or neither run has an adapter.
    """
    made, left_out = _couples(base, adapter, workspace)
    if not made:
        told = f" {left_out[0]['topic_slug']}: {left_out[0]['reason']}" if left_out else ""
        raise InputError(
            "nothing_to_compare",
            f"{base.id} and {adapter.id} have no clip that differs in the adapter alone.{told}",
            "Run the same pack twice, with the same seed offset and settings, once with --adapter.",
        )
    scores = clip_scores(workspace)
    sides = [
        _measured(workspace, [couple.base for couple in made], weights, report),
        _measured(workspace, [couple.adapter for couple in made], weights, report),
    ]
    rows = [
        {
            **couple.names,
            "base": _figures(couple.base, measures, scores),
            "adapter": _figures(couple.adapter, others, scores),
        }
        for couple, measures, others in zip(made, *sides, strict=True)
    ]
    found = {
        "base": base.id,
        "with_adapter": adapter.id,
        "adapter": made[0].adapter.adapter,
        "rows": rows,
        "left_out": left_out,
        "summary": [_summed(name, better, rows) for name, better in {**MEASURES, SCORE: "higher"}.items()],
    }
    markdown, table = adapter.folder / f"{NAME}.md", adapter.folder / f"{NAME}.csv"
    write_whole(markdown, as_markdown(found))
    write_whole(table, as_csv(rows))
    return found | {"markdown": str(markdown), "csv": str(table)}


@dataclass(frozen=True)
class Couple:
    """A clip of the base and the same one with an adapter. names: topic_slug and variant."""

    names: dict[str, str]
    base: VideoRecord
    adapter: VideoRecord


def _couples(base: PackRun, adapter: PackRun, workspace: Workspace) -> tuple[list[Couple], list[dict[str, str]]]:
    """Records of the same topic and arm, and why others are left out."""
    ones = {(topic.slug, name): video for topic, state in base.topics() for name, video in state.videos.items()}
    made: list[Couple] = []
    left_out: list[dict[str, str]] = []
    for topic, state in adapter.topics():
        for variant in adapter.pack.variants:
            names = {"topic_slug": topic.slug, "variant": variant}
            ids = (ones.get((topic.slug, variant)), state.videos.get(variant))
            if not all(ids):
                left_out.append(names | {"reason": "it was not made in both runs"})
                continue
            try:
                couple = Couple(names, *(read_record(workspace.video(str(one)) / RECORD) for one in ids))
            except StudioError as error:
                left_out.append(names | {"reason": error.message})
                continue
            reason = difference(couple.base, couple.adapter)
            if reason:
                left_out.append(names | {"reason": reason})
            else:
                made.append(couple)
    return made, left_out


def difference(base: VideoRecord, adapter: VideoRecord) -> str:
    """Why two clips cannot be compared: what differs beside the adapter; "" where nothing does."""
    if base.adapter or not adapter.adapter:
        return "the first run has an adapter" if base.adapter else "the second run has no adapter"
    one, other = (record.request.model_dump(exclude={*OF_THE_ADAPTER, "plan"}) for record in (base, adapter))
    differing = sorted(name for name in one if one[name] != other[name])
    if differing:
        return f"they differ in {', '.join(differing)}, too"
    if [scene.seed for scene in base.scenes] != [scene.seed for scene in adapter.scenes]:
        return "a retry drew a scene with another seed"
    if any(_changed(scene) for record in (base, adapter) for scene in record.scenes):
        return "a retry drew a scene with other steps, guidance or LoRA scale"
    if any(scene.fallback for record in (base, adapter) for scene in record.scenes):
        return "another engine drew a scene of one of them"
    said = [
        [(scene.title, [step.say for step in scene.steps]) for scene in record.plan.scenes]
        for record in (base, adapter)
    ]
    return "" if said[0] == said[1] else "they were planned differently"


def _changed(scene: SceneRecord) -> set[str]:
    """What a retry changed in a scene that decides its picture."""
    return {"steps", "guidance", "lora_scale"} & {name for name, value in scene.settings.items() if value is not None}


def _measured(
    workspace: Workspace, records: Sequence[VideoRecord], weights: Path | None, report: Report
) -> list[dict[str, Any]]:
    home = workspace.outputs.parent
    clips = [
        {
            "topic": record.id,
            "variant": "",
            "sha256": record.video_sha256,
            "path": (workspace.video(record.id) / record.files["video"]).relative_to(home).as_posix(),
            "frames": record.frames,
        }
        for record in records
    ]
    texts = {record.id: f"{record.plan.topic}. {record.plan.objective}" for record in records}
    return measured(workspace, clips, texts, weights=weights, report=report)


def _figures(record: VideoRecord, measures: dict[str, Any], scores: dict[str, ClipScore]) -> dict[str, Any]:
    values = {one["name"]: one["value"] for one in measures["measures"]}
    score = scores.get(record.id)
    return {
        "video": record.id,
        "verdict": record.verdict,
        **{name: values.get(name) for name in MEASURES},
        SCORE: score.overall if score else None,
        "error": measures.get("error", ""),
    }


def _summed(name: str, better: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One measure over all clips that have it on both sides: n, means, their difference, clips better, worse, alike."""
    both = [(row["base"][name], row["adapter"][name]) for row in rows]
    both = [(one, other) for one, other in both if one is not None and other is not None]
    row: dict[str, Any] = {"measure": name, "better": better, "n": len(both)}
    if not both:
        return row | dict.fromkeys(("base", "adapter", "difference", "improved", "worsened", "alike"))
    sign = {"lower": -1, "higher": 1, "neither": 0}[better]
    steps = [(other - one) * sign for one, other in both]
    means = fmean(one for one, _ in both), fmean(other for _, other in both)
    return row | {
        "base": means[0],
        "adapter": means[1],
        "difference": means[1] - means[0],
        "improved": sum(step > 0 for step in steps) if sign else None,
        "worsened": sum(step < 0 for step in steps) if sign else None,
        "alike": sum(step == 0 for step in steps) if sign else None,
    }


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """A line a clip: base_ and adapter_ before each figure."""
    flat = [
        {name: row[name] for name in ("topic_slug", "variant")}
        | {f"{side}_{name}": value for side in ("base", "adapter") for name, value in row[side].items()}
        for row in rows
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def as_markdown(found: dict[str, Any]) -> str:
    """The summary and the clips as two tables."""
    card = found["adapter"] or {}
    lines = [
        f"# {found['base']} against {found['with_adapter']}",
        "",
        f"Adapter {card.get('id') or card.get('name') or ''} at scale {card.get('scale', '')}. {plural(len(found['rows']), 'clip')} that differ in the adapter alone.",
        "",
        "| measure | better | clips | base | adapter | difference | improved | worsened |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["summary"]:
        cells = [cell(row[name]) for name in ("base", "adapter", "difference", "improved", "worsened")]
        lines.append(f"| {row['measure'].replace('_', ' ')} | {row['better']} | {row['n']} | {' | '.join(cells)} |")
    names = ("verdict", *MEASURES, SCORE)
    lines += [
        "",
        f"| topic | arm | clip | {' | '.join(name.replace('_', ' ') for name in names)} |",
        "|---" * (3 + len(names)) + "|",
    ]
    for row in found["rows"]:
        for side in ("base", "adapter"):
            cells = [cell(row[side][name]) for name in names]
            lines.append(f"| {row['topic_slug']} | {row['variant']} | {side} | {' | '.join(cells)} |")
    lines += [f"\nLeft out: {one['topic_slug']}, {one['variant']}: {one['reason']}." for one in found["left_out"]]
    return "\n".join(lines) + "\n"


def cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
