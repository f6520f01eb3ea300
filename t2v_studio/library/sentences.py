"""Sentences: where they end, and not after "Fig.", "e.g.", initials or decimals."""

from __future__ import annotations

import re

ABBREVIATIONS = frozenset(
    [
        "fig",
        "figs",
        "eq",
        "eqs",
        "eqn",
        "eqns",
        "sec",
        "secs",
        "sect",
        "sects",
        "ch",
        "chap",
        "chaps",
        "tab",
        "tabs",
        "ref",
        "refs",
        "alg",
        "def",
        "thm",
        "cor",
        "prop",
        "lem",
        "ex",
        "app",
        "vol",
        "no",
        "nos",
        "nr",
        "pp",
        "p",
        "ed",
        "eds",
        "al",
        "e.g",
        "i.e",
        "cf",
        "vs",
        "viz",
        "etc",
        "resp",
        "approx",
        "ca",
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "st",
        "jr",
        "sr",
        "inc",
        "ltd",
        "co",
        "dept",
        "univ",
        "proc",
        "conf",
        "int",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "a.k.a",
        "w.r.t",
        "s.t",
        "i.i.d",
        "z.b",
        "d.h",
        "bzw",
        "vgl",
        "usw",
        "abb",
        "u.a",
        "bspw",
        "ggf",
        "sog",
    ]
)
TERMINAL = re.compile(r"[.!?…][\"'”’)\]]*$")
_END = re.compile(r"[.!?][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-zß-öø-ÿ]|[•▪])")
_LAST_TOKEN = re.compile(r"([^\s(\[{“\"']+)$")
_MAY_END = frozenset(["etc", "al", "resp", "inc", "ltd", "no", "jr", "sr"])
_ENUMERATION = re.compile(r"^[\s(]*(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4})[.)]$")


def spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence of a paragraph."""
    bounds, start = [], 0
    for match in _END.finditer(text):
        if _ends_sentence(text, start, match):
            bounds.append((start, len(text[: match.end()].rstrip())))
            start = match.end()
    if text[start:].strip():
        bounds.append((start, len(text.rstrip())))
    return bounds


def split(text: str) -> list[str]:
    """The sentences of a text; a line end counts as a paragraph end."""
    return [part[a:b].strip() for part in text.split("\n") for a, b in spans(part) if part[a:b].strip()]


def is_whole(sentence: str) -> bool:
    """Whether it ends as sentences end."""
    return bool(TERMINAL.search(sentence.strip()))


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    if text[match.start()] != ".":
        return True
    if _ENUMERATION.match(text[start : match.start() + 1]):
        return False
    token_match = _LAST_TOKEN.search(text[start : match.start()])
    if token_match is None:
        return True
    token, follow = token_match[1], text[match.end() : match.end() + 12]
    plain = token.lower().rstrip(".")
    if plain in ABBREVIATIONS:
        return plain in _MAY_END and follow[:1].isupper() and not follow[:1].isdigit()
    if re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]", token):
        return False
    # an initial in a name: "H. P. Langtangen", but a sentence may end on a variable: "the matrix A. Then"
    if re.fullmatch(r"[A-Z]", token):
        before = text[start : match.start() - 1].rstrip().rsplit(" ", 1)[-1]
        return before[:1].islower()
    return True
