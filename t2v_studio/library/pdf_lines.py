"""The lines of one PDF page, by either of two readers, and the choice between them. Runs in the PDF child only."""

from __future__ import annotations

import contextlib
import ctypes
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from typing import Any

from t2v_studio.library.pdf_curves import pass_over_curves
from t2v_studio.library.reading import Line
from t2v_studio.library.scripts import main_type, position, script

MONO = re.compile(r"mono|courier|consol|typewriter|cmtt|sftt|inconsol|menlo|-tt|zi4|nimbusmon|beramono", re.I)
MATH = re.compile(r"cmmi|cmsy|cmex|cmbsy|msam|msbm|math|symbol|eufm|rsfs|stmary|esint|wasy", re.I)
BOLD = re.compile(r"bold|black|heavy|demi|cmbx|sfbx|-medi", re.I)
ODD = re.compile(r"[^ -~\n\r\t\f]")
UNMAPPED = re.compile(r"\(cid:\d+\)|/uni[0-9A-F]{4}|/[gG]\d{1,4}\b|/C\d{2,3}\b")
LINE_END_HYPHEN = re.compile(r"(?<=[^\W\d_])\ufffe(?=[^\W\d_])")
_Run = tuple[str, Any, Any, Any, float]
"""Text, current matrix, text matrix, font, nominal size, as pypdf's visitor gives them."""
CLEARLY_BETTER_CHARS = 3
CLEARLY_BETTER_SHARE = 0.004


def pypdf_text(page: Any) -> tuple[str, list[_Run]]:
    """A page's text as pypdf reads it, and the runs that its visitor reports."""
    with contextlib.suppress(Exception):
        pass_over_curves(page)
    runs: list[_Run] = []
    return page.extract_text(visitor_text=lambda *run: runs.append(run)), runs


def pypdf_lines(text: str, runs: list[_Run]) -> list[Line]:
    """Lines with the place and the fonts of their runs."""
    if "".join(run[0] for run in runs) != text:
        return [Line(line) for line in text.split("\n")]
    lines: list[Line] = []
    parts: list[_Run] = []
    for run in runs:
        if "\n" not in run[0]:
            if run[0]:
                parts.append(run)
            continue
        for number, piece in enumerate(run[0].split("\n")):
            if number:
                lines.append(_from_runs(parts))
                parts = []
            if piece:
                parts.append((piece, *run[1:]))
    lines.append(_from_runs(parts))
    return lines


def _from_runs(parts: list[_Run]) -> Line:
    placed = [(part[0], _y(part), _size(part)) if part[0].strip() else (part[0], 0.0, 0.0) for part in parts]
    first = next((part for part in parts if part[0].strip()), None)
    if first is None:
        return Line("".join(part[0] for part in parts))
    sizes: Counter[float] = Counter()
    heights: Counter[tuple[float, float]] = Counter()
    shares: Counter[str] = Counter()
    for (text, y, size), part in zip(placed, parts, strict=True):
        weight = len(text.strip())
        if weight:
            sizes[size] += weight
            heights[size, y] += weight
            _add_font(shares, _font_name(part[3]), weight)
    main_size, baseline = main_type(heights)
    text = "".join(script(text, position(size, y, main_size, baseline)) for text, y, size in placed)
    _, cm, tm, _, _ = first
    x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
    return _line(text, x, baseline, sizes, shares)


def _y(part: _Run) -> float:
    _, cm, tm, _, _ = part
    return float(tm[4] * cm[1] + tm[5] * cm[3] + cm[5])


def _size(part: _Run) -> float:
    _, cm, tm, _, size = part
    return round(abs(float(size)) * math.hypot(tm[2], tm[3]) * math.hypot(cm[2], cm[3]), 1)


def _font_name(font: Any) -> str:
    font = font.get_object() if hasattr(font, "get_object") else font
    return str(font.get("/BaseFont", "")) if hasattr(font, "get") else ""


def _add_font(shares: Counter[str], name: str, weight: int) -> None:
    shares["all"] += weight
    for kind in _kinds(name):
        shares[kind] += weight


@lru_cache(maxsize=1000)
def _kinds(font_name: str) -> tuple[str, ...]:
    name = font_name.rpartition("+")[2]
    return tuple(kind for kind, pattern in (("mono", MONO), ("math", MATH), ("bold", BOLD)) if pattern.search(name))


def _line(text: str, x: float, y: float, sizes: Counter[float], shares: Counter[str]) -> Line:
    total = max(shares["all"], 1)
    part = {kind: round(shares[kind] / total, 2) for kind in ("bold", "mono", "math")}
    return Line(text, round(x, 1), round(y, 1), sizes.most_common(1)[0][0] if sizes else None, **part)


def pdfium_text(document: Any, index: int) -> str:
    """A page's text as PDFium reads it: what is needed to compare the readers, at a tenth of the cost of its lines."""
    return "\n".join(_with_textpage(document, index, lambda textpage, text, breaks: text.splitlines()))


def pdfium_lines(document: Any, index: int) -> list[Line]:
    """Lines as PDFium reads them. Pieces on one baseline, such as an exponent, stay on their line."""
    return _with_textpage(document, index, lambda textpage, text, breaks: _merged(_pdfium_rows(textpage, text, breaks)))


def _with_textpage(document: Any, index: int, use: Callable[[Any, str, set[int]], Any]) -> Any:
    page = document[index]
    textpage = page.get_textpage()
    try:
        # PDFium writes U+FFFE where it believes a hyphen ends a line; between letters it does
        raw = textpage.get_text_range()
        breaks = {match.start() for match in LINE_END_HYPHEN.finditer(raw)}
        return use(textpage, LINE_END_HYPHEN.sub("-", raw), breaks)
    finally:
        textpage.close()
        page.close()


def _pdfium_rows(textpage: Any, text: str, breaks: set[int]) -> list[tuple[Line, float]]:
    """Each line with the x at which it ends."""
    rows, start = [], 0
    for offset, char in enumerate(text + "\n"):
        if char != "\n" and offset not in breaks:
            continue
        end = offset + 1 if offset in breaks else offset
        row = text[start:end].rstrip("\r")
        if row.strip():
            rows.append(_pdfium_row(textpage, row, start))
        start = offset + 1
    return rows


def _pdfium_row(textpage: Any, row: str, start: int) -> tuple[Line, float]:
    import pypdfium2.raw as pdfium

    sizes: Counter[float] = Counter()
    heights: Counter[tuple[float, float]] = Counter()
    shares: Counter[str] = Counter()
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    x, y = ctypes.c_double(), ctypes.c_double()
    matrix = pdfium.FS_MATRIX()
    at_x, at_y, at_flags, at_matrix = (ctypes.byref(one) for one in (x, y, flags, matrix))
    places: list[tuple[float, float, float]] = []
    for number, char in enumerate(row):
        if char.isspace():
            places.append((0.0, 0.0, 0.0))
            continue
        pdfium.FPDFText_GetCharOrigin(textpage, start + number, at_x, at_y)
        size = float(pdfium.FPDFText_GetFontSize(textpage, start + number))
        if pdfium.FPDFText_GetMatrix(textpage, start + number, at_matrix):
            size *= math.hypot(matrix.c, matrix.d)
        size, baseline = round(size, 1), round(y.value, 1)
        places.append((x.value, baseline, size))
        sizes[size] += 1
        heights[size, baseline] += 1
        if number % 6 == 0:
            pdfium.FPDFText_GetFontInfo(textpage, start + number, name, 128, at_flags)
            _add_font(shares, name.value.decode("utf-8", "replace"), 1)
    main_size, main_baseline = main_type(heights)
    filled = [place for place in places if place[2]]
    text = _scripted(row, places, main_size, main_baseline) if len(heights) > 1 else row
    return _line(text, filled[0][0], main_baseline, sizes, shares), filled[-1][0]


def _scripted(row: str, places: list[tuple[float, float, float]], main_size: float, baseline: float) -> str:
    """The row with its runs of raised and lowered characters as such."""
    where = [position(size, y, main_size, baseline) if size else 0 for _, y, size in places]
    runs = [
        "".join(char for char, _ in run) for _, run in groupby(zip(row, where, strict=True), key=lambda pair: pair[1])
    ]
    kinds = [kind for kind, _ in groupby(where)]
    return "".join(script(run, kind) for run, kind in zip(runs, kinds, strict=True))


def _merged(rows: list[tuple[Line, float]]) -> list[Line]:
    """Join a row to the one before it where both stand on one printed line (exponents, indices)."""
    lines: list[Line] = []
    end, baseline, row_end = 0.0, 0.0, False
    for line, right in rows:
        last = lines[-1] if lines else None
        size = max(line.size or 0.0, (last.size or 0.0) if last else 0.0)
        near = last is not None and line.y is not None and abs(line.y - baseline) < 0.55 * size
        if near and last is not None and line.x is not None and end - 1 <= line.x < end + 3 * size and not row_end:
            where = position(line.size or 0.0, line.y or 0.0, last.size or 0.0, baseline)
            raised = script(line.text.strip(), where)
            last.text = last.text.rstrip() + ("" if raised != line.text.strip() else " ") + raised
            last.math = max(last.math, line.math) if len(line.text) > len(last.text) / 2 else last.math
            last.size = max(last.size or 0.0, line.size or 0.0)
        else:
            lines.append(line)
            baseline = line.y or 0.0
        end, row_end = right, line.text.endswith("-")
    return lines


def garble(text: str, other: str = "") -> int:
    """How many characters of `text` look wrong; where `other` is given, also what only `other` could read."""
    wrong = sum(count for char, count in Counter(ODD.findall(text)).items() if _unreadable(char))
    wrong += sum(len(token) for token in UNMAPPED.findall(text))
    wrong += sum(len(token) for token in re.findall(r"[^\W\d_]{19,}", text))
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
