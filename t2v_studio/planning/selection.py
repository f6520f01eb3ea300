"""Which sentence of the books each step says: the one nearest to the step's own meaning, as one assignment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from t2v_studio.library.passages import Evidence, Quote
from t2v_studio.planning.sentences import aloud, content_stems, garbled, sentences_of, trim
from t2v_studio.planning.subject import Subject
from t2v_studio.planning.templates import Template, TemplateStep

FLOOR = 0.58
"""Lowest fitness at which a sentence is said in place of the step's own text. Set by reading plans over three books."""
LAST_FLOOR = 0.56
"""Floor for the one sentence of a scene that would otherwise cite nothing."""
TOPIC_FLOOR = 0.5
"""Floor for a sentence that is on the topic, in a scene for which nothing nearer was found."""
WORDS_A_STEP = 18
"""Mean length of what a scene quotes, in words: with it four scenes of three steps last about a minute."""
COMMON = 2
"""A word in more steps than these tells nothing about one of them."""
SPREAD = 0.06
"""A sentence serves only steps that it fits nearly as well as the one that it fits best."""
PASSAGES_A_STEP = 8
"""Passages read for a step: more of them only add sentences that are further away."""

_UNNAMED = re.compile(
    r"The (?:algorithm|method|model|approach|technique|procedure|function|solution|problem|system|result|parameters?|values?|"
    r"process|formula|scheme|rule|test|data|idea|only|final|whole|rest)\b"
)
"""Starts that name something which stood in the sentence before."""
_NUMBER = re.compile(
    r"\b(?:zero|one(?=,)|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|forty|fifty|sixty|ninety|hundred|thousand|million|\d[\d.]*)\b",
    re.IGNORECASE,
)
_EXERCISE = re.compile(r"\b(?:Exercises?|Problems?|Projects?|Preface|Contents|Acknowledge\w*)\b")


@dataclass(frozen=True)
class Candidate:
    """A sentence that can be said: trimmed, beside the whole sentence as it stands in the book."""

    text: str
    quote: str
    page: int
    page_last: int
    label: str
    evidence: Evidence

    @property
    def key(self) -> tuple[str, str]:
        return self.evidence.passage.id, self.quote

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(content_stems(self.text))


@dataclass(frozen=True)
class Slot:
    """A step that may say a sentence.

    closeness: cosine of each candidate, by its key, with the step's question. telling: stems of the step that few
    other steps of the lesson hold. known: stems that its scene holds without any book.
    """

    scene: int
    step: TemplateStep
    closeness: dict[tuple[str, str], float]
    telling: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()

    @cached_property
    def shown(self) -> frozenset[str]:
        return frozenset(content_stems(self.step.show))


def telling_stems(template: Template) -> dict[tuple[int, int], frozenset[str]]:
    """Per scene and step, the stems of its text that at most two steps of the lesson hold."""
    held = {
        (n, k): frozenset(content_stems(f"{step.say} {step.show}"))
        for n, scene in enumerate(template.scenes)
        for k, step in enumerate(scene.steps)
    }
    count = Counter(word for words in held.values() for word in words)
    return {place: frozenset(word for word in words if count[word] <= COMMON) for place, words in held.items()}


@dataclass(frozen=True)
class Limits:
    """What one scene may use: passages, and words in all of its quotes."""

    top_k: int
    budget: int


@dataclass
class Pool:
    """Every sentence that may be said, and the passages that answer a question about the lesson as a whole."""

    subject: Subject
    candidates: dict[tuple[str, str], Candidate] = field(default_factory=dict)
    on_topic: set[str] = field(default_factory=set)
    _texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    _read: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, hits: Iterable[Evidence], *, on_topic: bool = False) -> dict[tuple[str, str], float]:
        """Take in the sentences of hits; gives the closeness of each to the question that found them."""
        found: dict[tuple[str, str], float] = {}
        for hit in hits:
            if on_topic:
                self.on_topic.add(hit.passage.id)
            for quote in scored_sentences(hit):
                key = (hit.passage.id, quote.text)
                if key not in self._read:
                    self._read[key] = self._said(quote, hit)
                if key in self.candidates:
                    found[key] = quote.score
        return found

    def _said(self, quote: Quote, hit: Evidence) -> str:
        text = trim(quote.text, symbols=0 if garbled(hit.passage.text) else 2)
        key = (hit.passage.id, quote.text)
        if text and hit.book.lower() not in text.lower() and self._texts.setdefault(text, key) == key:
            self.candidates[key] = Candidate(text, quote.text, quote.page, quote.page, quote.label, hit)
        return text


def scored_sentences(hit: Evidence) -> Sequence[Quote]:
    """The sentences of a hit with their scores; where the library gave none, all of them with the passage's score."""
    if hit.sentences:
        return hit.sentences
    quoted = {quote.text: quote for quote in hit.quotes}
    passage = hit.passage
    found = []
    for sentence in sentences_of(passage.text):
        page = passage.page_at(max(passage.text.find(sentence[:60]), 0))
        label = passage.label if page == passage.page else passage.label_last
        whole = Quote(text=sentence, page=page, label=label, passage_id=passage.id, score=hit.score)
        found.append(quoted.get(sentence, whole))
    return found


def choose(slots: list[Slot], pool: Pool, limits: list[Limits]) -> list[Candidate | None]:
    """For each slot its sentence, or None where nothing fits: the assignment with the highest sum of fitness.

    No sentence, and nothing nearly like it, is said twice; a scene keeps to its limits. A scene that would
    cite nothing gets its best free sentence above LAST_FLOOR, else one that is at least about the topic; so do the
    steps of a free topic, whose own text says little.
    """
    items = [pool.candidates[key] for key in sorted(pool.candidates)]
    gains = [[fitness(slot, item, pool) for item in items] for slot in slots]
    for column, best in enumerate([max(row[m] for row in gains) for m in range(len(items))]):
        for row in gains:
            row[column] *= row[column] >= best - SPREAD
    chosen: list[int | None] = [None] * len(slots)
    if not items:
        return [None] * len(slots)
    banned: set[tuple[int, int]] = set()
    for _ in range(8 * len(slots)):
        chosen = _assignment(gains, banned)
        broken = _broken(chosen, gains, slots, items, limits)
        if not broken:
            break
        banned |= broken
    else:
        chosen = [None if (n, m) in banned else m for n, m in enumerate(chosen)]
    _fill_empty_scenes(chosen, gains, LAST_FLOOR, slots, items, limits)
    loose = [[_on_topic(slot, item, pool) for item in items] for slot in slots]
    _fill_empty_scenes(chosen, loose, TOPIC_FLOOR, slots, items, limits)
    _fill_free_steps(chosen, loose, slots, items, limits)
    _drop_old_news(chosen, slots, items)
    return [None if m is None else items[m] for m in chosen]


def fitness(slot: Slot, item: Candidate, pool: Pool) -> float:
    """How well a sentence serves a step, about 0 to 1; 0 where it speaks of something else.

    A step of a named lesson asks with its own words, and a sentence must share one of them. A step of a free
    topic asks for a kind of answer: a sentence must name the topic or stand under its heading, and hold a mark of that answer.
    """
    close = slot.closeness.get(item.key)
    if close is None:
        return 0.0
    passage = item.evidence.passage
    named, headed = pool.subject.named(item.text), pool.subject.heads(passage.section)
    if slot.step.cues or slot.step.defines:
        marks = sum(_holds(item.text, cue) for cue in slot.step.cues)
        defines = slot.step.defines and pool.subject.defined_by(item.text)
        if not (marks or defines) or (slot.step.defines and not defines) or max(named, headed) < 0.5:
            return 0.0
        score = close + 0.12 * max(named, headed) + 0.03 * min(named, headed)
        score += 0.03 * min(marks, 2) + 0.1 * defines
    else:
        shared, shown = len(item.stems & slot.telling), len(item.stems & slot.shown)
        if not shared and close < 0.7:
            return 0.0
        if passage.id not in pool.on_topic and named < 1 and headed < 0.5:
            return 0.0
        score = close + 0.02 * min(shared, 4) + 0.03 * min(shown, 2) - 0.05 * (not shown)
    return round(score - faults(item), 6)


def _on_topic(slot: Slot, item: Candidate, pool: Pool) -> float:
    """How near a sentence about the topic is to a step, whatever kind of answer it gives; 0 where it is off the topic."""
    close = slot.closeness.get(item.key, 0.0)
    passage = item.evidence.passage
    about = max(pool.subject.named(item.text), pool.subject.heads(passage.section))
    if about < 0.5 or (slot.step.defines and not pool.subject.defined_by(item.text)):
        return 0.0
    if not slot.step.cues and not slot.step.defines and not item.stems & slot.telling:
        return 0.0
    return round(close + 0.05 * about + 0.05 * pool.subject.named(item.text) - faults(item), 6)


def faults(item: Candidate) -> float:
    """What a sentence loses for how it reads: long, set in symbols, or leaning on the one before."""
    text = item.text
    lost = 0.1 * bool(_UNNAMED.match(text))
    lost += 0.03 * bool(re.match(r"We\b|One\b|There\b", text))
    lost += 0.12 * bool(re.search(r"\b[B-HJ-Zα-ω]\b(?!-)|\b[b-z]\b(?!-)", aloud(text))) + 0.04 * bool(
        re.search(r"\d", text)
    )
    lost += 0.3 * (len(_NUMBER.findall(text)) > 1)
    lost += 0.25 * bool(_EXERCISE.search(item.evidence.passage.section))
    return lost + 0.008 * max(0, len(text.split()) - WORDS_A_STEP)


def best_sentences(pool: Pool, closeness: dict[tuple[str, str], float], limits: Limits, count: int) -> list[Candidate]:
    """The `count` sentences nearest to one question that name the topic, within the limits, best first."""
    scored = [
        (round(closeness[key] + 0.12 * pool.subject.named(item.text) - faults(item), 6), item)
        for key, item in pool.candidates.items()
        if key in closeness
        and max(pool.subject.named(item.text), pool.subject.heads(item.evidence.passage.section)) > 0.4
    ]
    chosen: list[Candidate] = []
    for score, item in sorted(scored, key=lambda pair: (-pair[0], pair[1].key)):
        if (
            len(chosen) < count
            and score >= LAST_FLOOR
            and _fits([*chosen, item], limits)
            and not _said_before(item, chosen)
        ):
            chosen.append(item)
    return chosen


def _assignment(gains: list[list[float]], banned: set[tuple[int, int]]) -> list[int | None]:
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    worth = np.maximum(np.array(gains) - FLOOR, -1e-9)
    worth[np.array(gains) < FLOOR] = 0.0
    for n, m in banned:
        worth[n, m] = 0.0
    rows, columns = linear_sum_assignment(worth, maximize=True)
    chosen: list[int | None] = [None] * len(gains)
    for n, m in zip(rows.tolist(), columns.tolist(), strict=True):
        if worth[n, m] > 0:
            chosen[n] = m
    return chosen


def _broken(
    chosen: list[int | None], gains: list[list[float]], slots: list[Slot], items: list[Candidate], limits: list[Limits]
) -> set[tuple[int, int]]:
    """The weakest pairs that repeat another or break a scene's limits, each to be banned."""
    ranked = sorted(
        ((n, m) for n, m in enumerate(chosen) if m is not None), key=lambda pair: (-gains[pair[0]][pair[1]], pair)
    )
    kept: list[tuple[int, int]] = []
    broken: set[tuple[int, int]] = set()
    for n, m in ranked:
        scene = [items[b] for a, b in kept if slots[a].scene == slots[n].scene]
        if _said_before(items[m], [items[b] for _, b in kept]) or not _fits([*scene, items[m]], limits[slots[n].scene]):
            broken.add((n, m))
        else:
            kept.append((n, m))
    return broken


def _fill_empty_scenes(
    chosen: list[int | None],
    gains: list[list[float]],
    floor: float,
    slots: list[Slot],
    items: list[Candidate],
    limits: list[Limits],
) -> None:
    """Give each scene without a sentence its best one that reaches the floor."""
    for scene in sorted({slot.scene for slot in slots}):
        places = [n for n, slot in enumerate(slots) if slot.scene == scene]
        if any(chosen[n] is not None for n in places):
            continue
        said = [items[m] for m in chosen if m is not None]
        pairs = sorted(
            ((gains[n][m], n, m) for n in places for m in range(len(items)) if gains[n][m] >= floor),
            key=lambda pair: (-pair[0], *pair[1:]),
        )
        for _, n, m in pairs:
            if m not in chosen and not _said_before(items[m], said) and _fits([items[m]], limits[scene]):
                chosen[n] = m
                break


def _fill_free_steps(
    chosen: list[int | None],
    gains: list[list[float]],
    slots: list[Slot],
    items: list[Candidate],
    limits: list[Limits],
) -> None:
    """Give the silent steps of a free topic sentences about it, each to the step whose question it answers best."""
    best = [max(column) for column in zip(*gains, strict=True)]
    pairs = sorted(
        (-gains[n][m], n, m)
        for n, slot in enumerate(slots)
        for m in range(len(items))
        if slot.step.cues and gains[n][m] >= max(TOPIC_FLOOR, best[m] - SPREAD)
    )
    for _, n, m in pairs:
        if chosen[n] is not None or m in chosen:
            continue
        said = [items[k] for k in chosen if k is not None]
        scene = [
            items[k] for slot, k in zip(slots, chosen, strict=True) if slot.scene == slots[n].scene and k is not None
        ]
        if not _said_before(items[m], said) and _fits([*scene, items[m]], limits[slots[n].scene]):
            chosen[n] = m


def _drop_old_news(chosen: list[int | None], slots: list[Slot], items: list[Candidate]) -> None:
    """A scene whose sentences hold no word that it would not hold anyway says nothing new, and cites nothing."""
    for scene in {slot.scene for slot in slots}:
        places = [n for n, slot in enumerate(slots) if slot.scene == scene]
        if not any(m is not None and items[m].stems - slots[n].known for n in places if (m := chosen[n]) is not None):
            for n in places:
                chosen[n] = None


def _fits(items: list[Candidate], limits: Limits) -> bool:
    words = sum(len(item.text.split()) for item in items)
    return len({item.evidence.passage.id for item in items}) <= limits.top_k and words <= limits.budget


def _said_before(item: Candidate, said: list[Candidate]) -> bool:
    """Whether the same sentence, or nearly the same words, are said elsewhere."""
    return any(len(item.stems & old.stems) >= 0.6 * max(1, len(item.stems | old.stems)) for old in said)


def _holds(text: str, cue: str) -> bool:
    """Whether a text holds a cue as whole words; a cue that ends in * is the start of a word."""
    pattern = rf"\b{re.escape(cue[:-1])}" if cue.endswith("*") else rf"\b{re.escape(cue)}\b"
    return re.search(pattern, text, re.IGNORECASE) is not None
