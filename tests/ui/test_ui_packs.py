"""The packs tab: its tables, its words about a job, and nothing unescaped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stand_in import StandIn

from t2v_studio.settings import Settings
from t2v_studio.ui.components import evidence, job_card, pack_tables
from t2v_studio.ui.tabs.packs import status_of

ATTACK = "<img src=x onerror=alert(1)>"


def run(**fields: Any) -> dict[str, Any]:
    row = {
        "topic_slug": "descent",
        "seed": 61,
        "status": "ok",
        "verdict": "ok",
        "reason": "",
        "pair_id": "pair_0123456789",
    }
    row |= {"variant": "no_rag", "retrieved_words": "", "grounded": ""}
    rows = [row, {**row, "variant": "rag_semantic", "retrieved_words": 35, "verdict": "frozen"}]
    other = {
        **row,
        "topic_slug": "noodles",
        "status": "refused",
        "verdict": "",
        "pair_id": "",
        "reason": "It is not grounded.",
    }
    counts = {"topics": 2, "ok": 1, "refused": 1, "failed": 0, "open": 0}
    form = {"run": "small-a", "title": "Small", "tag": "a", "state": "finished", "ok": False, "counts": counts}
    return form | {"seed_offset": 100, "strict": True, "folder": "outputs", "rows": [*rows, other]} | fields


@pytest.fixture
def studio(settings: Settings) -> StandIn:
    return StandIn(settings)


def test_a_pack_shows_the_seeds_that_will_be_used(studio: StandIn) -> None:
    rows = {row["name"]: row for row in studio.packs.packs()}
    view = pack_tables.topics(rows["course_ml"], 1000)
    assert "1061" in view and "1066" in view and "6 topics, each twice" in view


def test_a_broken_pack_file_is_shown_with_its_error(studio: StandIn) -> None:
    folder = studio.workspace.data / "packs"
    folder.mkdir()
    (folder / "broken.yaml").write_text("name: broken\ntitel: x\n")
    row = next(row for row in studio.packs.packs() if row["name"] == "broken")
    assert "titel" in pack_tables.topics(row)


def test_the_table_has_both_verdicts_a_play_button_and_the_reason_of_a_refusal() -> None:
    view = pack_tables.results(run(), "pair_0123456789")
    assert view.count("frame check passed") == 1 and "frozen" in view and "35" in view
    assert view.count('data-act="pair"') == 1 and 'aria-pressed="true"' in view
    assert "It is not grounded." in view and "1 refused" in view and "seed offset 100" in view and "strict" in view


def test_nothing_is_shown_unescaped() -> None:
    spoilt = run(title=ATTACK, folder=ATTACK)
    for row in spoilt["rows"]:
        row |= {"topic_slug": ATTACK, "reason": ATTACK, "pair_id": ATTACK}
    shelf = [{**spoilt, "tag": ATTACK, "created_at": "2026-11-01T10:00:00+00:00", "run": ATTACK}]
    pack = {"description": ATTACK, "error": "", "variants": ["no_rag"]}
    pack["topics"] = [{"topic": ATTACK, "template": ATTACK, "seed": 1}]
    for view in (pack_tables.results(spoilt), pack_tables.runs(shelf, ""), pack_tables.topics(pack)):
        assert ATTACK not in view


def test_a_job_is_followed_in_words(studio: StandIn) -> None:
    job = studio.packs.submit_pack("backprop_pair", tag="a")
    waiting = status_of(job)
    assert "One pair on backpropagation" in waiting and 'data-act="cancel"' in waiting
    drawing = replace(
        job, state="running", lane="studio", stage="Topic 2 of 6: backpropagation", step=30, total=60,
        message="video 1 of 2 · about 3 min left", stage_started_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    view = status_of(drawing)
    assert "Topic 2 of 6: backpropagation" in view and "30 of 60" in view
    assert view.count(" left") == 1, "the time left is told once"
    done = replace(job, state="succeeded", result=run())
    assert "1 of 2 topics are made, 1 refused" in status_of(done)
    assert job_card.outcome(done) == ("pack", "small-a")
    assert "All 2 topics are made." in status_of(replace(done, result=run(ok=True)))
    assert "goes on where it stood" in status_of(replace(job, state="cancelled"))
    lost = replace(job, state="lost", error={"message": "The worker ended.", "hint": "Look."})
    assert "The worker ended." in status_of(lost) and "goes on where it stood" in status_of(lost)


def test_grounding_shows_the_retrieved_words() -> None:
    row = {"id": "a", "title": "Start", "cites": ["s1"], "step_words": ["valley"], "prompt_words": ["ravine", "valley"]}
    view = evidence.grounding({"scenes": [row]})
    assert "valley" in view
