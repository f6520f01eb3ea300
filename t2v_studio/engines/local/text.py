"""Measuring, wrapping and fitting text, in design units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from t2v_studio.engines.local.display import MIN_TEXT, Box
from t2v_studio.engines.local.fonts import REFERENCE_SIZE, shape

LINE_HEIGHT = 1.28
"""Distance of two baselines in sizes."""

ELLIPSIS = "…"


@dataclass(frozen=True)
class Fitted:
    """Lines that fit a given width at one size; `cut` tells that an ellipsis ends the last one."""

    lines: tuple[str, ...]
    size: float
    cut: bool = False

    @property
    def height(self) -> float:
        return len(self.lines) * self.size * LINE_HEIGHT


def measure(text: str, size: float, weight: str = "regular", italic: bool = False, mono: bool = False) -> float:
    """Width of a line."""
    return shape(text, weight, italic, mono).width * size / REFERENCE_SIZE


def text_box(x: float, y: float, text: str, size: float, weight: str, italic: bool, mono: bool, anchor: str) -> Box:
    """The box that a line fills: its width, and from above its accents to below its descenders."""
    width = measure(text, size, weight, italic, mono)
    left = x - {"left": 0.0, "centre": width / 2, "right": width}[anchor]
    return Box(left, y - 0.46 * size, width, 0.98 * size)


@lru_cache(maxsize=4096)
def wrap(text: str, size: float, width: float, weight: str = "regular", italic: bool = False) -> tuple[str, ...]:
    """Lines no wider than `width`, broken at spaces; a longer word is broken inside."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        for piece in _pieces(word, size, width, weight, italic):
            candidate = f"{line} {piece}" if line else piece
            if line and measure(candidate, size, weight, italic) > width:
                lines.append(line)
                line = piece
            else:
                line = candidate
    if line:
        lines.append(line)
    return tuple(lines)


def _pieces(word: str, size: float, width: float, weight: str, italic: bool) -> list[str]:
    if measure(word, size, weight, italic) <= width:
        return [word]
    pieces, piece = [], ""
    for character in word:
        if piece and measure(piece + character, size, weight, italic) > width:
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]


def balanced(text: str, size: float, width: float, weight: str = "regular", italic: bool = False) -> tuple[str, ...]:
    """`wrap` with lines of similar length, so that no single word is left over."""
    lines = wrap(text, size, width, weight, italic)
    if len(lines) < 2:
        return lines
    widest_word = max(measure(word, size, weight, italic) for word in text.split())
    low, high = min(max(width / len(lines), widest_word), width), width
    if len(wrap(text, size, round(low, 2), weight, italic)) <= len(lines):
        high = low
    for _ in range(8):
        middle = (low + high) / 2
        if len(wrap(text, size, round(middle, 2), weight, italic)) <= len(lines):
            high = middle
        else:
            low = middle
    return wrap(text, size, min(round(high + 0.5, 2), width), weight, italic)


def shorten(text: str, size: float, width: float, weight: str = "regular", italic: bool = False) -> str:
    """The text on one line, ended by an ellipsis where it is too long."""
    text = " ".join(text.split())
    if measure(text, size, weight, italic) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip(" ,;:.-") + ELLIPSIS, size, weight, italic) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip(" ,;:.-") + ELLIPSIS


@lru_cache(maxsize=4096)
def fit(
    text: str,
    width: float,
    height: float,
    size: float,
    *,
    smallest: float = MIN_TEXT,
    max_lines: int = 99,
    weight: str = "regular",
    italic: bool = False,
) -> Fitted:
    """Text in a box: the largest size from `size` down to `smallest` at which it fits, wrapped.

    At `smallest` the lines that do not fit are replaced by an ellipsis.
    """
    smallest = min(smallest, size)
    current = size
    while True:
        room = max(1, min(max_lines, int((height + 0.28 * current) / (current * LINE_HEIGHT))))
        lines = balanced(text, current, width, weight, italic)
        whole_words = all(measure(word, current, weight, italic) <= width for word in text.split())
        if len(lines) <= room and (whole_words or current <= smallest):
            return Fitted(lines, current)
        if current <= smallest:
            kept = wrap(text, current, width, weight, italic)
            rest = " ".join(kept[room - 1 :])
            return Fitted(
                (*kept[: room - 1], shorten(rest + " " + "…" * 60, current, width, weight, italic)), current, True
            )
        current = max(smallest, current - 1.0)
