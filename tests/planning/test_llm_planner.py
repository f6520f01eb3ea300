"""The language model's plan: good JSON, mended JSON, and the rules where neither comes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chat_models
import pytest

from t2v_studio.errors import StudioError, UnavailableError
from t2v_studio.library.passages import SearchResult
from t2v_studio.planning import chat_model, llm_planner
from t2v_studio.planning.chat_model import ChatModel
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.llm_planner import draft, read_draft
from t2v_studio.planning.plan import PlannerNote
from t2v_studio.planning.planner import plan_topic
from t2v_studio.planning.templates import load_templates
from t2v_studio.settings import Settings

STEPS = [
    {"say": "The gradient points uphill, so we walk the other way.", "show": "Walk against the gradient"},
    {"say": "The learning rate scales each step that we take.", "show": "Rate scales the step"},
]
SCENE: dict[str, Any] = {
    "title": "Downhill",
    "query": "gradient direction of steepest ascent, learning rate",
    "picture": "a dot rolls down a bowl-shaped curve in shrinking steps",
    "visual": {"kind": "gradient_descent", "view": "curve"},
    "formula": "x - \\eta f'(x)",
    "steps": STEPS,
}
LATER = [
    {"say": "Each step is shorter, because the slope is smaller there.", "show": "Slopes shrink"},
    {"say": "At the bottom the slope is zero, so the walk ends.", "show": "It ends"},
]
SECOND: dict[str, Any] = {**SCENE, "title": "Again", "visual": {"kind": "process"}, "steps": LATER}
GOOD: dict[str, Any] = {"objective": "See the rule.", "scenes": [SCENE, SECOND]}


class Scripted:
    """A model that gives prepared answers, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), list[list[dict[str, str]]]()

    def __call__(self, messages: list[dict[str, str]]) -> str:
        self.asked.append(messages)
        return self.answers.pop(0)


def drafted(*answers: str, **lesson: Any) -> tuple[Any, Scripted]:
    model = Scripted(*answers)
    template = load_templates()["gradient_descent"]
    return draft(LessonRequest(topic="gradient descent", **lesson), template, model, "tiny"), model


def test_good_json_becomes_the_plan(settings: Settings) -> None:
    made, model = drafted(f"<think>{{}} hm</think>Sure! Here it is:\n```json\n{json.dumps(GOOD)}\n``` Anything else?")
    assert made.note.by == "llm" and not made.note.repaired and made.notices == () and len(model.asked) == 1
    plan = plan_topic(LessonRequest(topic="gradient descent"), settings, None, made).plan
    assert [scene.title for scene in plan.scenes] == ["Downhill", "Again"]
    assert [scene.visual.kind for scene in plan.scenes] == ["gradient_descent", "process"]
    assert plan.scenes[0].query == SCENE["query"] and plan.scenes[0].steps[0].say == STEPS[0]["say"]
    assert "Picture: a dot rolls down a bowl-shaped curve" in plan.scenes[0].prompt
    assert plan.planner is not None and plan.planner.model == "tiny"


def test_the_model_is_shown_topic_schema_and_kinds() -> None:
    _, model = drafted(json.dumps(GOOD), audience="", objective="")
    system, user = model.asked[0]
    assert "Topic: gradient descent" in user["content"] and "Audience: undergraduate" in user["content"]
    assert '"graph_search"' in system["content"] and "maxItems" in system["content"]


def test_a_bad_answer_is_mended_once_with_its_error() -> None:
    bad = {**GOOD, "scenes": [{**SCENE, "visual": {"kind": "pie_chart"}}, {**SCENE, "steps": STEPS[:1]}]}
    made, model = drafted(json.dumps(bad), json.dumps(GOOD))
    assert made.note.by == "llm" and made.note.repaired and not made.note.repair_failed
    assert made.note.reason.startswith('scenes.0.visual.kind: "pie_chart" is not known; scenes.1.steps: there are 1')
    told = model.asked[1][-1]["content"]
    assert len(model.asked) == 2 and "Use one of: attention, " in told and "scenes.1.steps" in told
    assert model.asked[1][-2] == {"role": "assistant", "content": json.dumps(bad)}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I cannot.", "no whole JSON object"),
        (json.dumps(GOOD)[:-40], "scenes"),
        (json.dumps({**GOOD, "objectiv": 1}), 'fields: "objectiv" is not known'),
        (json.dumps({"scenes": [SCENE]}), "scenes: there are 1 in it, the least is 2"),
        (json.dumps({"scenes": [{**SCENE, "visual": {}}, SECOND]}), "scenes.0.visual: its kind is missing"),
        (
            json.dumps({"scenes": [{**SCENE, "title": "x" * 90, "formula": 3}, SECOND]}),
            "scenes.0.title: the text has 90 characters, the most is 80; scenes.0.formula: 3 is not text",
        ),
        (
            json.dumps({"scenes": [SCENE, {**SECOND, "steps": STEPS}]}),
            'the sentence of a step "the gradient points uphill',
        ),
        (
            json.dumps({"scenes": [SCENE, {**SECOND, "title": "downhill"}]}),
            'the title of a scene "downhill" stands there 2',
        ),
    ],
)
def test_after_two_bad_answers_the_rules_plan_and_say_so(answer: str, why: str, settings: Settings) -> None:
    made, model = drafted(answer, answer)
    assert len(model.asked) == 2 and made.note.by == "rules" and why in made.note.reason
    assert made.note.repair_failed and not made.note.repaired, "the plan that stands is no repaired one"
    assert made.notices[0].startswith("The language model tiny gave no usable plan, and one repair of it failed (")
    assert why in made.notices[0] and "rule-based" in made.notices[0]
    assert not re.search("Input should|Extra inputs|List should|Unable to|String should", made.notices[0])
    planned = plan_topic(LessonRequest(topic="gradient descent"), settings, None, made)
    rules = plan_topic(LessonRequest(topic="gradient descent"), settings, None)
    assert planned.notices == list(made.notices) and planned.plan.scenes == rules.plan.scenes
    assert planned.plan.planner == made.note and rules.plan.planner is None


def test_the_reasons_of_answer_and_repair_are_told_apart() -> None:
    made, _ = drafted(json.dumps({"scenes": [SCENE]}), "I cannot.")
    assert re.fullmatch("scenes: there are 1 in it, the least is 2; then: it holds no whole .*", made.note.reason)


def test_a_repair_that_fails_itself_was_tried() -> None:
    def once(messages: list[dict[str, str]]) -> str:
        if len(messages) > 2:
            raise StudioError("planner_failed", "its window has no room for an answer after 900 tokens")
        return "I cannot."

    note = draft(LessonRequest(topic="x"), load_templates()["gradient_descent"], once, "tiny").note
    assert (note.by, note.repaired, note.repair_failed) == ("rules", False, True)
    assert note.reason.endswith("; then: its window has no room for an answer after 900 tokens")


@pytest.mark.parametrize(("by", "repaired", "failed"), [("rules", False, True), ("llm", True, False)])
def test_an_older_record_is_read_as_what_it_meant(by: str, repaired: bool, failed: bool) -> None:
    note = PlannerNote.model_validate({"by": by, "model": "tiny", "repaired": True, "reason": "no whole JSON object"})
    assert (note.repaired, note.repair_failed) == (repaired, failed)
    assert PlannerNote.model_validate_json(note.model_dump_json()) == note


def test_the_first_whole_object_is_taken() -> None:
    assert read_draft(f"{{ not json }} {json.dumps(GOOD)} {{}}").scenes[0].title == "Downhill"


def test_it_works_together_with_retrieval(settings: Settings, search: Callable[[str, int], SearchResult]) -> None:
    made, _ = drafted(json.dumps(GOOD))
    asked: list[str] = []

    def watched(query: str, k: int) -> SearchResult:
        asked.append(query)
        return search(query, k)

    planned = plan_topic(LessonRequest(topic="gradient descent", use_rag=True), settings, watched, made)
    assert SCENE["query"] in asked and STEPS[0]["say"] in asked
    assert planned.plan.sources and any(step.cites for scene in planned.plan.scenes for step in scene.steps)
    assert planned.grounding and planned.grounding["words"] > 0 and planned.grounding["differences"] == []
    assert planned.plan.planner == made.note
    control = plan_topic(LessonRequest(topic="gradient descent"), settings, None, planned.drafted)
    assert [scene.title for scene in control.plan.scenes] == [scene.title for scene in planned.plan.scenes]


def test_nothing_of_a_draft_is_open_ended() -> None:
    """A small model writes on for as long as it may: every object is closed, every text and list has an end."""

    def walk(node: Any, where: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert node.get("additionalProperties") is False, where
            if node.get("type") == "array":
                assert node["maxItems"] <= 6, where
            if node.get("type") == "string":
                assert node["maxLength"] <= 400, where
            for name, part in node.items():
                walk(part, f"{where}.{name}")

    walk(llm_planner._schema(load_templates()["gradient_descent"]), "draft")


@pytest.mark.parametrize("kind", ["llama", "qwen3", "lfm2"])
def test_real_models_with_random_weights_end_in_the_rules(
    kind: str, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_model, "MOST_TOKENS", 48)
    folder = chat_models.save(kind, tmp_path / kind)
    lesson = LessonRequest(topic="gradient descent", use_llm_planner=True, planner_model_id=str(folder))
    written: list[str] = []

    def heard(chat: ChatModel, *asked: Any, **how: Any) -> str:
        written.append(answer(chat, *asked, **how))
        return written[-1]

    answer = ChatModel.__call__
    monkeypatch.setattr(ChatModel, "__call__", heard)
    one, two = (plan_topic(lesson, settings, None) for _ in range(2))
    assert len(written) == 4 and all(re.match(r'\{"(objective|scenes)":["\[]', text) for text in written)
    assert one.plan == two.plan and one.plan.planner is not None and one.plan.planner.by == "rules"
    assert one.plan.planner.model == kind and "no whole JSON object" in one.plan.planner.reason
    assert one.plan.planner.repair_failed and not one.plan.planner.repaired and len(one.notices) == 1


def test_the_same_model_answers_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_model, "MOST_TOKENS", 24)
    with chat_model.ChatModel(chat_models.save("lfm2", tmp_path)) as chat:
        asked = [{"role": "user", "content": "Plan."}]
        assert chat(asked) == chat(asked) != ""


def test_a_window_that_is_too_small_is_no_crash(tmp_path: Path, settings: Settings) -> None:
    folder = chat_models.save("llama", tmp_path, window=256)
    lesson = LessonRequest(topic="gradient descent", use_llm_planner=True, planner_model_id=str(folder))
    note = plan_topic(lesson, settings, None).plan.planner
    assert note is not None and note.by == "rules" and "window" in note.reason
    assert not note.repaired and not note.repair_failed, "none was asked for"


def test_a_broken_chat_template_is_no_crash(tmp_path: Path, settings: Settings) -> None:
    folder = chat_models.save("llama", tmp_path, template="{{ raise_exception('no system role') }}")
    lesson = LessonRequest(topic="gradient descent", use_llm_planner=True, planner_model_id=str(folder))
    note = plan_topic(lesson, settings, None).plan.planner
    assert note is not None and "no system role" in note.reason


def test_models_that_cannot_serve_are_refused_by_name(tmp_path: Path, settings: Settings) -> None:
    def code(name: str) -> str:
        with pytest.raises(StudioError) as refused:
            plan_topic(LessonRequest(topic="x", use_llm_planner=True, planner_model_id=name), settings, None)
        assert "planner_model_id" in refused.value.message
        return refused.value.code

    assert code("") == "no_planner_model"
    assert code(str(tmp_path / "nothing")) == "no_planner_model"
    assert code("qwen3-4") == "unknown_name"
    assert code(str(chat_models.save("llama", tmp_path / "plain", template=""))) == "planner_no_chat"
    coded = chat_models.save("llama", tmp_path / "coded")
    config = json.loads((coded / "config.json").read_text())
    (coded / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "x.Y"}}))
    assert code(str(coded)) == "planner_model_code"
    broken = chat_models.save("llama", tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    assert code(str(broken)) == "planner_model_broken"


def test_a_registered_model_that_is_not_here_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "machine"))
    settings = Settings(cache_root=tmp_path / "own", _env_file=None)
    for row in chat_model.chat_models():
        assert re.fullmatch("[0-9a-f]{40}", row["revision"]), "a plan can be repeated with the words that made it"
        with pytest.raises(UnavailableError, match=row["name"]) as missing:
            chat_model.chat_model_folder(row["name"], settings)
        assert missing.value.hint == f"Fetch it with: t2v models download {row['name']}"


def test_a_registered_model_is_found_in_the_studios_cache(tmp_path: Path) -> None:
    commit = next(row["revision"] for row in chat_model.chat_models() if row["name"] == "lfm2-1.2b")
    repo = tmp_path / "hub" / "models--LiquidAI--LFM2-1.2B"
    chat_models.save("lfm2", repo / "snapshots" / ("a" * 40))
    settings = Settings(cache_root=tmp_path, _env_file=None)
    with pytest.raises(UnavailableError, match="lfm2"):
        chat_model.chat_model_folder("lfm2-1.2b", settings)
    folder = chat_models.save("lfm2", repo / "snapshots" / commit)
    assert chat_model.chat_model_folder("lfm2-1.2b", settings) == folder
    assert chat_model.chat_model_folder("LiquidAI/LFM2-1.2B", settings) == folder
