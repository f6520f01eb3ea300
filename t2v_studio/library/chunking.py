"""Sentences packed into passages: whole sentences, one section, between the fewest and the most words."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby

from t2v_studio.errors import InputError
from t2v_studio.library.blocks import label
from t2v_studio.library.cleaning import vocabulary
from t2v_studio.library.duplicates import mark_duplicates
from t2v_studio.library.paragraphs import Atom, atoms
from t2v_studio.library.passages import Passage
from t2v_studio.library.reading import Reading
from t2v_studio.library.running import running_lines
from t2v_studio.library.sections import place

PIPELINE = "passages-3"
"""Changes when the rules of this stage change, so that a re-added book is built again."""
TARGET_SHARE = 0.65
"""A passage that holds this share of the most words is not extended by another paragraph."""


@dataclass(slots=True)
class Group:
    """Atoms that become one passage."""

    atoms: list[Atom] = field(default_factory=list)
    first: int = 0
    reason: str = ""

    @property
    def words(self) -> int:
        return sum(atom.words for atom in self.atoms)


def passages(reading: Reading, book_id: str, *, min_words: int, max_words: int) -> list[Passage]:
    """Every passage of a book, kept and rejected, in reading order.

    Raises InputError where the limits on words cannot be met.
    """
    if not 5 <= min_words < max_words:
        raise InputError(
            "bad_word_limits",
            f"min_words ({min_words}) must be at least 5 and below max_words ({max_words}).",
            "The usual limits are 45 and 220.",
        )
    running = running_lines(reading.pages, reading.outline) if not reading.markdown else {}
    lines, body = place(reading, running)
    known = vocabulary(placed.text for placed in lines)
    label(lines, body, known, len(reading.pages))
    pieces = atoms(lines, body, known)
    groups = pack(pieces, min_words=min_words, max_words=max_words)
    return _as_passages(groups, pieces, reading, book_id)


def pack(pieces: list[Atom], *, min_words: int, max_words: int) -> list[Group]:
    """Groups of atoms in reading order, kept ones within the limits, the rest with their reason."""
    numbered = list(enumerate(pieces))
    groups = [group for group in _rejected(numbered)]
    kept = [(number, atom) for number, atom in numbered if not atom.reason]
    for _, run in groupby(kept, key=lambda pair: pair[1].section):
        groups.extend(_section(list(run), min_words, max_words))
    return sorted(groups, key=lambda group: group.first)


def _rejected(numbered: list[tuple[int, Atom]]) -> list[Group]:
    """Rejected neighbours with one reason, section and page together."""
    groups: list[Group] = []
    for number, atom in numbered:
        if not atom.reason:
            continue
        last = groups[-1] if groups else None
        same = last is not None and last.atoms[-1].page_last == atom.page and last.first + len(last.atoms) == number
        if last is not None and same and last.reason == atom.reason and last.atoms[0].section == atom.section:
            last.atoms.append(atom)
        else:
            groups.append(Group([atom], number, atom.reason))
    return groups


def _section(run: list[tuple[int, Atom]], min_words: int, max_words: int) -> list[Group]:
    """Pack one section: paragraphs while there is room, long ones cut at sentences, short rests merged."""
    overlong = [Group([atom], number, "overlong") for number, atom in run if atom.words > max_words]
    run = [(number, atom) for number, atom in run if atom.words <= max_words]
    groups: list[Group] = []
    for _, paragraph in groupby(run, key=lambda pair: pair[1].paragraph):
        sentences = list(paragraph)
        words = sum(atom.words for _, atom in sentences)
        last = groups[-1] if groups else None
        if last and last.words + words <= max_words and (last.words < TARGET_SHARE * max_words or words < min_words):
            last.atoms.extend(atom for _, atom in sentences)
        else:
            groups.extend(_cut(sentences, words, max_words))
    groups = _merge_short(groups, min_words, max_words)
    for group in groups:
        if group.words < min_words:
            group.reason = "too_short"
    return groups + overlong


def _cut(sentences: list[tuple[int, Atom]], words: int, max_words: int) -> list[Group]:
    """A paragraph in as few parts of about equal length as the limit allows."""
    parts = -(-words // max_words)
    share = words / parts
    groups = [Group([], sentences[0][0])]
    done = 0
    for number, atom in sentences:
        full = groups[-1].words + atom.words > max_words
        due = len(groups) < parts and done + atom.words / 2 > share * len(groups)
        if groups[-1].atoms and (full or due):
            groups.append(Group([], number))
        groups[-1].atoms.append(atom)
        done += atom.words
    return groups


def _merge_short(groups: list[Group], min_words: int, max_words: int) -> list[Group]:
    """Give short groups to a neighbour, or share out the sentences of both."""
    merged: list[Group] = []
    for group in groups:
        last = merged[-1] if merged else None
        if last is None or (last.words >= min_words and group.words >= min_words):
            merged.append(group)
        elif last.words + group.words <= max_words:
            last.atoms.extend(group.atoms)
        else:
            merged[-1:] = _share_out(last, group, min_words, max_words)
    return merged


def _share_out(first: Group, second: Group, min_words: int, max_words: int) -> list[Group]:
    """The two groups cut anew at the sentence nearest to their middle."""
    together = first.atoms + second.atoms
    half = (first.words + second.words) / 2
    best, nearest = len(first.atoms), float("inf")
    done = 0
    for position, atom in enumerate(together[:-1], 1):
        done += atom.words
        rest = first.words + second.words - done
        if abs(done - half) < nearest and max(done, rest) <= max_words:
            best, nearest = position, abs(done - half)
    # sentences between the two may have been rejected, so the second part's place is only known by counting
    return [
        Group(together[:best], first.first),
        Group(together[best:], second.first if best >= len(first.atoms) else -1),
    ]


def _as_passages(groups: list[Group], pieces: list[Atom], reading: Reading, book_id: str) -> list[Passage]:
    offsets, position, total = {}, {}, 0
    for number, atom in enumerate(pieces):
        offsets[id(atom)], position[id(atom)] = total, number
        total += atom.words
    groups = sorted((group for group in groups if group.atoms), key=lambda group: position[id(group.atoms[0])])
    labels = {page.number: page.label for page in reading.pages}
    repeats: Counter[str] = Counter()
    found = []
    for ordinal, group in enumerate(groups):
        text, breaks = _text(group)
        first = group.atoms[0]
        identity = f"{book_id}|{first.section}|{normalised(text)}"
        repeat, repeats[identity] = repeats[identity], repeats[identity] + 1
        page, page_last = min(a.page for a in group.atoms), max(a.page_last for a in group.atoms)
        found.append(
            Passage(
                id=hashlib.sha256(f"{identity}|{repeat}".encode()).hexdigest()[:24],
                book_id=book_id,
                ordinal=ordinal,
                page=page,
                page_last=page_last,
                label=labels[page],
                label_last=labels[page_last],
                section=first.section,
                text=text,
                words=group.words,
                start_word=offsets[id(first)],
                kind="prose" if not group.reason else group.reason,
                state="rejected" if group.reason else "kept",
                reason=group.reason,
                content_hash=hashlib.sha256(normalised(text).encode()).hexdigest(),
                breaks=breaks if not group.reason else [],
            )
        )
    return mark_duplicates(found)


def _text(group: Group) -> tuple[str, list[int]]:
    """The atoms' text, a line end between paragraphs, and the offsets at which later pages begin."""
    text, breaks = "", []
    last: Atom | None = None
    for atom in group.atoms:
        if last is not None:
            text += " " if last.paragraph == atom.paragraph and atom.paragraph >= 0 else "\n"
            if atom.page > last.page_last:
                breaks.extend([len(text)] * (atom.page - last.page_last))
        breaks.extend(len(text) + offset for offset in atom.breaks)
        text += atom.text
        last = atom
    return text, breaks


def normalised(text: str) -> str:
    """Words in lower case with single blanks: what makes two passages the same."""
    return re.sub(r"\W+", " ", text.lower()).strip()
