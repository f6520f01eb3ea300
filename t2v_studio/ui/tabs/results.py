"""What a closed study says: findings, tables, figures, and the files of the thesis."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.errors import NotFoundError
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import report_view, study_view
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page
from t2v_studio.workspace import new_id

NAME, LABEL, ORDER = "results", "Results", 60
REVEALED = ("closed", "unblinded")
NOTHING = markup.empty("No study yet", "Make a study in Study; once it is closed, its tables and figures stand here.")
TO_WRITE = markup.empty(
    "The study is closed",
    "Write the report: tables, figures, a methods paragraph and a bundle. The first time every video is measured, too, "
    "which takes some seconds each. The page may be left meanwhile: come back to this tab and the report is here.",
)
FILES = {"latex": "*.tex", "csv": "*.csv", "figures": "figures/*"}
"""Download -> the report's files in it."""


def folder_of(studio: Studio, study_id: str) -> Path:
    """Where a study's report is written."""
    return studio.workspace.study(study_id) / "report"


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
    view = gr.HTML(NOTHING, css_template=report_view.STYLE, elem_id="results-view", apply_default_css=False)
    outputs = [view, write, downloads, latex, tables, figures, bundle]

    @guarded
    def choose(study_id: str | None) -> Any:
        return show(studio, study_id or "")

    @guarded
    def written(study_id: str | None) -> Any:
        if not study_id:
            raise NotFoundError("no_study", "There is no study to report on.", "Choose one.")
        studio.studies.report(study_id, folder_of(studio, study_id))
        return show(studio, study_id)

    def fill(study_id: str | None) -> Any:
        rows = studio.studies.studies()
        known = [row["id"] for row in rows]
        closed = [row["id"] for row in rows if row["state"] in REVEALED]
        chosen = study_id if study_id in known else (closed or known or [None])[0]
        return gr.Dropdown(choices(rows), value=chosen), *show(studio, chosen or "")

    @guarded
    def opened(what: dict[str, Any] | None, study_id: str | None) -> Any:
        return fill(what["id"]) if what and what["kind"] == "results" else gr.skip()

    study.input(choose, study, outputs, **QUIET)
    write.click(
        written,
        study,
        outputs,
        trigger_mode="once",
        show_progress="full",
        show_progress_on=view,
        api_visibility="private",
    )
    page.opened.change(opened, [page.opened, study], [study, *outputs], **QUIET)
    page.on_load(guarded(fill), study, [study, *outputs])
    if page.tab is not None:
        page.tab.select(guarded(fill), study, [study, *outputs], **QUIET)


def choices(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(f"{row['title']} · {study_view.STATES[row['state']][0]}", row["id"]) for row in rows]


def show(studio: Studio, study_id: str) -> tuple[Any, ...]:
    """View, button and downloads of one study. Nothing of its scores before it is closed."""
    hidden = (gr.Button(visible=False), gr.Row(visible=False), *[gr.DownloadButton(value=None)] * 4)
    if not study_id:
        return NOTHING, *hidden
    study = next((row for row in studio.studies.studies() if row["id"] == study_id), None)
    if study is None:
        return NOTHING, *hidden
    if study["state"] not in REVEALED:
        return report_view.blind(study), *hidden
    folder = folder_of(studio, study_id)
    view = report_view.report(folder)
    if not view:
        return TO_WRITE, gr.Button("Write the report", visible=True), *hidden[1:]
    again = gr.Button("Write the report again", visible=True)
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
