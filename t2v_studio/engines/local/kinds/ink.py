"""The colour of text that can be read on a fill."""

from __future__ import annotations

from functools import lru_cache

from t2v_studio.engines.local.theme import Palette


@lru_cache(maxsize=256)
def _luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@lru_cache(maxsize=256)
def readable_on(fill: str, palette: Palette) -> str:
    """Ink or surface, whichever stands out more."""
    there = _luminance(fill)

    def ratio(colour: str) -> float:
        light, dark = sorted((_luminance(colour), there), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    return max((palette.ink, palette.surface), key=ratio)
