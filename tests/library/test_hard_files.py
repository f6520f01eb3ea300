"""Every difficult PDF ends in a stated way, and whatever happens the library stays whole."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from t2v_studio.errors import InputError, LimitError, StudioError
from t2v_studio.library import pdf
from t2v_studio.library.chunking import passages
from t2v_studio.library.reading import Reading, admit, read
from t2v_studio.settings import Settings

OUTCOMES = {
    "docling-code_and_formula.pdf": "ok",
    "docling-multi_page.pdf": "ok",
    "docling-nemotron_multipage.pdf": "no_text",
    "docling-ocr_test.pdf": "no_text",
    "docling-ocr_test_rotated_90.pdf": "no_text",
    "docling-right_to_left_01.pdf": "ok",
    "docling-sample_with_rotation_mismatch.pdf": "no_text",
    "sf-GeoTopo-komprimiert.pdf": "ok",
    "sf-annotated_pdf.pdf": "ok",
    "sf-crazyones-pdfa.pdf": "ok",
    "sf-google-doc-document.pdf": "ok",
    "sf-grayscale-image.pdf": "no_text",
    "sf-habibi-rotated.pdf": "ok",
    "sf-habibi.pdf": "ok",
    "sf-imagemagick-images.pdf": "no_text",
    "sf-libreoffice-writer-password.pdf": "password_needed",
    "sf-mistitled_outlines_example.pdf": "ok",
    "sf-multicolumn.pdf": "ok",
    "sf-pdflatex-4-pages.pdf": "ok",
    "sf-pdflatex-image.pdf": "ok",
    "sf-pdflatex-outline.pdf": "ok",
    "sf-unreadablemetadata.pdf": "damaged_pdf",
    "sf-with-attachment.pdf": "ok",
}


LONG = {"sf-GeoTopo-komprimiert.pdf", "sf-multicolumn.pdf"}
"""Read by other tests, too."""


def outcome(path: Path, settings: Settings, password: str = "", reading: Reading | None = None) -> str:
    try:
        reading = reading or read(admit(path, settings), settings, password=password)
    except StudioError as error:
        assert error.message and error.hint
        return error.code
    assert [page.number for page in reading.pages] == list(range(1, len(reading.pages) + 1))
    passages(reading, "0" * 16, min_words=20, max_words=120)
    return "ok"


@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_hard_file(name: str, shared_data: Path, settings: Settings, reading_of: Callable[[str], Reading]) -> None:
    reading = reading_of(f"hard/{name}") if name in LONG else None
    assert outcome(shared_data / "hard" / name, settings, reading=reading) == OUTCOMES[name]


def test_every_hard_file_has_an_expectation(shared_data: Path) -> None:
    assert {path.name for path in (shared_data / "hard").iterdir()} == set(OUTCOMES)


def test_passwords(shared_data: Path, settings: Settings) -> None:
    path = shared_data / "hard" / "sf-libreoffice-writer-password.pdf"
    assert outcome(path, settings, "openpassword") == "ok"
    assert outcome(path, settings, "wrong") == "wrong_password"
    assert outcome(path, settings, "two\nlines") == "wrong_password"


def test_a_scan_says_that_ocr_is_needed(shared_data: Path, settings: Settings) -> None:
    with pytest.raises(InputError, match="no text") as caught:
        read(admit(shared_data / "hard" / "docling-ocr_test.pdf", settings), settings)
    assert "ocrmypdf" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("empty.pdf", b"", "empty_file"),
        ("page.pdf", b"<html>not a pdf</html>", "not_a_pdf"),
        ("head.pdf", b"%PDF-1.7\n" + b"x" * 4000, "damaged_pdf"),
        ("book.epub", b"PK", "unsupported_file"),
        ("noise.txt", b"ab\0\0cd", "not_text"),
        ("blank.txt", b"\n \n", "no_text"),
    ],
)
def test_files_that_are_no_books(tmp_path: Path, settings: Settings, name: str, data: bytes, code: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert outcome(path, settings) == code


def test_absent_and_too_large(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None, upload_max_mb=1)
    assert outcome(tmp_path / "nothing.pdf", settings) == "unreadable_file"
    (tmp_path / "large.pdf").write_bytes(b"%PDF-1.7" + b" " * 1_100_000)
    assert outcome(tmp_path / "large.pdf", settings) == "file_too_large"


def test_too_many_pages(shared_data: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None, pdf_max_pages=3)
    with pytest.raises(LimitError, match="4 pages") as caught:
        read(admit(shared_data / "hard" / "sf-pdflatex-4-pages.pdf", settings), settings)
    assert caught.value.code == "too_many_pages"


def test_a_cut_file_still_ends_in_a_stated_way(shared_data: Path, tmp_path: Path, settings: Settings) -> None:
    data = (shared_data / "slides" / "i2ml-basics-learner.pdf").read_bytes()
    for share in (0.3, 0.8):
        path = tmp_path / f"cut{share}.pdf"
        path.write_bytes(data[: int(share * len(data))])
        assert outcome(path, settings) in ("ok", "damaged_pdf", "no_text")


def test_a_hang_is_killed(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "START_SECONDS", 0.1)
    monkeypatch.setattr(pdf, "command", lambda *_: [sys.executable, "-c", "import time; time.sleep(600)"])
    settings = Settings(home=tmp_path, _env_file=None, pdf_page_seconds=0.3)
    start = time.monotonic()
    with pytest.raises(LimitError) as caught:
        pdf.read_pdf(shared_data / "hard" / "sf-habibi.pdf", settings)
    assert caught.value.code == "pdf_timeout"
    assert time.monotonic() - start < 300, "the child was not killed"


HANGS_ON_PAGE_TWO = """
import sys, time
from t2v_studio.library import pdf_child
real = pdf_child.Book.page
def page(self, index, label):
    if index == 1:
        time.sleep(600)
    return real(self, index, label)
pdf_child.Book.page = page
sys.exit(pdf_child.main())
"""


def test_one_hung_page_costs_one_page(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pdf.command
    monkeypatch.setattr(pdf, "command", lambda *given: [sys.executable, "-c", HANGS_ON_PAGE_TWO, *real(*given)[5:]])
    monkeypatch.setattr(pdf, "START_SECONDS", 20.0)
    settings = Settings(home=tmp_path, _env_file=None, pdf_page_seconds=2.0)
    reading = pdf.read_pdf(shared_data / "hard" / "sf-pdflatex-4-pages.pdf", settings)
    assert [page.error for page in reading.pages] == ["", "timeout", "", ""]
    assert "2" in reading.notices[0]


def test_memory_limit_is_an_error_of_its_own(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = (
        "import sys\nfrom t2v_studio.library import pdf_child\n"
        "def page(self, index, label): return bytearray(3 << 30)\n"
        "pdf_child.Book.page = page\nsys.exit(pdf_child.main())"
    )
    real = pdf.command
    monkeypatch.setattr(pdf, "command", lambda *given: [sys.executable, "-c", greedy, *real(*given)[5:]])
    settings = Settings(home=tmp_path, _env_file=None, pdf_memory_mb=1024)
    with pytest.raises(LimitError) as caught:
        pdf.read_pdf(shared_data / "hard" / "sf-habibi.pdf", settings)
    assert caught.value.code == "pdf_memory"


def test_no_secret_reaches_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert "secret" not in str(pdf.environment())
    arguments = pdf.command("read", Path("book; rm -rf x.pdf"), Settings(_env_file=None))
    assert str(Path("book; rm -rf x.pdf").resolve()) in arguments
