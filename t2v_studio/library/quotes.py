"""Which sentences of a passage can be quoted, and how well each answers a query."""

from __future__ import annotations

import re

_WORD = re.compile(r"^[\"“‘(\[]*[A-Za-z][A-Za-z’'\-–/]*[\"”’)\].,;:?!]*$")
_CAPTION = re.compile(
    r"^\W*(?:Fig(?:ure|\.)?|Tab(?:le|\.)?|Listing|Algorithm|Program|Example|Exercise|Problem|Theorem|Lemma|Corollary|Proposition"
    r"|Proof|Definition|Chapter|Section|Source|Remark|Hint)\s*[\dA-Z(]*[\d.:)]",
    re.IGNORECASE,
)
_GLUED = re.compile(r"[A-Za-z][,;:][A-Za-z]{2}")
"""A blank was lost: "K,where"."""
_HEADING_START = re.compile(r"^\d+(?:\.\d+)+\s")
_POINTER = re.compile(
    r"\b(?:(?:see|in|from|by|of|to|and) (?:also )?(?:the )?(?:next|previous|following|figures?|tables?|sections?|chapters?|exercises?|"
    r"equations?|appendix|eqs?\.|figs?\.)|as follows|see,? e\.g\.|shown below|given below|we (?:will|shall|now)|let us|TODO|\(\d+\.\d+\))",
    re.IGNORECASE,
)
_DEPENDENT = re.compile(
    r"^(?:This|These|That|Those|It|They|He|She|Such|Here|However|Hence|Thus|Therefore|Also|But|And|So|Or|Then|Otherwise|"
    r"Furthermore|Moreover|Similarly|In other words|For example|In this case|Again)\b"
)
_EXPLAINS = re.compile(
    r"\b(?:is|are) (?:an?|the|called|known|defined|said|used|based)\b|\bmeans?\b|\brefers? to\b|\bconsists? of\b|\bdenotes?\b"
    r"|\bbecause\b|\bso that\b|\bin order to\b|\ballows?\b|\bwhich is\b|\bthe (?:idea|goal|aim|purpose|reason)\b",
    re.IGNORECASE,
)

_EXERCISES = re.compile(
    r"\bexercises\W*$|\bexercises and problems\b|^(?:[\d.]+\s+)?(?:problems|review questions|homework)\W*$|^(?:\S+ )?(?:exercise|problem) \d",
    re.IGNORECASE,
)
FEWEST_WORDS = 8
MOST_WORDS = 40
WORD_SHARE = 0.8
"""A sentence is prose where at least this share of its tokens are plain words."""
LETTER_SHARE = 0.85
"""And this share of its characters letters or blanks: the rest is punctuation, digits and signs."""


def is_quotable(sentence: str) -> bool:
    """Whether a sentence stands on its own as prose: no fragment, caption, heading or half formula."""
    tokens = sentence.split()
    if not FEWEST_WORDS <= len(tokens) <= MOST_WORDS:
        return False
    if not re.match(r"^[\"“‘]?[A-Z]", sentence) or not re.search(r"[.?!][\"”’)]*$", sentence):
        return False
    if _CAPTION.match(sentence) or _HEADING_START.match(sentence) or _GLUED.search(sentence) or not _balanced(sentence):
        return False
    if any(
        ord(letter) < 32 or letter in "\ufffd\uffff\ufffe…" or 0xE000 <= ord(letter) <= 0xF8FF for letter in sentence
    ):
        return False
    if sum(letter.isalpha() or letter == " " for letter in sentence) < LETTER_SHARE * len(sentence):
        return False
    words = [token for token in tokens if _WORD.match(token)]
    long_enough = sum(1 for word in words if len(word.strip('"“‘(.,;:?!)”’')) > 1 or word in ("a", "A", "I"))
    if long_enough / len(tokens) < WORD_SHARE:
        return False
    capitals = sum(1 for word in words[1:] if word[0].isupper())
    return capitals <= 0.5 * len(words)


def is_exercise(section: str) -> bool:
    """Whether a section path ends in exercises: they ask, and what they state is not always so."""
    return any(_EXERCISES.search(title) for title in section.split(" > "))


def quality(sentence: str) -> float:
    """What is added to a sentence's cosine: up for explaining, down for pointing elsewhere or leaning on what came before.

    The amounts are small beside the spread of cosines (about 0.3 within a passage), so relevance decides first.
    """
    value = 0.0
    if _EXPLAINS.search(sentence):
        value += 0.04
    if _POINTER.search(sentence):
        value -= 0.10
    if _DEPENDENT.match(sentence):
        value -= 0.05
    if sentence.rstrip('"”’)').endswith("?"):
        value -= 0.10
    return value


def _balanced(sentence: str) -> bool:
    pairs = (("(", ")"), ("[", "]"), ("“", "”"))
    return all(sentence.count(left) == sentence.count(right) for left, right in pairs) and sentence.count('"') % 2 == 0
