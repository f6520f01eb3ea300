"""The Models tab: nothing is fetched before it is asked once, and a failure goes when it is no longer true or was read."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from stand_in import StandIn

from t2v_studio.jobs.model import Job
from t2v_studio.jobs.model_shelf import ModelShelf
from t2v_studio.settings import Settings
from t2v_studio.ui.components import video_job
from t2v_studio.ui.page import Page
from t2v_studio.ui.tabs import generate, models

ROOMY, FULL = SimpleNamespace(free=500e9), SimpleNamespace(free=5e9)


@pytest.fixture
def studio(settings: Settings) -> StandIn:
    made = StandIn(settings)

    def submit(kind: str, lane: str, spec: dict[str, Any], title: str) -> Job:
        return made.queue(kind, title, {}, spec=spec)

    made.models = ModelShelf(settings, made.workspace, submit, made.jobs)
    return made


@pytest.fixture
def act(studio: StandIn) -> Any:
    """A click on a button of the table or of the question: the values that the page then shows, by name."""
    with gr.Blocks() as demo:
        states = {name: gr.State() for name in ("rows", "opened", "again", "kept")}
        page = Page(studio, gr.Tabs(), gr.Timer(), **states, viewer=gr.HTML(), header=gr.HTML())  # type: ignore[arg-type]
        models._build_models(page)
    handler = next(one.fn for one in demo.fns.values() if one.fn is not None and one.fn.__name__ == "act")
    names = ("following", "status", "table", "cache", "plan", "question", "read", "timer", "rows")

    def click(what: str, model: str) -> dict[str, Any]:
        return dict(zip(names, handler({}, SimpleNamespace(_data={"act": what, "model": model})), strict=True))

    return click


@pytest.mark.parametrize(("name", "size"), [("wan2.1-14b", "69.0 GB"), ("qwen3-4b", "8.0 GB")])
def test_a_fetch_asks_with_size_and_free_disk_before_it_starts(
    studio: StandIn, act: Any, monkeypatch: pytest.MonkeyPatch, name: str, size: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: ROOMY)
    asked = act("download", name)["question"]
    assert studio.rows == {}, "nothing may start before the answer"
    assert size in asked and "500.0 GB are free" in asked and 'data-act="fetch"' in asked
    assert act("later", name)["question"] == "" and studio.rows == {}
    act("download", name)
    assert act("fetch", name)["question"] == ""
    (job,) = studio.rows.values()
    assert (job.kind, job.spec["model"]) == ("download", name)


def test_what_does_not_fit_has_no_way_on_unless_a_part_is_here(
    studio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: FULL)
    asked = models.question_of(studio, "wan2.1-1.3b")  # type: ignore[arg-type]
    assert "does not fit" in asked and "21.1 GB must be free" in asked and 'data-act="fetch"' not in asked
    entry = studio.models._entry("wan2.1-1.3b")
    studio.models._store().repo(entry.bundles()[0].repo_id).mkdir(parents=True)
    begun = models.question_of(studio, "wan2.1-1.3b")  # type: ignore[arg-type]
    assert "A part of it is here already" in begun and 'data-act="fetch"' in begun


def _failed(studio: StandIn, kind: str = "download", name: str = "wan2.1-1.3b", hours: float = 0) -> Job:
    job = studio.queue(kind, "Fetch it", {}, spec={"model": name})
    ended = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    error = {"message": "The hub could not be reached.", "hint": "Check the network."}
    studio.rows[job.id] = replace(job, state="failed", ended_at=ended, error=error)
    return studio.rows[job.id]


def test_a_failed_fetch_is_told_until_it_is_over(studio: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    job = _failed(studio)
    assert not models.is_over(studio, job)  # type: ignore[arg-type]
    assert models.is_over(studio, _failed(studio, hours=25))  # type: ignore[arg-type]
    rows = [row | {"here": True} for row in studio.models.rows()]
    monkeypatch.setattr(studio.models, "rows", lambda: rows)
    assert models.is_over(studio, job), "the model has come since"  # type: ignore[arg-type]
    assert not models.is_over(studio, _failed(studio, "convert_model"))  # type: ignore[arg-type]


def test_a_failed_fetch_goes_with_the_next_choice(studio: StandIn, act: Any) -> None:
    job = _failed(studio)
    shown = act("pin", "ltx-0.9.1")
    assert shown["status"] == "" and shown["read"] == job.id


def test_how_a_job_ended_stays_no_longer_than_the_next_choice_in_the_form() -> None:
    told = '<div class="t2-notice bad">The engine stopped.</div>'
    assert video_job.is_read(told, "")
    assert not video_job.is_read(told, "job_1"), "another one is followed"
    assert not video_job.is_read(generate.EMPTY, "") and not video_job.is_read("", "")


def test_a_damaged_model_of_ones_own_says_what_is_wrong(studio: StandIn, tmp_path: Path) -> None:
    studio.models.make_tiny("wan", tmp_path / "mine")
    assert "Damaged" not in models.table_of(studio)  # type: ignore[arg-type]
    shutil.rmtree(tmp_path / "mine" / "vae")
    row = studio.models.row("mine")
    assert row["damaged"] and not row["here"] and row["label"] == "Tiny wan (damaged)"
    table = models.table_of(studio)  # type: ignore[arg-type]
    assert "Damaged" in table and "its part vae is not there" in table and "t2v models forget mine" in table
