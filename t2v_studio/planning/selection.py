"""Which sentence of the evidence each step says: scored, never twice, within the word budget."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from t2v_studio.library.passages import Evidence
from t2v_studio.planning.sentences import content_stems, garbled, sentences_of, stem, trim
from t2v_studio.planning.templates import TemplateStep
from t2v_studio.planning.vocabulary import ASKING

MIN_FITNESS = 0.42
"""Lowest fitness at which a sentence is said. A first setting, kept after reading plans over three books; not swept."""

FILLER = 0.08
"""What a sentence loses in a scene that did not ask for its passage itself."""

_UNNAMED = re.compile(
    r"The (?:algorithm|method|model|approach|technique|procedure|function|solution|problem|system|result|parameters?|values?|"
    r"process|formula|scheme|rule|test|data|idea|only|final|whole|rest)\b"
)
"""Starts that name something which stood in the sentence before."""


@dataclass(frozen=True)
class Candidate:
    """A sentence that can be said: trimmed, beside the whole sentence as it stands in the book."""

    text: str
    quote: str
    page: int
    page_last: int
    label: str
    place: int
    evidence: Evidence
    closeness: float
    """Cosine similarity of the passage, raised where the library itself picked the sentence."""

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(content_stems(self.text))


@dataclass
class Used:
    """What has been said, so that nothing is said again."""

    stems: list[frozenset[str]] = field(default_factory=list)

    def repeats(self, candidate: Candidate) -> bool:
        """Whether the same sentence, or nearly the same words, were said before."""
        return any(_jaccard(candidate.stems, old) >= 0.6 for old in self.stems)

    def add(self, candidate: Candidate) -> None:
        self.stems.append(candidate.stems)


@dataclass(frozen=True)
class Wanted:
    """What a scene is about, as stems: the topic itself, and its own query without asking words."""

    topic: frozenset[str]
    query: frozenset[str]

    @classmethod
    def of(cls, topic: str, query: str) -> Wanted:
        topic_stems = frozenset(content_stems(topic))
        return cls(topic_stems | _acronyms(topic), frozenset(content_stems(query)) - frozenset(map(stem, ASKING)))


@dataclass(frozen=True)
class Need:
    """A scene that wants sentences: its steps, and a pool whose first `own` answer its own query."""

    steps: list[TemplateStep]
    pool: list[Candidate]
    own: int
    wanted: Wanted


def candidates(hits: Iterable[Evidence]) -> list[Candidate]:
    """Every sentence of the hits that can be said: the library's own choice first, then the rest of each passage."""
    found: dict[str, Candidate] = {}
    for hit in hits:
        sentences = sentences_of(hit.passage.text)
        symbols = 0 if garbled(hit.passage.text) else 2
        for quote in hit.quotes:
            text = trim(quote.text, symbols=symbols)
            if text:
                close = max(hit.score, quote.score if quote.score <= 1 else 0.0) + 0.05
                found.setdefault(
                    text,
                    Candidate(
                        text, quote.text, quote.page, quote.page, quote.label, _place(quote.text, sentences), hit, close
                    ),
                )
        for place, sentence in enumerate(sentences):
            text = trim(sentence, symbols=symbols)
            if text:
                page, label = _page_of(sentence, hit)
                found.setdefault(text, Candidate(text, sentence, page, page, label, place, hit, hit.score))
    return list(found.values())


def choose(needs: list[Need], *, top_k: int, budget: int) -> list[list[Candidate | None]]:
    """For each scene one sentence a step, or None where nothing fits.

    Scenes take turns, so that a scarce book speaks in as many scenes as it can. In each turn the best of all
    pairs of step and sentence is taken first: a sentence goes where it serves best, and once. A scene uses at most `top_k` passages and `budget` words; its sentences
    from one passage keep the book's order.
    """
    pairs = [
        (round(fitness(candidate, step, need.wanted) - (m >= need.own) * FILLER, 6), scene, n, m)
        for scene, need in enumerate(needs)
        for n, step in enumerate(need.steps)
        for m, candidate in enumerate(need.pool)
    ]
    pairs.sort(key=lambda pair: (-pair[0], *pair[1:]))
    chosen: list[list[Candidate | None]] = [[None] * len(need.steps) for need in needs]
    used = Used()
    for limit in range(1, max(len(need.steps) for need in needs) + 1):
        for score, scene, n, m in pairs:
            candidate = needs[scene].pool[m]
            held = [one for one in chosen[scene] if one is not None]
            if score < MIN_FITNESS or chosen[scene][n] is not None or len(held) >= limit or used.repeats(candidate):
                continue
            passages = {one.evidence.passage.id for one in held} | {candidate.evidence.passage.id}
            words = sum(len(one.text.split()) for one in [*held, candidate])
            if len(passages) <= top_k and words <= budget:
                chosen[scene][n] = candidate
                used.add(candidate)
    return [_in_book_order(one) for one in chosen]


def best_sentences(pool: list[Candidate], wanted: Wanted, *, count: int, top_k: int, budget: int) -> list[Candidate]:
    """The `count` best sentences of at most `top_k` passages within `budget` words, in the order of the books."""
    used = Used()
    chosen: list[Candidate] = []
    ranked = sorted(enumerate(pool), key=lambda pair: (-round(fitness(pair[1], None, wanted), 6), pair[0]))
    for _, candidate in ranked:
        passages = {one.evidence.passage.id for one in chosen} | {candidate.evidence.passage.id}
        words = sum(len(one.text.split()) for one in [*chosen, candidate])
        if (
            len(chosen) < count
            and len(passages) <= top_k
            and words <= budget
            and fitness(candidate, None, wanted) >= MIN_FITNESS
        ):
            if used.repeats(candidate):
                continue
            chosen.append(candidate)
            used.add(candidate)
    return sorted(chosen, key=lambda one: (one.evidence.passage.book_id, one.evidence.passage.ordinal, one.place))


def fitness(candidate: Candidate, step: TemplateStep | None, wanted: Wanted) -> float:
    """How well a sentence serves a step, about 0 to 1.3: closeness, words of topic, query and step, and cues."""
    stems = candidate.stems
    on_topic = len(stems & wanted.topic)
    on_query = len(stems & wanted.query)
    in_section = len(frozenset(content_stems(candidate.evidence.passage.section)) & wanted.topic)
    if not on_topic and not on_query and not in_section and candidate.closeness < 0.5:
        return 0.0
    named = max(1, min(3, len(wanted.topic)))
    score = 0.6 * candidate.closeness
    score += 0.25 * min(1.0, on_topic / named)
    score += 0.15 * min(1.0, in_section / named)
    score += 0.2 * min(1.0, on_query / 3)
    if step is not None:
        score += min(0.2, 0.05 * len(stems & frozenset(content_stems(f"{step.say} {step.show}"))))
        score += min(0.24, sum((0.16 if " " in cue else 0.08) * _holds(candidate.text, cue) for cue in step.cues))
    score -= 0.06 * bool(re.match(r"We\b|One\b|There\b", candidate.text))
    score -= 0.2 * bool(re.search(r"\b(?:Exercises?|Problems?|Projects?)\b", candidate.evidence.passage.section))
    score -= 0.12 * bool(_UNNAMED.match(candidate.text))
    score -= 0.12 * bool(re.search(r"\b[B-HJ-Zα-ω]\b(?!-)|\b[b-z]\b(?!-)", candidate.text))
    return score - 0.01 * max(0, len(candidate.text.split()) - 20)


def _page_of(sentence: str, hit: Evidence) -> tuple[int, str]:
    """PDF page and printed label of a sentence of a passage."""
    passage = hit.passage
    at = passage.text.find(sentence[:60])
    page = passage.page_at(max(at, 0))
    return page, passage.label if page == passage.page else passage.label_last if page == passage.page_last else str(
        page
    )


def _place(quote: str, sentences: list[str]) -> int:
    return next((n for n, sentence in enumerate(sentences) if sentence == quote or quote in sentence), len(sentences))


def _in_book_order(chosen: list[Candidate | None]) -> list[Candidate | None]:
    by_passage: dict[str, list[int]] = {}
    for n, candidate in enumerate(chosen):
        if candidate is not None:
            by_passage.setdefault(candidate.evidence.passage.id, []).append(n)
    ordered = list(chosen)
    for places in by_passage.values():
        held = sorted((chosen[n] for n in places), key=lambda candidate: candidate.place if candidate else 0)
        for n, candidate in zip(places, held, strict=True):
            ordered[n] = candidate
    return ordered


def _acronyms(topic: str) -> frozenset[str]:
    words = [
        word
        for word in re.findall(r"[A-Za-z]+", topic)
        if word.lower() not in {"of", "the", "a", "an", "and", "in", "for"}
    ]
    return frozenset({stem("".join(word[0] for word in words))} if 2 <= len(words) <= 5 else ())


def _holds(text: str, cue: str) -> bool:
    return re.search(rf"\b{re.escape(cue)}\b", text, re.IGNORECASE) is not None


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / max(1, len(left | right))
