"""What may become a book: the file and the passage lengths that are asked for, checked before anything is queued."""

from __future__ import annotations

from pathlib import Path

from t2v_studio.errors import InputError, LimitError

SUFFIXES = (".pdf", ".txt", ".md")


def checked_book(path: Path, most_mb: int) -> Path:
    """The file to read, absolute: it exists, is a plain file of a known kind, and is not too large.

    Raises InputError, LimitError book_too_large.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            "bad_book_type",
            f"book: {path.name} is not a PDF, text or Markdown file.",
            f"Give a file that ends in {', '.join(SUFFIXES)}.",
        )
    if not path.exists():
        raise InputError("no_such_file", f"book: {path} is not there.", "Check the path.")
    if not path.is_file():
        raise InputError("not_a_file", f"book: {path} is not a file.", "Give one book at a time.")
    try:
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise InputError(
            "book_unreadable", f"book: {path} cannot be read ({error.strerror}).", "Check its permissions."
        ) from error
    if size == 0:
        raise InputError("empty_file", f"book: {path.name} is empty.", "Give the book itself.")
    if size > most_mb * 1_000_000:
        raise LimitError(
            "book_too_large",
            f"book: {path.name} has {size / 1e6:.0f} MB; at most {most_mb} are taken.",
            "Raise T2V_UPLOAD_MAX_MB, or split the book.",
        )
    return path.resolve()


def check_words(low: int, high: int) -> None:
    """Raise InputError for passage lengths, in words, that no book can be cut into."""
    for name, value, least, most in (("min_words", low, 5, 400), ("max_words", high, 20, 1000)):
        if not least <= value <= most:
            raise InputError("bad_words", f"{name}: {value} words.", f"Give {least} to {most}.")
    if low >= high:
        raise InputError(
            "bad_words", f"min_words: {low} is not below max_words, {high}.", "Passages need room: try 45 and 220."
        )
