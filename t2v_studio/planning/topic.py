"""A topic as a person types it, turned into phrases that fit into sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from t2v_studio.planning.vocabulary import JOINING, NEEDS_A, NEEDS_THE, PROPER

Layout = Literal["flow", "cycle", "timeline", "map"]

_A_STAR = re.compile(r"\ba-star\b|\bastar\b")
_WORD = re.compile(r"[a-z0-9]+(?:['’][a-z]+)?\*?")

_REQUEST = re.compile(
    r"^(?:please\s+|kindly\s+|(?:can|could|would)\s+you\s+(?:please\s+)?|i\s+(?:want|need|would\s+like)\s+to\s+(?:know|understand|learn)\s+(?:about\s+)?|let'?s\s+)?"
    r"(?:(?:explain|describe|show|visuali[sz]e|animate|illustrate|demonstrate|teach|introduce|discuss|derive|summari[sz]e|define|tell|give|present|learn|understand|compare|make\s+a\s+video|create\s+a\s+video|a\s+video)\s+)+"
    r"(?:to\s+)?(?:(?:me|us|students|beginners)\s+)?(?:(?:about|on|an?\s+explanation\s+of|an?\s+overview\s+of|how\s+to\s+use)\s+)?"
    r"|^(?:a\s+|an\s+|the\s+)?(?:short\s+|brief\s+|gentle\s+)?(?:introduction\s+to|intro\s+to|overview\s+of|basics\s+of|fundamentals\s+of|explanation\s+of|tutorial\s+on|lecture\s+on|primer\s+on)\s+",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"[\s,;:(–—-]*\b(?:step[\s-]by[\s-]step|in\s+(?:simple|plain|easy)\s+(?:terms|words|language)|from\s+scratch|for\s+(?:beginners|dummies|students|everyone)"
    r"|in\s+(?:detail|short|brief|a\s+nutshell)|please|visually|intuitively|simply|with\s+(?:an\s+example|examples)|explained)[\s.!?)]*$",
    re.IGNORECASE,
)
_WHAT = re.compile(r"^what(?:\s+(?:is|are|was|were)|'s|’s)\s+(?:meant\s+by\s+)?", re.IGNORECASE)
_HOW = re.compile(
    r"^how\s+(?:does|do|did|can|is|are)\s+(.+?)\s+(?:works?|function|operate|happen|computed|calculated|trained|used|learn)$",
    re.IGNORECASE,
)
_HOW_STATED = re.compile(
    r"^how\s+(?!to\b|does\b|do\b|many\b|much\b)(.+?)\s+(?:works?|functions?|operates?|happens?)$", re.IGNORECASE
)
_DO = re.compile(r"^what\s+(?:does|do)\s+(.+?)\s+(?:do|mean)$", re.IGNORECASE)
_CLAUSE = re.compile(r"^(?:how|why|when|where|whether|who|which|what|is|are|does|do|can|should)\b", re.IGNORECASE)
_AUXILIARY = re.compile(r"^(how|why|when|where)\s+(is|are|was|were|does|do|did|can|should)\s+", re.IGNORECASE)

_LAYOUTS: tuple[tuple[Layout, str], ...] = (
    ("timeline", r"history|timeline|evolution|chronology"),
    ("cycle", r"cycles?|loops?|circulation|lifecycle|feedback"),
    ("map", r"versus|vs|compared?|comparison|differences?|types|kinds|taxonomy|overview|landscape|anatomy"),
)


@dataclass(frozen=True)
class Phrases:
    """A topic for sentences.

    noun: "a hash table", for the middle of a sentence; label: "hash table", for titles and queries.
    """

    noun: str
    label: str

    @property
    def noun_first(self) -> str:
        return capital(self.noun)

    @property
    def label_first(self) -> str:
        return capital(self.label)


def words_of(text: str) -> list[str]:
    """Lower-case words for whole-word matching; hyphens part words, "A*" stays one word."""
    found = _WORD.findall(_A_STAR.sub("a*", text.lower()).replace("’", "'"))
    return [word for word in found if word not in JOINING] if len(found) > 1 else found


def find_phrase(words: list[str], phrase: list[str]) -> int:
    """Where `phrase` stands in `words` as whole words, or -1. A plural s on the last word is no difference."""
    if not phrase:
        return -1
    for start in range(len(words) - len(phrase) + 1):
        window = words[start : start + len(phrase)]
        if window[:-1] == phrase[:-1] and _same_word(window[-1], phrase[-1]):
            return start
    return -1


def phrases(topic: str) -> Phrases:
    """The topic as a noun phrase: requests, questions and "step by step" taken off.

    "explain support vector machines, step by step" gives "support vector machines"; "what is a hash
    table?" gives "a hash table"; a question with a verb of its own becomes "the question of why …".
    """
    text = " ".join(topic.split()).strip(" .!?\"“”'")
    text = _without_tail(text)
    asked_to_compare = bool(re.match(r"^(?:please\s+)?compare\b", text, re.IGNORECASE))
    shorter = _REQUEST.sub("", text, count=1).strip(" .!?,:;")
    text = shorter or text
    text = _without_question(text)
    if asked_to_compare:
        text = re.sub(r"\s+(?:with|to|against)\s+", " and ", text, count=1)
    if _CLAUSE.match(text):
        clause = lower_first(text)
        return Phrases(f"the question “{clause}”" if _AUXILIARY.match(text) else f"the question of {clause}", clause)
    text = _decapitalised(text)
    return Phrases(
        _with_article(text), re.sub(r"^(?:an?|the)\s+(?=\S)", "", text) if not text.startswith("a*") else text
    )


def layout_of(topic: str) -> Layout | None:
    """The layout of a process diagram that the topic's words ask for, if they do."""
    for layout, marks in _LAYOUTS:
        if re.search(rf"\b(?:{marks})\b", topic, re.IGNORECASE):
            return layout
    return None


def capital(text: str) -> str:
    """The same text with an upper-case first letter."""
    return text[:1].upper() + text[1:]


def lower_first(text: str) -> str:
    """The same text for the middle of a sentence: a plain capitalised first word is lowered, names and acronyms stay."""
    first, space, rest = text.partition(" ")
    return first.lower() + space + rest if _is_plain(first) else text


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words with an ellipsis."""
    if len(text) <= limit:
        return text
    return text[: limit - 1].rsplit(" ", 1)[0].rstrip(" ,;:-") + "…"


def _without_tail(text: str) -> str:
    shorter = _TAIL.sub("", text).strip(" .!?,:;")
    return _without_tail(shorter) if shorter and shorter != text else text


def _without_question(text: str) -> str:
    for pattern in (_HOW, _HOW_STATED, _DO):
        match = pattern.match(text)
        if match:
            return match.group(1)
    return _WHAT.sub("", text).strip() or text


def _decapitalised(text: str) -> str:
    words = text.split(" ")
    titled = len(words) > 1 and all(word[:1].isupper() for word in words if len(word) > 3)
    return " ".join(word.lower() if _is_plain(word) and (titled or n == 0) else word for n, word in enumerate(words))


def _is_plain(word: str) -> bool:
    """Whether a word is capitalised only for its place: no name, no acronym, no single letter."""
    bare = word.strip(",.;:()\"'")
    stem = bare.lower().removesuffix("'s").removesuffix("’s").rstrip("'’")
    letters = stem.replace("-", "")
    if bare == "A":
        return True
    parts = stem.split("-")
    return (
        len(bare) > 1
        and letters.isalpha()
        and bare[:1].isupper()
        and bare[1:] == bare[1:].lower()
        and not any(part in PROPER or part.removesuffix("s") in PROPER or part.endswith("ian") for part in parts)
    )


def _with_article(text: str) -> str:
    words = text.split()
    joined = "|and" if words and words[-1].lower() not in NEEDS_THE else ""
    head_words = re.split(
        rf"\s+(?:of|in|for|on|with|from|by|as{joined}|or|vs|versus|to|under|between)\s+", text, maxsplit=1
    )[0].split()
    if (
        not words
        or words[0].lower() in {"a", "an", "the", "this", "these", "its"}
        or "," in text
        or len(head_words) != len(words)
    ):
        return text
    head = head_words[-1].lower()
    if re.search(r"(?:'s|’s|s'|s’)$", words[0]):
        return text
    if head in NEEDS_THE:
        return f"the {text}"
    if head in NEEDS_A:
        return f"{_article(words[0])} {text}"
    return text


def _article(word: str) -> str:
    if word.isupper() and len(word) > 1:
        return "an" if word[0] in "AEFHILMNORSX" else "a"
    if re.match(r"(?:uni|use|eu|one)", word.lower()):
        return "a"
    return "an" if word[:1].lower() in "aeiou" else "a"


def _same_word(left: str, right: str) -> bool:
    return left == right or left == right + "s" or left + "s" == right
