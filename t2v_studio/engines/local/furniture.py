"""What stands around the diagram: heading, progress, caption, legend, formula, source footer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from t2v_studio.engines.local.display import MIN_TEXT, Box, Circle, Formula, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import mix, settle
from t2v_studio.engines.local.formula import measure_formula
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment
from t2v_studio.engines.local.layout import (
    FORMULA_SIZE,
    LEGEND_GAP,
    LEGEND_MARK,
    LEGEND_ROW,
    LEGEND_SIZE,
    SAY_SIZE,
    SHOW_SIZE,
    Regions,
    legend_rows,
)
from t2v_studio.engines.local.text import LINE_HEIGHT, fit, measure, shorten, wrap
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Source, Step

PAGE_SECONDS = 1.6
"""A page of the caption stays at least this long; a text with more pages is shortened."""

APPEAR_SECONDS = 0.3
WIDOW = 0.3
"""A last line shorter than this share of the width is a widow."""


def card(regions: Regions, palette: Palette) -> list[Item]:
    """The sheet under the stage."""
    return [
        Rect(box=regions.card, radius=18, fill=palette.surface, stroke=palette.line, width=1.5, layer=-20, name="card")
    ]


def heading(regions: Regions, palette: Palette, topic: str, title: str) -> list[Item]:
    """Topic, small, and the title of the scene."""
    kicker = shorten(topic[:1].upper() + topic[1:], MIN_TEXT, regions.kicker.w)
    items: list[Item] = [
        Text(
            at=Point(regions.kicker.x, regions.kicker.centre.y),
            text=kicker,
            size=MIN_TEXT,
            colour=palette.muted,
            name="topic",
        )
    ]
    fitted = fit(title, regions.title.w, regions.title.h, regions.title_size, weight="bold")
    items += _lines(fitted.lines, regions.title, fitted.size, palette.ink, "title", weight="bold")
    return items


def progress(regions: Regions, palette: Palette, steps: int, moment: Moment) -> list[Item]:
    """Step n of N, and one tick a step that fills while the step is told."""
    box = regions.progress
    label = f"Step {moment.step + 1} of {steps}"
    items: list[Item] = [
        Text(
            at=Point(box.right, box.centre.y),
            text=label,
            size=MIN_TEXT,
            colour=palette.muted,
            anchor="right",
            name="step",
        )
    ]
    room = box.w - measure(f"Step {steps} of {steps}", MIN_TEXT) - 18
    gap = 6.0
    width = min(40.0, (room - gap * (steps - 1)) / steps)
    left = box.x + room - steps * width - (steps - 1) * gap
    for i in range(steps):
        tick = Box(left + i * (width + gap), box.centre.y - 4, width, 8)
        filled = 1.0 if i < moment.step else moment.progress if i == moment.step else 0.0
        items.append(Rect(box=tick.inset(0, 2), radius=2, fill=palette.line, width=0, name="tick"))
        if filled > 0:
            items.append(
                Rect(
                    box=Box(tick.x, tick.y, max(round(tick.w * filled, 1), 8.0), tick.h),
                    radius=4,
                    fill=palette.accent,
                    width=0,
                    layer=1,
                    name="tick",
                )
            )
    return items


def _without_widow(text: str, size: float, width: float) -> tuple[str, ...]:
    """The lines of a text, narrower where the last one would be a lonely word and no line more is needed."""
    lines = wrap(text, size, width)
    for share in (0.9, 0.8, 0.7):
        narrower = wrap(text, size, share * width)
        if len(lines) < 2 or len(narrower) > len(lines) or measure(lines[-1], size) > WIDOW * width:
            break
        lines = narrower
    return lines


@lru_cache(maxsize=512)
def pages(text: str, width: float, lines: int, most: int) -> tuple[tuple[str, ...], ...]:
    """What is said, in pages of as many lines each; the last of `most` pages ends in an ellipsis if words are left."""
    wrapped = _without_widow(text, SAY_SIZE, width)
    if len(wrapped) > lines:
        wrapped = _without_widow(text, MIN_TEXT, width)
    count = -(-len(wrapped) // lines) or 1
    if count <= most:
        lines = -(-len(wrapped) // count) or 1
    cut = [wrapped[i : i + lines] for i in range(0, len(wrapped), lines)] or [()]
    if len(cut) > most:
        last = cut[most - 1]
        cut = [*cut[: most - 1], (*last[:-1], shorten(last[-1] + " " + "…" * 80, MIN_TEXT, width))]
    return tuple(cut)


def caption(
    regions: Regions, palette: Palette, step: Step, moment: Moment, *, readout: str, quoted: bool, step_seconds: float
) -> list[Item]:
    """One idea: the step's label in bold with the live read-out beside it, and what is said below."""
    box = regions.caption
    bar = palette.warm if quoted else palette.accent
    items: list[Item] = [
        Rect(box=Box(box.x - 8, box.y + 4, 5, box.h - 8), radius=2.5, fill=bar, width=0, name="caption-bar")
    ]
    left, width = box.x + 14, box.w - 14
    top = box.y
    arrive = settle(moment.progress * step_seconds / APPEAR_SECONDS) if moment.step else 1.0
    if regions.has_show:
        items += _show_line(Box(left, top, width, SHOW_SIZE * LINE_HEIGHT), palette, step.show, readout, arrive)
        top += SHOW_SIZE * LINE_HEIGHT
    said = f"“{step.say.strip()}”" if quoted else step.say.strip()
    most = max(1, int(step_seconds / PAGE_SECONDS))
    all_pages = pages(said, width, regions.say_lines, most)
    number = min(int(moment.progress * len(all_pages)), len(all_pages) - 1)
    since = (moment.progress - number / len(all_pages)) * step_seconds
    fresh = settle(since / APPEAR_SECONDS) if number or moment.step else 1.0
    longest = max(len(page) for page in all_pages)
    size = SAY_SIZE if len(all_pages) == 1 and _fits(all_pages[0], width) else MIN_TEXT
    if not regions.has_show:
        top += max(0.0, (box.bottom - top - longest * size * LINE_HEIGHT) / 2)
    for i, line in enumerate(all_pages[number]):
        y = top + (i + 0.5) * size * LINE_HEIGHT
        items.append(
            Text(
                at=Point(left + mix(10, 0, fresh), y),
                text=line,
                size=size,
                colour=palette.ink,
                alpha=mix(0.45, 1.0, fresh),
                name="caption",
            )
        )
    return items


def _fits(lines: Sequence[str], width: float) -> bool:
    return all(measure(line, SAY_SIZE) <= width for line in lines)


def _show_line(box: Box, palette: Palette, show: str, readout: str, arrive: float) -> list[Item]:
    items: list[Item] = []
    room = box.w
    least = measure(shorten(show, MIN_TEXT, box.w, "bold"), MIN_TEXT, "bold") + 28 if show else 0.0
    text = _readout_that_fits(readout, box.w - least)
    if text:
        room -= measure(text, MIN_TEXT) + 28
        items.append(
            Text(
                at=Point(box.right, box.centre.y),
                text=text,
                size=MIN_TEXT,
                colour=palette.accent,
                anchor="right",
                name="read-out",
            )
        )
    if show:
        fitted = fit(show, room, box.h, SHOW_SIZE, max_lines=1, weight="bold")
        at = Point(box.x + mix(10, 0, arrive), box.centre.y)
        items.append(
            Text(
                at=at,
                text=fitted.lines[0],
                size=fitted.size,
                colour=palette.ink,
                weight="bold",
                alpha=mix(0.45, 1.0, arrive),
                name="show",
            )
        )
    return items


def _readout_that_fits(readout: str, room: float) -> str:
    """The read-out, or what follows its colon, or its first clause, or nothing: never half a number."""
    after = readout.split(": ", 1)[-1]
    for text in (readout, after, after.split(", ")[0], after.split(" = ")[-1]):
        if text and measure(_zeros(text), MIN_TEXT) + 4 <= room:
            return text
    return ""


def _zeros(text: str) -> str:
    """The text with all digits alike, so that a changing number does not change what fits."""
    return "".join("0" if c.isdigit() else c for c in text)


def legend(regions: Regions, palette: Palette, entries: Sequence[LegendEntry]) -> list[Item]:
    """Marks with their meanings, in rows below the stage."""
    box = regions.legend
    if box is None:
        return []
    items: list[Item] = []
    for row, members in enumerate(legend_rows(entries, box.w)):
        widths = [LEGEND_MARK + min(measure(entry.label, LEGEND_SIZE), box.w - LEGEND_MARK) for entry in members]
        x = box.x + (box.w - sum(widths) - LEGEND_GAP * (len(members) - 1)) / 2
        y = box.y + (row + 0.5) * LEGEND_ROW
        for entry, width in zip(members, widths, strict=True):
            items += _mark(Point(x + 14, y), entry, palette)
            label = shorten(entry.label, LEGEND_SIZE, box.w - LEGEND_MARK)
            items.append(
                Text(at=Point(x + LEGEND_MARK, y), text=label, size=LEGEND_SIZE, colour=palette.muted, name="legend")
            )
            x += width + LEGEND_GAP
    return items


def _mark(at: Point, entry: LegendEntry, palette: Palette) -> list[Item]:
    x, y = at
    colour = entry.colour
    left, right = Point(x - 14, y), Point(x + 14, y)
    if entry.mark == "ring":
        return [Circle(centre=at, radius=9, fill=palette.surface, stroke=colour, width=3.5)]
    if entry.mark == "square":
        return [Rect(box=Box(x - 10, y - 10, 20, 20), radius=4, fill=colour, stroke=palette.line, width=1)]
    if entry.mark == "line":
        return [Polyline(points=(left, right), stroke=colour, width=4)]
    if entry.mark == "dash":
        return [Polyline(points=(left, right), stroke=colour, width=4, dash=(7, 5))]
    if entry.mark == "arrow":
        return [Polyline(points=(left, right), stroke=colour, width=3.5, arrow="end")]
    if entry.mark == "diamond":
        corners = (Point(x, y - 12), Point(x + 12, y), Point(x, y + 12), Point(x - 12, y))
        return [Polyline(points=corners, closed=True, fill=colour, stroke=colour, width=1)]
    return [Circle(centre=at, radius=9, fill=colour, stroke=palette.line, width=1)]


def formula(regions: Regions, palette: Palette, latex: str) -> list[Item]:
    """The scene's formula on its own slip."""
    box = regions.formula
    if box is None:
        return []
    width, height = measure_formula(latex, FORMULA_SIZE)
    size = FORMULA_SIZE * min(1.0, (box.w - 36) / width, (box.h - 12) / height)
    return [
        Rect(box=box, radius=14, fill=palette.accent_soft, width=0, layer=-10, name="formula-slip"),
        Formula(at=box.centre, latex=latex, size=round(size, 2), colour=palette.ink, name="formula"),
    ]


def page_name(source: Source) -> str:
    """The page as a reader finds it: as printed, and the PDF's own count where the two differ."""
    if source.label and source.label != str(source.page):
        return f"p. {source.label} (PDF {source.page})"
    return f"p. {source.page}" if source.page_last <= source.page else f"pp. {source.page}–{source.page_last}"


def footer(regions: Regions, palette: Palette, sources: Sequence[Source]) -> list[Item]:
    """Book and pages of what is told now."""
    box = regions.footer
    if box is None or not sources:
        return []
    books: dict[str, list[str]] = {}
    for source in sources:
        names = books.setdefault(source.book, [])
        if page_name(source) not in names:
            names.append(page_name(source))
    share = (box.w - 40) / len(books)
    parts = []
    for book, names in books.items():
        where = ", ".join(names[:3])
        parts.append(shorten(book, MIN_TEXT, share - measure(", " + where, MIN_TEXT) - 20) + ", " + where)
    text = shorten("  ·  ".join(parts), MIN_TEXT, box.w - 34)
    y = box.centre.y
    icon = Box(box.x - 6, y - 11, 18, 22)
    return [
        Rect(box=icon, radius=3, fill=palette.warm, width=0, name="source-icon"),
        Polyline(
            points=(Point(icon.x + 4.5, icon.y + 3), Point(icon.x + 4.5, icon.bottom - 3)),
            stroke=palette.surface,
            width=2,
            name="source-icon",
        ),
        Text(at=Point(box.x + 24, y), text=text, size=MIN_TEXT, colour=palette.muted, name="source"),
    ]


def _lines(lines: Sequence[str], box: Box, size: float, colour: str, name: str, weight: str = "regular") -> list[Item]:
    pitch = size * (1.16 if weight == "bold" else LINE_HEIGHT)
    top = box.centre.y - (len(lines) - 1) * pitch / 2
    return [
        Text(
            at=Point(box.x, top + i * pitch),
            text=line,
            size=size,
            colour=colour,
            name=name,
            weight="bold" if weight == "bold" else "regular",
        )
        for i, line in enumerate(lines)
    ]
