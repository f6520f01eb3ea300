"""Raised and lowered small type as Unicode superscripts and subscripts, so that ten to the sixth is not 106."""

from __future__ import annotations

from collections import Counter

_PLAIN = "0123456789+-−=()abcdefghijklmnoprstuvwxyz′*"
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ′*"
_LOWERED = dict(zip("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_RAISED_BY = dict(zip(_PLAIN, _RAISED, strict=True))
SMALLER = 0.85
RAISED_BY_SIZE = 0.18
LOWERED_BY_SIZE = 0.08
REACH_BY_SIZE = 0.75
LONGEST = 8


def main_type(heights: Counter[tuple[float, float]]) -> tuple[float, float]:
    """Size and baseline of a line's main type, in points: the largest size with a fifth of the characters."""
    total = sum(heights.values())
    weights: Counter[float] = Counter()
    for (size, _), weight in heights.items():
        weights[size] += weight
    main_size = max(
        size for size, weight in weights.items() if weight >= 0.2 * total or weight == max(weights.values())
    )
    return main_size, max((y for size, y in heights if size == main_size), key=lambda y: heights[main_size, y])


def position(size: float, y: float, main_size: float, baseline: float) -> int:
    """1 for raised, -1 for lowered small type beside type of `main_size` on `baseline`, else 0. All in points."""
    if not main_size or size > SMALLER * main_size:
        return 0
    rise = (y - baseline) / main_size
    if RAISED_BY_SIZE < rise < REACH_BY_SIZE:
        return 1
    return -1 if -REACH_BY_SIZE < rise < -LOWERED_BY_SIZE else 0


def script(text: str, where: int) -> str:
    """The text raised (1) or lowered (-1); where Unicode lacks a letter it stays as it is."""
    letters = _RAISED_BY if where > 0 else _LOWERED
    inner = text.strip()
    if not where or not inner or len(inner) > LONGEST or any(char not in letters and char != " " for char in inner):
        return text
    start = text.index(inner)
    raised = "".join(letters.get(char, char) for char in inner)
    return text[:start] + raised + text[start + len(inner) :]
