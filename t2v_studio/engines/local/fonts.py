"""The typefaces of the local engine, and how a line of text is shaped with them.

Source Sans Pro (OFL) and DejaVu come inside Python wheels, so a picture is the same on every
machine; fonts of the system are never asked.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from t2v_studio.errors import UnavailableError

Weight = str
"""regular or bold."""

_SOURCE_SANS = {
    ("regular", False): "SourceSansPro-Regular.ttf",
    ("regular", True): "SourceSansPro-It.ttf",
    ("bold", False): "SourceSansPro-Semibold.ttf",
    ("bold", True): "SourceSansPro-SemiboldIt.ttf",
}
_DEJAVU = {"regular": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
_DEJAVU_MONO = {"regular": "DejaVuSansMono.ttf", "bold": "DejaVuSansMono-Bold.ttf"}
_DEJAVU_SCALE = 0.9
"""DejaVu is drawn larger on its body than Source Sans; this makes the two sit together."""

REFERENCE_SIZE = 100.0
"""Lines are shaped once at this size and scaled: widths are the same at every resolution."""


class Run(NamedTuple):
    """A piece of a line in one typeface. x and width are in units at REFERENCE_SIZE."""

    font_file: str
    scale: float
    text: str
    x: float
    width: float


@dataclass(frozen=True)
class Line:
    """A shaped line: runs from left to right, total width and height of a capital, at REFERENCE_SIZE."""

    runs: tuple[Run, ...]
    width: float
    cap_height: float


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError("font_missing", f"The font package {package} is not installed.", "Run: make setup")
    return Path(next(iter(spec.submodule_search_locations)))


@lru_cache(maxsize=1)
def _folders() -> tuple[Path, Path]:
    return _package_folder("font_source_sans_pro") / "files", _package_folder(
        "matplotlib"
    ) / "mpl-data" / "fonts" / "ttf"


@lru_cache(maxsize=64)
def _stack(weight: Weight, italic: bool, mono: bool) -> tuple[tuple[str, float], ...]:
    sans, dejavu = _folders()
    bold = "bold" if weight == "bold" else "regular"
    last = [(str(dejavu / _DEJAVU[bold]), _DEJAVU_SCALE), (str(dejavu / "STIXGeneral.ttf"), 1.0)]
    if mono:
        return ((str(dejavu / _DEJAVU_MONO[bold]), _DEJAVU_SCALE), *last)
    upright = (str(sans / _SOURCE_SANS[bold, False]), 1.0)
    first = [(str(sans / _SOURCE_SANS[bold, True]), 1.0), upright] if italic else [upright]
    return (*first, *last)


@lru_cache(maxsize=32)
def typeface(font_file: str) -> Any:
    """The skia typeface of a font file."""
    import skia

    # A manager of our own: the default one asks fontconfig, which may warn about a newer system's files.
    face = skia.FontMgr.New_Custom_Empty().makeFromFile(font_file)
    if face is None:
        raise UnavailableError("font_missing", f"The font {Path(font_file).name} cannot be read.", "Run: make setup")
    return face


@lru_cache(maxsize=512)
def sized_font(font_file: str, size: float) -> Any:
    """A skia font at a size, set so that glyphs neither snap to pixels nor change width with the size."""
    import skia

    font = skia.Font(typeface(font_file), size)
    font.setSubpixel(True)
    font.setLinearMetrics(True)
    font.setHinting(skia.FontHinting.kNone)
    font.setEdging(skia.Font.Edging.kAntiAlias)
    return font


@lru_cache(maxsize=8192)
def _covered(font_file: str, character: str) -> bool:
    return bool(typeface(font_file).unicharToGlyph(ord(character)))


@lru_cache(maxsize=4096)
def substitute(character: str) -> str:
    """What stands for a character: itself where a font has it, else a transliteration, else "?"."""
    if character.isspace() or unicodedata.category(character) in ("Cf", "Cc", "Mn"):
        return " " if character.isspace() else (character if _in_any_font(character) else "")
    if _in_any_font(character):
        return character
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return plain if plain and plain != character and all(_in_any_font(c) for c in plain) else "?"


def _in_any_font(character: str) -> bool:
    return any(_covered(font_file, character) for font_file, _ in _stack("regular", False, False))


def undrawable(text: str) -> list[str]:
    """The characters of a text that no font has, so that "?" stands for them; each once, in order."""
    return [c for c in dict.fromkeys(text) if c != "?" and substitute(c) == "?"]


def visual_order(text: str) -> str:
    """Right-to-left runs reversed, so that Hebrew and Arabic read correctly (letters are not joined)."""
    if not any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return text
    pieces: list[str] = []
    run, rtl = "", False
    for c in text:
        kind = unicodedata.bidirectional(c)
        is_rtl = kind in ("R", "AL") or (rtl and kind in ("WS", "NSM", "CS"))
        if is_rtl != rtl and run:
            pieces.append(run[::-1] if rtl else run)
            run = ""
        run, rtl = run + c, is_rtl
    pieces.append(run[::-1] if rtl else run)
    return "".join(pieces)


@lru_cache(maxsize=8192)
def shape(text: str, weight: Weight = "regular", italic: bool = False, mono: bool = False) -> Line:
    """A line split into runs by the first typeface that has each character."""
    import skia

    stack = _stack(weight, italic, mono)
    drawn = "".join(substitute(c) for c in visual_order(unicodedata.normalize("NFC", text)))
    groups: list[tuple[tuple[str, float], str]] = []
    for character in drawn:
        face = next((f for f in stack if _covered(f[0], character)), stack[0])
        if groups and (groups[-1][0] == face or character == " "):
            groups[-1] = (groups[-1][0], groups[-1][1] + character)
        else:
            groups.append((face, character))
    runs: list[Run] = []
    x = 0.0
    for (font_file, scale), piece in groups:
        width = sized_font(font_file, REFERENCE_SIZE).measureText(piece, skia.TextEncoding.kUTF8) * scale
        runs.append(Run(font_file, scale, piece, x, width))
        x += width
    metrics = sized_font(stack[0][0], REFERENCE_SIZE).getMetrics()
    return Line(tuple(runs), x, metrics.fCapHeight * stack[0][1])
