"""What each line is: prose, or one of the things that are no passage, each with its reason code."""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections import Counter
from itertools import pairwise, zip_longest

from t2v_studio.library.cleaning import LETTERS, Vocabulary
from t2v_studio.library.sections import LEADERS, Placed
from t2v_studio.library.sentences import TERMINAL, is_whole

REASONS = {
    "running_head": "running head or foot",
    "page_number": "page number",
    "heading": "heading (kept as the section of its passages)",
    "contents": "table of contents",
    "index": "back-of-book index",
    "bibliography": "bibliography",
    "caption": "caption of a figure or table",
    "table": "table or labels of a figure",
    "code": "program code",
    "formula": "displayed formula",
    "footnote": "footnote",
    "symbols": "mostly symbols",
    "unreadable": "characters that the PDF does not map to letters",
    "noise": "noise, as left by a bad scan",
    "fragment": "no whole sentence",
    "too_short": "shorter than a passage may be",
    "overlong": "one sentence longer than a passage may be",
    "duplicate": "said before, word for word",
    "near_duplicate": "said before, nearly word for word",
}

_CONTENTS = re.compile(r"(table of )?contents|list of (figures|tables|algorithms|listings)|inhalt(sverzeichnis)?", re.I)
_INDEX = re.compile(r"((subject|author|general) )?index|stichwortverzeichnis|register", re.I)
_BIBLIOGRAPHY = re.compile(
    r"(further )?references|bibliography|literature( cited)?|works cited|literatur(verzeichnis)?", re.I
)
_CONTENTS_LINE = re.compile(r"^\S.{0,110}?[\s.]+(\d{1,4}|[ivxlc]{1,6})$")
_INDEX_LINE = re.compile(r"[^\d,]{2,70},\s*[\divxlc]+(\s*[-–,]\s*\d+)*,?$")
_ENTRY = re.compile(r"^\[[\w+.]{1,12}\]|^\d{1,3}\.\s+[A-Z][\w'-]+,\s+[A-Z]\.")
_CAPTION = re.compile(
    r"^(?:Fig(?:ure|\.)|Table|Tab\.|Listing|Algorithm|Abb(?:ildung|\.)|Tabelle)\s*([A-Z]?\d+(?:\.\d+)*|\ufffd[.\ufffd]*)([.:]?)\s*(\S*)"
)
_EQUATION_NUMBER = re.compile(r"\((?:[A-Z]\.)?\d+(?:\.\d+)*[a-z]?\)$")
_CODE_LINE = re.compile(
    r"^(?:>>>|\$ |#!|def \w|class \w+[(:]|import \w|from \w+ import|return\b|for .*:$|while .*:$|if .*:$|elif .*:$|else:$|print[ (])"
    r"|[;{}]$|^\w+\s*=\s*\w+\(.*\)$"
)
_FOOTNOTE = re.compile(r"^(?:\d{1,3}|[*†‡§¹²³⁴⁵⁶⁷⁸⁹]|\ufffd)\s*(?=[^\W\d_]|https?:)")
BULLET = re.compile(r"^(?:[•▪◦‣●■□➢✓∗]|[–—*-]\s|\(?(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4})[.)]\s)")


def label(lines: list[Placed], body: float, known: Vocabulary, pages: int) -> None:
    """Give every line that is no prose its reason."""
    _regions(lines)
    _contents_pages(lines)
    _index_pages(lines, pages)
    margins = _margins(lines, body)
    _code(lines, margins)
    _captions(lines, body)
    _footnotes(lines, body)
    _formulas(lines, margins, known)
    _tables(lines, margins)


def _regions(lines: list[Placed]) -> None:
    """Sections whose whole title is Contents, Index or References."""
    for placed in lines:
        title = re.sub(r"^(?:[A-Z]|[\d.]+)\.?\s+", "", placed.section.rsplit(" > ", 1)[-1]).strip(" :.")
        if placed.reason:
            continue
        if _CONTENTS.fullmatch(title) and not _reads_as_prose(placed.text):
            placed.reason = "contents"
        elif _INDEX.fullmatch(title):
            placed.reason = "index"
        elif _BIBLIOGRAPHY.fullmatch(title):
            placed.reason = "bibliography"


def _reads_as_prose(text: str) -> bool:
    return len(text) > 60 and not re.search(r"\d$", text) and not LEADERS.search(text) and text.count(" ") > 8


def _by_page(lines: list[Placed]) -> dict[int, list[Placed]]:
    grouped: dict[int, list[Placed]] = {}
    for placed in lines:
        grouped.setdefault(placed.page, []).append(placed)
    return grouped


def _contents_pages(lines: list[Placed]) -> None:
    """Lines with dot leaders anywhere; lines that end in a page number where most of the page's lines do."""
    for page in _by_page(lines).values():
        free = [placed for placed in page if not placed.reason]
        leading = [placed for placed in free if LEADERS.search(placed.text) and re.search(r"\w$", placed.text)]
        ending = [
            placed for placed in free if _CONTENTS_LINE.match(placed.text) and not _INDEX_LINE.search(placed.text)
        ]
        numbered = [placed for placed in ending if re.match(r"[\dA-Z]+(\.\d+)*\s", placed.text)]
        listed = len(numbered) >= 5 and len(ending) >= 0.5 * len(free)
        chosen = {id(placed) for placed in leading + (ending if listed or len(leading) >= 4 else [])}
        for placed, after in zip_longest(free, free[1:]):
            wrapped = after is not None and id(after) in chosen and not is_whole(placed.text) and len(chosen) >= 5
            if id(placed) in chosen or (wrapped and len(placed.text) < 75):
                placed.reason = "contents"


def _index_pages(lines: list[Placed], pages: int) -> None:
    """Pages of the last part of a book on which at least a third of the lines are "term, 12, 34"."""
    for number, page in _by_page(lines).items():
        free = [placed for placed in page if not placed.reason]
        entries = sum(1 for placed in free if _INDEX_LINE.match(placed.text))
        if number > 0.8 * pages and entries >= 8 and entries >= 0.35 * len(free):
            for placed in free:
                if not (len(placed.text) > 60 and is_whole(placed.text)):
                    placed.reason = "index"
        bracketed = sum(1 for placed in free if _ENTRY.match(placed.text))
        if number > 0.5 * pages and bracketed >= 5 and bracketed >= 0.2 * len(free):
            for placed in free:
                placed.reason = "bibliography"


def _margins(lines: list[Placed], body: float) -> dict[int, list[float]]:
    """Per page the x at which body lines start, one a column, from the left."""
    margins: dict[int, list[float]] = {}
    for number, page in _by_page(lines).items():
        starts: Counter[int] = Counter(
            round(placed.line.x) for placed in page if placed.line.x is not None and _body_sized(placed, body)
        )
        common = sorted(x for x, count in starts.items() if count >= max(3, 0.12 * sum(starts.values())))
        columns: list[float] = []
        for x in common:
            if not columns or x - columns[-1] > 90:
                columns.append(float(x))
        margins[number] = columns
    return margins


def _body_sized(placed: Placed, body: float) -> bool:
    return not body or placed.line.size is None or abs(placed.line.size - body) < 0.6


def indent(placed: Placed, margins: dict[int, list[float]]) -> float:
    """Points between the line's start and its column's margin; 0 where that is not known."""
    columns = [x for x in margins.get(placed.page, []) if placed.line.x is not None and x <= placed.line.x + 4]
    return (placed.line.x or 0.0) - columns[-1] if columns else 0.0


def _code(lines: list[Placed], margins: dict[int, list[float]]) -> None:
    fenced = False
    for index, placed in enumerate(lines):
        if placed.text.startswith(("```", "~~~")):
            fenced = not fenced
            placed.reason = placed.reason or "code"
        elif placed.reason:
            continue
        elif fenced:
            placed.reason = "code"
        elif placed.line.mono >= 0.6:
            placed.reason = "" if _mono_tail(lines, index, margins) else "code"
        elif placed.line.size is None and _CODE_LINE.search(placed.text) and not _reads_as_prose(placed.text):
            placed.reason = "code"


def _mono_tail(lines: list[Placed], index: int, margins: dict[int, list[float]]) -> bool:
    """A line in a typewriter font that belongs to the sentence before it, such as a file name at its end."""
    before = lines[index - 1] if index else None
    if before is None or before.reason or before.line.mono >= 0.6 or is_whole(before.text):
        return False
    placed = lines[index]
    if (
        before.text.endswith(":")
        or before.line.size != placed.line.size
        or before.line.y is None
        or placed.line.y is None
    ):
        return False
    return abs(indent(placed, margins)) < 4 and 0 < before.line.y - placed.line.y < 1.35 * (placed.line.size or 10)


def _captions(lines: list[Placed], body: float) -> None:
    """From "Figure 3:" to the end of its paragraph. "Figure 3 shows ..." in a sentence is prose."""
    index = 0
    while index < len(lines):
        placed = lines[index]
        match = _CAPTION.match(placed.text) if not placed.reason else None
        if match and _is_caption(lines, index, match, body):
            index = _take_caption(lines, index)
        else:
            index += 1


def _is_caption(lines: list[Placed], index: int, match: re.Match[str], body: float) -> bool:
    placed, before = lines[index], lines[index - 1] if index else None
    small = placed.line.size is not None and body > 0 and placed.line.size < body - 0.4
    runs_on = before is not None and not before.reason and before.page == placed.page and not is_whole(before.text)
    if runs_on and not small and before is not None and len(before.text) > 40:
        return False
    if match[2] == ":" or small or placed.line.bold > 0.2:
        return True
    return match[2] == "." and match[3][:1].isupper() and placed.blank_before | (placed.line.y is not None)


def _take_caption(lines: list[Placed], index: int) -> int:
    first = lines[index]
    position = index
    while position < len(lines) and position < index + 14:
        placed = lines[position]
        if placed.reason or placed.page != first.page or placed.section != first.section:
            break
        if position > index and (placed.blank_before or _leaves_block(lines[position - 1], placed)):
            break
        placed.reason = "caption"
        position += 1
    return position


def _leaves_block(a: Placed, b: Placed) -> bool:
    if a.line.size != b.line.size:
        return True
    if a.line.y is None or b.line.y is None:
        return False
    return not 0 <= a.line.y - b.line.y < 1.5 * (b.line.size or 10)


def _footnotes(lines: list[Placed], body: float) -> None:
    """Small print at the foot of a page from a line that starts with a mark."""
    for page in _by_page(lines).values():
        taken = False
        for position, placed in enumerate(page):
            small = placed.line.size is not None and body > 0 and placed.line.size <= 0.92 * body
            if placed.reason or not small:
                taken = taken and placed.reason in ("code", "running_head", "page_number")
                continue
            low = all(
                other.reason
                or (other.line.size or 0) <= 0.92 * body
                or (other.line.y or 0) > (placed.line.y or 0)
                or abs((other.line.x or 0) - (placed.line.x or 0)) > 150
                for other in page[position + 1 :]
            )
            taken = taken or bool(_FOOTNOTE.match(placed.text) and low)
            if taken:
                placed.reason = "footnote"


def _formulas(lines: list[Placed], margins: dict[int, list[float]], known: Vocabulary) -> None:
    """Displayed maths: set off from the margin or numbered, with hardly a word of the book's in it."""
    weak: list[int] = []
    for index, placed in enumerate(lines):
        if placed.reason:
            continue
        share = _word_share(placed.text, known)
        signs = _signs(placed.text)
        numbered = bool(_EQUATION_NUMBER.search(placed.text))
        set_off = indent(placed, margins) > 8
        ended = index > 0 and is_whole(lines[index - 1].text)
        if set_off and ended and placed.text[:1].islower() and "=" in placed.text and len(placed.text) < 60:
            placed.reason = "formula"
        elif share < 0.4 and (numbered or (signs and set_off) or (placed.line.math >= 0.5 and share < 0.25)):
            tail = not set_off and not numbered and len(placed.text) < 25 and is_whole(placed.text)
            placed.reason = "" if tail else "formula"
        elif share < 0.4 and (set_off or signs) and len(placed.text) < 30 and not TERMINAL.search(placed.text):
            weak.append(index)
    # pieces of a fraction or a sum stand on lines of their own beside the rest of the formula
    for sweep in (weak, weak[::-1]):
        for index in sweep:
            beside = [lines[i] for i in (index - 1, index + 1) if 0 <= i < len(lines)]
            if any(near.reason == "formula" and near.page == lines[index].page for near in beside):
                lines[index].reason = "formula"


def _word_share(text: str, known: Vocabulary) -> float:
    """Share of the line's characters that stand in words which the book uses more than twice."""
    words = [word for word in LETTERS.findall(text) if len(word) > 2 and known[word.lower()] > 2]
    return sum(map(len, words)) / max(1, len(re.sub(r"\s", "", text)))


def _signs(text: str) -> bool:
    return any(
        char in "=<>|+∆√′^_\\" or unicodedata.category(char) == "Sm" or "\u0370" <= char <= "\u03ff" for char in text
    )


def _tables(lines: list[Placed], margins: dict[int, list[float]]) -> None:
    """Runs of two or more lines that are mostly numbers or single signs, and the set-off rows and heads beside them."""
    off = [not placed.reason and _set_off(placed, margins) for placed in lines]
    cells = [
        not placed.reason and (_is_row(placed.text) or (apart and _numbers(placed.text) >= 2))
        for placed, apart in zip(lines, off, strict=True)
    ]
    for index, placed in enumerate(lines):
        near = [i for i in (index - 1, index + 1) if 0 <= i < len(lines) and lines[i].page == placed.page]
        if cells[index] and any(cells[i] or lines[i].reason in ("table", "caption", "formula") for i in near):
            placed.reason = "table"
    for index, placed in enumerate(lines[:-1]):
        below = lines[index + 1]
        first = index == 0 or bool(lines[index - 1].reason) or is_whole(lines[index - 1].text)
        above_row = below.reason == "table" and _numbers(below.text) >= 2 and below.page == placed.page
        if off[index] and not placed.reason and first and above_row:
            placed.reason = "table"


def _set_off(placed: Placed, margins: dict[int, list[float]]) -> bool:
    """A short line that starts well inside its column and is no end of a sentence, as a table's rows do."""
    return indent(placed, margins) > 20 and len(placed.text) < 60 and not is_whole(placed.text)


def _numbers(text: str) -> int:
    return len(re.findall(r"(?<!\S)[+−-]?\d[\d.,]*%?(?!\S)", text))


def _is_row(text: str) -> bool:
    tokens = text.split()
    plain = [token for token in tokens if re.fullmatch(r"[\W_]*[\d.,eE%+−-]*\d[\d.,eE%+−-]*[\W_]*|\W+|\w", token)]
    return len(plain) >= 0.6 * len(tokens) and not (is_whole(text) and len(tokens) > 3)


def pitch(lines: list[Placed], body: float) -> dict[int, float]:
    """Per page the usual distance between the baselines of two body lines, in points."""
    usual: dict[int, float] = {}
    for number, page in _by_page(lines).items():
        gaps = [
            round((a.line.y or 0) - (b.line.y or 0), 1)
            for a, b in pairwise(page)
            if a.line.y is not None and b.line.y is not None and _body_sized(a, body) and _body_sized(b, body)
        ]
        gaps = [gap for gap in gaps if 0.8 * body < gap < 2.2 * body]
        if gaps:
            usual[number] = statistics.mode(sorted(gaps))
    return usual
