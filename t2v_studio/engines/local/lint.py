"""What is wrong with a frame before it is painted: overlaps, overflow, small or faint text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from t2v_studio.engines.local.composition import Composition
from t2v_studio.engines.local.display import MIN_TEXT, Box, Circle, Formula, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.painter import formula_box, in_paint_order, item_bounds
from t2v_studio.engines.local.text import text_box
from t2v_studio.engines.local.theme import Palette

CONTRAST = 4.5
"""Ratio that WCAG 2.2 (1.4.3, level AA) asks of text."""

FORMULA_MIN = 16.0
VISIBLE = 0.95
"""Items below this opacity are on their way in or out; contrast and overlap are asked of those that stand."""

STAGE_SLACK = 12.0
"""Strokes and halos may reach this far into the margin between the stage and its sheet."""

OVERLAP_SLACK = 6.0
"""Shared area in square units below which two texts only touch."""


@dataclass(frozen=True)
class Finding:
    """One fault: rule (overlap, off_frame, off_stage, small_text, contrast), what, and the measure."""

    rule: str
    what: str
    measure: float


def lint(items: Sequence[Item], frame: Box, palette: Palette) -> list[Finding]:
    """Faults of a display list over a paper of the palette."""
    ordered = in_paint_order([item for item in items if item.alpha > 0.02])
    found: list[Finding] = []
    for item in ordered:
        if not frame.contains(_ink(item)):
            found.append(Finding("off_frame", _what(item), _excess(frame, _ink(item))))
    texts = [item for item in ordered if isinstance(item, Text | Formula)]
    for text in texts:
        smallest = MIN_TEXT if isinstance(text, Text) else FORMULA_MIN
        if text.size < smallest - 0.01:
            found.append(Finding("small_text", _what(text), text.size))
    standing = [text for text in texts if text.alpha >= VISIBLE]
    found += _overlaps(standing)
    for text in standing:
        ratio = contrast(text.colour, background(ordered, text, palette.paper))
        if ratio < CONTRAST:
            found.append(Finding("contrast", _what(text), round(ratio, 2)))
    return found


def lint_stage(items: Sequence[Item], stage: Box, slack: float = STAGE_SLACK) -> list[Finding]:
    """Items of a kind that leave the stage."""
    return [
        Finding("off_stage", _what(item), _excess(stage, _ink(item)))
        for item in items
        if item.alpha > 0.02 and not stage.contains(_ink(item), slack)
    ]


def lint_composition(view: Composition, at: Sequence[float]) -> list[Finding]:
    """Faults of a scene at several moments, each once."""
    from t2v_studio.engines.local.timeline import moment_at

    found: dict[tuple[str, str], Finding] = {}
    for share in at:
        moment, seconds = moment_at(view.scene, share)
        faults = lint(view.items(moment, seconds), view.regions.frame, view.palette)
        faults += lint_stage(view.kind.draw(view.scene, view.trace, moment, view.stage), view.stage.box)
        for fault in faults:
            found.setdefault((fault.rule, fault.what), fault)
    return list(found.values())


def luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def background(ordered: Sequence[Item], text: Text | Formula, paper: str) -> str:
    """The colour under the middle of a text: all fills painted before it, blended by their opacity."""
    box = _ink(text)
    colour = paper
    for item in ordered:
        if item is text:
            break
        fill = getattr(item, "fill", "")
        if fill and _covers(item, box.centre):
            colour = _over(fill, colour, item.alpha)
    return colour


def _over(top: str, bottom: str, alpha: float) -> str:
    parts = [round(int(top[i : i + 2], 16) * alpha + int(bottom[i : i + 2], 16) * (1 - alpha)) for i in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in parts)


def _covers(item: Item, at: Point) -> bool:
    if isinstance(item, Rect):
        return item.box.contains(Box(at.x, at.y, 0, 0), 0)
    if isinstance(item, Circle):
        return (at.x - item.centre[0]) ** 2 + (at.y - item.centre[1]) ** 2 <= item.radius**2
    return isinstance(item, Polyline) and _inside(item.points, at)


def _inside(points: Sequence[Point], at: Point) -> bool:
    inside = False
    for (x1, y1), (x2, y2) in zip(points, (*points[1:], *points[:1]), strict=True):
        if (y1 > at.y) != (y2 > at.y) and at.x < (x2 - x1) * (at.y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def _overlaps(texts: Sequence[Text | Formula]) -> list[Finding]:
    boxes = [(text, _ink(text)) for text in texts]
    found = []
    for i, (a, first) in enumerate(boxes):
        for b, second in boxes[i + 1 :]:
            shared = first.overlap(second)
            if shared > OVERLAP_SLACK:
                found.append(Finding("overlap", f"{_what(a)} / {_what(b)}", round(shared, 1)))
    return found


def _ink(item: Item) -> Box:
    """The box of what is seen: for text from the height of a capital to just below the baseline."""
    if isinstance(item, Text):
        box = text_box(item.at[0], item.at[1], item.text, item.size, item.weight, item.italic, item.mono, item.anchor)
        return Box(box.x, item.at[1] - 0.36 * item.size, box.w, 0.78 * item.size)
    if isinstance(item, Formula):
        return formula_box(item)
    if isinstance(item, Rect):
        return item.box.inset(-item.width / 2 if item.stroke else 0)
    if isinstance(item, Circle):
        reach = item.radius + (item.width / 2 if item.stroke else 0)
        return Box(item.centre[0] - reach, item.centre[1] - reach, 2 * reach, 2 * reach)
    if isinstance(item, Polyline) and item.points:
        xs, ys = [p[0] for p in item.points], [p[1] for p in item.points]
        return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)).inset(-item.width / 2 if item.stroke else 0)
    return item_bounds(item)


def _excess(outer: Box, inner: Box) -> float:
    return round(max(outer.x - inner.x, outer.y - inner.y, inner.right - outer.right, inner.bottom - outer.bottom), 1)


def _what(item: Item) -> str:
    content = getattr(item, "text", "") or getattr(item, "latex", "")
    return f"{item.name or type(item).__name__}{f': {content[:40]}' if content else ''}"
