"""Final prompts: fitted by a real tokenizer, evidence kept, other parts left out whole and alike in both arms."""

from __future__ import annotations

from typing import Any

import pytest

from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.engines.diffusion.prompt_grounding import read_words, require_read
from t2v_studio.engines.diffusion.prompts import (
    LOCK_FIRST,
    LOCK_LAST,
    PROFILE,
    common_room,
    final_prompt,
    final_prompts,
)
from t2v_studio.errors import StudioError
from t2v_studio.planning.plan import ScenePlan

FACTS = [
    "The gradient of a function points in the direction of its steepest ascent.",
    "Each iteration subtracts the gradient, multiplied by the learning rate.",
    "Narrow valleys force the path into a zigzag along the floor.",
]
OWN = [
    "Educational explainer, scene 1 of 1, the slope.",
    "Picture: a dot on a bowl-shaped curve with a tangent line.",
    "Style: clean lecture diagram, thin axes.",
    "Static camera, flat 2D view.",
    "Goal: see why the loss falls.",
    "For students.",
]
NAMES = ["title", "picture", "style", "camera", "goal", "audience"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Words and signs as tokens, one end token; a word that it does not know is lost, as characters are with T5."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = " ".join(
        [*FACTS, *OWN, "Textbook facts : context", PROFILE.text, LOCK_FIRST.text, LOCK_LAST.text, "acad_v1"]
    )
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    known = dict.fromkeys(["<pad>", "</s>", "<unk>", *(word for word, _ in split.pre_tokenize_str(words.lower()))])
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(known)}, unk_token="<unk>"))
    core.normalizer, core.pre_tokenizer = normalizers.Lowercase(), split
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def plan_of(facts: list[str]) -> ScenePlan:
    """One scene whose steps quote `facts`; none makes the arm without retrieval."""
    steps = [{"say": fact, "cites": [f"s{n}"]} for n, fact in enumerate(facts, 1)] or [{"say": "The slope."}]
    source: dict[str, Any] = {"book_id": "b", "book": "B", "page": 3, "page_last": 3, "score": 0.5}
    sources = [{**source, "id": f"s{n}", "passage_id": f"p{n}", "quote": fact} for n, fact in enumerate(facts, 1)]
    lines = [f"Textbook facts: {' '.join(facts)}"] if facts else []
    scene = {"id": "a", "title": "The slope", "steps": steps, "prompt": "\n".join([*lines, *OWN])}
    return ScenePlan.model_validate(
        {"topic": "x", "scenes": [{**scene, "negative_prompt": "blurry, faces, logo"}], "sources": sources}
    )


def final(facts: list[str], tokenizer: Any, limit: int, **options: Any) -> Any:
    plan = plan_of(facts)
    return final_prompt(plan.scenes[0], plan, DiffusionOptions(**options), tokenizer, limit, trigger="acad_v1")


def test_all_parts_stand_where_there_is_room(tokenizer: Any) -> None:
    made = final(FACTS, tokenizer, 512)
    assert made.text == " ".join([f"Textbook facts: {' '.join(FACTS)}", *OWN])
    assert made.kept == ("evidence", "title", "picture", "style", "camera", "goal", "audience")
    assert made.dropped == () and made.notices == () and made.evidence == tuple(FACTS)
    assert made.token_count == len(tokenizer(made.text)["input_ids"]) < 512


def test_trigger_comes_first_then_evidence_and_the_profile_follows_an_adapter(tokenizer: Any) -> None:
    made = final(FACTS, tokenizer, 512, adapter="lora_1", diagram_lock=True)
    assert made.text.startswith(f"acad_v1, Textbook facts: {FACTS[0]}")
    assert made.kept[:4] == ("trigger", "evidence", "diagram lock", "profile") and made.text.endswith(LOCK_LAST.text)
    assert "3D render" in made.negative and "camera movement" in made.negative
    plain = final(FACTS, tokenizer, 512, adapter="lora_1", lora_prompt_profile="none", lora_trigger="mine")
    assert plain.text.startswith("mine, ") and PROFILE.text not in plain.text
    assert plain.negative == "blurry, faces, logo"
    quiet = final(FACTS, tokenizer, 512, adapter="lora_1", lora_negative_boost=False)
    assert PROFILE.text in quiet.text and quiet.negative == plain.negative
    assert "acad_v1" not in final(FACTS, tokenizer, 512).text


@pytest.mark.parametrize("limit", [120, 100, 90, 70])
def test_parts_go_whole_and_alike_in_both_arms(tokenizer: Any, limit: int) -> None:
    room = common_room([final(FACTS[:2], tokenizer, limit)], DiffusionOptions())
    treated = final(FACTS[:2], tokenizer, limit, evidence_room=room)
    control = final([], tokenizer, limit, evidence_room=room)
    assert treated.token_count <= limit and control.token_count <= limit
    assert treated.evidence == tuple(FACTS[:2]) and treated.evidence_dropped == ()
    assert treated.text == f"Textbook facts: {' '.join(FACTS[:2])} {control.text}"
    assert treated.dropped == control.dropped and "title" in control.kept
    assert all((line in control.text) == (name in control.kept) for line, name in zip(OWN, NAMES, strict=True))
    assert control.text == " ".join(line for line, name in zip(OWN, NAMES, strict=True) if name in control.kept)


def test_the_least_important_parts_go_first(tokenizer: Any) -> None:
    order = ["title", "picture", "camera", "style", "goal", "audience"]
    needed = [len(tokenizer(" ".join(OWN[NAMES.index(name)] for name in order[:n])).input_ids) for n in range(1, 7)]
    for n, limit in enumerate(needed, 1):
        assert sorted(final([], tokenizer, limit).kept, key=order.index) == order[:n]


def test_without_a_pair_no_room_is_wasted(tokenizer: Any) -> None:
    assert final([], tokenizer, 70).dropped == () != final([], tokenizer, 70, evidence_room=40).dropped


def test_evidence_beyond_the_limit_loses_whole_sentences_from_its_end_and_says_so(tokenizer: Any) -> None:
    made = final(FACTS, tokenizer, 45)
    assert made.evidence == tuple(FACTS[:2]) and made.evidence_dropped == (FACTS[2],)
    assert made.token_count <= 45 and "2 of 3 retrieved sentences" in made.notices[0]
    assert "picture" in made.dropped and any("picture" in notice for notice in made.notices)
    hopeless = final(FACTS, tokenizer, 12)
    assert hopeless.evidence == (FACTS[0],) and hopeless.token_count > 12
    assert any("the end is cut" in notice for notice in hopeless.notices)


def test_a_pair_agrees_on_more_room_where_evidence_needs_it(tokenizer: Any) -> None:
    treated, control = plan_of(FACTS), plan_of([])
    options = DiffusionOptions()
    first = final_prompts(treated, options, tokenizer, 80)
    room = common_room(first, options)
    assert room == {"a": first[0].evidence_tokens} and first[0].evidence_tokens > 40
    agreed = options.model_copy(update={"evidence_room": room})
    mine, other = (final_prompts(plan, agreed, tokenizer, 80)[0] for plan in (treated, control))
    assert mine.text.endswith(other.text) and mine.dropped == other.dropped
    assert common_room([mine], agreed) is None
    assert common_room(final_prompts(control, options, tokenizer, 80), options) is None


def test_a_scene_keeps_no_room_for_the_evidence_of_another(tokenizer: Any) -> None:
    """With a tokenizer of 64 tokens, the room that three sentences take would push the picture out of every scene."""
    bare, full = plan_of([]).scenes[0], plan_of(FACTS)
    treated = full.model_copy(update={"scenes": [full.scenes[0], bare.model_copy(update={"id": "b"})]})
    alone = final_prompts(treated, DiffusionOptions(), tokenizer, 64)
    room = common_room(alone, DiffusionOptions())
    assert room == {"a": alone[0].evidence_tokens}
    agreed = final_prompts(treated, DiffusionOptions(evidence_room=room), tokenizer, 64)
    assert "picture" in agreed[0].dropped and "picture" in agreed[1].kept
    everywhere = final_prompts(treated, DiffusionOptions(evidence_room=room["a"]), tokenizer, 64)
    assert "picture" in everywhere[1].dropped, "one number still means each scene, as older records say it"


def test_grounding_counts_what_the_tokens_hold(tokenizer: Any) -> None:
    treated, control, options = plan_of(FACTS), plan_of([]), DiffusionOptions()
    mine, other = (final_prompts(plan, options, tokenizer, 512) for plan in (treated, control))
    found = read_words(mine, other, treated, {})
    assert found["ok"] and {"gradient", "zigzag"} <= set(found["scenes"][0]["words"]) and not found["scenes"][0]["lost"]
    require_read(found)
    short = [final_prompts(plan, options, tokenizer, 30) for plan in (treated, control)]
    assert "zigzag" in read_words(*short, treated, {})["scenes"][0]["lost"]


def test_words_that_the_tokenizer_does_not_know_do_not_count(tokenizer: Any) -> None:
    treated, control = plan_of(["Quokkas zzyzx frobnicate."]), plan_of([])
    mine, other = (final_prompts(plan, DiffusionOptions(), tokenizer, 512) for plan in (treated, control))
    assert "Quokkas" in mine[0].text and "quokka" not in mine[0].read
    found = read_words(mine, other, treated, {})
    assert not found["ok"] and found["words"] == 0 and len(found["scenes"][0]["lost"]) == 3
    with pytest.raises(StudioError, match="not one retrieved word") as refused:
        require_read(found)
    assert refused.value.details["grounding"] is found


def test_an_arm_with_other_own_parts_is_refused(tokenizer: Any) -> None:
    treated, control, options = plan_of(FACTS), plan_of([]), DiffusionOptions()
    mine = final_prompts(treated, options, tokenizer, 64)
    other = final_prompts(control, options, tokenizer, 64)
    with pytest.raises(StudioError, match="other parts of the prompt differ"):
        require_read(read_words(mine, other, treated, {}))


def test_the_negative_prompt_loses_its_last_words_where_it_is_too_long(tokenizer: Any) -> None:
    made = final(FACTS, tokenizer, 12, diagram_lock=True)
    assert made.negative.startswith("blurry, faces, logo") and made.negative_token_count <= 12
