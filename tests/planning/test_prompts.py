"""Prompts: retrieved words first, the rest equal in both arms, and no change goes unseen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from t2v_studio.library.passages import SearchResult
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.planner import plan_topic
from t2v_studio.planning.prompts import evidence_sentences, parts_of
from t2v_studio.settings import Settings

GOLDEN = Path(__file__).parent / "golden" / "prompts.json"
CASES = {
    "gradient descent, no retrieval": {"topic": "gradient descent"},
    "gradient descent, semantic": {"topic": "gradient descent", "use_rag": True},
    "gradient descent, overlay": {"topic": "gradient descent", "use_rag": True, "rag_mode": "overlay"},
    "free topic, few-shot": {
        "topic": "what is a hash table?",
        "course_few_shot": True,
        "style": "Chalk on a blackboard",
    },
}


def prompts(case: str, settings: Settings, search: Callable[[str, int], SearchResult]) -> list[str]:
    plan = plan_topic(LessonRequest.model_validate(CASES[case]), settings, search).plan
    return [scene.prompt for scene in plan.scenes] + [plan.scenes[0].negative_prompt]


@pytest.mark.parametrize("case", CASES)
def test_prompts_equal_the_golden_file(
    case: str, settings: Settings, search: Callable[[str, int], SearchResult]
) -> None:
    made = prompts(case, settings, search)
    held = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.is_file() else {}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps({**held, case: made}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        assert made == held[case], "read the new prompts; if they are right, run once with UPDATE_GOLDEN=1"


@pytest.mark.parametrize("mode", ["semantic", "overlay"])
def test_retrieved_words_come_first_and_push_nothing_out(
    settings: Settings, search: Callable[[str, int], SearchResult], mode: str
) -> None:
    plain = prompts("gradient descent, no retrieval", settings, search)
    treated = prompts(f"gradient descent, {mode}", settings, search)
    for without, having in zip(plain[:-1], treated[:-1], strict=True):
        assert having.endswith(without)
        first = parts_of(having)[0]
        assert [part.name for part in parts_of(having)][-6:] == [part.name for part in parts_of(without)]
        if having != without:
            assert first.name == "evidence" and all(one in having for one in evidence_sentences(first)[1])
    assert any(having != without for without, having in zip(plain, treated, strict=True))
    assert plain[-1] == treated[-1]


def test_parts_come_back_as_they_were_written(settings: Settings) -> None:
    prompt = plan_topic(LessonRequest(topic="gradient descent"), settings, None).plan.scenes[0].prompt
    names = [part.name for part in parts_of(prompt)]
    assert names == ["title", "picture", "style", "camera", "goal", "audience"]
    assert "\n".join(part.text for part in parts_of(prompt)) == prompt
    edited = parts_of("A red dot,\n  rolling   downhill\nStyle: chalk.")
    assert [(part.name, part.text) for part in edited] == [
        ("own words", "A red dot,"),
        ("own words", "rolling downhill"),
        ("style", "Style: chalk."),
    ]


def test_a_quoted_block_gives_its_sentences_without_the_quotes() -> None:
    part = parts_of("Textbook context: \"The slope is 0.5 at x. He said 'stop'.\"")[0]
    assert evidence_sentences(part) == ("Textbook context: ", ["The slope is 0.5 at x.", "He said 'stop'."])


def test_few_shot_adds_the_worked_example(settings: Settings) -> None:
    with_example = (
        plan_topic(LessonRequest(topic="attention", course_few_shot=True), settings, None).plan.scenes[0].prompt
    )
    without = plan_topic(LessonRequest(topic="attention"), settings, None).plan.scenes[0].prompt
    assert "Example of a good picture" in with_example and with_example.startswith(without)
