"""What a result says of how its scenes were drawn: verdicts, tries, prompts, memory and switches; a pair of both arms."""

from __future__ import annotations

from typing import Any

import pytest
from stand_in import plan

from t2v_studio.planning.plan import PlannerNote
from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.production.request import VideoRequest
from t2v_studio.ui.components import pair_view, result_view, scene_details

RETRIES = [
    {"cause": "black", "verdict": "black", "settings": {}, "next": "decode again in float32, untiled", "measures": {}},
    {"cause": "not_finite", "verdict": "", "settings": {}, "next": "another seed", "measures": {}},
]


def scene(number: int, text: str, negative: str = "blurry <b>", **more: Any) -> SceneRecord:
    details = {
        "sampling": {"steps": 2, "guidance": 3.0, "frames": 9, "scheduler": "UniPC"},
        "memory": {"tier": "cpu", "plan": "cpu: no card: everything in main memory"},
        "switches": {"attention": "native (chosen)", "compile": "off: no card", "step_cache": "switched off"},
        "prompt": {"text": text, "negative": negative},
        "tokens": {"prompt": 40, "negative": 9, "limit": 512, "dropped": ["style"]},
    }
    return SceneRecord(
        id=f"scene{number}", engine="diffusion", model="tiny-wan", seed=7, frames=9, start_s=0.0, duration_s=1.1,
        **{"details": details, **more},
    )  # fmt: skip


def video(*scenes: SceneRecord, **more: Any) -> VideoRecord:
    request = VideoRequest(
        topic="x", engine="diffusion", model_id="tiny-wan", steps=2, guidance=3.0, attention="native"
    )
    return VideoRecord(
        id="vid_1", created_at="2026-11-01T10:00:00+00:00", request=request, plan=plan(cited=False), scenes=list(scenes),
        width=192, height=128, fps=8, frames=18, duration_s=2.2, verdict="ok", versions={}, timings_s={}, files={},
        video_sha256="0" * 64, frames_sha256="0" * 64, **more,
    )  # fmt: skip


def test_a_try_says_its_cause_and_what_was_done():
    told = scene_details.tries(scene(1, "x", retries=RETRIES))
    assert told == "black: decode again in float32, untiled; not finite: another seed"


def test_details_hold_each_scenes_prompt_its_settings_and_its_tries_folded():
    record = video(scene(1, "A bowl <i>"), scene(2, "A dot", verdict="washed_out", retries=RETRIES))
    view = result_view.settings_table(record)
    assert '<details class="t2-written t2-prompts"><summary>' in view
    assert "A bowl &lt;i&gt;" in view and "A dot" in view and "<i>" not in view
    assert view.count("blurry &lt;b&gt;") == 1 and "Negative prompt of all scenes" in view
    assert "2 steps, guidance 3" in view and "40 of 512" in view and "another seed" in view and "washed out" in view
    assert "Left out, as the model reads 512 tokens: style." in view
    assert "<dt>Attention</dt><dd>PyTorch&#x27;s own</dd>" in view, "as asked, in the words of the form"


def test_prompts_of_unlike_negatives_and_of_scenes_without_one():
    local = SceneRecord(id="scene2", engine="local", seed=1, frames=9, start_s=0, duration_s=1, fallback="it failed")
    record = video(scene(1, "A bowl", negative=""), local)
    view = scene_details.prompts(("", record))
    assert "No negative prompt: guidance was off." in view and "Drawn by the local engine, without a prompt." in view
    assert scene_details.prompts(("", video(local))) == ""


def test_memory_and_switches_are_sentences():
    view = scene_details.machine(video(scene(1, "x")))
    assert "There was no graphics card: everything in main memory." in view
    assert "PyTorch&#x27;s own (chosen)." in view and "Off: no card." in view and "Switched off." in view
    details = scene(1, "x").details | {
        "memory": {"tier": "B", "plan": "tier B: transformer and decoder stay on the card (40.0 of 80.0 GiB)"},
        "limit": {"card": "NVIDIA H100"},
    }
    carded = scene_details.machine(video(scene(1, "x", details=details)))
    assert "Drawn on NVIDIA H100: transformer and decoder stay on the card (40.0 of 80.0 GiB)." in carded
    assert "tier" not in carded


def test_a_verdict_says_what_was_checked_and_claims_no_more():
    for verdict in ("ok", "washed_out"):
        chip = scene_details.verdict_chip(verdict)
        assert "right" not in chip and "pixel noise" in chip and "topic" in chip
    assert "frame check passed" in scene_details.verdict_chip("ok")
    assert "frame check finds" in result_view.settings_table(video(scene(1, "x")))


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ({"by": "llm"}, "The plan is by the language model tiny."),
        ({"by": "llm", "repaired": True}, "The plan is by the language model tiny, mended once."),
        ({"by": "rules"}, "The plan is by the rules: tiny gave none that could be used (it is empty)."),
        (
            {"by": "rules", "repair_failed": True},
            "The plan is by the rules: tiny gave none that could be used, and one repair of it failed (it is empty).",
        ),
    ],
)
def test_who_wrote_the_plan_is_said_with_the_repair(note: dict[str, Any], words: str):
    record = video(scene(1, "x"))
    record.plan.planner = PlannerNote(model="tiny", reason="it is empty", **note)
    assert f">{words}<" in result_view.settings_table(record)


def test_a_pair_shows_what_both_share_each_arms_scenes_and_the_prompts_side_by_side():
    plain = video(scene(1, "A bowl"), scene(2, "A dot", verdict="noise"))
    treated = video(scene(1, "Textbook facts: a bowl"), scene(2, "Textbook facts: a dot", retries=RETRIES))
    view = pair_view.settings(plain, treated)
    assert view.count("<table") == 2 and view.count("t2-prompts") == 1
    assert view.index("Without retrieval") < view.index("noise") < view.index("another seed")
    for words in ("A bowl", "Textbook facts: a bowl", "A dot", "Textbook facts: a dot"):
        assert f"<p>{words}</p>" in view
    assert view.count("blurry") == 1 and "no graphics card" in view
