"""SubRip and WebVTT from what each step says and when."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LINE_CHARS = 42
"""Longest line, the usual limit of subtitle style guides."""
MAX_LINES = 2
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")


@dataclass(frozen=True)
class Cue:
    """Lines that stand on the screen together."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


def cues(spoken: Iterable[tuple[str, float, float]]) -> list[Cue]:
    """Cues of at most MAX_LINES lines of LINE_CHARS from (text, start_s, end_s).

    A long text becomes several cues that share its time by their length. Empty texts and empty
    stretches of time give none.
    """
    found: list[Cue] = []
    for text, start_s, end_s in spoken:
        blocks = _blocks(" ".join(text.split()))
        if not blocks or end_s <= start_s:
            continue
        weights = [sum(map(len, block)) for block in blocks]
        total, passed = sum(weights), 0
        for block, weight in zip(blocks, weights, strict=True):
            begin = start_s + (end_s - start_s) * passed / total
            passed += weight
            found.append(Cue(begin, start_s + (end_s - start_s) * passed / total, tuple(block)))
    return found


def srt(spoken: Iterable[tuple[str, float, float]]) -> str:
    """A SubRip file."""
    blocks = [
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n" + "\n".join(map(_plain, cue.lines))
        for number, cue in enumerate(cues(spoken), start=1)
    ]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def vtt(spoken: Iterable[tuple[str, float, float]]) -> str:
    """A WebVTT file (W3C WebVTT); valid also without cues."""
    blocks = [
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n"
        + "\n".join(html.escape(line, quote=False) for line in cue.lines)
        for cue in cues(spoken)
    ]
    return "\n\n".join(["WEBVTT", *blocks]) + "\n"


def _plain(line: str) -> str:
    """SubRip has no escapes: players read <b> as markup and --> as a time, so both get look-alikes."""
    return line.replace("-->", "→").replace("<", "‹").replace(">", "›") if re.search(r"<|-->", line) else line


def _clock(seconds: float, mark: str) -> str:
    ms = max(0, round(seconds * 1000))
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{mark}{ms % 1000:03}"


def _blocks(text: str) -> list[list[str]]:
    """Groups of lines, cut at sentence ends where that leaves no scrap, else evenly between words."""
    if not text:
        return []
    blocks: list[list[str]] = []
    held = ""
    for sentence in _SENTENCE_END.split(text):
        joined = f"{held} {sentence}".strip()
        if len(_fill(joined)) <= MAX_LINES:
            held = joined
            continue
        if held:
            blocks.append(_balanced(held))
        *full, held = _even_parts(sentence)
        blocks.extend(_balanced(part) for part in full)
    return [*blocks, _balanced(held)]


def _even_parts(sentence: str) -> list[str]:
    """A sentence in the fewest parts that each fit one cue, of about equal length."""
    words = [piece for word in sentence.split() for piece in _pieces(word)]
    count = -(-len(_fill(sentence)) // MAX_LINES)
    while True:
        parts = _share(words, count)
        if all(len(_fill(part)) <= MAX_LINES for part in parts) or count >= len(words):
            return parts
        count += 1


def _share(words: Sequence[str], count: int) -> list[str]:
    target = sum(len(word) + 1 for word in words) / count
    parts: list[list[str]] = [[]]
    used = 0.0
    for word in words:
        if parts[-1] and len(parts) < count and used + (len(word) + 1) / 2 > target * len(parts):
            parts.append([])
        parts[-1].append(word)
        used += len(word) + 1
    return [" ".join(part) for part in parts]


def _balanced(text: str) -> list[str]:
    """One line if it fits, else two of nearly equal length."""
    lines = _fill(text)
    if len(lines) != 2:
        return lines
    words = text.split(" ")
    splits = [[" ".join(words[:cut]), " ".join(words[cut:])] for cut in range(1, len(words))]
    fitting = [pair for pair in splits if max(map(len, pair)) <= LINE_CHARS]
    return min(fitting, key=lambda pair: abs(len(pair[0]) - len(pair[1]))) if fitting else lines


def _fill(text: str) -> list[str]:
    """Greedy lines of at most LINE_CHARS; a longer word is cut."""
    lines: list[str] = []
    for word in [piece for whole in text.split() for piece in _pieces(whole)]:
        if lines and len(lines[-1]) + 1 + len(word) <= LINE_CHARS:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _pieces(word: str) -> list[str]:
    return [word[at : at + LINE_CHARS] for at in range(0, len(word), LINE_CHARS)]
