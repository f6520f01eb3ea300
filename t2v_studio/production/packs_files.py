"""What a run of a pack leaves to look at: a folder a topic and variant, summary.csv and results.md."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from t2v_studio.errors import StudioError
from t2v_studio.production import records
from t2v_studio.production.packs import PackTopic
from t2v_studio.production.packs_run import PackRun, RunTopic, write_whole
from t2v_studio.production.record import VideoRecord
from t2v_studio.workspace import Workspace

SUMMARY, RESULTS, LOG = "summary.csv", "results.md", "run.log"
LINKS, COPIES = "hard links", "copies"
COLUMNS = (
    "topic_slug", "variant", "status", "model_used", "video_path", "log_path", "template", "seed", "fps", "frames",
    "steps", "guidance", "scene_frames", "start_utc", "end_utc", "elapsed_sec", "pair_id", "verdict", "grounded",
    "retrieved_words", "family", "video_id", "reason",
)  # fmt: skip
"""The documents' columns, then what the studio knows beside them. family: slug and seed, the unit of data splits."""
_LINKED = ("video", "srt", "vtt")
_COPIED = {"record": records.RECORD, "plan": "plan.json"}


def write_topic(run: PackRun, topic: PackTopic, workspace: Workspace) -> None:
    """<slug>/<variant>/ for each finished video: video and subtitles linked where the disk allows, JSON copied."""
    how = LINKS
    for variant, video_id in _state_of(run, topic).videos.items():
        source = workspace.video(video_id)
        record = records.read_record(source / records.RECORD)
        folder = run.folder / topic.slug / variant
        folder.mkdir(parents=True, exist_ok=True)
        for name in _LINKED:
            if name in record.files:
                how = _link(source / record.files[name], folder / record.files[name], how)
        for name, file in _COPIED.items():
            _copy(source / record.files.get(name, file), folder / file)
        write_whole(folder / "retrieval.json", _dump(retrieval(record)))
    run.state.videos_are = COPIES if COPIES in (how, run.state.videos_are) else how


def retrieval(record: VideoRecord) -> dict[str, Any]:
    """What was asked of the books for a video, and every hit that it uses, with page, score and text."""
    asked = record.plan.retrieval
    hits = [
        {
            "scene": scene,
            "chunk_id": hit.passage.id,
            "source": hit.book,
            "book_id": hit.passage.book_id,
            "page": hit.page,
            "label": hit.label,
            "section": hit.passage.section,
            "score": round(hit.score, 4),
            "text": hit.passage.text,
            "quotes": [quote.text for quote in hit.quotes],
        }
        for scene, found in record.evidence.items()
        for hit in found
    ]
    return {
        "used": asked is not None,
        "mode": asked.mode if asked else "",
        "query": record.request.rag_query or "; ".join(dict.fromkeys(asked.queries.values()) if asked else ()),
        "queries": dict(asked.queries) if asked else {},
        "outcomes": dict(asked.outcomes) if asked else {},
        "hits": hits,
    }


def rows(run: PackRun, workspace: Workspace) -> list[dict[str, Any]]:
    """One row a topic and variant, with the keys of COLUMNS; figures come from the records."""
    return [
        _row(run, topic, state, variant, workspace) for topic, state in run.topics() for variant in run.pack.variants
    ]


def write_tables(run: PackRun, workspace: Workspace) -> list[dict[str, Any]]:
    """summary.csv and results.md as the run stands; returns the rows."""
    found = rows(run, workspace)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _cell(value) for name, value in row.items()} for row in found])
    write_whole(run.folder / SUMMARY, text.getvalue())
    write_whole(run.folder / RESULTS, _markdown(run, found))
    return found


def counts(run: PackRun) -> dict[str, int]:
    """Topics of a run by how they stand: topics, ok, refused, failed, open."""
    held = [topic.status for topic in run.state.topics]
    named = {name: held.count(name) for name in ("ok", "refused", "failed")}
    return {"topics": len(held), **named, "open": len(held) - sum(named.values())}


def _row(run: PackRun, topic: PackTopic, state: RunTopic, variant: str, workspace: Workspace) -> dict[str, Any]:
    request = run.request(topic)
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    status = state.status if state.status in ("ok", "refused", "failed") else "open"
    row |= {"topic_slug": topic.slug, "variant": variant, "status": status, "template": topic.template}
    row |= {"seed": request.seed, "family": f"{topic.slug}-{request.seed}", "reason": state.reason}
    log = run.folder / topic.slug / variant / LOG
    row["log_path"] = log.relative_to(run.folder).as_posix() if log.is_file() else ""
    if status != "ok":
        return row
    try:
        record = records.read_record(workspace.video(state.videos[variant]) / records.RECORD)
    except StudioError as error:
        # The copy in the run's own folder still says what was made.
        kept = run.folder / topic.slug / variant / records.RECORD
        if not kept.is_file():
            return row | {"status": "failed", "reason": error.message}
        record = records.read_record(kept)
        row["reason"] = "The video was deleted from the gallery; this folder still holds it."
    return row | _figures(record, state, topic, variant)


def _figures(record: VideoRecord, state: RunTopic, topic: PackTopic, variant: str) -> dict[str, Any]:
    frames = list(dict.fromkeys(scene.frames for scene in record.scenes))
    grounding = record.grounding or {}
    return {
        "model_used": ", ".join(dict.fromkeys(scene.model or scene.engine for scene in record.scenes)),
        "video_path": f"{topic.slug}/{variant}/{record.files['video']}",
        "template": record.plan.template or topic.template,
        "seed": record.request.seed,
        "fps": record.fps,
        "frames": record.frames,
        "steps": "" if record.request.steps is None else record.request.steps,
        "guidance": "" if record.request.guidance is None else record.request.guidance,
        "scene_frames": frames[0] if len(frames) == 1 else " ".join(str(scene.frames) for scene in record.scenes),
        **_times(record),
        "pair_id": state.pair_id,
        "video_id": record.id,
        "verdict": record.verdict,
        "grounded": ("yes" if grounding.get("ok") else "no") if variant != "no_rag" else "",
        "retrieved_words": grounding.get("words", 0) if variant != "no_rag" else "",
    }


def _times(record: VideoRecord) -> dict[str, Any]:
    """start_utc, end_utc and elapsed_sec: a record is dated when its frames are there, and says how long each part took."""
    drawn = datetime.fromisoformat(record.created_at)
    total = record.timings_s.get("total", 0.0)
    start = drawn - timedelta(seconds=record.timings_s.get("render", 0.0))
    times = {"start_utc": start, "end_utc": start + timedelta(seconds=total)}
    return {name: time.isoformat(timespec="milliseconds") for name, time in times.items()} | {"elapsed_sec": total}


def _markdown(run: PackRun, found: list[dict[str, Any]]) -> str:
    state, number = run.state, counts(run)
    lines = (
        [f"# {run.pack.title}", "", run.pack.description, ""] if run.pack.description else [f"# {run.pack.title}", ""]
    )
    lines += [
        f"Run `{state.id}`: engine {state.engine or 'as the pack says'}, seed offset {state.seed_offset}, "
        f"{'strict' if state.strict else 'not strict'}, {state.state}. "
        f"{number['ok']} of {number['topics']} topics made, {number['refused']} refused, {number['failed']} failed. "
        f"The videos here are {state.videos_are or LINKS} of those in outputs/videos; the records there are the source of truth.",
        "",
        "| Topic | Variant | Status | Model | Video | Verdict | Grounded | Retrieved words |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        video = f"[{row['video_path']}]({row['video_path']})" if row["video_path"] else ""
        cells = (
            row["topic_slug"],
            row["variant"],
            row["status"],
            row["model_used"],
            video,
            row["verdict"],
            row["grounded"],
        )
        lines.append(
            f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in (*cells, row['retrieved_words']))} |"
        )
    reasons = [f"- {topic.slug}: {topic.reason}" for topic in state.topics if topic.reason]
    return "\n".join(lines + (["", "Not made:", "", *reasons] if reasons else [])) + "\n"


def _state_of(run: PackRun, topic: PackTopic) -> RunTopic:
    return next(state for one, state in run.topics() if one.slug == topic.slug)


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _link(source: Path, target: Path, how: str) -> str:
    """A hard link, or a copy where the disk has none; either appears whole. Returns which, once a copy always a copy."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
        how = COPIES
    part.replace(target)
    part.unlink(missing_ok=True)
    return how


def _copy(source: Path, target: Path) -> None:
    write_whole(target, source.read_text(encoding="utf-8"))


def _dump(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
