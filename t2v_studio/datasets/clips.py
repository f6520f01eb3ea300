"""Videos on disk with the records that made them: what a manifest is built from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from t2v_studio.errors import InputError, StudioError
from t2v_studio.production.record import VideoRecord
from t2v_studio.production.records import RECORD, UNFINISHED, read_record, record_in_video

GLOBS = ("**/*.mp4", "**/*.gif")
SUFFIXES = (".mp4", ".gif")


@dataclass(frozen=True)
class Found:
    """One video: its file, its record, and what is wrong where there is none (`trouble`: code, message)."""

    file: Path
    record: VideoRecord | None = None
    trouble: tuple[str, str] | None = None


def find_clips(root: Path, globs: Sequence[str] = GLOBS) -> list[Found]:
    """Every video under `root`, each record once, by the record's id. Raises InputError for a root that cannot be read.

    A video's record is the record.json beside it, the .record.json of a copy, or what its own comment tag
    holds. A record whose video is gone is found, too. Links and copies of one record, such as a pack's
    folders hold, are one video.
    """
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise InputError("no_such_folder", f"input_root: {root} is no folder.", "Name a folder of videos.")
    by_record: dict[str, Found] = {}
    others: list[Found] = []
    for file in _files(root, globs):
        found = _with_record(file)
        if found.record is None:
            others.append(found)
        else:
            by_record.setdefault(found.record.id, found)
    with_video = {found.file.parent for found in by_record.values()}
    for found in _without_video(root, with_video):
        assert found.record is not None
        by_record.setdefault(found.record.id, found)
    return [*(by_record[name] for name in sorted(by_record)), *others]


def _files(root: Path, globs: Sequence[str]) -> list[Path]:
    found: set[Path] = set()
    for pattern in globs:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern:
            raise InputError("bad_glob", f"glob: {pattern!r} leads out of the folder.", 'Write "**/*.mp4".')
        found |= {path for path in root.glob(pattern) if path.suffix.lower() in SUFFIXES and path.is_file()}
    return sorted(path for path in found if not _unfinished(path, root))


def _unfinished(path: Path, root: Path) -> bool:
    return any(part.startswith((UNFINISHED, ".")) for part in path.relative_to(root).parts)


def _with_record(file: Path) -> Found:
    try:
        for beside in (file.with_name(RECORD), file.with_suffix(".record.json")):
            if beside.is_file():
                record = read_record(beside)
                if beside.name != RECORD or record.files.get("video") == file.name:
                    return Found(file, record)
        return Found(file, record_in_video(file))
    except StudioError as error:
        return Found(file, None, ("no_record", error.message))


def _without_video(root: Path, with_video: set[Path]) -> Iterator[Found]:
    """Records under `root` whose video is gone. with_video: folders in which one was found."""
    for path in sorted(root.rglob(RECORD)):
        if path.parent in with_video or _unfinished(path, root):
            continue
        try:
            record = read_record(path)
        except StudioError:  # no record of a video; whatever it belongs to is not ours
            continue
        file = path.with_name(record.files.get("video", "video.mp4"))
        if not file.is_file():
            yield Found(file, record, ("missing_file", f"{file.name} is gone."))
