"""Sets of captioned footage as their publishers lay them out on disk. Nothing is downloaded."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from t2v_studio.errors import InputError, NotFoundError, unknown_name

VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".avi", ".mov")
_YOUTUBE_ID = 11


@dataclass(frozen=True)
class Footage:
    """One clip with all its captions. `file` is None where the set names a video that is not on this disk.

    family: the video that it was cut from. end_s of None: to the end of the file.
    """

    source: str
    name: str
    family: str
    captions: tuple[str, ...]
    file: Path | None
    start_s: float = 0.0
    end_s: float | None = None


def read_source(
    source: str, root: Path, *, annotations: Path | None = None, videos: Path | None = None
) -> list[Footage]:
    """The clips of a set, in the order of its annotations.

    root: the set's folder. annotations: its JSON or CSV file, found in `root` by default. videos: the folder of its
    videos, `root` by default. Raises InputError that names the file and what it lacks.
    """
    if source not in SOURCES:
        raise unknown_name("source", source, list(SOURCES))
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise NotFoundError("no_such_folder", f"root: {root} is no folder.", f"Name the folder of {source}.")
    stored = _videos(videos.expanduser().resolve() if videos else root)
    found = list(SOURCES[source](root, annotations, stored))
    if not found:
        raise InputError("empty_source", f"{source}: {root} holds no captions.", "Check the annotation file.")
    return found


def _videos(folder: Path) -> dict[str, Path]:
    """File stem to file, in all folders below."""
    return {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES}


def _msr_vtt(root: Path, annotations: Path | None, stored: dict[str, Path]) -> Iterator[Footage]:
    """{"videos": [{"video_id", "url", ...}], "sentences": [{"video_id", "caption"}]}; about 20 captions a video."""
    path, data = _json(root, annotations, lambda data: isinstance(data, dict) and "sentences" in data, "sentences")
    captions: dict[str, list[str]] = {}
    for number, row in enumerate(data["sentences"]):
        name, caption = _field(row, "video_id", path, number), _field(row, "caption", path, number)
        captions.setdefault(name, []).append(caption)
    families = {str(row.get("video_id")): _youtube(str(row.get("url", ""))) for row in data.get("videos", [])}
    for name, said in captions.items():
        yield Footage("msr-vtt", name, families.get(name) or name, _distinct(said), stored.get(name))


def _vatex(root: Path, annotations: Path | None, stored: dict[str, Path]) -> Iterator[Footage]:
    """[{"videoID": "<YouTube id>_<start>_<end>", "enCap": [...]}]; clips of one YouTube video are one family."""
    path, data = _json(
        root, annotations, lambda data: isinstance(data, list) and bool(data) and "videoID" in data[0], "videoID"
    )
    for number, row in enumerate(data):
        name = _field(row, "videoID", path, number)
        said = row.get("enCap") or []
        family = re.sub(r"_\d{6}_\d{6}$", "", name)
        # Some downloaders name the file by the video alone.
        file = stored.get(name) or stored.get(family)
        yield Footage("vatex", name, family, _distinct(said), file)


def _panda70m(root: Path, annotations: Path | None, stored: dict[str, Path]) -> Iterator[Footage]:
    """A CSV of url, videoID, timestamp, caption (the last two are lists), or what its downloader leaves: .mp4, .txt, .json."""
    tables = [annotations] if annotations else sorted(root.glob("*.csv"))
    if not tables:
        yield from _panda70m_downloaded(stored)
        return
    for table in tables:
        for number, row in enumerate(_csv(table)):
            for needed in ("videoID", "timestamp", "caption"):
                if not row.get(needed):
                    raise _lacks(table, number + 2, needed)
            said, times = (_listed(row[name], table, number + 2, name) for name in ("caption", "timestamp"))
            yield from _panda70m_row(row["videoID"], said, times, stored, table, number + 2)


def _panda70m_row(
    name: str, said: list[Any], times: list[Any], stored: dict[str, Path], table: Path, line: int
) -> Iterator[Footage]:
    if len(said) != len(times):
        raise InputError(
            "bad_annotations",
            f"{table.name}, line {line}: {len(said)} captions and {len(times)} timestamps.",
            "Each clip has one of each.",
        )
    for part, (caption, time) in enumerate(zip(said, times, strict=True)):
        cut = stored.get(f"{name}_{part}") or stored.get(f"{name}_{part:05d}")
        start, end = (_seconds(str(one), table, line) for one in time)
        captions = _distinct([caption])
        if cut is not None:
            yield Footage("panda70m", f"{name}_{part}", name, captions, cut)
        else:
            yield Footage("panda70m", f"{name}_{part}", name, captions, stored.get(name), start, end)


def _panda70m_downloaded(stored: dict[str, Path]) -> Iterator[Footage]:
    """00000/0000000_00001.mp4 with .txt and .json: clip 1 of source video 0000000."""
    for name, file in stored.items():
        words = file.with_suffix(".txt")
        if not words.is_file():
            continue
        facts = _facts(file.with_suffix(".json"))
        family = str(facts.get("videoID") or _youtube(str(facts.get("url", ""))) or name.rpartition("_")[0] or name)
        yield Footage("panda70m", name, family, _distinct([words.read_text(encoding="utf-8", errors="replace")]), file)


SOURCES: dict[str, Callable[[Path, Path | None, dict[str, Path]], Iterator[Footage]]] = {
    "msr-vtt": _msr_vtt,
    "vatex": _vatex,
    "panda70m": _panda70m,
}


def _json(root: Path, annotations: Path | None, fits: Callable[[Any], bool], key: str) -> tuple[Path, Any]:
    """The annotation file that was named, or the first in `root` that looks like one."""
    for path in [annotations.expanduser()] if annotations else sorted(root.rglob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                "annotations_unreadable", f"{path} cannot be read ({error.strerror}).", "Check the path."
            ) from error
        except ValueError as error:
            if annotations:
                raise InputError(
                    "annotations_unreadable", f"{path.name} is not JSON ({error}).", "Name the JSON file."
                ) from error
            continue
        if fits(data):
            return path, data
        if annotations:
            raise InputError("bad_annotations", f"{path.name} has no {key}.", "Name the annotation file of this set.")
    raise InputError("no_annotations", f"{root} holds no JSON file with {key}.", "Name it with --annotations.")


def _csv(path: Path) -> Iterable[dict[str, str]]:
    csv.field_size_limit(10_000_000)
    try:
        with path.expanduser().open(encoding="utf-8-sig", newline="") as stream:
            yield from csv.DictReader(stream)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            "annotations_unreadable", f"{path} cannot be read ({error}).", "Name a UTF-8 CSV file."
        ) from error


def _listed(text: str, path: Path, line: int, name: str) -> list[Any]:
    """A list as it stands in a cell: Python's or JSON's notation; a plain text is a list of one."""
    if not text.lstrip().startswith("["):
        return [text]
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise InputError(
            "bad_annotations", f"{path.name}, line {line}: {name} is no list.", "Correct this line."
        ) from error
    return list(found)


def _seconds(clock: str, path: Path, line: int) -> float:
    """ "0:01:05.8" as 65.8."""
    try:
        total = 0.0
        for part in clock.split(":"):
            total = total * 60 + float(part)
    except ValueError as error:
        raise InputError(
            "bad_annotations", f"{path.name}, line {line}: {clock!r} is no time.", "Correct this line."
        ) from error
    return total


def _field(row: Any, name: str, path: Path, number: int) -> str:
    if not isinstance(row, dict) or not row.get(name):
        raise _lacks(path, number + 1, name)
    return str(row[name])


def _lacks(path: Path, number: int, name: str) -> InputError:
    return InputError(
        "bad_annotations", f"{path.name}, entry {number}: it has no {name}.", "Name the right annotation file."
    )


def _facts(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _youtube(url: str) -> str:
    """The video's id in a YouTube address, or ""."""
    parsed = urlparse(url)
    found = parse_qs(parsed.query).get("v", [""])[0] or (parsed.path.strip("/") if "youtu.be" in parsed.netloc else "")
    return found[:_YOUTUBE_ID]


def _distinct(captions: Iterable[Any]) -> tuple[str, ...]:
    """Captions on one line each, repeats left out."""
    lines = (" ".join(str(caption).split()) for caption in captions)
    return tuple(dict.fromkeys(line for line in lines if line))
