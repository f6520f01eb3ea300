"""Lines to paragraphs and paragraphs to sentences, with the page of every character kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from t2v_studio.library.blocks import BULLET, pitch
from t2v_studio.library.cleaning import UNREADABLE, Vocabulary, joined
from t2v_studio.library.sections import Placed
from t2v_studio.library.sentences import TERMINAL, is_whole, spans

GAP = "[…]"
"""Stands in a sentence where a displayed formula, or a sign that no reader knows, was taken out of it."""
MOST_GAPS = 0.25
"""A sentence may hold this many gaps for unknown signs, as a share of its tokens."""

_INTERRUPTIONS = frozenset({"caption", "table", "footnote", "running_head", "page_number"})
_WORD = re.compile(r"[^\W\d_]{2,}")
_LOST_MARK = re.compile(rf"(?<!\S){UNREADABLE}+(?=[“‘\"(]?[A-Z][a-z])")
"""The lost number of a note or an exercise, glued to the first word."""
_LOST_SIGN = re.compile(rf"(?<![^\W_{UNREADABLE}]){UNREADABLE}(?:[{UNREADABLE}.–-]*{UNREADABLE})?(?![^\W_])")
"""Unknown signs with no letter beside them: a lost year or operator, never the rest of a broken word."""
FEWEST_WORDS = 4


@dataclass(slots=True)
class Atom:
    """The smallest piece of the book that is kept or rejected as one: a sentence, or a run of rejected lines.

    breaks: offsets in `text` at which the pages after the first begin.
    """

    text: str
    page: int
    page_last: int
    section: str
    reason: str = ""
    paragraph: int = -1
    breaks: list[int] = field(default_factory=list)

    @property
    def words(self) -> int:
        return len(self.text.replace(GAP, "").split())


@dataclass(slots=True)
class _Open:
    """The paragraph being built."""

    text: str = ""
    pages: list[tuple[int, int]] = field(default_factory=list)
    last: Placed | None = None
    hole: bool = False

    def add(self, placed: Placed, known: Vocabulary) -> None:
        if self.hole and self.text:
            self.text += f" {GAP}"
        self.hole = False
        before = len(self.text)
        self.text = joined(self.text, placed.text, known)
        if not self.pages or self.pages[-1][1] != placed.page:
            start = len(self.text) - len(placed.text) if self.pages else 0
            self.pages.append((max(start, 0 if not self.pages else min(before, start)), placed.page))
        self.last = placed


def atoms(lines: list[Placed], body: float, known: Vocabulary) -> list[Atom]:
    """The whole book as sentences and rejected pieces, in reading order; each line's words are in exactly one."""
    result: list[Atom] = []
    held: list[Atom] = []
    open_: _Open = _Open()
    usual = pitch(lines, body)
    paragraph = 0

    def close() -> None:
        nonlocal open_, paragraph
        if open_.last is not None:
            result.extend(_sentences(open_, open_.last.section, paragraph))
            paragraph += 1
        result.extend(held)
        held.clear()
        open_ = _Open()

    for placed in lines:
        if placed.reason:
            _hold(held, placed)
            open_.hole = open_.hole or _leaves_hole(open_, placed)
            if placed.reason == "heading" or open_.last is None:
                close()
            continue
        if open_.last is not None and _begins_paragraph(open_, placed, usual.get(placed.page, 0.0), bool(held)):
            close()
        open_.add(placed, known)
    close()
    return result


def _leaves_hole(open_: _Open, placed: Placed) -> bool:
    """A formula inside a sentence; after a colon or a full stop nothing is missing."""
    if open_.last is None or placed.reason in _INTERRUPTIONS | {"heading"}:
        return False
    return not is_whole(open_.text) and not (placed.reason == "code" and open_.text.endswith(":"))


def _hold(held: list[Atom], placed: Placed) -> None:
    """Collect rejected lines; neighbours with one reason on one page become one piece."""
    last = held[-1] if held else None
    if last and last.reason == placed.reason and last.page == placed.page and last.section == placed.section:
        last.text += "\n" + placed.text
    else:
        held.append(Atom(placed.text, placed.page, placed.page, placed.section, placed.reason))


def _begins_paragraph(open_: _Open, placed: Placed, usual: float, interrupted: bool) -> bool:
    last = open_.last
    assert last is not None
    if last.section != placed.section or BULLET.match(placed.text):
        return True
    ended = bool(TERMINAL.search(open_.text)) or open_.text.endswith(":")
    small_start = placed.text[:1].islower()
    if interrupted:
        if not ended and (small_start or not open_.hole):
            return not small_start and not _runs_over(last, placed)
        return ended and not small_start if open_.hole is False else not small_start
    if last.page != placed.page:
        return ended and not small_start
    if last.line.y is None or placed.line.y is None or not usual:
        return placed.blank_before and not (small_start and not ended)
    gap = last.line.y - placed.line.y
    if gap < 0:
        return ended and not small_start
    if gap > 1.12 * usual + 0.5 and not small_start:
        return True
    indented = last.line.x is not None and placed.line.x is not None and 5 < placed.line.x - last.line.x < 40
    return ended and indented and not small_start


def _runs_over(last: Placed, placed: Placed) -> bool:
    """Whether a sentence may go on after a float or a page end: the line before it was full."""
    return len(last.text) > 40


def _sentences(open_: _Open, section: str, paragraph: int) -> list[Atom]:
    text = open_.text + (f" {GAP}" if open_.hole else "")
    found = []
    for start, end in spans(text):
        page, page_last = _page_at(open_.pages, start), _page_at(open_.pages, end - 1)
        breaks = [offset - start for offset, _ in open_.pages[1:] if start < offset < end]
        sentence = Atom(text[start:end], page, page_last, section, "", paragraph, breaks)
        sentence.reason = verdict(sentence.text)
        found.append(_mended(sentence) if sentence.reason == "unreadable" else sentence)
    return found


def _mended(sentence: Atom) -> Atom:
    """The same sentence with gaps for unknown signs, where that leaves it readable; else as it was."""
    text = _without_signs(sentence.text)
    if verdict(text) or text.count(GAP) > MOST_GAPS * len(text.split()):
        return sentence
    breaks = [len(_without_signs(sentence.text[:offset])) for offset in sentence.breaks]
    return replace(sentence, text=text, reason="", breaks=breaks)


def _without_signs(text: str) -> str:
    return _LOST_SIGN.sub(GAP, _LOST_MARK.sub("", text))


def _page_at(pages: list[tuple[int, int]], offset: int) -> int:
    return next((page for start, page in reversed(pages) if start <= offset), pages[0][1])


def verdict(sentence: str) -> str:
    """The reason for which a sentence is not fit to be quoted, empty where it is."""
    plain = sentence.replace(GAP, " ").strip()
    if UNREADABLE in plain or "(cid:" in plain:
        return "unreadable"
    tokens = plain.split()
    words = _WORD.findall(plain)
    solid = sum(not char.isspace() for char in plain)
    share = sum(map(len, words)) / max(1, solid)
    if share < 0.3 or (share < 0.5 and (not is_whole(sentence) or len(words) < 2)):
        return "symbols"
    if any(len(token) > 45 and "://" not in token for token in tokens) or _noisy(tokens):
        return "noise"
    if len(words) < 2 or (len(tokens) < FEWEST_WORDS and not is_whole(sentence)):
        return "fragment"
    if GAP in sentence and len(words) < FEWEST_WORDS:
        return "fragment"
    singles = sum(1 for token in tokens if len(token.strip(".,;:()")) <= 1)
    return "symbols" if len(tokens) >= 6 and singles > 0.45 * len(tokens) and share < 0.6 else ""


def _noisy(tokens: list[str]) -> bool:
    """Letters, digits and signs mixed inside words, as a bad scan leaves them."""
    mixed = sum(
        1 for token in tokens if re.search(r"[^\W\d_][~^#$|\\*¢£¥¦§¬°±»«]+[^\W\d_]|[^\W\d_]\d+[^\W\d_]{2,}\d", token)
    )
    return len(tokens) >= 5 and mixed > 0.25 * len(tokens)
