"""Curves of motion: 0 to 1 in, 0 to 1 out."""

from __future__ import annotations


def clamp(t: float) -> float:
    return min(max(t, 0.0), 1.0)


def smooth(t: float) -> float:
    """Slow at both ends (3t² - 2t³)."""
    t = clamp(t)
    return t * t * (3 - 2 * t)


def settle(t: float) -> float:
    """Fast at first, coming gently to rest (cubic)."""
    return 1 - (1 - clamp(t)) ** 3


def span(t: float, start: float, end: float) -> float:
    """The part of `t` between start and end, as 0 to 1."""
    return clamp((t - start) / (end - start)) if end > start else float(t >= end)


def mix(a: float, b: float, t: float) -> float:
    return a + (b - a) * t


def blend(a: str, b: str, t: float) -> str:
    """A colour between two, #rrggbb."""
    t = clamp(t)
    parts = [round(mix(int(a[i : i + 2], 16), int(b[i : i + 2], 16), t)) for i in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in parts)
