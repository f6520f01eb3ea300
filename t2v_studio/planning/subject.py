"""The subject of a lesson as sentences name it: whether a sentence speaks of the topic, and whether it defines it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from t2v_studio.planning.sentences import stem
from t2v_studio.planning.topic import lower_first, phrases
from t2v_studio.planning.vocabulary import FUNCTION_WORDS, GENERIC

_GENERIC = frozenset(map(stem, GENERIC))
_WORD = re.compile(r"\b[A-Za-z]-[a-z]{3,}|[A-Za-zÀ-ɏα-ω*]+(?:['’]s)?")
_IS = r"(?:is|are|was|were|means|refers? to|denotes?|describes?|consists? of|gives?|finds?|estimates?|solves?|represents?)\b"
_NO_DEFINITION = re.compile(
    r"^(?:(?:is|are|was|were)\s+(?:not|also|more|less|much|often|very|only|usually|slower|faster|better|similar|still|therefore|now|"
    r"\w+ed (?:in|by|on|as in|at|above|below)|\w+ing|good|bad|easy|hard|unnatural|widely|popular|stable|unstable|computed|equivalent)\b)"
)


@dataclass(frozen=True)
class Subject:
    """A topic's name, the words that set it apart, and its acronym.

    name: "support vector machine", lower case, without a plural s; words: stems (or acronyms as written) that a
    sentence on the topic holds, generic heads such as "algorithm" left out where others remain.
    """

    name: str
    words: tuple[str, ...]
    acronym: str = ""

    @classmethod
    def of(cls, topic: str) -> Subject:
        label = phrases(topic).label
        tokens = [token for token in _WORD.findall(label) if token.lower() not in FUNCTION_WORDS]
        keys = list(dict.fromkeys(_key(token) for token in tokens if len(token) > 1 or not token.isalpha()))
        telling = [key for key in keys if key not in _GENERIC] or keys
        initials = "".join(token[0] for token in tokens).upper()
        return cls(_singular(lower_first(label)), tuple(telling), initials if 2 <= len(tokens) <= 5 else "")

    @property
    def own_stems(self) -> set[str]:
        """Stems of which its name may consist, generic heads among them."""
        return {*_GENERIC, *(word.lower() for word in self.words), self.acronym.lower()}

    def named(self, text: str) -> float:
        """How fully a text names the subject, 0 to 1; a telling part of its name counts half."""
        flat = " ".join(text.replace("-", " ").split())
        if re.search(rf"\b{re.escape(self.name.replace('-', ' '))}", flat, re.IGNORECASE):
            return 1.0
        if self.acronym and re.search(rf"\b{re.escape(self.acronym)}s?\b", text):
            return 1.0
        if not self.words:
            return 0.0
        held = {_key(token) for token in _WORD.findall(text)}
        share = sum(word in held for word in self.words) / len(self.words)
        return 1.0 if share == 1 else 0.5 * share

    def heads(self, section: str) -> float:
        """How closely a heading of a section path is the subject itself, 0 to 1."""
        best = 0.0
        for heading in section.split(" > "):
            words = {word for word in (_key(token) for token in _WORD.findall(heading)) if len(word) > 1}
            words -= _GENERIC
            telling = {word for word in words if word not in FUNCTION_WORDS}
            best = max(best, len(telling & set(self.words)) / max(1, len(telling | set(self.words))))
        return best

    def defined_by(self, text: str) -> bool:
        """Whether a sentence says what the subject is: its name before a defining verb, or after "called" and its like."""
        names = [re.escape(self.name).replace(r"\-", r"[-\s]").replace(r"\ ", r"[-\s]") + r"(?:s|es)?"]
        names += [rf"(?-i:{re.escape(self.acronym)})s?"] if self.acronym else []
        if len(self.words) == 1:
            names.append(rf"{re.escape(self.words[0])}\w{{0,4}}(?:\s+(?:{'|'.join(sorted(GENERIC))}))?")
        name = rf"(?:{'|'.join(names)})"
        start = re.match(rf"(?:An?\s+|The\s+)?(?:\w+\s+)?{name}(?:\s+\([^)]*\))?,?\s+(?={_IS})", text, re.IGNORECASE)
        if start and not _NO_DEFINITION.match(text[start.end() :]):
            return True
        return bool(
            re.search(
                rf"\b(?:called|known as|named|termed|referred to as)\s+(?:an?\s+|the\s+)?{name}\b", text, re.IGNORECASE
            )
        )


def _key(token: str) -> str:
    """An acronym as written, any other word by its stem."""
    bare = re.sub(r"(?:'s|’s)$", "", token)
    if re.fullmatch(r"[A-Z]{2,5}s?", bare):
        return bare.removesuffix("s")
    return stem(bare)


def _singular(label: str) -> str:
    return label[:-1] if re.search(r"[a-z]{3}[^s]s$", label) and not label.endswith(("us", "is")) else label
