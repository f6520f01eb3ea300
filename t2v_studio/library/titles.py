"""A book's title: from its metadata, its first heading or its first page, else the file's name."""

from __future__ import annotations

import re
from pathlib import PurePath

from t2v_studio.library.cleaning import UNREADABLE, fold
from t2v_studio.library.reading import Reading

_JUNK = re.compile(
    r"untitled|^microsoft|^slides?\b|\.(?:pdf|docx?|tex|dvi|indd|ps|rtf|pptx?|md|txt|html?)$|^(?:document|title|book|main|thesis)\d*$"
    r"|^presentation|^(?:layout|scan|img|doc)[\s_-]*\d|^[\w-]+_[\w_-]+$|[\\/]",
    re.I,
)
MOST_CHARS = 120


def book_title(reading: Reading, file_name: str) -> str:
    """The best title at hand; never empty."""
    for candidate in (reading.title, _first_page_title(reading)):
        title = fold(candidate)
        if is_title(title):
            return title
    stem = re.sub(r"[_\s]+", " ", PurePath(file_name).stem).strip()
    return stem[:MOST_CHARS] or file_name


def is_title(text: str) -> bool:
    """Whether a text can be shown as a title: some letters, not too long, no file name, no junk."""
    letters = sum(char.isalpha() for char in text)
    return (
        3 <= len(text) <= MOST_CHARS
        and letters >= 0.6 * len(text)
        and UNREADABLE not in text
        and not _JUNK.search(text)
    )


def _first_page_title(reading: Reading) -> str:
    """The largest type in the upper part of the first page, where it is clearly larger than the rest."""
    lines = [line for line in (reading.pages[0].lines if reading.pages else []) if line.text.strip()]
    sizes = sorted((line.size for line in lines if line.size and len(line.text.strip()) > 2), reverse=True)
    if not sizes or len(lines) < 2 or sizes[0] < 1.25 * sizes[len(sizes) // 2]:
        return ""
    start = next(index for index, line in enumerate(lines) if line.size == sizes[0] and len(line.text.strip()) > 2)
    parts = []
    for line in lines[start : start + 3]:
        if line.size is None or line.size < 0.97 * sizes[0]:
            break
        parts.append(line.text.strip())
    return " ".join(parts)
