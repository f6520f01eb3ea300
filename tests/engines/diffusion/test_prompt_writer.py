"""A written prompt stands where the model's tokens bear it out: retrieved words kept, budget held, both arms alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_diffusion_prompts import FACTS, OWN, plan_of
from transformers import PreTrainedTokenizerFast

from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.engines.diffusion.prompt_writer import Writer, alike, is_written, said, unwritten, withdrawn, write
from t2v_studio.engines.diffusion.prompts import final_prompts
from t2v_studio.errors import StudioError
from t2v_studio.planning.plan import ScenePlan

PLAIN = "A bright dot rolls slowly down a smooth bowl shaped curve while a thin tangent line follows it."
KEEPING = f"{PLAIN} {' '.join(FACTS)}"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Letters as tokens are too many; here a token is a word or a sign, and every word is known."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = " ".join([KEEPING, *OWN, "Textbook facts : context , . blurry people faces logo We see"])
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    known = dict.fromkeys(["<pad>", "</s>", "<unk>", *(word for word, _ in split.pre_tokenize_str(words.lower()))])
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(known)}, unk_token="<unk>"))
    core.normalizer, core.pre_tokenizer = normalizers.Lowercase(), split
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


class Asked:
    """Answers in turn; what was asked is kept."""

    def __init__(self, *answers: str | StudioError) -> None:
        self.answers, self.messages = list(answers), []

    def __call__(self, messages: list[dict[str, str]]) -> str:
        self.messages.append(messages)
        answer = self.answers.pop(0)
        if isinstance(answer, StudioError):
            raise answer
        return answer


def written(plan: ScenePlan, tokenizer: Any, *answers: Any, limit: int = 512) -> tuple[ScenePlan, Asked]:
    ask = Asked(*answers)
    return write(plan, Writer("mine", "0" * 64, ask), finals(tokenizer, limit)), ask


def finals(tokenizer: Any, limit: int = 512) -> Callable[[ScenePlan], Any]:
    return lambda plan: final_prompts(plan, DiffusionOptions(), tokenizer, limit)


def test_a_scene_without_evidence_takes_the_written_prompt(tokenizer: Any) -> None:
    plan = plan_of([])
    made, ask = written(plan, tokenizer, f"Prompt: {PLAIN}\nNegative: people")
    (scene,) = made.scenes
    assert scene.written is not None and scene.written.taken and scene.written.mended == scene.written.reason == ""
    assert scene.prompt.splitlines()[0] == PLAIN and scene.negative_prompt == "people, blurry, faces, logo"
    assert scene.written.prompt_before == plan.scenes[0].prompt and len(ask.messages) == 1
    assert unwritten(made) == plan and is_written(made, "mine") and not is_written(made, "another")
    assert said(made) == ["The prompt writer mine wrote the prompts of 1 of 1 scene."]


def test_an_answer_that_keeps_every_retrieved_word_needs_no_evidence_beside_it(tokenizer: Any) -> None:
    made, ask = written(plan_of(FACTS), tokenizer, f"Prompt: {KEEPING}")
    (scene,) = made.scenes
    assert scene.written is not None and scene.written.taken and not scene.prompt.startswith("Textbook")
    assert "steepest, ascent" in ask.messages[0][1]["content"]


def test_what_an_answer_leaves_out_is_asked_for_then_put_back(tokenizer: Any) -> None:
    one_lacking = KEEPING.replace(f" {FACTS[2]}", "")
    made, ask = written(plan_of(FACTS), tokenizer, f"Prompt: {PLAIN}", f"Prompt: {one_lacking}")
    (scene,) = made.scenes
    assert len(ask.messages) == 2 and "leaves out" in ask.messages[1][-1]["content"]
    assert scene.prompt.splitlines()[:2] == [f"Textbook facts: {FACTS[2]}", one_lacking], "only what is lacking"
    assert scene.written is not None and scene.written.mended == "retrieved sentences were put back"
    read = finals(tokenizer)(made)[0].read
    assert all(word in read for word in ("narrow", "zigzag", "ascent", "iteration"))


def test_a_usable_first_answer_is_mended_where_the_second_is_none(tokenizer: Any) -> None:
    made, _ = written(plan_of(FACTS), tokenizer, f"Prompt: {PLAIN}", "I do not know.")
    (scene,) = made.scenes
    assert scene.written is not None and scene.written.taken and scene.prompt.startswith("Textbook facts: The gradient")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["No.", "Still no."], 'no line begins with "Prompt:"'),
        ([StudioError("writer_failed", "its window has no room")], "its window has no room"),
    ],
)
def test_what_cannot_be_used_leaves_the_rules_with_the_reason(tokenizer: Any, answers: list[Any], why: str) -> None:
    plan = plan_of(FACTS)
    made, _ = written(plan, tokenizer, *answers)
    (scene,) = made.scenes
    assert scene.written is not None and not scene.written.taken and why in scene.written.reason
    assert (scene.prompt, scene.negative_prompt) == (plan.scenes[0].prompt, plan.scenes[0].negative_prompt)
    assert said(made)[1] == f"Scene 1: the rules' prompt stays ({scene.written.reason})."


def test_a_prompt_over_the_budget_is_refused(tokenizer: Any) -> None:
    """With this limit the facts fit, and the written prompt does not fit beside them."""
    made, ask = written(plan_of(FACTS), tokenizer, f"Prompt: {PLAIN}", f"Prompt: {PLAIN}", limit=54)
    (scene,) = made.scenes
    assert scene.written is not None and not scene.written.taken and "54 tokens" in scene.written.reason
    assert "At most 20 words" in ask.messages[0][1]["content"]


def test_a_pair_is_written_in_both_arms_or_in_neither(tokenizer: Any) -> None:
    treated, _ = written(plan_of(FACTS), tokenizer, f"Prompt: {KEEPING}\nNegative: people")
    control, _ = written(plan_of([]), tokenizer, f"Prompt: {PLAIN}\nNegative: logo, faces")
    mine, other = alike(treated, control)
    assert mine.scenes[0].negative_prompt == other.scenes[0].negative_prompt == "logo, faces, blurry"
    assert mine.scenes[0].prompt == treated.scenes[0].prompt and other == control

    refused, _ = written(plan_of([]), tokenizer, "No.", "No.")
    mine, other = alike(treated, refused)
    assert (
        mine.scenes[0].prompt == plan_of(FACTS).scenes[0].prompt
        and other.scenes[0].prompt == plan_of([]).scenes[0].prompt
    )
    notes = [plan.scenes[0].written for plan in (mine, other)]
    assert all(note is not None and not note.taken for note in notes)
    assert "not alike in both videos: no line begins" in notes[0].reason  # type: ignore[union-attr]
    assert withdrawn(mine, {"a": "again"}) == mine, "what is refused stays as it is"
