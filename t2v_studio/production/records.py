"""Videos that are there: their records, the rows over them, and taking them away."""

from __future__ import annotations

import json
import logging
import platform
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from t2v_studio.database import reading, writing
from t2v_studio.errors import InputError, NotFoundError, StudioError, wrong_fields
from t2v_studio.production.record import VideoRecord
from t2v_studio.workspace import Workspace

log = logging.getLogger(__name__)

RECORD = "record.json"
UNFINISHED = "unfinished-"
"""Folders of videos that are being made start so; one older than UNFINISHED_KEPT_S is left over from a kill."""
UNFINISHED_KEPT_S = 24 * 3600.0

_PACKAGES = ("t2v-studio", "numpy", "skia-python", "ziamath", "imageio-ffmpeg", "opencv-python-headless", "pydantic")
_DIFFUSION = ("torch", "diffusers", "transformers", "peft", "safetensors", "accelerate")


def parse_record(data: Any, named: str = "record") -> VideoRecord:
    """A record from JSON data. Raises InputError that names the field, or says that it is a plan."""
    if isinstance(data, dict) and {"topic", "scenes"} <= set(data) and "plan" not in data:
        raise InputError(
            "plan_for_record",
            f"{named} is a plan, not the record of a video.",
            f"Draw it with: t2v generate --plan {named}",
        )
    try:
        return VideoRecord.model_validate(data)
    except ValidationError as error:
        wrong = wrong_fields("not_a_record", error, known=VideoRecord.model_fields)
        raise InputError(
            "not_a_record",
            f"{named} is not a record of the studio ({wrong.message.rstrip('.')}).",
            "Name the record.json beside a video, or the video itself.",
        ) from error


def read_record(path: Path) -> VideoRecord:
    """A record from its JSON file. Raises NotFoundError or InputError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError("no_record", f"There is no record {path}.", "Check the path or the video's id.") from error
    except OSError as error:
        raise InputError(
            "record_unreadable", f"{path} cannot be read ({error.strerror}).", "Check the path."
        ) from error
    except ValueError as error:
        raise InputError("record_not_json", f"{path} is not JSON ({error}).", "Name a record.json.") from error
    return parse_record(data, str(path))


def record_in_video(path: Path) -> VideoRecord:
    """The record in a video's comment tag. Its `video_sha256` is empty: a file cannot hold its own hash.

    Raises NotFoundError, or InputError for a file without one.
    """
    from t2v_studio.video.decode import comment

    text = comment(path)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InputError(
            "no_record_in_video",
            f"{path.name} holds no record of the studio.",
            "Only videos made here hold one; some programs drop it when they convert a video.",
        ) from error
    return parse_record(data, str(path))


def read_any(path: Path) -> VideoRecord:
    """The record of a record.json or of a video. Raises as `read_record` and `record_in_video`."""
    return record_in_video(path) if path.suffix.lower() == ".mp4" else read_record(path)


def dump(record: VideoRecord) -> str:
    """A record as it stands in record.json: indented, UTF-8, keys in the model's order."""
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"


def rewrite(workspace: Workspace, record: VideoRecord) -> None:
    """Write the record of a finished video anew, in one step."""
    path = workspace.video(record.id) / RECORD
    part = path.with_name(f".{path.name}.part")
    part.write_text(dump(record), encoding="utf-8")
    part.replace(path)


def add_notices(workspace: Workspace, record: VideoRecord, notices: list[str]) -> None:
    """Add notices to a finished record, on disk too."""
    if notices:
        record.notices += notices
        rewrite(workspace, record)


def video_json(record: VideoRecord, folder: Path) -> dict[str, Any]:
    """What `generate --json` prints: paths are absolute, all else as in the record."""
    paths = {name: str(folder / file) for name, file in record.files.items()}
    return {
        "id": record.id,
        "video": paths["video"],
        "record": paths["record"],
        "frames": record.frames,
        "fps": record.fps,
        "duration_s": record.duration_s,
        "verdict": record.verdict,
        "notices": list(record.notices),
        "srt": paths.get("srt", ""),
        "vtt": paths.get("vtt", ""),
        "poster": paths.get("poster", ""),
    }


def store_row(workspace: Workspace, record: VideoRecord) -> None:
    """Write the row of a video, in place of an older one."""
    row = {
        "id": record.id,
        "title": record.plan.scenes[0].title if len(record.plan.scenes) == 1 else record.plan.topic,
        "topic": record.plan.topic,
        "engine": record.request.engine,
        "arm": record.arm,
        "pair_id": record.pair_id,
        "folder": workspace.relative(workspace.video(record.id)),
        "duration_s": record.duration_s,
        "fps": record.fps,
        "frames": record.frames,
        "width": record.width,
        "height": record.height,
        "verdict": record.verdict,
        "created_at": record.created_at,
    }
    with writing(workspace.database) as connection:
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(f"INSERT OR REPLACE INTO video ({names}) VALUES ({marks})", row)


def video_rows(workspace: Workspace, limit: int = 60) -> list[dict[str, Any]]:
    """Rows, newest first: id, title, topic, engine, arm, pair_id, duration_s, verdict, created_at, poster, video.

    A new database is filled from the folders; a row whose folder is gone is left out.
    """
    with reading(workspace.database) as connection:
        empty = connection.execute("SELECT 1 FROM video LIMIT 1").fetchone() is None
    if empty:
        rebuild_rows(workspace)
    with reading(workspace.database) as connection:
        found = connection.execute("SELECT * FROM video ORDER BY created_at DESC, id DESC").fetchall()
    rows: list[dict[str, Any]] = []
    for row in found:
        folder = workspace.video(row["id"])
        video = next((path for path in (folder / "video.mp4", folder / "video.gif") if path.is_file()), None)
        if video is None:
            continue
        poster = folder / "poster.png"
        rows.append(dict(row) | {"video": str(video), "poster": str(poster) if poster.is_file() else ""})
        if len(rows) == limit:
            break
    return rows


def rebuild_rows(workspace: Workspace) -> int:
    """Write a row for every record under outputs/videos; returns how many. A broken record is logged."""
    count = 0
    for path in sorted(workspace.videos.glob(f"*/{RECORD}")):
        if path.parent.name.startswith(UNFINISHED):
            continue
        try:
            record = read_record(path)
            if record.id == path.parent.name:
                store_row(workspace, record)
                count += 1
        except StudioError as error:
            log.warning("%s has no usable record: %s", path.parent.name, error.message)
    return count


def delete_video(workspace: Workspace, video_id: str) -> None:
    """Remove a video's folder and row. Raises NotFoundError; InputError for a video that a pair holds."""
    folder = workspace.video(video_id)
    with reading(workspace.database) as connection:
        row = connection.execute("SELECT pair_id FROM video WHERE id = ?", (video_id,)).fetchone()
    if not folder.is_dir() and row is None:
        raise NotFoundError("unknown_video", f"There is no video {video_id!r}.", "List them with: t2v videos list")
    pair_id = row["pair_id"] if row is not None else ""
    if pair_id and workspace.pair(pair_id).is_dir():
        raise InputError("video_in_pair", f"{video_id} is one arm of {pair_id}.", "Delete the pair instead.")
    discard(workspace, video_id)


def discard(workspace: Workspace, video_id: str) -> None:
    """Remove folder and row, whatever is left of them."""
    folder = workspace.video(video_id)
    with writing(workspace.database) as connection:
        connection.execute("DELETE FROM video WHERE id = ?", (video_id,))
    if folder.is_dir():
        # Renamed first, so that a half-removed folder is never taken for a video.
        doomed = folder.with_name(f"{UNFINISHED}{video_id}")
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def sweep_unfinished(workspace: Workspace, *, older_than_s: float = UNFINISHED_KEPT_S) -> int:
    """Remove what killed jobs left behind; returns the number of folders."""
    now, count = time.time(), 0
    for folder in workspace.videos.glob(f"{UNFINISHED}*"):
        if now - folder.stat().st_mtime > older_than_s:
            shutil.rmtree(folder, ignore_errors=True)
            count += 1
    return count


def versions(*, diffusion: bool = False) -> dict[str, str]:
    """Versions of what decides the pixels: packages and Python; diffusion: its libraries and the CUDA of torch, too."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *_DIFFUSION) if diffusion else _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    torch = sys.modules.get("torch")
    if diffusion and torch is not None and torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found
