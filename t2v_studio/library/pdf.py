"""Reading a PDF and drawing its pages, both in a child process with limits on time and memory."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from t2v_studio.errors import InputError, LimitError, NotFoundError, StudioError
from t2v_studio.library.reading import OnPage, OutlineEntry, Page, Reading, page_from_json
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY, Workspace

log = logging.getLogger(__name__)

SECONDS_PER_PAGE_ADDED = 0.5
HUNG_PAGES_ALLOWED = 3
START_SECONDS = 30.0
"""Import, opening and outline come before the first page, on a busy machine too."""


def command(verb: str, path: Path, settings: Settings, *arguments: str) -> list[str]:
    """The child's argument list; nothing passes through a shell."""
    start = [sys.executable, "-s", "-B", "-m", "t2v_studio.library.pdf_child", verb, str(path.resolve())]
    return [*start, "--memory-mb", str(settings.pdf_memory_mb), *arguments]


def environment() -> dict[str, str]:
    """A clean environment: no keys or tokens reach the process that opens a stranger's file."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(REPOSITORY), "LANG": "C.UTF-8", "PYTHONUTF8": "1"}


class _Child:
    """A running reader whose lines arrive in a queue, so that waiting for one can end at a deadline."""

    def __init__(self, arguments: list[str], password: str) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment(),
            close_fds=True,
        )
        assert self.process.stdin and self.process.stdout
        self.lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()
        try:
            self.process.stdin.write(password.encode() + b"\n")
            self.process.stdin.close()
        except BrokenPipeError:
            log.warning("the PDF process ended before it read its input")

    def _collect(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message, None at the end; raises queue.Empty at the time limit."""
        line = self.lines.get(timeout=max(0.01, timeout_s))
        return None if line is None else json.loads(line)

    def close(self) -> str:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.errors.seek(0)
        tail = self.errors.read()[-2000:].decode("utf-8", "replace")
        self.errors.close()
        return tail


class _PdfReading:
    """One book being read, over as many child processes as its hung pages cost."""

    def __init__(self, path: Path, settings: Settings, password: str, on_page: OnPage | None) -> None:
        self.path, self.settings, self.password, self.on_page = path, settings, password, on_page
        self.pages: list[Page] = []
        self.book: dict[str, Any] = {}
        self.hung = 0
        self.deadline = time.monotonic() + settings.pdf_total_seconds

    def run(self) -> Reading:
        while self._pass():
            pass
        outline = [OutlineEntry(**entry) for entry in self.book["outline"]]
        return Reading(self.pages, outline, self.book["title"].strip())

    def _pass(self) -> bool:
        """Read on from the first page that is missing; True if a page hung and another pass is needed."""
        limits = ["--max-pages", str(self.settings.pdf_max_pages), "--first", str(len(self.pages) + 1)]
        child = _Child(command("read", self.path, self.settings, *limits), self.password)
        ended, tail = False, ""
        wait = START_SECONDS
        try:
            while True:
                message = child.next(min(wait + self.settings.pdf_page_seconds, self.deadline - time.monotonic()))
                if message is None:
                    break
                wait = 0.0
                ended = self._take(message) or ended
        except queue.Empty:
            return self._after_hang()
        finally:
            tail = child.close()
        if not ended:
            raise self._died(child.process.returncode, tail)
        return False

    def _take(self, message: dict[str, Any]) -> bool:
        if message["kind"] == "error":
            raise refusal(self.path.name, message["code"], message.get("detail", ""), self.settings)
        if message["kind"] == "book":
            self.book = message
            self.deadline += SECONDS_PER_PAGE_ADDED * message["pages"]
        elif message["kind"] == "page":
            self._add(page_from_json(message["page"]))
        return bool(message["kind"] == "end")

    def _add(self, page: Page) -> None:
        self.pages.append(page)
        if self.on_page:
            self.on_page(len(self.pages), self.book["pages"])

    def _after_hang(self) -> bool:
        self.hung += 1
        if not self.book or self.hung > HUNG_PAGES_ALLOWED or time.monotonic() >= self.deadline:
            raise refusal(self.path.name, "pdf_timeout", "", self.settings)
        number = len(self.pages) + 1
        self._add(Page(number, self.book["labels"][number - 1], [], "none", error="timeout"))
        return len(self.pages) < self.book["pages"]

    def _died(self, code: int | None, tail: str) -> StudioError:
        log.error("the PDF process for %s ended with %s: %s", self.path.name, code, tail)
        memory = "MemoryError" in tail or "bad_alloc" in tail
        return refusal(self.path.name, "pdf_memory" if memory else "damaged_pdf", f"exit {code}", self.settings)


def read_pdf(path: Path, settings: Settings, *, password: str = "", on_page: OnPage | None = None) -> Reading:
    """Every page of a PDF as lines, in a child process that is killed at the time limits.

    Raises InputError (password_needed, wrong_password, damaged_pdf, no_text) or LimitError (too_many_pages,
    pdf_timeout, pdf_memory). A page that cannot be read is left empty and named in the notices.
    """
    if "\n" in password or "\r" in password:
        raise refusal(path.name, "wrong_password", "", settings)
    reading = _PdfReading(path, settings, password, on_page).run()
    broken = [page.number for page in reading.pages if page.error]
    scans = [page.number for page in reading.pages if page.image]
    if not any(page.chars >= 20 for page in reading.pages):
        raise refusal(path.name, "damaged_pdf" if len(broken) == len(reading.pages) else "no_text", "", settings)
    if broken:
        reading.notices.append(f"Pages that could not be read: {_ranges(broken)}.")
    if scans:
        reading.notices.append(
            f"Pages that are pictures without text: {_ranges(scans)}. To include them run OCR first (ocrmypdf)."
        )
    return reading


def refusal(name: str, code: str, detail: str, settings: Settings) -> StudioError:
    """The error for each way in which a PDF cannot be used."""
    limits = {"too_many_pages", "pdf_timeout", "pdf_memory"}
    message, hint = {
        "password_needed": (f"{name} is encrypted.", "Give the password that opens it."),
        "wrong_password": (f"The password does not open {name}.", "Check the password; capitals count."),
        "damaged_pdf": (
            f"{name} is damaged and cannot be read.",
            "Download or export it again, or repair it, for example with: qpdf in.pdf out.pdf",
        ),
        "no_text": (
            f"{name} holds no text: its pages are pictures or empty.",
            "It needs OCR first, for example with: ocrmypdf in.pdf out.pdf",
        ),
        "too_many_pages": (
            f"{name} has {detail} pages; at most {settings.pdf_max_pages} are read.",
            "Split it, or raise T2V_PDF_MAX_PAGES.",
        ),
        "pdf_timeout": (
            f"{name} takes too long to read.",
            "Print it to a new PDF, or raise T2V_PDF_PAGE_SECONDS and T2V_PDF_TOTAL_SECONDS.",
        ),
        "pdf_memory": (
            f"{name} needs more than {settings.pdf_memory_mb} MB of memory to read.",
            "Split it, or raise T2V_PDF_MEMORY_MB.",
        ),
    }[code]
    return (LimitError if code in limits else InputError)(code, message, hint)


def _ranges(numbers: list[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def page_picture(
    workspace: Workspace,
    settings: Settings,
    book_id: str,
    page: int,
    *,
    pages: int,
    password: str = "",
    width: int = 900,
) -> Path:
    """A PNG of a page, drawn once and kept in the cache. Raises NotFoundError where there is no such page."""
    source = workspace.book(book_id) / "source.pdf"
    if not source.is_file():
        raise NotFoundError("no_page_picture", "Page pictures exist for PDF books only.", "Read the passage instead.")
    if not 1 <= page <= pages:
        raise NotFoundError("unknown_page", f"There is no page {page} in this book.", f"It has pages 1 to {pages}.")
    target = workspace.cache / book_id / f"page-{page:05d}-{width}.png"
    if target.is_file():
        return target
    arguments = command("picture", source, settings, "--page", str(page), "--width", str(width))
    try:
        done = subprocess.run(
            arguments,
            input=password.encode() + b"\n",
            capture_output=True,
            env=environment(),
            timeout=START_SECONDS + settings.pdf_page_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise refusal(source.name, "pdf_timeout", "", settings) from error
    if done.returncode or not done.stdout.startswith(b"\x89PNG"):
        log.error("page picture failed: %s", done.stderr[-2000:].decode("utf-8", "replace"))
        raise InputError("no_page_picture", f"Page {page} cannot be drawn.", "Open the PDF in a viewer.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    part.write_bytes(done.stdout)
    part.replace(target)
    return target
