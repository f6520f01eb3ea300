"""What stands in the way of locking a study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2v_studio.errors import StudioError
from t2v_studio.production.pairs import CONTROL, TREATED, diff_records, read_pair
from t2v_studio.production.record import VideoRecord
from t2v_studio.studies.blinding import sha256_of
from t2v_studio.studies.design import MIN_TOPICS, RECOMMENDED_TOPICS, WARN_TOPICS
from t2v_studio.workspace import Workspace

_LENGTH = re.compile(
    r"^(frames|duration_s|request\.(frames|seconds|scene_frames)|scenes\.\d+\.(frames|start_s|duration_s)"
    r"|plan\.scenes\.\d+\.(seconds|steps\.\d+\.seconds)): "
)
_TELLING = re.compile(r"\b(rag|no[ _-]?rag|retriev\w*|textbook|grounded|baseline|control arm|treated)\b", re.IGNORECASE)
_TELLING_TEXT = re.compile(
    r"\b(?:rag|retriev\w+|(?:text)?book|(?:this|previous|next|last) (?:chapter|section)"
    r"|(?:figure|fig\.|chapter|section|equation|eq\.|table|exercise) \(?\d+(?:\.\d+)*)",
    re.IGNORECASE,
)
"""What only a video that quotes a book would say."""


def check_rows(workspace: Workspace, title: str, topics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of level (block, warn), topic ("" for the study), code, message, can_override; blocks first.

    topics: key, title, objective, pair_id.
    """
    found = [*_of_study(title, topics)]
    for topic in topics:
        found += _of_topic(workspace, topic)
    return sorted(found, key=lambda row: row["level"] != "block")


def _row(level: str, topic: str, code: str, message: str, can_override: bool = False) -> dict[str, Any]:
    return {"level": level, "topic": topic, "code": code, "message": message, "can_override": can_override}


def _of_study(title: str, topics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found, count = [], len(topics)
    if count < MIN_TOPICS:
        found.append(_row("block", "", "too_few_topics", f"A study needs {MIN_TOPICS} topics; this has {count}."))
    elif count < WARN_TOPICS:
        found.append(
            _row(
                "warn",
                "",
                "few_topics",
                f"{count} topics: below {WARN_TOPICS} no criterion can be significant after Holm's correction over "
                f"five; {RECOMMENDED_TOPICS} are recommended.",
            )
        )
    elif count < RECOMMENDED_TOPICS:
        found.append(
            _row(
                "warn",
                "",
                "below_recommended",
                f"{count} topics: only large gaps will show; {RECOMMENDED_TOPICS} are recommended.",
            )
        )
    if _TELLING.search(title):
        found.append(_row("warn", "", "telling_title", "The study's title, which examiners see, hints at retrieval."))
    return found


def _of_topic(workspace: Workspace, topic: dict[str, Any]) -> list[dict[str, Any]]:
    key = topic["key"]
    found = []
    if _TELLING.search(f"{topic['title']} {topic['objective']}"):
        message = "Title or objective, which examiners see, hints at retrieval."
        found.append(_row("warn", key, "telling_title", message))
    try:
        pair = read_pair(workspace, topic["pair_id"])
    except StudioError as error:
        return [*found, _row("block", key, "pair_missing", f"The pair cannot be read: {error.message}")]
    control, treated = pair[CONTROL], pair[TREATED]
    found += _alike(key, control, treated)
    if not pair["grounding"].get("ok"):
        found.append(
            _row("block", key, "not_grounded", "No proof that retrieved content reached the treated video's scenes.")
        )
    for side, record in (("without", control), ("with", treated)):
        found += _of_clip(workspace, key, f"The video {side} retrieval", record)
    return found


def _alike(key: str, control: VideoRecord, treated: VideoRecord) -> list[dict[str, Any]]:
    found = []
    for name, label in (("width", "width"), ("height", "height"), ("fps", "frames a second")):
        if getattr(control, name) != getattr(treated, name):
            message = f"The two videos differ in {label}: {getattr(control, name)} and {getattr(treated, name)}."
            found.append(_row("block", key, "unequal_size", message))
    differences = diff_records(control, treated)
    lengths = [line for line in differences if _LENGTH.match(line)]
    others = [line for line in differences if not _LENGTH.match(line)]
    if control.frames != treated.frames:
        message = (
            f"The two videos are {control.frames} and {treated.frames} frames long. With a reason, the shorter one "
            "is held on its last frame."
        )
        found.append(_row("block", key, "unequal_length", message, can_override=True))
    elif lengths:
        others += lengths
    if others:
        message = f"The two videos differ in more than retrieval: {'; '.join(others[:4])}."
        found.append(_row("block", key, "pair_differs", message))
    if control.frames_sha256 == treated.frames_sha256:
        message = "The two videos show the same pictures: retrieval changed nothing that can be seen."
        found.append(_row("block", key, "same_pictures", message))
    return found


def _of_clip(workspace: Workspace, key: str, name: str, record: VideoRecord) -> list[dict[str, Any]]:
    found = []
    if record.verdict != "ok":
        message = f"{name} looks {record.verdict.replace('_', ' ')}."
        found.append(_row("block", key, "degenerate", message, can_override=True))
    fallen = [scene.id for scene in record.scenes if scene.fallback]
    if fallen:
        message = f"{name} was drawn by another engine in {', '.join(fallen)}: make the pair again without fallback."
        found.append(_row("block", key, "fallback", message))
    told = [
        hit
        for scene in record.plan.scenes
        for step in scene.steps
        for hit in _TELLING_TEXT.findall(f"{step.say} {step.show}")
    ]
    if told:
        words = ", ".join(f"“{word}”" for word in dict.fromkeys(told[:3]))
        message = f"{name} says {words}: examiners may guess that it quotes a book."
        found.append(_row("warn", key, "telling_text", message))
    if record.request.show_sources:
        message = f"{name} shows its source footer, which names the arm."
        found.append(_row("block", key, "sources_shown", message))
    file = video_file(workspace, record)
    if file.suffix != ".mp4" or not file.is_file():
        found.append(_row("block", key, "no_video", f"{name} has no MP4 file."))
    elif sha256_of(file) != record.video_sha256:
        found.append(_row("block", key, "file_changed", f"{name} is not the file that its record describes."))
    return found


def video_file(workspace: Workspace, record: VideoRecord) -> Path:
    """Where the video of a record lies."""
    return workspace.video(record.id) / record.files["video"]
