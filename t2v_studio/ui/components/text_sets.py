"""The text sets of the workspace: drop one, look at what a check finds, take the report or the rows away."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.studio import Studio
from t2v_studio.ui.components import text_set_view
from t2v_studio.ui.components.study_view import CLICKS
from t2v_studio.ui.components.train_view import STYLE
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page
from t2v_studio.workspace import new_id

NO_TOKENIZER = ("Do not count tokens", "")
TINY = ("Bytes (tiny model)", "tiny-qwen3")
HEAD = ("severity", "code", "row", "field", "reason", "fix")


@dataclass(frozen=True)
class _Parts:
    """buttons: findings as CSV, report as JSON, the set as ZIP."""

    file: gr.File
    chosen: gr.Dropdown
    tokenizer: gr.Dropdown
    length: gr.Slider
    check: gr.Button
    report: gr.HTML
    downloads: gr.Row
    buttons: list[gr.DownloadButton]
    listing: gr.HTML


def build(page: Page, tab: gr.Tab) -> None:
    """The view and its listeners."""
    studio = page.studio
    made = _layout()
    cleared = ["", gr.Row(visible=False)]

    @guarded
    def fill(now: str | None, counted: str | None) -> Any:
        choices = tokenizers(studio)
        value = counted if counted in {name for _, name in choices} else ""
        return *_lists(studio, now), gr.Dropdown(choices, value=value)

    @guarded
    def drop(path: str | None) -> Any:
        if not path:
            return gr.skip()
        row = studio.text_sets.add([dropped(studio, path)])
        gr.Info(f"{row['name']} is added.", duration=4)
        return *_lists(studio, row["name"]), None, *cleared

    @guarded
    def clicked(now: str | None, event: gr.EventData) -> Any:
        sent = event._data or {}
        if sent.get("act") == "remove":
            studio.text_sets.remove(str(sent.get("name", "")))
            return *_lists(studio, now), *cleared
        return *_lists(studio, str(sent.get("name", ""))), *cleared

    @guarded
    def look(name: str | None, counted: str | None, most: float) -> Any:
        if not name:
            raise InputError("no_set", "Text set: none is chosen.", "Drop a file, or choose one of the list.")
        if counted and counted not in {one for _, one in tokenizers(studio)}:
            raise InputError("no_tokenizer", "Tokenizer: it is not in the list.", "Reload the page.")
        found = studio.text_sets.validate_set(name, tokenizer=counted or "", max_length=int(most))
        return (
            text_set_view.report(name, found),
            gr.Row(visible=True),
            *(gr.DownloadButton(value=str(path)) for path in written(studio, name, found)),
        )

    lists = [made.chosen, made.listing]
    page.on_load(fill, [made.chosen, made.tokenizer], [*lists, made.tokenizer])
    for one in (page.tab, tab):
        if one is not None:
            one.select(fill, [made.chosen, made.tokenizer], [*lists, made.tokenizer], **QUIET)
    made.file.upload(drop, made.file, [*lists, made.file, made.report, made.downloads], **QUIET)
    made.listing.click(clicked, made.chosen, [*lists, made.report, made.downloads], **QUIET)
    made.check.click(
        look, [made.chosen, made.tokenizer, made.length], [made.report, made.downloads, *made.buttons],
        trigger_mode="once", show_progress="full", show_progress_on=made.report, api_visibility="private",
    )  # fmt: skip


def _layout() -> _Parts:
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300, elem_id="sets-form"):
            file = gr.File(
                label="Drop a set: .jsonl, .json or .csv",
                file_types=[".jsonl", ".json", ".csv"],
                type="filepath",
                height=160,
                elem_id="sets-file",
            )
            chosen = gr.Dropdown([], label="Text set", elem_id="sets-chosen")
            tokenizer = gr.Dropdown(
                [NO_TOKENIZER], value="", label="Tokenizer", info="Of the model that will read the rows.",
                filterable=False, elem_id="sets-tokenizer",
            )  # fmt: skip
            length = gr.Slider(64, 8192, value=1024, step=64, label="Tokens a row at most", elem_id="sets-length")
            check = gr.Button("Check the set", variant="primary", elem_id="sets-check")
        with gr.Column(scale=8, min_width=320, elem_id="sets-outcome"):
            report = gr.HTML("", css_template=STYLE, elem_id="sets-report", apply_default_css=False)
            with gr.Row(visible=False, elem_classes="t2-actions") as downloads:
                csv_button = gr.DownloadButton("↓ Findings (CSV)", size="sm", min_width=130, elem_id="sets-get-csv")
                json_button = gr.DownloadButton("↓ Report (JSON)", size="sm", min_width=130, elem_id="sets-get-json")
                rows_button = gr.DownloadButton("↓ The set (ZIP)", size="sm", min_width=130, elem_id="sets-get-rows")
            listing = gr.HTML(
                text_set_view.NOTHING,
                css_template=STYLE,
                js_on_load=CLICKS,
                elem_id="sets-list",
                apply_default_css=False,
            )
    buttons = [csv_button, json_button, rows_button]
    return _Parts(file, chosen, tokenizer, length, check, report, downloads, buttons, listing)


def _lists(studio: Studio, now: str | None) -> tuple[Any, Any]:
    """The choice and the list of sets; `now` stays chosen while it is there."""
    rows = studio.text_sets.sets()
    names = [row["name"] for row in rows]
    value = now if now in names else (names[0] if names else None)
    return gr.Dropdown(names, value=value), text_set_view.listing(rows, value or "")


def tokenizers(studio: Studio) -> list[tuple[str, str]]:
    """Chat models that are here, whose tokenizer can count."""
    return [NO_TOKENIZER, *((row["name"], row["name"]) for row in studio.diffusion.planners() if row["here"]), TINY]


def dropped(studio: Studio, path: str) -> Path:
    """A dropped file, if it is one of rows and not too large. Raises InputError."""
    found = Path(path)
    most = studio.settings.upload_max_mb
    if found.suffix.lower() not in (".jsonl", ".json", ".csv"):
        raise InputError("bad_format", f"{found.name}: only .jsonl, .json and .csv files hold rows.", "Convert it.")
    if found.stat().st_size > most * 1024 * 1024:
        raise InputError("upload_too_large", f"{found.name} is larger than {most} MB.", "Use: t2v dataset add")
    return found


def written(studio: Studio, name: str, found: dict[str, Any]) -> tuple[Path, Path, Path]:
    """The findings as CSV, the report as JSON, and the set itself, where the page may give them out."""
    folder = studio.workspace.cache / "web" / "text_sets" / new_id("report")
    folder.mkdir(parents=True, exist_ok=True)
    table, report = folder / f"{name}-findings.csv", folder / f"{name}-report.json"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEAD)
        writer.writeheader()
        writer.writerows({key: _plain(str(one.get(key, ""))) for key in HEAD} for one in found["findings"])
    report.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    path = next(row["path"] for row in studio.text_sets.sets() if row["name"] == name)
    return table, report, Path(shutil.make_archive(str(folder / name), "zip", path))


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
