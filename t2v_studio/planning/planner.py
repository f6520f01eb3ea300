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
from t2v_studio.planning.plan import Retrieval, Scene, ScenePlan, Source, Step
from t2v_studio.planning.prompts import write_prompts
from t2v_studio.planning.selection import Candidate, Need, Wanted, best_sentences, candidates, choose
from t2v_studio.planning.sentences import content_stems, label
from t2v_studio.planning.templates import Template, TemplateStep, load_templates
from t2v_studio.planning.topic import phrases
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


def plan_topic(lesson: LessonRequest, settings: Settings, search: Search | None) -> Planned:
    """The plan of a topic; with `use_rag` also its evidence and the grounding against the plan without.

    Raises unknown_name for an unknown template, and StudioError no_search where retrieval is asked for
    without a library. A search that finds nothing is a notice, not an error.
    """
    template = fill(lesson, load_templates())
    pictures = {scene.id: scene.prompt for scene in template.scenes}
    bare = bare_plan(lesson, template)
    control = write_prompts(bare, template, pictures, [], few_shot=lesson.course_few_shot)
    if not lesson.use_rag:
        return Planned(control)
    if search is None:
        raise StudioError(
            "no_search", "use_rag: there is no library to search.", "Add a book first, or plan without retrieval."
        )
    treat = _overlay if lesson.rag_mode == "overlay" else _semantic
    plan, evidence, notices, block = treat(lesson, template, bare, settings, search)
    plan = write_prompts(plan, template, pictures, block, few_shot=lesson.course_few_shot)
    plan = ScenePlan.model_validate(plan.model_dump())
    return Planned(plan, evidence, report(plan, control, evidence), notices)


_Treated = tuple[ScenePlan, dict[str, list[Evidence]], list[str], list[str]]


def _semantic(
    lesson: LessonRequest, template: Template, bare: ScenePlan, settings: Settings, search: Search
) -> _Treated:
    """Each scene asks by its own query, and its steps say what the passages say.

    Passages of the lesson's own query fill up the pool: a scene whose question is too narrow for the
    book still finds a sentence that serves one of its steps.
    """
    top_k = lesson.rag_top_k or settings.rag_top_k
    wide = top_k * len(bare.scenes) if lesson.rag_query else 2 * top_k
    ask = _memo(search, wide + 2)
    name = phrases(lesson.topic).label
    results, found, needs = [], [], []
    for scene, model in zip(bare.scenes, template.scenes, strict=True):
        result = ask(scene.query)
        hits = _merged(result.hits, [] if lesson.rag_query else ask(template.query).hits)
        pool, own = candidates(hits), len(candidates(result.hits))
        results.append(result)
        found.append(hits)
        needs.append(Need(model.steps, pool, own, Wanted.of(name, lesson.rag_query or model.query)))
    chosen = choose(needs, top_k=top_k, budget=settings.rag_max_context_words)
    sources, taken = _Sources(), set[str]()
    scenes: list[Scene] = []
    evidence: dict[str, list[Evidence]] = {}
    outcomes: dict[str, Outcome] = {}
    for scene, need, result, hits, picked in zip(bare.scenes, needs, results, found, chosen, strict=True):
        outcomes[scene.id] = _outcome(result, picked)
        if any(picked):
            evidence[scene.id] = _used_hits(hits, picked)
        steps = [_said(step, one, need.wanted, taken, sources) for step, one in zip(need.steps, picked, strict=True)]
        scenes.append(scene.model_copy(update={"steps": steps}))
    plan = _with_retrieval(lesson, bare, scenes, sources, outcomes, evidence)
    return plan, evidence, _notices(plan, outcomes, {scene.id: len(scene.steps) for scene in scenes}), []


def _overlay(
    lesson: LessonRequest, template: Template, bare: ScenePlan, settings: Settings, search: Search
) -> _Treated:
    """One query for the whole lesson. Its context stands as a block in every prompt, and the last step of
    each scene says one sentence of it, in the book's order."""
    query = lesson.rag_query or template.query
    top_k = lesson.rag_top_k or settings.rag_top_k
    result = search(query, 2 * top_k + 2)
    wanted = Wanted.of(phrases(lesson.topic).label, query)
    block = best_sentences(
        candidates(result.hits), wanted, count=len(bare.scenes), top_k=top_k, budget=settings.rag_max_context_words
    )
    outcome = _outcome(result, [*block])
    outcomes = {scene.id: outcome for scene in bare.scenes}
    sources, taken = _Sources(), set[str]()
    scenes = []
    for n, (scene, model) in enumerate(zip(bare.scenes, template.scenes, strict=True)):
        last = _said(model.steps[-1], block[n] if n < len(block) else None, wanted, taken, sources)
        scenes.append(scene.model_copy(update={"steps": [*scene.steps[:-1], last], "query": query[:300]}))
    hits = _used_hits(result.hits, [*block])
    evidence = {scene.id: hits for scene in bare.scenes} if block else {}
    plan = _with_retrieval(lesson, bare, scenes, sources, outcomes, evidence)
    return plan, evidence, _notices(plan, outcomes, {}), [one.text for one in block]


def _said(step: TemplateStep, found: Candidate | None, wanted: Wanted, taken: set[str], sources: _Sources) -> Step:
    if found is None:
        taken.add(step.show.lower())
        return Step(say=step.say, show=step.show)
    near = {*wanted.topic, *wanted.query, *content_stems(f"{step.say} {step.show}")}
    show = label(found.text, near, taken) or step.show
    taken.add(show.lower())
    return Step(say=found.text, show=show[:80], cites=[sources.cite(found)])


def _outcome(result: SearchResult, chosen: list[Candidate | None]) -> Outcome:
    if any(chosen):
        return Outcome.found
    return Outcome.weak if result.outcome == Outcome.found else result.outcome


def _merged(first: list[Evidence], then: list[Evidence]) -> list[Evidence]:
    known = {hit.passage.id for hit in first}
    return [*first, *(hit for hit in then if hit.passage.id not in known)]


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
    """One line for each scene that the books do not, or only partly, speak in; first of all if none does."""
    notices = []
    for n, scene in enumerate(plan.scenes, 1):
        cited = sum(bool(step.cites) for step in scene.steps)
        if outcomes[scene.id] != Outcome.found:
            notices.append(f"Scene {n} ({scene.title}): {_WHY[outcomes[scene.id]]}; {_KEEPS}.")
        elif scene.id in steps and cited < steps[scene.id]:
            notices.append(
                f"Scene {n} ({scene.title}): {cited} of {steps[scene.id]} steps say what the book says, the others keep the template's text."
            )
    if not plan.sources:
        notices.insert(
            0,
            "Retrieval found nothing for this topic: no step cites a book, and the plan says what it would say without retrieval.",
        )
    return notices


def _memo(search: Search, k: int) -> Callable[[str], SearchResult]:
    held: dict[str, SearchResult] = {}

    def ask(query: str) -> SearchResult:
        if query not in held:
            held[query] = search(query, k)
        return held[query]

    return ask
