"""The rule-based planner: a topic and what the books say about it become a scene plan.

With retrieval the scenes, titles, diagrams, formulas and numbers of steps are those of the plan without
it; only texts, prompts and sources differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from t2v_studio.errors import StudioError
from t2v_studio.library.passages import Evidence, Outcome, SearchResult
from t2v_studio.planning.grounding import report
from t2v_studio.planning.lesson import LessonRequest, bare_plan, fill
from t2v_studio.planning.llm_planner import Draft, draft_with_model
from t2v_studio.planning.plan import Retrieval, Scene, ScenePlan, Source, Step
from t2v_studio.planning.prompts import write_prompts
from t2v_studio.planning.selection import (
    PASSAGES_A_STEP,
    WORDS_A_STEP,
    Candidate,
    Limits,
    Pool,
    Slot,
    best_sentences,
    choose,
    fitness,
    telling_stems,
)
from t2v_studio.planning.sentences import content_stems, run_in, section_label, term
from t2v_studio.planning.subject import Subject
from t2v_studio.planning.templates import Template, TemplateScene, TemplateStep, load_templates
from t2v_studio.settings import Settings

Search = Callable[[str, int], SearchResult]
"""Query and number of passages to hits, best first."""

_KEEPS = "it keeps the template's own text, without a citation"
_WHY = {
    Outcome.weak: "the passages found hold no sentence that can be said on its own",
    Outcome.nothing_relevant: "nothing in the library is close enough to the query",
    Outcome.no_book: "there is no book in the library",
    Outcome.index_missing: "the search index is missing; rebuild it by adding the book again",
}


@dataclass
class Planned:
    """A plan, the evidence it uses (scene id to passages), its grounding report, and notices in words."""

    plan: ScenePlan
    evidence: dict[str, list[Evidence]] = field(default_factory=dict)
    grounding: dict | None = None
    notices: list[str] = field(default_factory=list)
    drafted: Draft | None = None
    """What a language model wrote, for the other arm of a pair."""


@dataclass
class _Sources:
    """The sources of a plan as they are cited: one a passage and page."""

    held: dict[tuple[str, int], Source] = field(default_factory=dict)

    def cite(self, candidate: Candidate) -> str:
        passage = candidate.evidence.passage
        key = (passage.id, candidate.page)
        old = self.held.get(key)
        if old is None:
            self.held[key] = Source(
                id=f"s{len(self.held) + 1}",
                book_id=passage.book_id,
                book=candidate.evidence.book,
                page=candidate.page,
                page_last=max(candidate.page, candidate.page_last),
                label=candidate.label,
                section=passage.section,
                passage_id=passage.id,
                quote=candidate.quote,
                score=round(candidate.evidence.score, 4),
            )
        elif candidate.quote not in old.quote:
            self.held[key] = old.model_copy(
                update={"quote": f"{old.quote} {candidate.quote}", "page_last": max(old.page_last, candidate.page_last)}
            )
        return self.held[key].id


def plan_topic(
    lesson: LessonRequest, settings: Settings, search: Search | None, drafted: Draft | None = None
) -> Planned:
    """The plan of a topic; with `use_rag` also its evidence and the grounding against the plan without.

    drafted: the lesson that a language model has written; by default it is asked here where the lesson wants one.

    Raises unknown_name for an unknown template, and StudioError no_search where retrieval is asked for
    without a library. A search that finds nothing is a notice, not an error.
    """
    template = fill(lesson, load_templates())
    if drafted is None and lesson.use_llm_planner:
        drafted = draft_with_model(lesson, template, settings)
    template = drafted.template if drafted else template
    pictures = {scene.id: scene.prompt for scene in template.scenes}
    bare = bare_plan(lesson, template).model_copy(update={"planner": drafted.note if drafted else None})
    said = list(drafted.notices) if drafted else []
    control = write_prompts(bare, template, pictures, [], few_shot=lesson.course_few_shot)
    if not lesson.use_rag:
        return Planned(control, notices=said, drafted=drafted)
    if search is None:
        raise StudioError(
            "no_search", "use_rag: there is no library to search.", "Add a book first, or plan without retrieval."
        )
    treat = _overlay if lesson.rag_mode == "overlay" else _semantic
    plan, evidence, notices, block = treat(lesson, template, bare, settings, search)
    plan = write_prompts(plan, template, pictures, block, few_shot=lesson.course_few_shot)
    plan = ScenePlan.model_validate(plan.model_dump())
    return Planned(plan, evidence, report(plan, control, evidence), [*said, *notices], drafted)


_Treated = tuple[ScenePlan, dict[str, list[Evidence]], list[str], list[str]]


def _semantic(
    lesson: LessonRequest, template: Template, bare: ScenePlan, settings: Settings, search: Search
) -> _Treated:
    """Each step asks the library with its own meaning, and says the sentence that comes nearest to it.

    The lesson's and the scenes' queries say which passages are on the topic. With `rag_query` only passages
    that this query finds are quoted.
    """
    pool = Pool(Subject.of(lesson.topic))
    top_k = lesson.rag_top_k or settings.rag_top_k
    ask = _memo(search, max(PASSAGES_A_STEP, top_k))
    whole = ask(lesson.rag_query or template.query)
    pool.add(whole.hits, on_topic=True)
    results = [ask(scene.query) for scene in bare.scenes]
    slots, limits, telling = [], [], telling_stems(template)
    for n, (result, model) in enumerate(zip(results, template.scenes, strict=True)):
        near = pool.add(result.hits, on_topic=True)
        limits.append(Limits(top_k, min(settings.rag_max_context_words, (WORDS_A_STEP + 2) * len(model.steps))))
        known = frozenset(content_stems(_scene_text(model)))
        for k, step in enumerate(model.steps):
            answered = ask(step.query or step.say) if result.hits or whole.hits else result
            close = {**_weaker(near), **pool.add(answered.hits)}
            if lesson.rag_query:
                close = {key: value for key, value in close.items() if key[0] in pool.on_topic}
            slots.append(Slot(n, step, close, telling[n, k], known))
    chosen = choose(slots, pool, limits)
    hits = {item.evidence.passage.id: item.evidence for item in pool.candidates.values()}
    sources, taken = _Sources(), set[str]()
    scenes: list[Scene] = []
    evidence: dict[str, list[Evidence]] = {}
    outcomes: dict[str, Outcome] = {}
    for n, (scene, result) in enumerate(zip(bare.scenes, results, strict=True)):
        mine = [(_told(slot, item, pool), item) for slot, item in zip(slots, chosen, strict=True) if slot.scene == n]
        picked = [item for _, item in mine]
        outcomes[scene.id] = _outcome(result, picked)
        if any(picked):
            evidence[scene.id] = _used_hits(list(hits.values()), picked)
        steps = [_said(step, item, pool.subject, taken, sources) for step, item in mine]
        scenes.append(scene.model_copy(update={"steps": steps}))
    plan = _with_retrieval(lesson, bare, scenes, sources, outcomes, evidence)
    return plan, evidence, _notices(plan, outcomes, {scene.id: len(scene.steps) for scene in scenes}), []


_QUOTED = {"heading": "From the book", "defines": False}
"""Overlay's sentences were not chosen for a step, so its label would not fit them."""


def _overlay(
    lesson: LessonRequest, template: Template, bare: ScenePlan, settings: Settings, search: Search
) -> _Treated:
    """One query for the whole lesson. Its context stands as a block in every prompt, and the last step of
    each scene says the sentence of it that shares most words with the scene."""
    query = lesson.rag_query or template.query
    top_k = lesson.rag_top_k or settings.rag_top_k
    result = search(query, max(PASSAGES_A_STEP, 2 * top_k + 2))
    pool = Pool(Subject.of(lesson.topic))
    near = pool.add(result.hits, on_topic=True)
    block = best_sentences(pool, near, Limits(top_k, settings.rag_max_context_words), len(bare.scenes))
    outcome = _outcome(result, [*block])
    outcomes = {scene.id: outcome for scene in bare.scenes}
    sources, taken = _Sources(), set[str]()
    placed = _placed(block, template)
    scenes = []
    for scene, model, item in zip(bare.scenes, template.scenes, placed, strict=True):
        last = _said(model.steps[-1].model_copy(update=_QUOTED), item, pool.subject, taken, sources)
        scenes.append(scene.model_copy(update={"steps": [*scene.steps[:-1], last], "query": query[:300]}))
    hits = _used_hits(result.hits, [*block])
    evidence = {scene.id: hits for scene in bare.scenes} if block else {}
    plan = _with_retrieval(lesson, bare, scenes, sources, outcomes, evidence)
    return plan, evidence, _notices(plan, outcomes, {}), [one.text for one in block]


def _scene_text(scene: TemplateScene) -> str:
    return " ".join([scene.title, scene.prompt, *(f"{step.say} {step.show}" for step in scene.steps)])


def _placed(block: list[Candidate], template: Template) -> list[Candidate | None]:
    """Each sentence of the block with the scene that it shares most words with."""
    placed: list[Candidate | None] = [None] * len(template.scenes)
    words = [
        frozenset(content_stems(" ".join([scene.title, scene.query, *(step.say for step in scene.steps)])))
        for scene in template.scenes
    ]
    pairs = [(len(item.stems & held), n, m) for m, item in enumerate(block) for n, held in enumerate(words)]
    for _, n, m in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
        if placed[n] is None and block[m] not in placed:
            placed[n] = block[m]
    return placed


def _said(step: TemplateStep, found: Candidate | None, subject: Subject, taken: set[str], sources: _Sources) -> Step:
    """A step with its book's sentence. A step of a named lesson keeps its label, which the sentence was chosen to fit."""
    if found is None:
        taken.add(step.show.lower())
        return Step(say=step.say, show=step.show)
    show = step.show
    if step.heading:
        passage = found.evidence.passage.text
        named = "" if step.defines else run_in(found.quote, passage, subject.own_stems, taken)
        named = named or ("" if step.defines else term(found.text, passage, subject.own_stems, taken))
        if not named and step.heading == _QUOTED["heading"]:
            named = term(found.text, passage, subject.own_stems, taken, least=1)
        show = named or step.heading
    taken.add(show.lower())
    return Step(say=found.text, show=show[:80], cites=[sources.cite(found)])


def _told(slot: Slot, found: Candidate | None, pool: Pool) -> TemplateStep:
    """The step as a sentence tells it: one that is about the topic and gives another kind of answer takes no label from it."""
    if found is None or not slot.step.cues or fitness(slot, found, pool):
        return slot.step
    heading = section_label(found.evidence.passage.section, pool.subject.own_stems) or _QUOTED["heading"]
    return slot.step.model_copy(update={"heading": heading, "defines": False})


FARTHER = 0.06
"""What a sentence loses that answered the scene's question but was not among the passages of the step's own."""


def _weaker(near: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {key: value - FARTHER for key, value in near.items()}


def _outcome(result: SearchResult, chosen: list[Candidate | None]) -> Outcome:
    if any(chosen):
        return Outcome.found
    return Outcome.weak if result.outcome == Outcome.found else result.outcome


def _used_hits(hits: list[Evidence], chosen: list[Candidate | None]) -> list[Evidence]:
    ids = {one.evidence.passage.id for one in chosen if one is not None}
    return [hit for hit in hits if hit.passage.id in ids]


def _with_retrieval(
    lesson: LessonRequest,
    bare: ScenePlan,
    scenes: list[Scene],
    sources: _Sources,
    outcomes: dict[str, Outcome],
    evidence: dict[str, list[Evidence]],
) -> ScenePlan:
    found = dict.fromkeys(hit.passage.book_id for hits in evidence.values() for hit in hits)
    retrieval = Retrieval(
        mode=lesson.rag_mode,
        book_ids=list(lesson.book_ids) or list(found),
        queries={scene.id: scene.query for scene in scenes},
        outcomes={key: value.value for key, value in outcomes.items()},
    )
    return bare.model_copy(update={"scenes": scenes, "sources": list(sources.held.values()), "retrieval": retrieval})


def _notices(plan: ScenePlan, outcomes: dict[str, Outcome], steps: dict[str, int]) -> list[str]:
    """What of the plan the books do not say: one line over all scenes, and one for each scene without evidence."""
    cited = {scene.id: sum(bool(step.cites) for step in scene.steps) for scene in plan.scenes}
    notices = []
    if not plan.sources:
        notices.append(
            "Retrieval found nothing for this topic: no step cites a book, and the plan says what it would say without retrieval."
        )
    elif sum(cited[scene] for scene in steps) < sum(steps.values()):
        total = sum(cited[scene] for scene in steps)
        notices.append(
            f"{total} of {sum(steps.values())} steps say what the books say; the others keep the template's text."
        )
    for n, scene in enumerate(plan.scenes, 1):
        if outcomes[scene.id] != Outcome.found:
            notices.append(f"Scene {n} ({scene.title}): {_WHY[outcomes[scene.id]]}; {_KEEPS}.")
    return notices


def _memo(search: Search, k: int) -> Callable[[str], SearchResult]:
    held: dict[str, SearchResult] = {}

    def ask(query: str) -> SearchResult:
        if query not in held:
            held[query] = search(query, k)
        return held[query]

    return ask
