"""The form is the request's model: same defaults, same limits, and back again."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("gradio")

from t2v_studio.errors import InputError
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.production.request import VideoRequest
from t2v_studio.ui import form, markup


def _defaults() -> dict[str, object]:
    return {name: form.OWN_SIZE if name == "size" else form.default(name) for name in form.NAMES}


def test_every_form_field_is_a_field_of_the_request():
    assert set(form.NAMES) - {"size"} <= set(VideoRequest.model_fields)


def test_untouched_form_asks_for_the_models_own_defaults():
    assert form.request_from({**_defaults(), "topic": " entropy "}) == VideoRequest(topic="entropy")


def test_limits_and_choices_come_from_the_model():
    assert form.limits("fps") == {"minimum": 1, "maximum": 60}
    assert form.limits("seconds") == {"minimum": 0, "above": True, "maximum": 600}
    assert form.choices("theme") == ["light", "dark", "contrast"]
    assert form.most_chars("topic") == 300


def test_size_preset_fills_width_and_height():
    request = form.request_from({**_defaults(), "topic": "x", "size": "720 × 1280"})
    assert (request.width, request.height) == (720, 1280)


@pytest.mark.parametrize(("name", "text", "value"), [("fps", "12,5", 12.5), ("seed", " 7 ", 7), ("seconds", "", None)])
def test_numbers_are_read_from_text(name: str, text: str, value: float | None):
    assert getattr(form.request_from({**_defaults(), "topic": "x", name: text}), name) == value


DIFFUSION_NUMBERS = ("steps", "guidance", "flow_shift", "lora_scale", "cfg_cutoff")
ODD = ("-9", "many", "nan", "inf", "-inf", "999999999999", "1e400", "--", "0x10")


@pytest.mark.parametrize("name", form.NUMBERS)
@pytest.mark.parametrize("text", ODD)
def test_a_number_that_cannot_be_used_is_refused_by_its_label_with_what_to_do(name: str, text: str):
    asked = {**_defaults(), "topic": "x", "engine": "diffusion", "adapter": "lora_1", "use_rag": True, name: text}
    with pytest.raises(InputError) as caught:
        form.request_from(asked)
    assert caught.value.message.startswith(f"{form.LABELS[name]}: {text[:20]} is ")
    assert re.fullmatch(r"Write a (whole )?number (from|above) .*, or leave it empty\.", caught.value.hint)
    assert not re.search(r"\d,\d", caught.value.hint), "a comma would be read as a point"


@pytest.mark.parametrize(("name", "text"), [("seed", "1.5"), ("steps", "0"), ("flow_shift", "0"), ("fps", "0.5")])
def test_the_ends_of_a_field_are_its_own(name: str, text: str):
    with pytest.raises(InputError, match=form.LABELS[name]):
        form.request_from({**_defaults(), "topic": "x", "engine": "diffusion", name: text})


def test_a_number_that_nothing_reads_is_no_mistake():
    left = dict.fromkeys(DIFFUSION_NUMBERS, "many")
    assert form.request_from({**_defaults(), "topic": "x", **left}) == VideoRequest(topic="x")
    only_scale = {**_defaults(), "topic": "x", "engine": "diffusion", "lora_scale": "-1"}
    assert form.request_from(only_scale).lora_scale is None, "without a LoRA there is nothing to scale"


def test_a_text_that_is_too_long_is_refused_by_its_label():
    asked = {**_defaults(), "topic": "x", "engine": "diffusion", "adapter": "a", "lora_trigger": "x" * 99}
    with pytest.raises(InputError) as caught:
        form.request_from(asked)
    said = markup.notice(caught.value.message, caught.value.hint)
    assert "Trigger word: the text has 99 characters, the most is 80." in said and "lora_trigger" not in said


def test_no_topic_names_the_field():
    with pytest.raises(InputError) as caught:
        form.request_from(_defaults())
    assert caught.value.code == "no_topic" and caught.value.hint


def test_competing_lengths_are_refused_with_their_names():
    with pytest.raises(InputError, match="seconds"):
        form.request_from({**_defaults(), "topic": "x", "seconds": 10, "frames": 5})


def test_rag_query_without_rag_is_left_out_not_refused():
    assert form.request_from({**_defaults(), "topic": "x", "rag_query": "slope"}).rag_query == ""


def test_a_plan_stands_alone():
    plan = ScenePlan(topic="x", scenes=[Scene(id="a", title="A", steps=[Step(say="One.")])])
    request = form.request_from({**_defaults(), "topic": "x", "use_rag": True, "rag_query": "slope"}, plan=plan)
    assert request.plan == plan and not request.use_rag and request.rag_query == ""


def test_make_again_round_trip():
    asked = VideoRequest(
        topic="x", audience="pupils", width=832, height=480, seed=7, theme="dark", use_rag=True, rag_top_k=5
    )
    assert form.request_from(form.values_of(asked)) == asked


def test_only_diffusion_carries_its_own_fields_and_only_an_adapter_its_scale():
    chosen = {
        **_defaults(),
        "topic": "x",
        "model_id": "tiny-wan",
        "steps": "12",
        "lora_scale": 0.7,
        "lora_trigger": "t",
    }
    assert form.request_from(chosen) == VideoRequest(topic="x")
    drawn = form.request_from({**chosen, "engine": "diffusion"})
    assert (drawn.model_id, drawn.steps, drawn.lora_scale, drawn.lora_trigger) == ("tiny-wan", 12, None, "")
    worn = form.request_from({**chosen, "engine": "diffusion", "adapter": "lora_1"})
    assert (worn.adapter, worn.lora_scale, worn.lora_trigger) == ("lora_1", 0.7, "t")
    assert form.request_from(form.values_of(worn)) == worn


def test_a_plan_on_the_page_is_not_planned_again_by_a_model():
    plan = ScenePlan(topic="x", scenes=[Scene(id="a", title="A", steps=[Step(say="One.")])])
    values = {**_defaults(), "topic": "x", "use_llm_planner": True, "planner_model_id": "qwen3-4b"}
    assert form.request_from(values).planner_model_id == "qwen3-4b"
    assert not form.request_from(values, plan=plan).use_llm_planner


@pytest.mark.parametrize("field", ["model_id", "preset", "adapter", "planner_model_id"])
def test_what_is_in_no_list_of_the_page_is_refused_on_the_server(field: str, tmp_path):
    from stand_in import StandIn

    from t2v_studio.settings import Settings
    from t2v_studio.ui.components.diffusion_form import check

    studio = StandIn(Settings(home=tmp_path, _env_file=None))
    with pytest.raises(InputError, match=field):
        check(studio, {field: "/etc/models/anything", "engine": "diffusion"})
    check(studio, {field: ""})


def test_each_speed_switch_says_what_it_was_worth_here(tmp_path, monkeypatch):
    from stand_in import StandIn

    from t2v_studio.settings import Settings
    from t2v_studio.ui.components.diffusion_form import SWITCHES, effect_notes

    studio = StandIn(Settings(home=tmp_path, _env_file=None))
    assert all("has not been measured on this machine yet" in note for note in effect_notes(studio))
    rows = studio.diffusion.effects()
    measured = {"ratio": 0.71, "card": "a <card>", "scenes": 2, "against": 3}
    slower = {"switch": "cfg_cutoff", "choice": "0.6", "ratio": 1.52, "card": "H100", "scenes": 1, "against": 1}
    rows[0] |= measured
    monkeypatch.setattr(studio.diffusion, "effects", lambda: [*rows, slower])
    notes = dict(zip(SWITCHES, effect_notes(studio), strict=True))
    said = "With cuDNN, a step took 29 % less time than without it on a &lt;card&gt; (2 scenes against 3)."
    assert said in notes["attention"]
    assert "With 0.6 of the steps, a step took 52 % more time than without it on H100" in notes["cfg_cutoff"]
    assert "has not been measured" in notes["step_cache"]


def _studio(tmp_path, **settings):
    from stand_in import StandIn

    from t2v_studio.settings import Settings

    return StandIn(Settings(home=tmp_path, _env_file=None, **settings))


LACKING = [
    ({"engine": "local", "use_llm_planner": True}, "Chat model: a chat model is needed"),
    ({"engine": "local", "use_llm_planner": True, "planner_model_id": "qwen3-4b"}, "Chat model: qwen3-4b is not on this machine"),
    ({"engine": "diffusion", "prompt_writer": "qwen3-4b"}, "Who writes the prompts: qwen3-4b is not on this machine"),
    ({"engine": "diffusion", "attention": "cudnn"}, "Attention: cuDNN needs an NVIDIA card, and this machine has none."),
    ({"engine": "diffusion", "attention": "flash3"}, "Attention: FlashAttention 3 needs an NVIDIA card"),
    ({"engine": "diffusion", "compile_blocks": "on"}, "Compile: this machine has no graphics card"),
    ({"engine": "manim", "manim_scenes": "written"}, "Chat model: a chat model is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("chosen", "said"), LACKING)
def test_what_a_choice_needs_and_is_not_here_is_said_before_the_run(chosen, said, tmp_path, monkeypatch):
    from t2v_studio.ui.components.request_form import ahead

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    note = ahead(_studio(tmp_path), {**_defaults(), "topic": "entropy", "model_id": "tiny-wan", **chosen})
    assert said in note and "t2-notice warn" in note and "--" not in note and "t2v " not in note


def test_nothing_is_lacking_where_nothing_asks_for_it(tmp_path, monkeypatch):
    studio = _studio(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert studio.diffusion.lacking({"engine": "diffusion", "attention": "cudnn", "compile_blocks": "on"}) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    fresh = _studio(tmp_path).diffusion
    assert fresh.lacking({"engine": "local", "attention": "cudnn", "prompt_writer": "qwen3-4b"}) == []
    assert fresh.lacking({"engine": "diffusion", "attention": "native", "compile_blocks": "auto"}) == []


def test_a_large_model_without_a_card_is_told_beside_the_list(tmp_path, monkeypatch):
    from t2v_studio.ui.components.diffusion_form import model_note

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    studio = _studio(tmp_path)
    absent = model_note(studio, "wan2.1-1.3b")
    assert "not on this disk" in absent and "Models tab" in absent and "t2v models" not in absent
    assert model_note(studio, "tiny-wan") == ""
    rows = [row | {"here": True} for row in studio.models.rows()]
    monkeypatch.setattr(studio.models, "rows", lambda: rows)
    assert "no graphics card" in model_note(studio, "wan2.1-1.3b") and model_note(studio, "tiny-wan") == ""
