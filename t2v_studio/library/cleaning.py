"""Mending of lines: characters, hyphens at line ends, and the running heads and feet that repetition gives away."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from t2v_studio.library.reading import Line, OutlineEntry, Page

UNREADABLE = "\ufffd"
WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
LETTERS = re.compile(r"[^\W\d_]{2,}")
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x200E, 0x200F], None)
_ODD = re.compile(r"[^ -~]")
_HYPHENATED = re.compile(r"([^\W\d_]{2,})[-\u2010]$")
_FOOTNOTE_MARK = re.compile(r"(?<=[.,:;!?”\"])\ufffd(?=\s|$)")
_CHAPTER_WORD = re.compile(r"^(?:chapter|section|appendix|part|kapitel)\b")
_TITLE_NUMBER = re.compile(r"^(?:[a-z]?\d+(?:\.\d+)*[.:)]?|[a-z](?:\.\d+)+\.?|[a-z][.:)]|[ivxlc]{1,6}[.:)])\s+(?=\S)")
ZONE_LINES = 2
SHORT_BOOK_PAGES = 60
BAND_PT = 4.0

Vocabulary = Counter[str]


def fold(text: str) -> str:
    """Ligatures and width forms to plain letters; exponents and mathematical letters stay; junk becomes U+FFFD."""
    if not (text.isascii() and text.isprintable()):
        text = _ODD.sub(lambda match: _folded(match[0]), text.translate(_INVISIBLE))
        text = _FOOTNOTE_MARK.sub("", unicodedata.normalize("NFC", text))
    return " ".join(text.split())


def _folded(char: str) -> str:
    category = unicodedata.category(char)
    if char in "\t\n\r\f" or category == "Zs":
        return " "
    if category in ("Cc", "Co", "Cn", "Cs"):
        return UNREADABLE
    if (
        unicodedata.decomposition(char).startswith(("<super>", "<sub>", "<fraction>", "<font>"))
        or char in "\u2026\xb4\xa8"
    ):
        return char
    return char if category == "Mn" else unicodedata.normalize("NFKC", char)


def vocabulary(texts: Iterable[str]) -> Vocabulary:
    """How often each word stands in the book unbroken, hyphenated compounds included, in lower case."""
    counts: Vocabulary = Counter()
    for text in texts:
        tokens = re.findall(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*", text.lower().replace("\u2010", "-"))
        if tokens and _HYPHENATED.search(text):
            tokens.pop()
        counts.update(tokens)
    return counts


def joined(left: str, right: str, known: Vocabulary) -> str:
    """Two lines as one text; a hyphen between them is kept or dropped by what the book itself writes.

    Dropped when the closed word is attested at least as often as the hyphenated one; kept when only the compound is;
    unknown pairs close up unless both halves are words of their own.
    """
    if not left or not right:
        return left or right
    match = _HYPHENATED.search(left)
    if not match:
        glue = (
            "" if left.endswith(("/", "_")) and "://" in left[-120:] and " " not in left[left.rfind("://") :] else " "
        )
        return left + glue + right
    head = match[1].lower()
    tail = re.match(r"[^\W\d_]+", right)
    if tail is None or not right[0].islower():
        return left + right
    tail_word = tail[0].lower()
    closed, compound = known[head + tail_word], known[f"{head}-{tail_word}"]
    two_words = known[head] > 1 and known[tail_word] > 1 and len(head) > 2 and len(tail_word) > 2
    drop = closed >= compound if closed or compound else not two_words
    return left[:-1] + right if drop else left + right


def key(text: str) -> str:
    """A line's letters and digits, lower case, with each number masked as #: what repeats in running heads."""
    masked = re.sub(r"\d+", "#", fold(text).lower())
    return " ".join(re.findall(r"[^\W_]+|#|©", masked))


def title_key(text: str) -> str:
    """A heading without its number, spaces and punctuation, for comparison with the outline."""
    plain = _CHAPTER_WORD.sub("", fold(text).lower()).strip()
    return flat(_TITLE_NUMBER.sub("", plain, count=1))


def flat(text: str) -> str:
    """Letters and digits alone, lower case."""
    return "".join(re.findall(r"[^\W_]", fold(text).lower()))


def running_lines(pages: list[Page], outline: list[OutlineEntry]) -> dict[tuple[int, int], str]:
    """Running heads, feet and page numbers: (page number, line index) to reason.

    A line at the edge of a page counts when its text with masked digits comes back at the same height on enough
    pages, or when it stands at the height of such lines and holds the page's number or an outline title. A line
    that is the title of a section which starts on this page is never taken.
    """
    seen: Counter[tuple[str, int | None]] = Counter()
    candidates: dict[int, list[int]] = {page.number: _edges(page.lines) for page in pages}
    for page in pages:
        seen.update({spot for index in candidates[page.number] for spot in _spots(page.lines[index])})
    needed = max(3, round(0.02 * len(pages)) if len(pages) > SHORT_BOOK_PAGES else round(0.3 * len(pages)))
    if len(pages) < 3:
        return {}
    own = {page.number: {title_key(e.title) for e in outline if e.page == page.number} for page in pages}
    titles = {title_key(entry.title) for entry in outline}
    found: dict[tuple[int, int], str] = {}
    bands: Counter[int] = Counter()
    for page in pages:
        for index in candidates[page.number]:
            line = page.lines[index]
            count = max(seen[spot] for spot in _spots(line))
            if count < needed or _is_own_title(line, page, own[page.number]):
                continue
            found[page.number, index] = "page_number" if key(line.text) in ("#", "") else "running_head"
            if line.y is not None:
                bands[round(line.y / BAND_PT)] += 1
    strong = {band for band, count in bands.items() if count >= max(4, 0.15 * len(pages))}
    for page in pages:
        for index in candidates[page.number]:
            line = page.lines[index]
            at_band = line.y is not None and round(line.y / BAND_PT) in strong
            if (page.number, index) in found or not at_band or _is_own_title(line, page, own[page.number]):
                continue
            if _holds_label(line.text, page.label) or title_key(line.text) in titles:
                found[page.number, index] = "page_number" if key(line.text) == "#" else "running_head"
    return found


def _edges(lines: list[Line]) -> list[int]:
    """The first and last lines, in reading order and by height."""
    filled = [index for index, line in enumerate(lines) if line.text.strip()]
    picked = set(filled[:ZONE_LINES] + filled[-ZONE_LINES:])
    placed = sorted((index for index in filled if lines[index].y is not None), key=lambda i: -(lines[i].y or 0))
    picked.update(placed[:ZONE_LINES] + placed[-ZONE_LINES:])
    return sorted(picked)


def _spots(line: Line) -> list[tuple[str, int | None]]:
    """A line's key with its height, which may fall to either side of a rounding step."""
    text = key(line.text)
    if re.fullmatch(r"[ivxlc]{1,7}", text):
        text = "#"
    if line.y is None:
        return [(text, None)]
    return [(text, int(line.y // BAND_PT)), (text, int((line.y + BAND_PT / 2) // BAND_PT) + 100_000)]


def _is_own_title(line: Line, page: Page, titles: set[str]) -> bool:
    return title_key(line.text) in titles and not _holds_label(line.text, page.label)


def _holds_label(text: str, label: str) -> bool:
    """Whether the page's printed number stands at either end of the line."""
    tokens = fold(text).split()
    return bool(tokens and label) and label in (tokens[0], tokens[-1])
