"""Which models a job needs: they are neither deleted nor forgotten while it waits, runs, or has just ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from t2v_studio.errors import ConflictError, InputError
from t2v_studio.jobs.model_shelf import ModelShelf
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


def job(kind: str = "video", *, ended_s: float | None = None, **spec: Any) -> Any:
    """A row of the queue; ended_s: how long before it is put on the shelf it ended."""
    return SimpleNamespace(id="job_1", kind=kind, spec=spec, ended=ended_s is not None, ended_s=ended_s, ended_at=None)


def shelf(settings: Settings, workspace: Workspace, *jobs: Any) -> ModelShelf:
    for one in jobs:
        if one.ended:
            one.ended_at = (datetime.now(UTC) - timedelta(seconds=one.ended_s)).isoformat()

    def newest(active: bool = False, limit: int = 0) -> list[Any]:
        return [one for one in jobs if not (active and one.ended)]

    return ModelShelf(settings, workspace, lambda *spec: spec, newest)


def video(model: str = "", **fields: Any) -> dict[str, Any]:
    return {"request": {"engine": "diffusion", "model_id": model, **fields}}


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (job(**video("wan2.1-1.3b")), {"wan2.1-1.3b"}),
        (job(**video()), {"wan2.1-14b"}),
        (job(request={"engine": "local"}), set()),
        (job(**video("wan2.1-1.3b"), ended_s=60), set()),
        (job("again", record=video("tiny-wan")), {"tiny-wan"}),
        (job("download", model="ltx-0.9.1"), {"ltx-0.9.1"}),
        (job("download", model="ltx-0.9.1", ended_s=1), set()),
        (job(**video("a model that is gone")), {"*"}),
        (job("train", run="run_that_is_gone"), {"*"}),
        (job("train", run="run_that_is_gone", ended_s=1), set()),
        (job("pack", folder="nowhere"), {"*"}),
        (job("plan", request={"engine": "local", "planner_model_id": "qwen3-4b"}), {"qwen3-4b"}),
        (job(**video("tiny-wan", prompt_writer="LiquidAI/LFM2-1.2B")), {"tiny-wan", "lfm2-1.2b"}),
        (job("plan", request={"engine": "local", "use_llm_planner": True}), {"lfm2-1.2b"}),
        (job(request={"engine": "manim", "manim_scenes": "written"}), {"qwen3-4b"}),
    ],
)
def test_what_a_job_needs(found: Any, names: set[str], settings: Settings, workspace: Workspace) -> None:
    usual = settings.model_copy(update={"planner_model_id": "lfm2-1.2b", "manim_model_id": "qwen3-4b"})
    assert shelf(usual, workspace, found)._in_use() == names


def test_a_wrong_default_or_list_is_told_and_stops_no_other_model(settings: Settings, workspace: Workspace) -> None:
    wrong = settings.model_copy(update={"model_id": "wan2.1-13b"})
    assert not any(row["default"] for row in shelf(wrong, workspace).rows())
    problem = shelf(wrong, workspace).problem()
    assert (
        problem is not None and problem.message.startswith('T2V_MODEL_ID: "wan2.1-13b"') and "wan2.1-1" in problem.hint
    )
    assert shelf(wrong, workspace).submit_download("ltx-0.9.1")
    with pytest.raises(InputError, match="T2V_MODEL_ID"):
        shelf(wrong, workspace).cache_plan("prune")
    assert shelf(settings, workspace).problem() is None
    (workspace.data / "models.local.yaml").write_text("oops")
    problem = shelf(settings, workspace).problem()
    assert problem is not None and "models.local.yaml" in problem.message
    assert {"wan2.1-14b", "tiny-wan"} <= {row["name"] for row in shelf(settings, workspace).rows()}
    assert shelf(settings, workspace).row("tiny-wan")["here"]


def test_a_name_of_no_model_is_met_with_the_nearest_of_either_kind(settings: Settings, workspace: Workspace) -> None:
    with pytest.raises(InputError) as unknown:
        shelf(settings, workspace).submit_download("qwen3-4")
    assert "qwen3-4b" in unknown.value.hint


def test_a_model_that_a_job_waits_for_is_not_forgotten(
    settings: Settings, workspace: Workspace, tmp_path: Path
) -> None:
    shelf(settings, workspace).make_tiny("wan", tmp_path / "own")
    with pytest.raises(ConflictError, match="own is needed by a job"):
        shelf(settings, workspace, job(**video("own"))).forget("own")
    assert shelf(settings, workspace, job(**video("own"), ended_s=5)).forget("own")["folder"] == str(tmp_path / "own")
    assert "own" not in {row["name"] for row in shelf(settings, workspace).rows()}


def test_downloads_are_queued_once(settings: Settings, workspace: Workspace) -> None:
    kind, lane, spec, title = shelf(settings, workspace).submit_download("qwen3-4b")  # type: ignore[misc]
    assert (kind, lane, spec["model"]) == ("download", "files", "qwen3-4b") and "Qwen3" in title
    with pytest.raises(ConflictError) as twice:
        shelf(settings, workspace, job("download", model="qwen3-4b")).submit_download("Qwen/Qwen3-4B-Instruct-2507")
    assert twice.value.code == "download_running"
    with pytest.raises(InputError) as tiny:
        shelf(settings, workspace).submit_download("tiny-wan")
    assert tiny.value.code == "nothing_to_fetch"
