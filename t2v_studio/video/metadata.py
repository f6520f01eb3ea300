"""What an MP4 says about itself: the comment tag with the record, a title, and a chapter a scene."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from t2v_studio.video import ffmpeg

_ESCAPED = re.compile(r"([=;#\\\n])")


@dataclass(frozen=True)
class Chapter:
    """A named stretch of a video, in seconds."""

    title: str
    start_s: float
    end_s: float


def ffmetadata(tags: dict[str, str], chapters: Sequence[Chapter] = ()) -> str:
    """The text of an ffmetadata file (ffmpeg-formats, "Metadata"): tags, then chapters in milliseconds."""
    lines = [";FFMETADATA1", *(f"{_escape(key)}={_escape(value)}" for key, value in tags.items())]
    for chapter in chapters:
        lines += [
            "[CHAPTER]",
            "TIMEBASE=1/1000",
            f"START={round(chapter.start_s * 1000)}",
            f"END={round(chapter.end_s * 1000)}",
            f"title={_escape(chapter.title)}",
        ]
    return "\n".join(lines) + "\n"


def parse_ffmetadata(text: str) -> tuple[dict[str, str], list[Chapter]]:
    """Tags (keys in lower case) and chapters of an ffmetadata file."""
    tags: dict[str, str] = {}
    sections: list[dict[str, str]] = []
    current = tags
    for line in _logical_lines(text):
        if line.startswith("["):
            current = {}
            if line == "[CHAPTER]":
                sections.append(current)
        elif not line.startswith((";", "#")):
            key, equals, value = _split(line)
            if equals:
                current[_unescape(key).lower()] = _unescape(value)
    return tags, [_chapter(section) for section in sections]


def seal(
    source: Path, target: Path, *, tags: dict[str, str], chapters: Sequence[Chapter] = (), limit_s: float = 120.0
) -> None:
    """Write `source` to `target` with tags and chapters; the frames are copied, not encoded again.

    Tags go through a file, as a record is larger than one argument of a command may be.
    Raises StudioError when ffmpeg fails; `target` then does not exist.
    """
    with tempfile.TemporaryDirectory(prefix="t2v-tags-") as folder:
        described = Path(folder) / "tags.txt"
        described.write_text(ffmetadata(tags, chapters), encoding="utf-8", newline="\n")
        part = target.with_name(f".{target.name}.part")
        try:
            ffmpeg.run(ffmpeg.remux_argv(ffmpeg.find_ffmpeg(), source, described, part), limit_s=limit_s)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def _escape(text: str) -> str:
    return _ESCAPED.sub(r"\\\1", text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""))


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _logical_lines(text: str) -> list[str]:
    """Lines, where a newline after an odd number of backslashes belongs to the value."""
    lines: list[str] = []
    held = ""
    for line in text.split("\n"):
        held += line
        if (len(line) - len(line.rstrip("\\"))) % 2:
            held += "\n"
            continue
        lines.append(held)
        held = ""
    return lines


def _split(line: str) -> tuple[str, str, str]:
    """Key, "=", value at the first equals sign that is not escaped."""
    found = re.match(r"((?:[^=\\]|\\.)*)(=)(.*)", line, flags=re.DOTALL)
    return (found[1], found[2], found[3]) if found else (line, "", "")


def _chapter(section: dict[str, str]) -> Chapter:
    numerator, denominator = section.get("timebase", "1/1000000000").split("/")
    unit_s = int(numerator) / int(denominator)
    return Chapter(section.get("title", ""), int(section["start"]) * unit_s, int(section["end"]) * unit_s)
