"""What a prompt writer is asked, and which of its answers may be used."""

from __future__ import annotations

import pytest

from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.planning.prompt_writing import asked, read_answer, rewritten
from t2v_studio.planning.prompts import parts_of

GOOD = "A bright dot rolls slowly down a smooth bowl shaped curve while a thin tangent line follows it to the bottom."
SCENE = Scene(
    id="scene_1",
    title="The slope",
    steps=[Step(say="The gradient shows the steepest way.", show="Gradient")],
    prompt="Textbook facts: A fact.\nEducational explainer, scene 1 of 1, the slope.\nPicture: a dot on a curve.\n"
    "Style: chalk.\nStatic camera, flat 2D view.\nGoal: see it.",
    negative_prompt="blurry, flicker",
)
PLAN = ScenePlan(topic="gradient descent", style="chalk", scenes=[SCENE])


def test_it_is_asked_with_steps_picture_words_and_room() -> None:
    system, user = asked(PLAN, SCENE, ["gradient", "ascent"], 40)
    assert system["role"] == "system" and "Negative:" in system["content"]
    for text in (
        "- The gradient shows the steepest way.",
        "Picture: a dot on a curve.",
        "gradient, ascent",
        "At most 40",
    ):
        assert text in user["content"]
    assert user["content"].endswith("Style: chalk"), "as the rows that an adapter is trained on"


@pytest.mark.parametrize(
    "text",
    [
        f"Prompt: {GOOD}\nNegative: blurry, people",
        f"<think>What now?</think>\n**Prompt:** {GOOD}\n\n**Negative prompt:** blurry, people.",
        f"  prompt: {GOOD.replace(chr(32), chr(10), 3)}\nNEGATIVE: blurry, people, blurry",
    ],
)
def test_answers_that_can_be_used(text: str) -> None:
    answer = read_answer(text)
    assert answer.prompt == GOOD and answer.negative == "blurry, people"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GOOD, "no line begins"),
        ("", "no line begins"),
        ("Prompt: A dot.", "it has 2 words"),
        (f"Prompt: {GOOD * 6}", "words, and 12 to 90"),
        (f"Prompt: Here is the prompt you asked for. {GOOD}", "preamble"),
        (f"Prompt: - {GOOD}\n- {GOOD}", "a list"),
        (f"Prompt: {GOOD}\nCamera: still.", "labels"),
        (f"Prompt: {GOOD} --ar 16:9", "settings"),
        (f"Prompt: {GOOD} Steps: 30, seed 5.", "settings"),
        (f"Prompt: {GOOD} {{title}}", "marks"),
        (f"Prompt: {GOOD} 一个点沿着曲线滚下去", "English"),
        (f"Prompt: {'the red dot moves slowly down and ' * 4}", "repeats itself"),
    ],
)
def test_answers_that_cannot_be_used_say_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_answer(text)


def test_a_negative_prompt_that_is_prose_is_left_out() -> None:
    assert read_answer(f"Prompt: {GOOD}\nNegative: I would avoid all kinds of people and faces in it").negative == ""


def test_a_written_prompt_keeps_style_camera_and_what_the_rules_avoid() -> None:
    made = rewritten(SCENE, read_answer(f"Prompt: {GOOD}\nNegative: people, Blurry"))
    assert made.prompt.splitlines() == [GOOD, "Style: chalk.", "Static camera, flat 2D view."]
    assert made.negative_prompt == "people, Blurry, flicker"
    assert made.steps == SCENE.steps and made.visual == SCENE.visual


def test_a_written_prompt_is_never_taken_for_another_part() -> None:
    text = f"For students, {GOOD[0].lower()}{GOOD[1:]}"
    made = rewritten(SCENE, read_answer(f"Prompt: {text}"))
    assert [part.name for part in parts_of(made.prompt)] == ["own words", "style", "camera"]
    assert text in made.prompt
