"""Colours of the local engine: three themes over the Okabe-Ito palette."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Named by role, never by hue, so that a kind draws alike in every theme.

    The Okabe-Ito hues (Okabe and Ito, 2008) are distinguishable with the common forms of colour
    blindness; a second cue (shape, dash, label) always goes with them. They are darkened or
    lightened so that ink, muted, accent, positive and negative, and every series, hold 4.5:1 as
    text on paper and surface (the first five on accent_soft and highlight too). `warm` is for marks,
    not for text.
    """

    name: str
    paper: str
    surface: str
    ink: str
    muted: str
    line: str
    accent: str
    accent_soft: str
    positive: str
    negative: str
    warm: str
    highlight: str
    series: tuple[str, ...]


LIGHT = Palette(
    name="light",
    paper="#fbfaf7",
    surface="#ffffff",
    ink="#1c2733",
    muted="#56636f",
    line="#cfd6dc",
    accent="#006cab",
    accent_soft="#e2eff8",
    positive="#007454",
    negative="#b84800",
    warm="#e69f00",
    highlight="#fff3cf",
    series=("#006cab", "#b84800", "#007454", "#a3477d", "#886000", "#4f5fb5"),
)
DARK = Palette(
    name="dark",
    paper="#12181f",
    surface="#1b242d",
    ink="#eef2f5",
    muted="#a3b1bd",
    line="#3a4753",
    accent="#56b4e9",
    accent_soft="#1d3a4d",
    positive="#2fc79a",
    negative="#ff9a57",
    warm="#f0b429",
    highlight="#3b3318",
    series=("#56b4e9", "#ff9a57", "#2fc79a", "#e29cc4", "#f0b429", "#8ab8ff"),
)
CONTRAST = Palette(
    name="contrast",
    paper="#ffffff",
    surface="#ffffff",
    ink="#000000",
    muted="#262626",
    line="#595959",
    accent="#004b87",
    accent_soft="#cfe3f5",
    positive="#005c3c",
    negative="#9a3300",
    warm="#8a5a00",
    highlight="#ffe78a",
    series=("#004b87", "#9a3300", "#005c3c", "#7a2a5c", "#8a5a00", "#1f6fa3"),
)
PALETTES = {palette.name: palette for palette in (LIGHT, DARK, CONTRAST)}
