"""The form is the request's model: same defaults, same limits, and back again."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

from t2v_studio.errors import InputError
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.production.request import VideoRequest
from t2v_studio.ui import form


def _defaults() -> dict[str, object]:
    return {name: form.OWN_SIZE if name == "size" else form.default(name) for name in form.NAMES}


def test_every_form_field_is_a_field_of_the_request():
    assert set(form.NAMES) - {"size"} <= set(VideoRequest.model_fields)


def test_untouched_form_asks_for_the_models_own_defaults():
    assert form.request_from({**_defaults(), "topic": " entropy "}) == VideoRequest(topic="entropy")


def test_limits_and_choices_come_from_the_model():
    assert form.limits("fps") == {"minimum": 1, "maximum": 60}
    assert form.limits("seconds") == {"minimum": 0, "maximum": 600}
    assert form.choices("theme") == ["light", "dark", "contrast"]
    assert form.most_chars("topic") == 300


def test_size_preset_fills_width_and_height():
    request = form.request_from({**_defaults(), "topic": "x", "size": "720 × 1280"})
    assert (request.width, request.height) == (720, 1280)


@pytest.mark.parametrize(("name", "text", "value"), [("fps", "12,5", 12.5), ("seed", " 7 ", 7), ("seconds", "", None)])
def test_numbers_are_read_from_text(name: str, text: str, value: float | None):
    assert getattr(form.request_from({**_defaults(), "topic": "x", name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"), [("fps", "fast"), ("seed", "1.5"), ("frames", "nan"), ("fps", "0"), ("seconds", "inf")]
)
def test_a_number_that_is_none_names_its_field(name: str, text: str):
    with pytest.raises(InputError) as caught:
        form.request_from({**_defaults(), "topic": "x", name: text})
    assert name in caught.value.message and caught.value.hint


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
    assert all("Effect not measured here yet" in note for note in effect_notes(studio))
    rows = studio.diffusion.effects()
    rows[0] |= {"ratio": 0.71, "text": "0.71x the time of a step on a <card> (2 scenes against 3)"}
    monkeypatch.setattr(studio.diffusion, "effects", lambda: rows)
    notes = dict(zip(SWITCHES, effect_notes(studio), strict=True))
    assert "cuDNN: 0.71x the time of a step on a &lt;card&gt;" in notes["attention"]
    assert "not measured here yet" in notes["step_cache"]
