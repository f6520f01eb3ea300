"""Grounding proves which retrieved words reached the plan, and refuses a pair that shows nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from t2v_studio.errors import StudioError
from t2v_studio.library.passages import Outcome, SearchResult
from t2v_studio.planning.grounding import report, require_grounded
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.planner import Planned, plan_topic
from t2v_studio.settings import Settings

Search = Callable[[str, int], SearchResult]


@pytest.fixture
def arms(settings: Settings, search: Search) -> tuple[Planned, Planned]:
    treated = plan_topic(LessonRequest(topic="gradient descent", use_rag=True), settings, search)
    return treated, plan_topic(LessonRequest(topic="gradient descent"), settings, None)


def test_words_are_retrieved_and_new(arms: tuple[Planned, Planned]) -> None:
    treated, control = arms
    found = report(treated.plan, control.plan, treated.evidence)
    assert found == treated.grounding
    require_grounded(found)
    for row in found["scenes"]:
        scene = next(scene for scene in treated.plan.scenes if scene.id == row["id"])
        other = next(scene for scene in control.plan.scenes if scene.id == row["id"])
        said = " ".join(f"{step.say} {step.show}" for step in scene.steps).lower()
        before = " ".join(f"{step.say} {step.show}" for step in other.steps).lower().split()
        texts = " ".join(hit.passage.text for hit in treated.evidence.get(row["id"], [])).lower()
        assert row["step_count"] == len(row["step_words"]) and row["prompt_count"] == len(row["prompt_words"])
        for word in row["step_words"]:
            assert word in said and word not in before
            assert word[:5] in texts


def test_equal_arms_are_refused_with_the_report(arms: tuple[Planned, Planned]) -> None:
    _, control = arms
    found = report(control.plan, control.plan, {})
    assert not found["ok"] and found["words"] == 0
    with pytest.raises(StudioError) as caught:
        require_grounded(found)
    assert caught.value.code == "pair_not_grounded"
    assert caught.value.details["grounding"] == found


def test_a_scene_with_evidence_but_without_its_words_is_named(arms: tuple[Planned, Planned]) -> None:
    treated, control = arms
    first = treated.plan.scenes[0].model_copy(
        update={"steps": control.plan.scenes[0].steps, "prompt": control.plan.scenes[0].prompt}
    )
    plan = treated.plan.model_copy(update={"scenes": [first, *treated.plan.scenes[1:]]})
    found = report(plan, control.plan, treated.evidence)
    assert not found["ok"] and found["ungrounded"][0] == first.id
    with pytest.raises(StudioError, match=first.id):
        require_grounded(found)


def test_words_that_only_the_steps_hold_are_not_enough(arms: tuple[Planned, Planned]) -> None:
    treated, control = arms
    scenes = [
        a.model_copy(update={"prompt": b.prompt}) for a, b in zip(treated.plan.scenes, control.plan.scenes, strict=True)
    ]
    found = report(treated.plan.model_copy(update={"scenes": scenes}), control.plan, treated.evidence)
    assert not found["ok"] and found["grounded"] == []


def test_arms_that_differ_in_more_than_retrieval_are_refused(arms: tuple[Planned, Planned]) -> None:
    treated, control = arms
    found = report(treated.plan, control.plan.model_copy(update={"seed": 99}), treated.evidence)
    assert found["differences"] == ["seed"]
    with pytest.raises(StudioError, match="seed"):
        require_grounded(found)


def test_nothing_found_fails_a_pair(settings: Settings) -> None:
    made = plan_topic(
        LessonRequest(topic="gradient descent", use_rag=True),
        settings,
        lambda q, k: SearchResult(query=q, outcome=Outcome.nothing_relevant),
    )
    assert made.grounding is not None
    with pytest.raises(StudioError, match="no retrieved word"):
        require_grounded(made.grounding)
