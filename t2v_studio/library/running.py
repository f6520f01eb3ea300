"""Running heads, feet and page numbers, given away by what comes back at the same height of many pages."""

from __future__ import annotations

import re
from collections import Counter

from t2v_studio.library.cleaning import fold, key, title_key
from t2v_studio.library.reading import Line, OutlineEntry, Page

ZONE_LINES = 2
SHORT_BOOK_PAGES = 60
BAND_PT = 4.0
PART_WORDS = 2
"""A part of a line, such as the book's title beside a chapter's, counts from this many words."""
LONG_PART_WORDS = 3
LONGEST_REST_WORDS = 10
SHORTEST_TITLE = 4
"""Letters of a title that can be told from the label of an axis."""

_Place = tuple[int, int]
"""Page number, line index."""


def running_lines(pages: list[Page], outline: list[OutlineEntry]) -> dict[_Place, str]:
    """Running heads, feet and page numbers: (page number, line index) to reason.

    A line at the edge of a page counts when its text with masked digits comes back at the same height on enough
    pages, when a part of it does and the rest is a title (see `_by_part`), when it is a title of the outline at a
    height where other such titles stand on later pages of their sections, or when it stands at the height of such
    lines and holds the page's number or an outline title. A line that is the title of a section which starts on this
    page is never taken.
    """
    if len(pages) < 3:
        return {}
    places = _edge_places(pages, outline)
    found = {
        **_by_title(places, outline),
        **_by_part(places, outline, len(pages)),
        **_by_repetition(places, len(pages)),
    }
    bands: Counter[int] = Counter()
    for page, index in places:
        y = page.lines[index].y
        if (page.number, index) in found and y is not None:
            bands[round(y / BAND_PT)] += 1
    strong = {band for band, count in bands.items() if count >= max(4, 0.15 * len(pages))}
    titles = {title_key(entry.title) for entry in outline} - {""}
    for page, index in places:
        line = page.lines[index]
        if (page.number, index) in found or line.y is None or round(line.y / BAND_PT) not in strong:
            continue
        if _holds_label(line.text, page.label) or title_key(line.text) in titles:
            found[page.number, index] = _reason(line)
    return found


def _edge_places(pages: list[Page], outline: list[OutlineEntry]) -> list[tuple[Page, int]]:
    """The lines at the edges of pages, without the titles of sections that start there."""
    own = {page.number: {title_key(e.title) for e in outline if e.page == page.number} for page in pages}
    return [
        (page, index)
        for page in pages
        for index in _edges(page.lines)
        if not _is_own_title(page.lines[index], page, own[page.number])
    ]


def _needed(pages: int) -> int:
    return max(3, round(0.02 * pages) if pages > SHORT_BOOK_PAGES else round(0.3 * pages))


def _reason(line: Line) -> str:
    return "page_number" if key(line.text) in ("#", "") else "running_head"


def _by_repetition(places: list[tuple[Page, int]], pages: int) -> dict[_Place, str]:
    """Whole lines that come back at the same height on enough pages."""
    seen = Counter(spot for page, index in places for spot in set(_spots(page.lines[index])))
    return {
        (page.number, index): _reason(page.lines[index])
        for page, index in places
        if max(seen[spot] for spot in _spots(page.lines[index])) >= _needed(pages)
    }


def _by_part(places: list[tuple[Page, int]], outline: list[OutlineEntry], pages: int) -> dict[_Place, str]:
    """Lines whose start or end comes back at the same height on enough pages, beside a part that varies.

    The varying part must be a title of the outline, or the whole line must come back too; beside a longer part that
    stands on a sixth of all pages anything short may stand. Body text does not repeat its words at one height.
    """
    titles = {title_key(entry.title) for entry in outline} - {""}
    placed = [(page, index) for page, index in places if page.lines[index].y is not None]
    whole = Counter(spot for page, index in placed for spot in set(_spots(page.lines[index])))
    seen: Counter[tuple[str, int | None]] = Counter()
    for page, index in placed:
        seen.update({spot for _, _, spots in _parts(page.lines[index]) for spot in spots})
    found: dict[_Place, str] = {}
    for page, index in placed:
        repeats = max(whole[spot] for spot in _spots(page.lines[index])) > 1
        for words, rest, spots in _parts(page.lines[index]):
            count = max(seen[spot] for spot in spots)
            beside_title = count >= _needed(pages) and (repeats or title_key(rest) in titles)
            everywhere = words >= LONG_PART_WORDS and count >= max(5, pages / 6)
            if beside_title or (everywhere and len(rest.split()) <= LONGEST_REST_WORDS):
                found[page.number, index] = "running_head"
    return found


def _parts(line: Line) -> list[tuple[int, str, list[tuple[str, int | None]]]]:
    """A line's starts and ends: number of words, what is left of the line, and the part at its height."""
    tokens = fold(line.text).split()
    if not PART_WORDS < len(tokens) <= 2 * LONGEST_REST_WORDS:
        return []
    parts = []
    for size in range(PART_WORDS, len(tokens)):
        for part, rest in ((tokens[:size], tokens[size:]), (tokens[-size:], tokens[:-size])):
            text = " ".join(part)
            if sum(map(str.isalpha, text)) >= 4:
                parts.append((size, " ".join(rest), _spots(Line(text, y=line.y))))
    return parts


def _by_title(places: list[tuple[Page, int]], outline: list[OutlineEntry]) -> dict[_Place, str]:
    """Titles of the outline on later pages of their sections, where at least three stand at one height."""
    starts: dict[str, int] = {}
    for entry in outline:
        if len(title_key(entry.title)) >= SHORTEST_TITLE:
            starts.setdefault(title_key(entry.title), entry.page)
    later = [
        (page, index)
        for page, index in places
        if page.lines[index].y is not None
        and starts.get(title_key(_without_label(page.lines[index].text, page.label)), page.number) < page.number
    ]
    bands = Counter(band for page, index in later for band in _bands(page.lines[index].y or 0.0))
    return {
        (page.number, index): "running_head"
        for page, index in later
        if max(bands[band] for band in _bands(page.lines[index].y or 0.0)) >= 3
    }


def _without_label(text: str, label: str) -> str:
    tokens = fold(text).split()
    if len(tokens) > 1 and label in (tokens[0], tokens[-1]):
        tokens = tokens[1:] if tokens[0] == label else tokens[:-1]
    return " ".join(tokens)


def _bands(y: float) -> tuple[int, int]:
    """The height, which may fall to either side of a rounding step, in two scales."""
    return int(y // BAND_PT), int((y + BAND_PT / 2) // BAND_PT) + 100_000


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
    return [(text, band) for band in _bands(line.y)]


def _is_own_title(line: Line, page: Page, titles: set[str]) -> bool:
    return title_key(line.text) in titles and not _holds_label(line.text, page.label)


def _holds_label(text: str, label: str) -> bool:
    """Whether the page's printed number stands at either end of the line."""
    tokens = fold(text).split()
    return bool(tokens and label) and label in (tokens[0], tokens[-1])
