"""Mending of lines: characters, hyphens at line ends, and the keys by which lines are compared."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

UNREADABLE = "\ufffd"
WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
LETTERS = re.compile(r"[^\W\d_]{2,}")
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x200E, 0x200F], None)
_ODD = re.compile(r"[^ -~]")
_HYPHENATED = re.compile(r"([^\W\d_]{2,})[-\u2010]$")
_FOOTNOTE_MARK = re.compile(r"(?<=[.,:;!?”\"])\ufffd(?=\s|$)")
_CHAPTER_WORD = re.compile(r"^(?:chapter|section|appendix|part|kapitel)\b")
_TITLE_NUMBER = re.compile(r"^(?:[a-z]?\d+(?:\.\d+)*[.:)]?|[a-z](?:\.\d+)+\.?|[a-z][.:)]|[ivxlc]{1,6}[.:)])\s+(?=\S)")
_CLOSING_HEADS = frozenset(
    [
        "under",
        "over",
        "out",
        "inter",
        "fore",
        "with",
        "any",
        "some",
        "every",
        "how",
        "there",
        "where",
        "further",
        "never",
        "more",
    ]
)
"""Words that begin longer words far more often than compounds with a hyphen."""

Vocabulary = Counter[str]


def fold(text: str) -> str:
    """Ligatures and width forms to plain letters; exponents and mathematical letters stay; junk becomes U+FFFD."""
    if not (text.isascii() and text.isprintable()):
        text = _ODD.sub(lambda match: _folded(match[0]), text.translate(_INVISIBLE))
        text = _FOOTNOTE_MARK.sub("", unicodedata.normalize("NFC", text))
    return " ".join(text.split())


def _folded(char: str) -> str:
    category = unicodedata.category(char)
    if char in "\t\n\r\f" or category == "Zs":
        return " "
    if category in ("Cc", "Co", "Cn", "Cs"):
        return UNREADABLE
    if (
        unicodedata.decomposition(char).startswith(("<super>", "<sub>", "<fraction>", "<font>"))
        or char in "\u2026\xb4\xa8"
    ):
        return char
    return char if category == "Mn" else unicodedata.normalize("NFKC", char)


def vocabulary(texts: Iterable[str]) -> Vocabulary:
    """How often each word stands in the book unbroken, hyphenated compounds included, in lower case."""
    counts: Vocabulary = Counter()
    for text in texts:
        tokens = re.findall(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*", text.lower().replace("\u2010", "-"))
        if tokens and _HYPHENATED.search(text):
            tokens.pop()
        counts.update(tokens)
    return counts


def joined(left: str, right: str, known: Vocabulary) -> str:
    """Two lines as one text; a hyphen between them is kept or dropped by what the book itself writes.

    Dropped when the closed word is attested at least as often as the hyphenated one; kept when only the compound is;
    unknown pairs close up unless both halves are words of their own.
    """
    if not left or not right:
        return left or right
    match = _HYPHENATED.search(left)
    if not match:
        glue = (
            "" if left.endswith(("/", "_")) and "://" in left[-120:] and " " not in left[left.rfind("://") :] else " "
        )
        return left + glue + right
    head = match[1].lower()
    tail = re.match(r"[^\W\d_]+", right)
    if tail is None or not right[0].islower():
        return left + right
    tail_word = tail[0].lower()
    closed, compound = known[head + tail_word], known[f"{head}-{tail_word}"]
    two_words = (
        head not in _CLOSING_HEADS and known[head] > 1 and known[tail_word] > 1 and len(head) > 2 and len(tail_word) > 2
    )
    drop = closed >= compound if closed or compound else not two_words
    return left[:-1] + right if drop else left + right


def key(text: str) -> str:
    """A line's letters and digits, lower case, with each number masked as #: what repeats in running heads."""
    masked = re.sub(r"\d+", "#", fold(text).lower())
    return " ".join(re.findall(r"[^\W_]+|#|©", masked))


def title_key(text: str) -> str:
    """A heading without its number, spaces and punctuation, for comparison with the outline."""
    plain = _CHAPTER_WORD.sub("", fold(text).lower()).strip()
    return flat(_TITLE_NUMBER.sub("", plain, count=1))


def flat(text: str) -> str:
    """Letters and digits alone, lower case."""
    return "".join(re.findall(r"[^\W_]", fold(text).lower()))
