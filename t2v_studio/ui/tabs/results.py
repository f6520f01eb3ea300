"""What a closed study says: findings, tables, figures, and the files of the thesis."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.errors import NotFoundError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import job_card, report_view, study_view
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, busy, target
from t2v_studio.workspace import new_id

NAME, LABEL, ORDER = "results", "Results", 60
REVEALED = ("closed", "unblinded")
NOTHING = markup.empty("No study yet", "Make a study in Study; once it is closed, its tables and figures stand here.")
TO_WRITE = markup.empty(
    "The study is closed",
    "Write the report: tables, figures, a methods paragraph and a bundle. The first time every video is measured, too, "
    "which takes up to a minute each.",
)
FILES = {"latex": "*.tex", "csv": "*.csv", "figures": "figures/*"}
"""Download -> the report's files in it."""


def build(page: Page) -> None:
    studio = page.studio
    with gr.Row(equal_height=False):
        study = gr.Dropdown([], label="Study", scale=5, elem_id="results-study")
        write = gr.Button("Write the report", variant="primary", scale=2, visible=False, elem_id="results-write")
    with gr.Row(visible=False) as downloads:
        latex = gr.DownloadButton("↓ Tables (LaTeX)", size="sm", elem_id="results-latex")
        tables = gr.DownloadButton("↓ Tables (CSV)", size="sm", elem_id="results-csv")
        figures = gr.DownloadButton("↓ Figures", size="sm", elem_id="results-figures")
        bundle = gr.DownloadButton("↓ Bundle", size="sm", elem_id="results-bundle")
    status = gr.HTML("", js_on_load=markup.CLICKS, elem_id="results-status", apply_default_css=False)
    view = gr.HTML(NOTHING, css_template=report_view.STYLE, elem_id="results-view", apply_default_css=False)
    following, picked = gr.State(""), gr.State(target("results", ""))
    shown = [view, write, downloads, latex, tables, figures, bundle]
    outputs = [following, status, *shown]

    def look(study_id: str) -> tuple[Any, ...]:
        """Values of `outputs`: the report of a study, and the job that writes it."""
        job = studio.studies.report_job(study_id) if study_id else None
        return (job.id if job else "", status_of(job), *show(studio, study_id, job))

    @guarded
    def choose(study_id: str | None) -> Any:
        return target("results", study_id or ""), *look(study_id or "")

    @guarded
    def submit(study_id: str | None) -> Any:
        if not study_id:
            raise NotFoundError("no_study", "There is no study to report on.", "Choose one.")
        studio.studies.submit_report(study_id)
        return (*look(study_id), busy(), "")

    @guarded
    def follow(job_id: str, study_id: str | None) -> Any:
        """The job's progress; once it has ended, what came of it."""
        if not job_id:
            return gr.skip()
        job = studio.job(job_id)
        if not job.ended:
            return (job_id, status_of(job), *[gr.skip()] * len(shown))
        return ("", status_of(job), *show(studio, study_id or "", None))

    @guarded
    def cancel(event: gr.EventData) -> str:
        return status_of(studio.cancel(str((event._data or {}).get("job", ""))))

    @guarded
    def fill(last: dict[str, Any], what: dict[str, Any] | None) -> Any:
        """The study that was asked for last, here or from another tab.

        The list's own value would not do: when this tab is opened from another, the page may still send the old one.
        """
        if what and what["kind"] == "results" and what["stamp"] > last["stamp"]:
            last = what
        rows = studio.studies.studies()
        known = [row["id"] for row in rows]
        closed = [row["id"] for row in rows if row["state"] in REVEALED]
        chosen = last["id"] if last["id"] in known else (closed or known or [None])[0]
        return last, gr.Dropdown(choices(rows), value=chosen), *look(chosen or "")

    @guarded
    def opened(last: dict[str, Any], what: dict[str, Any] | None) -> Any:
        return fill(last, what) if what and what["kind"] == "results" else gr.skip()

    asked, filled = [picked, page.opened], [picked, study, *outputs]
    study.input(choose, study, [picked, *outputs], **QUIET)
    write.click(submit, study, [*outputs, page.timer, page.rows], trigger_mode="once", **QUIET)
    page.rows.change(follow, [following, study], outputs, trigger_mode="once", **QUIET)
    status.click(cancel, None, status, **QUIET)
    page.opened.change(opened, asked, filled, **QUIET)
    page.on_load(fill, asked, filled)
    if page.tab is not None:
        page.tab.select(fill, asked, filled, **QUIET)


def status_of(job: Job | None) -> str:
    """The report that is being written, or why there is none; empty where all is well."""
    if job is None or job.state == "succeeded":
        return ""
    if not job.ended:
        return job_card.live(job)
    if job.state == "cancelled":
        return markup.notice("Cancelled.", "What was measured is kept: the next report goes on from there.", "info")
    return job_card.failure(job)


def choices(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(f"{row['title']} · {study_view.STATES[row['state']][0]}", row["id"]) for row in rows]


def show(studio: Studio, study_id: str, job: Job | None) -> tuple[Any, ...]:
    """View, button and downloads of one study. Nothing of its scores before it is closed. job: that writes it now."""
    hidden = (gr.Button(visible=False), gr.Row(visible=False), *[gr.DownloadButton(value=None)] * 4)
    if not study_id:
        return NOTHING, *hidden
    study = next((row for row in studio.studies.studies() if row["id"] == study_id), None)
    if study is None:
        return NOTHING, *hidden
    if study["state"] not in REVEALED:
        return report_view.blind(study), *hidden
    folder = studio.studies.report_folder(study_id)
    view = report_view.report(folder)
    if not view:
        return ("" if job else TO_WRITE), gr.Button("Write the report", visible=job is None), *hidden[1:]
    again = gr.Button("Write the report again", visible=job is None)
    return view, again, gr.Row(visible=True), *(gr.DownloadButton(value=path or None) for path in files(studio, folder))


def files(studio: Studio, folder: Path) -> list[str]:
    """The downloads, as copies in the one folder that the page may give out: studies themselves are never served."""
    out = studio.workspace.cache / "web" / "export" / new_id("export")
    out.mkdir(parents=True)
    made = []
    for name, pattern in FILES.items():
        path = out / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob(pattern) if name != "figures" else folder.glob(pattern)):
                archive.write(file, file.relative_to(folder).as_posix())
        made.append(str(path))
    found = folder / "bundle.zip"
    return [*made, str(shutil.copyfile(found, out / "bundle.zip"))] if found.is_file() else [*made, ""]
