"""The lines of one PDF page, by either of two readers, and the choice between them. Runs in the PDF child only."""

from __future__ import annotations

import ctypes
import math
import re
import unicodedata
from collections import Counter
from typing import Any

from t2v_studio.library.reading import Line

MONO = re.compile(r"mono|courier|consol|typewriter|cmtt|sftt|inconsol|menlo|-tt|zi4|nimbusmon|beramono", re.I)
MATH = re.compile(r"cmmi|cmsy|cmex|cmbsy|msam|msbm|math|symbol|eufm|rsfs|stmary|esint|wasy", re.I)
BOLD = re.compile(r"bold|black|heavy|demi|cmbx|sfbx|-medi", re.I)
UNMAPPED = re.compile(r"\(cid:\d+\)|/uni[0-9A-F]{4}|/[gG]\d{1,4}\b|/C\d{2,3}\b")
LINE_END_HYPHEN = re.compile(r"(?<=[^\W\d_])\ufffe(?=[^\W\d_])")
GLUED_LETTERS = 18
CLEARLY_BETTER_CHARS = 3
CLEARLY_BETTER_SHARE = 0.004


def pypdf_lines(page: Any) -> list[Line]:
    """Lines as pypdf reads them, with the place and the fonts that its visitor reports."""
    runs: list[tuple[str, Any, Any, Any, float]] = []
    text = page.extract_text(visitor_text=lambda *run: runs.append(run))
    if "".join(run[0] for run in runs) != text:
        return [Line(line) for line in text.split("\n")]
    lines, parts = [], []
    for run_text, cm, tm, font, size in runs:
        for number, piece in enumerate(run_text.split("\n")):
            if number:
                lines.append(_from_runs(parts))
                parts = []
            if piece:
                parts.append((piece, cm, tm, font, size))
    lines.append(_from_runs(parts))
    return lines


def _from_runs(parts: list[tuple[str, Any, Any, Any, float]]) -> Line:
    text = "".join(part[0] for part in parts)
    marked = [part for part in parts if part[0].strip()]
    if not marked:
        return Line(text)
    _, cm, tm, _, _ = marked[0]
    x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
    y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
    sizes: Counter[float] = Counter()
    shares: Counter[str] = Counter()
    for piece, cm, tm, font, size in marked:
        weight = len(piece.strip())
        scale = math.hypot(tm[2], tm[3]) * math.hypot(cm[2], cm[3])
        sizes[round(abs(size) * scale, 1)] += weight
        _add_font(shares, _font_name(font), weight)
    return _line(text, x, y, sizes, shares)


def _font_name(font: Any) -> str:
    font = font.get_object() if hasattr(font, "get_object") else font
    return str(font.get("/BaseFont", "")) if hasattr(font, "get") else ""


def _add_font(shares: Counter[str], name: str, weight: int) -> None:
    shares["all"] += weight
    name = name.rpartition("+")[2]
    for kind, pattern in (("mono", MONO), ("math", MATH), ("bold", BOLD)):
        if pattern.search(name):
            shares[kind] += weight


def _line(text: str, x: float, y: float, sizes: Counter[float], shares: Counter[str]) -> Line:
    total = max(shares["all"], 1)
    part = {kind: round(shares[kind] / total, 2) for kind in ("bold", "mono", "math")}
    return Line(text, round(x, 1), round(y, 1), sizes.most_common(1)[0][0] if sizes else None, **part)


def pdfium_lines(document: Any, index: int) -> list[Line]:
    """Lines as PDFium reads them. Pieces on one baseline, such as an exponent, stay on their line."""
    page = document[index]
    textpage = page.get_textpage()
    try:
        # PDFium writes U+FFFE where it believes a hyphen ends a line; between letters it does
        raw = textpage.get_text_range()
        breaks = {match.start() for match in LINE_END_HYPHEN.finditer(raw)}
        return _merged(_pdfium_rows(textpage, LINE_END_HYPHEN.sub("-", raw), breaks))
    finally:
        textpage.close()
        page.close()


def _pdfium_rows(textpage: Any, text: str, breaks: set[int]) -> list[tuple[Line, float]]:
    """Each line with the x at which it ends."""
    rows, start = [], 0
    for position, char in enumerate(text + "\n"):
        if char != "\n" and position not in breaks:
            continue
        end = position + 1 if position in breaks else position
        row = text[start:end].rstrip("\r")
        if row.strip():
            rows.append(_pdfium_row(textpage, row, start))
        start = position + 1
    return rows


def _pdfium_row(textpage: Any, row: str, start: int) -> tuple[Line, float]:
    import pypdfium2.raw as pdfium

    sizes: Counter[float] = Counter()
    shares: Counter[str] = Counter()
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    first = start + len(row) - len(row.lstrip())
    last = start + len(row.rstrip()) - 1
    step = max(1, (last - first) // 12)
    for position in range(first, last + 1, step):
        if row[position - start].isspace():
            continue
        sizes[round(_pdfium_size(pdfium, textpage, position), 1)] += 1
        pdfium.FPDFText_GetFontInfo(textpage, position, name, 128, ctypes.byref(flags))
        _add_font(shares, name.value.decode("utf-8", "replace"), 1)
    x, y, right, unused = (ctypes.c_double() for _ in range(4))
    pdfium.FPDFText_GetCharOrigin(textpage, first, ctypes.byref(x), ctypes.byref(y))
    pdfium.FPDFText_GetCharOrigin(textpage, last, ctypes.byref(right), ctypes.byref(unused))
    return _line(row, x.value, y.value, sizes, shares), right.value


def _pdfium_size(pdfium: Any, textpage: Any, position: int) -> float:
    matrix = pdfium.FS_MATRIX()
    size = float(pdfium.FPDFText_GetFontSize(textpage, position))
    if pdfium.FPDFText_GetMatrix(textpage, position, ctypes.byref(matrix)):
        return size * math.hypot(matrix.c, matrix.d)
    return size


def _merged(rows: list[tuple[Line, float]]) -> list[Line]:
    """Join a row to the one before it where both stand on one printed line (exponents, indices)."""
    lines: list[Line] = []
    end, baseline, row_end = 0.0, 0.0, False
    for line, right in rows:
        last = lines[-1] if lines else None
        size = max(line.size or 0.0, (last.size or 0.0) if last else 0.0)
        near = last is not None and line.y is not None and abs(line.y - baseline) < 0.55 * size
        if near and last is not None and line.x is not None and end - 1 <= line.x < end + 3 * size and not row_end:
            last.text = f"{last.text.rstrip()} {line.text.lstrip()}"
            last.math = max(last.math, line.math) if len(line.text) > len(last.text) / 2 else last.math
            last.size = max(last.size or 0.0, line.size or 0.0)
        else:
            lines.append(line)
            baseline = line.y or 0.0
        end, row_end = right, line.text.endswith("-")
    return lines


def garble(text: str, other: str = "") -> int:
    """How many characters of `text` look wrong; where `other` is given, also what only `other` could read."""
    wrong = sum(1 for char in text if _unreadable(char))
    wrong += sum(len(token) for token in UNMAPPED.findall(text))
    wrong += sum(len(token) - GLUED_LETTERS for token in re.findall(r"[^\W\d_]{19,}", text))
    if other:
        here, there = Counter(text), Counter(other)
        wrong += sum(max(0, there[char] - here[char]) for char in there if _symbol(char))
        digits = [sum(counts[char] for char in "0123456789") for counts in (here, there)]
        # a few more digits mean little: PDFium reads the prime of f' as a zero
        wrong += digits[1] - digits[0] if digits[0] < 0.7 * digits[1] else 0
        letters = [sum(count for char, count in counts.items() if char.isalpha()) for counts in (here, there)]
        wrong += max(0, letters[1] - letters[0] - len(text) // 50)
    return wrong


def _unreadable(char: str) -> bool:
    if char in "\n\r\t\f":
        return False
    return unicodedata.category(char) in ("Cc", "Co", "Cn") or char in "\ufffd\ufffe\uffff"


def _symbol(char: str) -> bool:
    return char in "{}|\u2032" or (ord(char) > 127 and unicodedata.category(char) == "Sm")


def clearly_better(first: str, second: str) -> tuple[bool, float]:
    """Whether `second` reads the page clearly better than `first`; and the garble share of the better one."""
    worse, better = garble(first, second), garble(second, first)
    margin = max(CLEARLY_BETTER_CHARS, CLEARLY_BETTER_SHARE * len(first))
    use_second = worse - better > margin
    chosen = second if use_second else first
    return use_second, round(garble(chosen) / max(1, len(chosen)), 4)
