"""The page as a whole: tabs, labels, size, and what it offers to callers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from stand_in import StandIn

from t2v_studio.settings import Settings
from t2v_studio.ui.app import prepare_environment
from t2v_studio.ui.components.video_job import drawn_plan, own_codes, preview_of, status_of, submit_request

MOST_COMPONENTS = 360
LABELLED = ("textbox", "number", "dropdown", "radio", "checkbox", "slider", "file", "video", "image", "dataframe")


@pytest.fixture
def studio(settings: Settings) -> StandIn:
    return StandIn(settings)


@pytest.fixture
def demo(studio: StandIn) -> Any:
    prepare_environment(studio.workspace)
    from t2v_studio.ui.shell import build

    return build(studio)  # type: ignore[arg-type]


def test_tabs_stand_in_order(demo: Any):
    labels = [
        block.label
        for block in demo.blocks.values()
        if block.get_block_name() == "tabitem" and str(block.elem_id).startswith("tab-")
    ]
    assert labels[:4] == ["Library", "Generate", "Gallery", "Packs"]


def test_every_control_has_a_label(demo: Any):
    bare = [
        block.elem_id or block
        for block in demo.blocks.values()
        if block.get_block_name() in LABELLED and not block.label
    ]
    assert bare == []


def test_the_page_stays_small(demo: Any):
    shown = [
        block
        for block in demo.blocks.values()
        if block.get_block_name() not in ("state", "row", "column", "group", "form", "tabs", "tabitem", "accordion")
    ]
    assert len(shown) <= MOST_COMPONENTS


def test_hidden_progress_is_kept_for_no_component(demo: Any):
    hidden = [fn for fn in demo.fns.values() if fn.show_progress == "hidden"]
    assert len(hidden) > 50 and all(fn.get_config()["show_progress_on"] == [] for fn in hidden)


def test_no_listener_is_offered_as_an_endpoint(demo: Any):
    assert demo.get_api_info()["named_endpoints"] == {}
    assert {fn.api_visibility for fn in demo.fns.values()} == {"private"}


def _values(**changed: Any) -> dict[str, Any]:
    from t2v_studio.ui import form

    return {**{name: form.OWN_SIZE if name == "size" else form.default(name) for name in form.NAMES}, **changed}


def test_an_edited_plan_is_what_the_video_is_made_from(studio: StandIn):
    from stand_in import plan

    from t2v_studio.ui import plan_table

    made = plan(cited=False)
    rows = plan_table.rows_of(made)
    rows[0][1] = "My title"
    submit_request(studio, "video", _values(topic=made.topic, seconds=30), made.model_dump(mode="json"), rows)
    asked = studio.asked[-1]
    assert asked.plan is not None and asked.plan.scenes[0].title == "My title"
    assert asked.seconds is None, "scenes that have their own seconds are not stretched"


OTHER = [
    pytest.param({"topic": "entropy"}, "another topic", id="another topic"),
    pytest.param({"topic": "Gradient descent", "use_rag": True}, "other way", id="the other arm"),
]


@pytest.mark.parametrize(("asked", "words"), OTHER)
def test_a_plan_of_something_else_makes_way_and_takes_no_edits_with_it(asked: dict[str, Any], words: str):
    from stand_in import plan

    from t2v_studio.errors import InputError
    from t2v_studio.ui import plan_table

    made = plan(cited=False)
    kept, rows = made.model_dump(mode="json"), plan_table.rows_of(made)
    assert drawn_plan(_values(topic=made.topic), kept, rows, {}) == kept
    assert drawn_plan(_values(**asked), kept, rows, {}) is None
    for edited, codes in (([[*rows[0][:3], "My words", *rows[0][4:]], *rows[1:]], {}), (rows, {"s1": "class A: ..."})):
        with pytest.raises(InputError, match=words):
            drawn_plan(_values(**asked), kept, edited, codes)


def test_code_that_came_with_a_film_is_no_work_of_the_person():
    codes = {"s1": "class A(Scene): ..."}
    film = SimpleNamespace(request=SimpleNamespace(manim_code=codes))
    studio: Any = SimpleNamespace(video=lambda name: film)
    drawn = {"kind": "video", "id": "vid_1"}
    assert own_codes(studio, dict(codes), drawn, None) == {}
    assert own_codes(studio, {"s1": "class B(Scene): ..."}, drawn, None) == {"s1": "class B(Scene): ..."}
    assert own_codes(studio, codes, {"kind": "plan", "id": "job_1"}, None) == codes


def test_a_pair_asks_for_retrieval(studio: StandIn):
    submit_request(studio, "pair", _values(topic="x", rag_query="slope"), None, [])
    assert studio.asked[-1].use_rag and studio.asked[-1].rag_query == "slope"


def test_status_offers_cancel_while_it_runs_and_the_hint_when_it_failed(studio: StandIn):
    job = studio.queue(
        "video", "x", {}, {"code": "broken", "message": "The engine stopped.", "hint": "Try the local engine."}
    )
    assert 'data-act="cancel"' in status_of(job)
    assert "(decoding)" in status_of(replace(job, message="scene 1 of 2 (decoding)"))
    ended = studio.wait(job.id)
    assert "The engine stopped." in status_of(ended) and "Try the local engine." in status_of(ended)


def test_a_preview_outside_outputs_is_not_shown(studio: StandIn):
    (studio.workspace.data / "secret.png").write_bytes(b"secret")
    inside = studio.workspace.videos / "p.png"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"picture")
    job = studio.job(studio.queue("video", "x", {}).id)
    assert preview_of(studio, replace(job, preview="data/secret.png")) == ""
    assert preview_of(studio, replace(job, preview="outputs/../data/secret.png")) == ""
    assert "base64" in preview_of(studio, replace(job, preview="outputs/videos/p.png"))
