"""Studies as the interfaces see them: the desk, and its long work as jobs. `Studio.studies` is one of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from t2v_studio.errors import ConflictError
from t2v_studio.jobs.model import Job
from t2v_studio.settings import Settings
from t2v_studio.studies.desk import StudyDesk
from t2v_studio.studies.store_states import REVEALED
from t2v_studio.workspace import Workspace


class StudyShelf(StudyDesk):
    """The desk with a queue."""

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        submit: Callable[..., Job],
        active: Callable[[], list[Job]],
    ) -> None:
        """submit: queues (kind, lane, spec, title). active: the jobs that have not ended."""
        super().__init__(settings, workspace)
        self._submit = submit
        self._active = active

    def report_folder(self, study_id: str) -> Path:
        """Where a study's report is written unless another folder is named."""
        return self.workspace.study(study_id) / "report"

    def submit_report(self, study_id: str, folder: Path | None = None) -> Job:
        """Queue the report of a closed study. Result: study, folder, files.

        Refused now, not after the measuring: ConflictError still_blind before close, report_running where it is
        being written into that folder.
        """
        study = self.study(study_id)
        if study["state"] not in REVEALED:
            self.clips(study_id)  # says why
        place = str((folder or self.report_folder(study_id)).expanduser().absolute())
        busy = next((job for job in self._reports(study_id) if job.spec["folder"] == place), None)
        if busy is not None:
            raise ConflictError(
                "report_running",
                f"This report is being written now ({busy.id}).",
                "Wait for it or cancel it.",
                job=busy.id,
            )
        return self._submit("report", "library", {"study": study_id, "folder": place}, f"Report: {study['title']}")

    def report_job(self, study_id: str) -> Job | None:
        """The job that writes this study's report into its own folder now, if there is one."""
        place = str(self.report_folder(study_id).absolute())
        return next((job for job in self._reports(study_id) if job.spec["folder"] == place), None)

    def _reports(self, study_id: str) -> list[Job]:
        return [job for job in self._active() if job.kind == "report" and job.spec["study"] == study_id]
