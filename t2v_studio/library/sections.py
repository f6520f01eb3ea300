"""Which section each line belongs to: from the outline, from Markdown headings, or from a careful rule on type."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from dataclasses import dataclass

from t2v_studio.library.cleaning import flat, fold, key, title_key
from t2v_studio.library.reading import Line, OutlineEntry, Reading

SEPARATOR = " > "
NUMBERED = re.compile(r"^(?:(?:Chapter|Section|Appendix|Part)\s+)?((?:\d{1,2}|[A-Z])(?:\.\d{1,2}){0,3})\.?\s+\S")
_DEEPER = re.compile(r"\d+(?:\.\d+){2,}\s+\S|(?:Problem|Exercise|Project|Example)\s+[A-Z\d][\d.]*\s*[:.]\s*\S")
LEADERS = re.compile(r"(?:\.\s?){4,}|(?:·\s?){4,}")
DESTINATION_REACH_PT = 45.0
HEADING_WORDS = 14
SHORT_SECTION_WORDS = 60


@dataclass(slots=True)
class Placed:
    """A line with its page, its section path, and the reason for which it is no body text, if there is one."""

    line: Line
    text: str
    page: int
    section: str = ""
    reason: str = ""
    blank_before: bool = False


def place(reading: Reading, running: dict[tuple[int, int], str]) -> tuple[list[Placed], float]:
    """Every filled line in reading order with its section path; headings carry the reason "heading".

    Also the body's font size in points, 0 where lines have no geometry.
    """
    lines: list[Placed] = []
    blank = True
    for page in reading.pages:
        for index, line in enumerate(page.lines):
            text = fold(line.text)
            if not text:
                blank = True
                continue
            reason = running.get((page.number, index), "")
            lines.append(Placed(line, text, page.number, reason=reason, blank_before=blank))
            blank = False
    _one_scale(lines, {page.number: page.reader for page in reading.pages})
    body = body_size(lines)
    outline = [entry for entry in reading.outline if title_key(entry.title)]
    starts = _from_outline(lines, outline, body, markdown=reading.markdown) if outline else _from_type(lines, body)
    _spread(lines, starts)
    return lines, body


def body_size(lines: list[Placed]) -> float:
    sizes: Counter[float] = Counter()
    for placed in lines:
        if placed.line.size and not placed.reason:
            sizes[round(placed.line.size, 1)] += len(placed.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _one_scale(lines: list[Placed], readers: dict[int, str]) -> None:
    """Make the two readers agree on sizes: one of them leaves out the scale of a page that is drawn as a picture."""
    names = sorted(set(readers.values()))
    bodies = {name: body_size([placed for placed in lines if readers[placed.page] == name]) for name in names}
    known = [name for name in names if bodies[name]]
    for name in known[1:]:
        ratio = bodies[known[0]] / bodies[name]
        for placed in lines:
            if readers[placed.page] == name and placed.line.size and abs(ratio - 1) > 0.03:
                placed.line.size = round(placed.line.size * ratio, 1)


def _spread(lines: list[Placed], starts: list[tuple[int, int, str]]) -> None:
    """Give each line the path of the last heading before it. starts: (line index, level, title)."""
    path: list[tuple[int, str]] = []
    pending = sorted(starts, key=lambda start: start[0])
    for index, placed in enumerate(lines):
        while pending and pending[0][0] <= index:
            _, level, title = pending.pop(0)
            path = [*((depth, name) for depth, name in path if depth < level), (level, title)]
        placed.section = SEPARATOR.join(name for _, name in path)


def _from_outline(
    lines: list[Placed], outline: list[OutlineEntry], body: float, *, markdown: bool
) -> list[tuple[int, int, str]]:
    by_page: dict[int, list[int]] = {}
    for index, placed in enumerate(lines):
        by_page.setdefault(placed.page, []).append(index)
    starts: list[tuple[int, int, str]] = []
    keys = [(title_key(placed.text.lstrip("# ")), flat(placed.text)) for placed in lines]
    last = -1
    for entry in outline:
        indexes = [index for index in by_page.get(entry.page, []) if index > last and not lines[index].reason]
        found = _match(lines, keys, indexes, entry, markdown)
        if found:
            for index in found:
                lines[index].reason = "heading"
            last = found[-1]
            starts.append((found[0], entry.level, _clean_title(entry.title, lines[found[0]].text)))
        else:
            starts.append((_below(lines, by_page, entry, last), entry.level, _clean_title(entry.title)))
    for placed in lines:
        # headings below the outline's depth: "8.6.2.1 Missing data at test time", "Problem 4.7: Radioactive decay"
        if not placed.reason and _DEEPER.match(placed.text) and _stands_out(placed, body):
            placed.reason = "heading"
    return starts


def _stands_out(placed: Placed, body: float) -> bool:
    line = placed.line
    short = len(placed.text.split()) <= HEADING_WORDS and placed.text[-1] not in ".,;:"
    return short and (line.bold >= 0.8 or bool(line.size and body and line.size > 1.05 * body))


def _clean_title(title: str, printed: str = "") -> str:
    """The outline's title, with the number that is printed before it."""
    title = fold(re.sub(r"\s+", " ", title))
    number = NUMBERED.match(printed.lstrip("# "))
    if (
        number
        and not re.match(r"\d|[A-Z]\.?\d|[A-Z]\.\s", title)
        and title_key(printed).startswith(title_key(title)[:12])
    ):
        return f"{number[1]} {title}"
    return title


def _match(
    lines: list[Placed], keys: list[tuple[str, str]], indexes: list[int], entry: OutlineEntry, markdown: bool
) -> list[int]:
    """The one to three lines on the entry's page that print its title, with a chapter number beside it.

    keys: per line its title key, and its letters and digits.
    """
    wanted = title_key(entry.title)
    fits: list[tuple[float, list[int]]] = []
    for position in range(len(indexes)):
        if markdown and not lines[indexes[position]].text.startswith("#"):
            continue
        for length in (1, 2, 3):
            group = indexes[position : position + length]
            text = keys[group[0]][0] + "".join(keys[index][1] for index in group[1:])
            if len(group) == length and text == wanted:
                fits.append((_distance(lines[group[0]], entry), group))
    if not fits:
        return []
    group = min(fits, key=lambda fit: fit[0])[1]
    return _with_number(lines, indexes, group)


def _with_number(lines: list[Placed], indexes: list[int], group: list[int]) -> list[int]:
    """Add a line that only holds the chapter's number, printed before or after its title."""
    after, before = group[-1] + 1, group[0] - 1
    for index in (before, after):
        if index in indexes and re.fullmatch(
            r"(?:chapter |appendix |part )?(?:\d{1,2}|[A-Z])", lines[index].text, re.I
        ):
            line, title = lines[index].line, lines[group[0]].line
            larger = line.size is None or title.size is None or line.size >= 0.95 * title.size
            if larger:
                return sorted([*group, index])
    return group


def _distance(placed: Placed, entry: OutlineEntry) -> float:
    """How far a line stands below the place that the entry points to."""
    if entry.y is None or placed.line.y is None:
        return 0.0
    drop = entry.y - placed.line.y
    return drop if -5 <= drop <= DESTINATION_REACH_PT else 1000 + abs(drop)


def _below(lines: list[Placed], by_page: dict[int, list[int]], entry: OutlineEntry, last: int) -> int:
    """Where a title that is not printed begins: the first line below its target, else the page's first line."""
    indexes = [index for index in by_page.get(entry.page, []) if index > last]
    for index in indexes:
        y = lines[index].line.y
        if entry.y is None or y is None or y <= entry.y + 2:
            return index
    if indexes:
        return indexes[-1] + 1
    later = [index for index, placed in enumerate(lines) if placed.page > entry.page and index > last]
    return later[0] if later else len(lines)


def _from_type(lines: list[Placed], body: float) -> list[tuple[int, int, str]]:
    """Headings without an outline: larger or bold short lines with room above, or numbered lines that stand alone."""
    picked = [index for index in range(len(lines)) if _looks_like_heading(lines, index, body)]
    if len(picked) > 0.2 * len(lines) + 3:
        picked = [index for index in picked if NUMBERED.match(lines[index].text)]
    sizes = sorted({round(lines[index].line.size or 0) for index in picked}, reverse=True)
    starts: list[tuple[int, int, str]] = []
    for index in picked:
        placed = lines[index]
        level = _level(placed, sizes)
        if starts and index - 1 in picked and lines[index - 1].page == placed.page and _one_heading(lines, index):
            start, old_level, title = starts[-1]
            starts[-1] = (start, old_level, f"{title} {placed.text}")
        else:
            starts.append((index, level, placed.text))
        placed.reason = "heading"
    return _without_short(lines, starts)


def _without_short(lines: list[Placed], starts: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Fewer levels where most sections would be shorter than a passage, as in slides with a title each."""
    while starts:
        ends = [start for start, _, _ in starts[1:]] + [len(lines)]
        lengths = [
            sum(len(placed.text.split()) for placed in lines[start:end] if not placed.reason)
            for (start, _, _), end in zip(starts, ends, strict=True)
        ]
        deepest = max(level for _, level, _ in starts)
        if statistics.median(lengths) >= SHORT_SECTION_WORDS or len(starts) < 3:
            break
        if deepest == min(level for _, level, _ in starts):
            return []
        starts = [start for start in starts if start[1] < deepest]
    return starts


def _one_heading(lines: list[Placed], index: int) -> bool:
    a, b = lines[index - 1].line, lines[index].line
    close = a.y is not None and b.y is not None and 0 < a.y - b.y < 1.8 * (b.size or 12)
    return a.size == b.size and close and not NUMBERED.match(lines[index].text)


def _level(placed: Placed, sizes: list[int]) -> int:
    number = NUMBERED.match(placed.text)
    if number:
        return number[1].count(".")
    return min(sizes.index(round(placed.line.size or 0)), 3)


def _looks_like_heading(lines: list[Placed], index: int, body: float) -> bool:
    placed = lines[index]
    text, line = placed.text, placed.line
    words = text.split()
    if placed.reason or not words or len(words) > HEADING_WORDS or LEADERS.search(text) or text[-1] in ".,;:?=":
        return False
    if not re.match(r"[\"“(]?[^\W_]", text) or not re.search(r"[^\W\d_]{3,}", text) or re.search(r"\s\d+$", text):
        return False
    if sum(char.isalpha() or char.isspace() for char in text) < 0.7 * len(text) or "=" in text:
        return False
    if line.size is None or not body:
        alone = placed.blank_before and (index + 1 >= len(lines) or lines[index + 1].blank_before)
        return bool(NUMBERED.match(text)) and alone and text.split()[-1][0].isalpha()
    if line.mono > 0.3 or line.math > 0.3 or line.size < 0.95 * body:
        return False
    large, bold = line.size >= 1.12 * body, line.bold >= 0.9
    first = text.lstrip('"“(')[0]
    if not (first.isupper() or first.isdigit()) or key(text).startswith(("figure", "table", "fig")):
        return False
    return (large or (bold and _room_above(lines, index))) and len(text) > 3


def _room_above(lines: list[Placed], index: int) -> bool:
    if index == 0 or lines[index - 1].page != lines[index].page:
        return True
    above, here = lines[index - 1].line, lines[index].line
    if above.y is None or here.y is None:
        return False
    gap = above.y - here.y
    return gap < 0 or gap > 1.5 * (here.size or 12)
