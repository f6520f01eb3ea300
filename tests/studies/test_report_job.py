"""The report as a job: refused early, told by stage, stopped in the middle, gone on with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from raters import Scene

from t2v_studio.errors import CancelledError, ConflictError
from t2v_studio.jobs.model import Job
from t2v_studio.studies.desk import StudyDesk
from t2v_studio.studio import Studio
from t2v_studio.video import metrics


@pytest.fixture
def closed(locked: tuple[StudyDesk, str], scene: Callable[..., Scene]) -> tuple[Studio, str]:
    """A studio with a study that two examiners scored and the author closed."""
    desk, study_id = locked
    studio = Studio(desk.settings)
    for name in ("ada", "bo"):
        scene(name).answer_all()
    with pytest.raises(ConflictError) as caught:
        studio.studies.submit_report(study_id)
    assert caught.value.code == "still_blind" and studio.jobs() == []
    studio.studies.close(study_id)
    return studio, study_id


def test_a_report_is_stopped_in_the_middle_and_goes_on(
    closed: tuple[Studio, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, study_id = closed
    shelf, folder = studio.studies, studio.studies.report_folder(study_id)
    job = shelf.submit_report(study_id)
    assert shelf.report_job(study_id).id == job.id and (job.kind, job.lane) == ("report", "library")
    with pytest.raises(ConflictError) as caught:
        shelf.submit_report(study_id)
    assert caught.value.code == "report_running"
    seen: list[tuple[str, int, int, str]] = []

    def stop_at_the_third(now: Job) -> None:
        seen.append((now.stage, now.step, now.total, now.message))
        if now.message == "video 3 of 6":
            studio.cancel(now.id)

    monkeypatch.setattr("t2v_studio.jobs.context.REPORTS_PER_SECOND", 1e9)
    with pytest.raises(CancelledError):
        studio.wait(job.id, stop_at_the_third)
    assert ("measuring", 0, 48, "video 1 of 6") in seen
    assert shelf.report_job(study_id) is None and not folder.exists()
    kept = list((studio.workspace.cache / "measures").iterdir())
    assert len(kept) == 2, "what was measured is kept"

    real, measured = metrics.measure_clip, []
    monkeypatch.setattr(metrics, "measure_clip", lambda path, **rest: measured.append(path) or real(path, **rest))
    stages: list[str] = []
    done = studio.wait(shelf.submit_report(study_id).id, lambda now: stages.append(now.stage))
    assert len(measured) == 4
    assert [stage for stage in dict.fromkeys(stages) if stage] == [
        "measuring", "analysing", "comparing", "drawing the figures", "writing",
    ]  # fmt: skip
    assert done.result["study"] == study_id and len(done.result["files"]) > 30
    assert (folder / "bundle.zip").is_file() and (folder / "tables" / "criteria.tex").is_file()
    assert not list(folder.glob(".*")), "nothing half-written stays"
    assert [row["what"] for row in shelf.study(study_id)["audit"]].count("export") == 1


def test_a_report_that_fails_leaves_the_one_before(closed: tuple[Studio, str], monkeypatch: pytest.MonkeyPatch) -> None:
    studio, study_id = closed
    monkeypatch.setattr("t2v_studio.studies.desk.StudyDesk.measures", lambda *_: [])
    monkeypatch.setattr("t2v_studio.studies.figures.draw_all", lambda *_, **__: [])
    studio.wait(studio.studies.submit_report(study_id).id)
    folder = studio.studies.report_folder(study_id)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def broken(*_: object) -> None:
        raise OSError("no space left on the disk")

    monkeypatch.setattr("t2v_studio.studies.bundle.pack", broken)
    with pytest.raises(Exception, match="no space left"):
        studio.wait(studio.studies.submit_report(study_id).id)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
