"""What may be dropped into the library."""

from __future__ import annotations

from pathlib import Path

import pytest
from stand_in import StandIn

from t2v_studio.errors import StudioError
from t2v_studio.settings import Settings
from t2v_studio.ui import uploads


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("x.html", b"<script>alert(1)</script>", "not_a_book"),
        ("x.svg", b"<svg onload='alert(1)'/>", "not_a_book"),
        ("x.exe", b"MZ", "not_a_book"),
        ("x", b"text", "not_a_book"),
        ("x.pdf", b"<html><script>alert(1)</script>", "not_a_pdf"),
        ("x.pdf", b"\x89PNG\r\n", "not_a_pdf"),
        ("x.txt", b"%PDF-1.4 ...", "not_text"),
        ("x.md", b"a\0b", "not_text"),
        ("x.txt", b"  \n ", "empty_file"),
        ("x.pdf", b"", "empty_file"),
    ],
)
def test_refused_by_name_or_by_content(tmp_path: Path, name: str, content: bytes, code: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(StudioError) as caught:
        uploads.checked(path, max_mb=1)
    assert caught.value.code == code and caught.value.hint


def test_too_large_is_a_limit(tmp_path: Path):
    path = tmp_path / "x.pdf"
    path.write_bytes(b"%PDF-" + b"0" * 1_100_000)
    with pytest.raises(StudioError) as caught:
        uploads.checked(path, max_mb=1)
    assert caught.value.code == "upload_too_large"


@pytest.mark.parametrize("name", ["book.PDF", "notes.md", "notes.txt"])
def test_books_are_kept_under_data_uploads_with_a_plain_name(settings: Settings, tmp_path: Path, name: str):
    source = tmp_path / f"A; $(rm) <b> {name}"
    source.write_bytes(b"%PDF-1.7 words" if name.endswith("PDF") else b"words")
    kept = uploads.kept(StandIn(settings), str(source))  # type: ignore[arg-type]
    assert kept.is_file() and kept.is_relative_to(tmp_path / "home" / "data" / "uploads")
    assert not set(kept.name) & set("<>;$/\\")
