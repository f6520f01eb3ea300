"""A book as it was read: pages of lines with their places, an outline, and nothing interpreted yet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2v_studio.errors import InputError, LimitError
from t2v_studio.settings import Settings

SUFFIXES = (".pdf", ".txt", ".md")
TEXT_PAGE_CHARS = 3000
PDF_MAGIC_WINDOW = 1024
"""Readers accept a PDF header that stands within the first kilobyte."""

OnPage = Callable[[int, int], None]


@dataclass(slots=True)
class Line:
    """One line of a page. x, y: start and baseline in points, from the lower left; size: font size in points.

    bold, mono and math are the shares of its characters set in such fonts, 0 to 1. A text file has no geometry.
    """

    text: str
    x: float | None = None
    y: float | None = None
    size: float | None = None
    bold: float = 0.0
    mono: float = 0.0
    math: float = 0.0


@dataclass(slots=True)
class Page:
    """One page: `number` counts from 1, `label` is what is printed; reader names who read it."""

    number: int
    label: str
    lines: list[Line]
    reader: str = "text"
    garble: float = 0.0
    image: bool = False
    error: str = ""

    @property
    def chars(self) -> int:
        return sum(len(line.text.strip()) for line in self.lines)


@dataclass(slots=True)
class OutlineEntry:
    """A heading of the book's own outline; level counts from 0; y is where its target stands on the page."""

    title: str
    level: int
    page: int
    y: float | None = None


@dataclass(slots=True)
class Reading:
    """Everything that one pass over a file gave."""

    pages: list[Page]
    outline: list[OutlineEntry] = field(default_factory=list)
    title: str = ""
    notices: list[str] = field(default_factory=list)
    markdown: bool = False


@dataclass(frozen=True)
class SourceFile:
    """A file that passed admission; book_id is the start of the hash of its bytes."""

    path: Path
    suffix: str
    sha256: str
    size_bytes: int

    @property
    def book_id(self) -> str:
        return self.sha256[:16]


def admit(path: Path, settings: Settings) -> SourceFile:
    """Check what can be checked without parsing: the file is there, readable, of a known kind and size.

    Raises InputError (unreadable_file, unsupported_file, empty_file, not_a_pdf, not_text) or LimitError (file_too_large).
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            "unsupported_file",
            f"{path.name}: files that end in {suffix or 'nothing'} cannot be read.",
            f"Give a file that ends in {', '.join(SUFFIXES)}.",
        )
    digest, size = _hash(path, settings.upload_max_mb * 1024 * 1024)
    if size == 0:
        raise InputError("empty_file", f"{path.name} is empty (0 bytes).", "Export or download the file again.")
    source = SourceFile(path, suffix, digest, size)
    with path.open("rb") as file:
        head = file.read(PDF_MAGIC_WINDOW)
    if suffix == ".pdf" and b"%PDF-" not in head:
        raise InputError(
            "not_a_pdf",
            f"{path.name} ends in .pdf but is not a PDF file.",
            "Open it in the program that made it and export it as PDF.",
        )
    if suffix != ".pdf" and (b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff"))):
        raise InputError("not_text", f"{path.name} holds binary data, not text.", "Save it as plain text in UTF-8.")
    return source


def _hash(path: Path, max_bytes: int) -> tuple[str, int]:
    """SHA-256 and size; stops before a file that is too large is read."""
    try:
        if not path.is_file():
            raise InputError("unreadable_file", f"There is no file {path.name}.", "Check the path.")
        size = path.stat().st_size
        if size > max_bytes:
            raise LimitError(
                "file_too_large",
                f"{path.name} has {size / 1e6:.0f} MB; at most {max_bytes // 1024 // 1024} MB are read.",
                "Split the file, or raise T2V_UPLOAD_MAX_MB.",
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), size
    except OSError as error:
        raise InputError(
            "unreadable_file", f"{path.name} cannot be read ({error.strerror}).", "Check the path and its permissions."
        ) from error


def read(source: SourceFile, settings: Settings, *, password: str = "", on_page: OnPage | None = None) -> Reading:
    """Read an admitted file; on_page(done, total) is called after each page and may raise CancelledError."""
    if source.suffix == ".pdf":
        from t2v_studio.library.pdf import read_pdf

        return read_pdf(source.path, settings, password=password, on_page=on_page)
    reading = read_text(source.path.read_bytes(), markdown=source.suffix == ".md")
    if on_page:
        on_page(len(reading.pages), len(reading.pages))
    if not any(page.chars for page in reading.pages):
        raise InputError("no_text", f"{source.path.name} holds no text.", "Give a file with text in it.")
    return reading


def read_text(data: bytes, *, markdown: bool = False) -> Reading:
    """Pages of a text file: at form feeds, else every 3,000 characters or so at a blank line."""
    text = _decode(data).replace("\r\n", "\n").replace("\r", "\n")
    parts = text.split("\f") if "\f" in text else _cut(text)
    pages = [
        Page(number, str(number), [Line(line) for line in part.split("\n")]) for number, part in enumerate(parts, 1)
    ]
    reading = Reading(pages, markdown=markdown)
    if markdown:
        reading.outline = _markdown_outline(pages)
        reading.title = next((entry.title for entry in reading.outline if entry.level == 0), "")
    return reading


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _cut(text: str) -> list[str]:
    """Stretches of about TEXT_PAGE_CHARS that end at a blank line, or at a line end where there is none near."""
    parts, start = [], 0
    while len(text) - start > TEXT_PAGE_CHARS * 1.3:
        end = text.find("\n\n", start + TEXT_PAGE_CHARS, start + TEXT_PAGE_CHARS * 2)
        if end < 0:
            end = text.find("\n", start + TEXT_PAGE_CHARS)
        if end < 0:
            break
        parts.append(text[start:end])
        start = end + 1
    return [*parts, text[start:]]


def _markdown_outline(pages: list[Page]) -> list[OutlineEntry]:
    entries, fenced = [], False
    for page in pages:
        for line in page.lines:
            if line.text.lstrip().startswith(("```", "~~~")):
                fenced = not fenced
            match = None if fenced else re.match(r"(#{1,6})\s+(.*?)\s*#*\s*$", line.text)
            if match and match[2]:
                entries.append(OutlineEntry(match[2], len(match[1]) - 1, page.number))
    return entries


def page_as_json(page: Page) -> dict[str, Any]:
    """The form in which the child process hands a page over."""
    lines = [[line.text, line.x, line.y, line.size, line.bold, line.mono, line.math] for line in page.lines]
    return {
        "number": page.number,
        "label": page.label,
        "reader": page.reader,
        "garble": page.garble,
        "image": page.image,
        "error": page.error,
        "lines": lines,
    }


def page_from_json(form: dict[str, Any]) -> Page:
    return Page(**{**form, "lines": [Line(*line) for line in form["lines"]]})
