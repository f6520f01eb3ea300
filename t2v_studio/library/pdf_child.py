"""The process that parses a PDF, so that a hang, a crash or a memory bomb ends here and nowhere else.

    python -m t2v_studio.library.pdf_child read FILE --memory-mb N --max-pages N --first N
    python -m t2v_studio.library.pdf_child picture FILE --memory-mb N --page N --width N

The password comes as the first line of stdin. `read` writes one JSON object a line: book, page..., end, or error.
`picture` writes a PNG.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from t2v_studio.library.reading import Line, Page, page_as_json

T = TypeVar("T")
ERROR_CODES = ("password_needed", "wrong_password", "damaged_pdf", "too_many_pages", "pdf_memory")


class Refused(Exception):
    """The book cannot be read; args[0] is one of ERROR_CODES."""


def limit(memory_mb: int) -> None:
    """No more memory than this, no core file, no file written."""
    size = memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def say(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind, **fields}) + "\n")
    sys.stdout.flush()


class Book:
    """One PDF in both readers; either may be absent if it refuses the file."""

    def __init__(self, path: Path, password: str) -> None:
        self.first: Any = None
        self.second: Any = None
        reason = ""
        try:
            self.first = self._open_pypdf(path, password)
        except (Refused, MemoryError):
            raise
        except Exception as error:
            reason = type(error).__name__
        try:
            import pypdfium2

            self.second = pypdfium2.PdfDocument(path, password=password or None)
        except Exception as error:
            reason = reason or type(error).__name__
        if self.pages == 0:
            raise Refused("damaged_pdf", reason)

    @staticmethod
    def _open_pypdf(path: Path, password: str) -> Any:
        from pypdf import PdfReader

        reader = PdfReader(path)
        # many files are encrypted with an empty user password: everyone may read them
        if reader.is_encrypted and not reader.decrypt(password):
            raise Refused("wrong_password" if password else "password_needed")
        return reader if len(reader.pages) else None

    @property
    def pages(self) -> int:
        if self.first is not None:
            return len(self.first.pages)
        return len(self.second) if self.second is not None else 0

    def labels(self) -> list[str]:
        labels: list[str] = []
        with contextlib.suppress(Exception):
            labels = [str(label) for label in self.first.page_labels]
        return labels if len(labels) == self.pages else [str(n + 1) for n in range(self.pages)]

    def title(self) -> str:
        with contextlib.suppress(Exception):
            return str(self.first.metadata.title or "")
        return ""

    def outline(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        with contextlib.suppress(Exception):
            self._walk(self.first.outline, 0, entries)
        return entries

    def _walk(self, nodes: Any, level: int, entries: list[dict[str, Any]]) -> None:
        for node in nodes:
            if isinstance(node, list):
                self._walk(node, level + 1, entries)
                continue
            with contextlib.suppress(Exception):
                number = self.first.get_destination_page_number(node)
                top = node.top
                y = float(top) if isinstance(top, (int, float)) else None
                if number is not None and number >= 0:
                    entries.append({"title": str(node.title), "level": level, "page": number + 1, "y": y})

    def page(self, index: int, label: str) -> Page:
        """A page's lines by the reader that reads it better; the other one only gives its plain text to compare."""
        from t2v_studio.library.pdf_lines import clearly_better, pdfium_lines, pdfium_text, pypdf_lines, pypdf_text

        errors: list[str] = []
        first = self._guarded(lambda: pypdf_text(self.first.pages[index]), errors) if self.first is not None else None
        second = self._guarded(lambda: pdfium_text(self.second, index), errors) if self.second is not None else None
        use_second, share = clearly_better(first[0] if first else "", second or "")
        lines: list[Line] | None = None
        if second is not None and (use_second or first is None):
            lines = self._guarded(lambda: pdfium_lines(self.second, index), errors)
        used_second = lines is not None
        if lines is None and first is not None:
            lines = self._guarded(lambda: pypdf_lines(*first), errors)
        error = "; ".join(errors) if lines is None else ""
        page = Page(index + 1, label, lines or [], "pypdfium2" if used_second else "pypdf", share, False, error)
        page.image = page.chars < 40 and self._has_image(index)
        return page

    @staticmethod
    def _guarded(read: Callable[[], T], errors: list[str]) -> T | None:
        try:
            return read()
        except Exception as error:
            errors.append(type(error).__name__)
            return None

    def _has_image(self, index: int) -> bool:
        try:
            import pypdfium2.raw as raw

            return any(thing.type == raw.FPDF_PAGEOBJ_IMAGE for thing in self.second[index].get_objects(max_depth=3))
        except Exception:
            return False


def read(path: Path, password: str, max_pages: int, first: int) -> None:
    book = Book(path, password)
    if book.pages > max_pages:
        raise Refused("too_many_pages", str(book.pages))
    labels = book.labels()
    if first == 1:
        say("book", pages=book.pages, title=book.title(), outline=book.outline(), labels=labels)
    for index in range(first - 1, book.pages):
        say("page", page=page_as_json(book.page(index, labels[index])))
    say("end")


def picture(path: Path, password: str, number: int, width: int) -> None:
    import io

    import pypdfium2

    document = pypdfium2.PdfDocument(path, password=password or None)
    page = document[number - 1]
    scale = min(width / max(page.get_width(), 1.0), 3 * width / max(page.get_height(), 1.0))
    image = page.render(scale=scale).to_pil()
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    sys.stdout.buffer.write(buffer.getvalue())
    sys.stdout.buffer.flush()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["read", "picture"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--max-pages", type=int, default=5000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--page", type=int, default=1)
    parser.add_argument("--width", type=int, default=900)
    arguments = parser.parse_args()
    limit(arguments.memory_mb)
    logging.disable(logging.CRITICAL)
    password = sys.stdin.readline().rstrip("\n")
    try:
        if arguments.verb == "picture":
            picture(arguments.file, password, arguments.page, arguments.width)
        else:
            read(arguments.file, password, arguments.max_pages, arguments.first)
    except MemoryError:
        say("error", code="pdf_memory", detail="")
        return 1
    except Refused as refusal:
        say("error", code=refusal.args[0], detail=refusal.args[1] if len(refusal.args) > 1 else "")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
