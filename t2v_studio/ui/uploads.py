"""What may be dropped: PDF, text and Markdown, by suffix and by content; kept under a name of our own."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from t2v_studio.errors import InputError, LimitError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.workspace import new_id

SUFFIXES = (".pdf", ".txt", ".md")
PROBE_BYTES = 4096
PDF_MAGIC = b"%PDF-"
FORGOTTEN_S = 3600


def checked(path: Path, max_mb: int) -> Path:
    """`path`, if its name and its first bytes agree that it is a book. Raises InputError, LimitError."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            "not_a_book", f"{path.name}: only PDF, TXT and MD files can be added.", "Save it as PDF or plain text."
        )
    if path.stat().st_size > max_mb * 1024 * 1024:
        raise LimitError(
            "upload_too_large", f"{path.name} is larger than {max_mb} MB.", "Split it, or raise T2V_UPLOAD_MAX_MB."
        )
    with path.open("rb") as file:
        head = file.read(PROBE_BYTES)
    if not head.strip():
        raise InputError("empty_file", f"{path.name} is empty.", "Choose a file with text in it.")
    if suffix == ".pdf" and PDF_MAGIC not in head[:1024]:
        raise InputError("not_a_pdf", f"{path.name} is named .pdf and is no PDF inside.", "Export it again as PDF.")
    if suffix != ".pdf" and (b"\0" in head or head.startswith(PDF_MAGIC)):
        raise InputError(
            "not_text", f"{path.name} is named {suffix} and is no text inside.", "Save it as plain text in UTF-8."
        )
    return path


def kept(studio: Studio, dropped: str) -> Path:
    """A dropped file, checked, in a folder of its own under data/uploads: Gradio's cache is swept, jobs may wait."""
    source = checked(Path(dropped), studio.settings.upload_max_mb)
    folder = studio.workspace.uploads / new_id("upload")
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, folder / _plain(source)))


def sweep(studio: Studio, jobs: Iterable[Job] = ()) -> None:
    """Delete the dropped files of `jobs` that have ended, and whatever no waiting job has named for an hour.

    The library keeps its own copy of each book, and a file that could not be read has to be dropped again.
    """
    root = studio.workspace.uploads.resolve()
    for job in jobs:
        folder = Path(str(job.spec.get("path") or "")).parent.resolve()
        if job.ended and folder.parent == root:
            shutil.rmtree(folder, ignore_errors=True)
    if not root.is_dir():
        return
    wanted = {Path(str(job.spec.get("path") or "")).parent for job in studio.jobs(active=True)}
    for folder in root.iterdir():
        if folder not in wanted and time.time() - folder.stat().st_mtime > FORGOTTEN_S:
            shutil.rmtree(folder, ignore_errors=True)


def _plain(path: Path) -> str:
    stem = re.sub(r"[^\w .()+,&'-]+", "_", path.stem).strip(" .")[:120] or "book"
    return stem + path.suffix.lower()
