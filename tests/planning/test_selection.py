"""A step says the sentence that is nearest to its own meaning, and a free topic's roles are told apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_book import evidence_of

from t2v_studio.library.passages import Quote, SearchResult
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.planner import _told, plan_topic
from t2v_studio.planning.selection import Limits, Pool, Slot, choose
from t2v_studio.planning.subject import Subject
from t2v_studio.planning.templates import TemplateStep
from t2v_studio.settings import Settings

SLOW = TemplateStep(say="With a small learning rate progress is slow.", show="Small rate: slow")
LARGE = TemplateStep(say="With a rate that is too large the iterates overshoot.", show="Too large: it diverges")
RATES = "Gradient descent > Learning rate"


def pool_of(scores: dict[str, float]) -> tuple[Pool, dict[tuple[str, str], float]]:
    hit = evidence_of(RATES, 0.7)
    quotes = [
        Quote(text=text, page=hit.page, label=hit.label, passage_id=hit.passage.id, score=score)
        for text, score in scores.items()
    ]
    pool = Pool(Subject.of("gradient descent"))
    return pool, pool.add([hit.model_copy(update={"sentences": quotes})], on_topic=True)


TOO_LARGE = "A learning rate that is too large makes the iterates overshoot the minimum and diverge."
TOO_SMALL = "A learning rate that is too small wastes many iterations on tiny progress."


def test_the_assignment_is_the_best_of_the_whole() -> None:
    pool, first = pool_of({TOO_LARGE: 0.66, TOO_SMALL: 0.7})
    second = {key: {TOO_LARGE: 0.8, TOO_SMALL: 0.72}[key[1]] for key in first}
    words = [frozenset({"small", "slow", "progres"}), frozenset({"larg", "overshoot", "iterat"})]
    slots = [Slot(0, SLOW, first, words[0]), Slot(0, LARGE, second, words[1])]
    chosen = choose(slots, pool, [Limits(3, 80)])
    assert [one.text if one else "" for one in chosen] == [TOO_SMALL, TOO_LARGE]


def test_a_sentence_below_the_floor_is_not_said() -> None:
    pool, close = pool_of({TOO_LARGE: 0.3})
    assert choose([Slot(0, LARGE, close, frozenset({"larg"}))], pool, [Limits(3, 80)]) == [None]


def test_limits_of_a_scene_hold() -> None:
    pool, close = pool_of({TOO_LARGE: 0.8, TOO_SMALL: 0.8})
    slots = [Slot(0, SLOW, close, frozenset({"small"})), Slot(0, LARGE, close, frozenset({"larg"}))]
    assert sum(one is not None for one in choose(slots, pool, [Limits(3, 20)])) == 1
    assert sum(one is not None for one in choose(slots, pool, [Limits(0, 80)])) == 0


@pytest.mark.parametrize(
    ("topic", "sentence", "defines"),
    [
        ("support vector machines", "A support vector machine is a classifier with a wide margin.", True),
        ("support vector machines", "This combination is known as a support vector machine or SVM.", True),
        ("support vector machines", "SVMs are very unnatural from a probabilistic point of view.", False),
        ("EM algorithm", "The EM algorithm is a method for models with hidden variables.", True),
        ("EM algorithm", "The GEM algorithm is a method for models with hidden variables.", False),
        ("the stability of schemes", "Stability means that errors do not grow without bound.", True),
        ("hash table", "A hash table is also used in compilers of all kinds.", False),
        ("hash table", "Tables are a common form of data.", False),
    ],
)
def test_definitions_are_told_apart(topic: str, sentence: str, defines: bool) -> None:
    assert Subject.of(topic).defined_by(sentence) is defines


def test_a_topic_is_named_by_its_own_words_or_its_acronym() -> None:
    subject = Subject.of("explain support vector machines, step by step")
    assert subject.named("SVMs need a kernel.") == subject.named("A Support Vector Machine needs one.") == 1
    assert subject.named("Virtual machines need memory.") == 0
    assert Subject.of("k-means").named("More complexity means more data.") == 0
    assert Subject.of("k-means").named("The K-means algorithm needs a number of clusters.") == 1
    assert Subject.of("EM algorithm").heads("Latent models > The EM algorithm") == 1


def test_named_lessons_keep_their_labels_and_ask_step_by_step(
    settings: Settings, search: Callable[[str, int], SearchResult]
) -> None:
    asked: list[str] = []

    def listening(query: str, k: int) -> SearchResult:
        asked.append(query)
        return search(query, k)

    control = plan_topic(LessonRequest(topic="gradient descent"), settings, None).plan
    made = plan_topic(LessonRequest(topic="gradient descent", use_rag=True), settings, listening).plan
    steps = [
        (a, b) for x, y in zip(made.scenes, control.scenes, strict=True) for a, b in zip(x.steps, y.steps, strict=True)
    ]
    assert all(a.show == b.show for a, b in steps)
    assert {b.say for _, b in steps} <= set(asked)
    assert len(asked) == len(set(asked)) <= 1 + len(control.scenes) + len(steps)
    large = next(a for a, b in steps if b.show == "Too large: it diverges")
    assert large.say == TOO_LARGE


def test_silent_steps_of_a_free_topic_say_what_is_about_it_and_take_the_books_label() -> None:
    """The sentence holds no mark of the step's kind of answer, so the step's own label would be untrue."""
    text = "Gradient descent lowers a cost function little by little."
    pool, close = pool_of({text: 0.6})
    step = TemplateStep(say="What it rests on.", show="The assumptions", cues=["assum*"], heading="The conditions")
    settled = Slot(0, step, close)
    other = Slot(0, step.model_copy(update={"cues": ["lowers"], "heading": "The result"}), {})
    chosen = choose([settled, other], pool, [Limits(3, 80)])
    assert [one.text if one else "" for one in chosen] == [text, ""]
    assert chosen[0] is not None
    assert _told(settled, chosen[0], pool).heading == "Learning rate"
    assert _told(other, None, pool).heading == "The result"
