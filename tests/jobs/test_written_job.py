"""Scenes are written by a job and shown before one is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from t2v_studio.engines.manim import dry_run, installed, sandbox, written
from t2v_studio.engines.manim.job import HarnessReport
from t2v_studio.errors import InputError, UnavailableError
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio

PLAN = ScenePlan(
    topic="Descent",
    scenes=[Scene(id=f"scene_{n}", title=f"Part {n}", steps=[Step(say="We go down the slope.")]) for n in (1, 2, 3)],
)
GOOD = "from manim import *\n\n\nclass Part(Lesson):\n    def construct(self):\n        self.wait()\n"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model that answers with good code, and how often it was loaded."""
    pytest.importorskip("manim")
    found: list[str] = []

    @contextmanager
    def author(options: Any, settings: Settings) -> Iterator[Any]:
        found.append(options.manim_model_id)
        yield lambda messages: GOOD

    full = sandbox.Probe(sandbox.Level.files_and_network)
    monkeypatch.setattr(written, "author", author)
    monkeypatch.setattr(sandbox, "probe", lambda: full)
    monkeypatch.setattr(dry_run, "attempt", lambda code, scene="", **_: HarnessReport(scene="Part", duration_s=1.0))
    return found


def asked(**fields: Any) -> VideoRequest:
    return VideoRequest(topic="Descent", engine="manim", manim_scenes="written", manim_model_id="nobody", **fields)


def test_all_scenes_are_written_with_one_loaded_model(settings: Settings, loads: list[str]) -> None:
    studio = Studio(settings)
    mine = GOOD.replace("Part", "Mine")
    request = asked(manim_code={"scene_2": mine}, seed=3)
    rows = studio.wait(studio.manim.submit_written(request, PLAN).id).result["scenes"]
    assert [(row["id"], row["index"], row["fallback"]) for row in rows] == [
        ("scene_1", 0, ""), ("scene_2", 1, ""), ("scene_3", 2, "")
    ]  # fmt: skip
    assert [row["code"] for row in rows] == [GOOD, mine, GOOD] and loads == ["nobody"]
    assert rows[0]["attempts"][0]["how"] == "written" and rows[1]["attempts"][0]["how"] == "given"


def test_one_scene_can_be_asked_for_and_code_alone_loads_no_model(settings: Settings, loads: list[str]) -> None:
    studio = Studio(settings)
    request = asked(manim_code={"scene_2": GOOD}, seed=3)
    rows = studio.wait(studio.manim.submit_written(request, PLAN, ["scene_2"]).id).result["scenes"]
    assert [row["id"] for row in rows] == ["scene_2"] and loads == []
    with pytest.raises(InputError, match="no scene scene_9"):
        studio.wait(studio.manim.submit_written(request, PLAN, ["scene_9"]).id)


def test_a_machine_without_isolation_says_so(
    settings: Settings, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = sandbox.Probe(sandbox.Level.limits, (), ("read", "tcp"), "Install bubblewrap.")
    monkeypatch.setattr(sandbox, "probe", lambda: weak)
    studio = Studio(settings)
    with pytest.raises(UnavailableError) as refused:
        studio.wait(studio.manim.submit_written(asked(seed=3), PLAN).id)
    assert refused.value.code == "sandbox_weak" and "Install bubblewrap" in refused.value.hint and loads == []


def test_without_manim_it_says_what_to_install(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "manim_version", lambda: "")
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="extra that is not installed"):
        dry_run.ready(settings)


def test_the_doctor_tells_the_measured_level_and_what_it_costs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t2v_studio.doctor.engines import written_scenes

    weak = sandbox.Probe(sandbox.Level.files, ("landlock",), ("udp",), "Install bubblewrap.")
    monkeypatch.setattr(sandbox, "probe", lambda: weak)
    row = written_scenes(settings)
    assert row["state"] == "warning" and row["found"] == "isolation: files by landlock; open: udp"
    assert "are off" in row["cost"] and row["hint"] == "Install bubblewrap."
    assert "runs all the same" in written_scenes(settings.model_copy(update={"manim_unconfined": True}))["cost"]
    full = sandbox.Probe(sandbox.Level.files_and_network, ("landlock", "seccomp"))
    monkeypatch.setattr(sandbox, "probe", lambda: full)
    assert written_scenes(settings)["state"] == "ok"


def test_text_sets_are_checked_by_gate_and_dry_run(loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from t2v_studio.datasets.text_pairs.code import tools

    found = tools(dry_run=True)
    assert found.missing == () and found.gate and found.dry_run
    assert found.gate("import os") and found.dry_run(GOOD, "Part") == ""
    assert dict(tools().missing) == {"dry_run": "not asked for (--dry-run)"}
    weak = sandbox.Probe(sandbox.Level.limits, hint="Install bubblewrap.")
    monkeypatch.setattr(sandbox, "probe", lambda: weak)
    without = tools(dry_run=True)
    assert without.dry_run is None and "Written Manim code is off" in dict(without.missing)["dry_run"]
