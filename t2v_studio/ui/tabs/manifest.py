"""A training set from scored clips: choose them, correct their captions, look at the splits, save and export."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup
from t2v_studio.ui.components import job_card, manifest_view
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, busy, settle
from t2v_studio.workspace import new_id

NAME, LABEL, ORDER = "manifest", "Manifest", 70
NEW = "new"
VERDICTS = ("ok", "frozen", "black", "white", "underexposed", "washed_out", "noise")
INCLUDES = [
    ("drawn by another engine than asked for", "fallback"),
    ("GIFs", "gif"),
    ("degenerate pictures", "degenerate"),
    ("clips of blind and test studies", "study"),
]
SCORES = [("any, scored or not", 0.0), *((f"{score:g}", score) for score in (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0))]
CAPTIONS = (
    '<p class="t2-muted">A caption is kept when you leave its field, for every later manifest. Before a manifest is saved, '
    "an empty one goes back to the plan's own words.</p>"
)
LAYOUT_NAMES = {
    "videofolder": "VideoFolder (metadata.jsonl)",
    "text": "Clip and .txt side by side",
    "jsonl": "Manifest with its clips",
}
FIELDS = ("min_score", "criterion", "engine", "topic", "verdict", "include", "test_study", "unit", "trigger_token", "split", "seed")  # fmt: skip


def build(page: Page) -> None:
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=280, elem_id="manifest-form"):
            fields = _form(page.studio)
        with gr.Column(scale=9, min_width=320, elem_id="manifest-outcome"):
            with gr.Row(equal_height=True):
                chosen = gr.Dropdown(
                    [("New, from these filters", NEW)], value=NEW, label="Manifest", scale=5, elem_id="manifest-chosen"
                )
                save = gr.Button(
                    "Save the manifest", variant="primary", scale=2, min_width=150, elem_id="manifest-save"
                )
            head = gr.HTML(
                markup.OPENING, css_template=manifest_view.STYLE, elem_id="manifest-head", apply_default_css=False
            )
            exports = _exports()
            status = gr.HTML("", js_on_load=markup.CLICKS, elem_id="manifest-status", apply_default_css=False)
            shelf = gr.HTML(
                "",
                css_template=manifest_view.STYLE,
                js_on_load=manifest_view.CLICKS,
                elem_id="manifest-clips",
                apply_default_css=False,
            )
            gr.HTML(CAPTIONS, apply_default_css=False)
            with gr.Accordion("Left out, and why", open=False, elem_id="manifest-left-out"):
                out = gr.HTML("", apply_default_css=False)
    _Flow(page, fields, chosen, save, head, exports, status, shelf, out).wire()


def _form(studio: Studio) -> dict[str, Any]:
    offered = studio.manifests.choices()
    default = offered["defaults"]
    criteria = [(label, key) for key, label in offered["criteria"].items()]
    fields: dict[str, Any] = {
        "min_score": gr.Dropdown(SCORES, value=0.0, label="Score at least", info="The mean of what examiners gave, 1 to 5.", elem_id="manifest-min-score"),
        "criterion": gr.Dropdown(criteria, value=[], multiselect=True, label="On these criteria", info="Each must reach the score. None: the mean of all five.", elem_id="manifest-criterion"),
        "topic": gr.Dropdown([], value=[], multiselect=True, label="Topics", info="None: all.", elem_id="manifest-topic"),
        "engine": gr.Dropdown(list(form.choices("engine")), value=[], multiselect=True, label="Engines", info="None: all.", elem_id="manifest-engine"),
        "verdict": gr.Dropdown([(name.replace("_", " "), name) for name in VERDICTS], value=[], multiselect=True, label="Verdicts", info="None: those that passed the frame check.", elem_id="manifest-verdict"),
    }  # fmt: skip
    with gr.Accordion("What stays out", open=False):
        fields["include"] = gr.CheckboxGroup(
            INCLUDES, value=[], label="Take these in all the same", elem_id="manifest-include"
        )
        fields["test_study"] = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            label="Studies kept for tests",
            info="Clips with a topic and seed of theirs stay out.",
            elem_id="manifest-test-study",
        )
    with gr.Accordion("Rows, captions and splits", open=False):
        fields["unit"] = gr.Radio(
            [("whole videos", "video"), ("scenes", "scene")],
            value=default["unit"],
            label="One row for each of the",
            elem_id="manifest-unit",
        )
        fields["trigger_token"] = gr.Textbox(
            default["trigger_token"],
            label="Trigger token",
            info="First word of every caption.",
            max_length=40,
            elem_id="manifest-trigger",
        )
        fields["split"] = gr.Textbox(
            ",".join(f"{one:g}" for one in default["split"]),
            label="Train, validation, test",
            info="Shares of the families.",
            max_length=40,
            elem_id="manifest-split",
        )
        fields["seed"] = gr.Number(
            default["seed"], precision=0, minimum=0, label="Seed of the splits", elem_id="manifest-seed"
        )
    return fields


def _exports() -> dict[str, Any]:
    with gr.Row(visible=False, elem_id="manifest-exports", equal_height=True) as row:
        jsonl = gr.DownloadButton("↓ JSONL", size="sm", min_width=90, elem_id="manifest-jsonl")
        csv = gr.DownloadButton("↓ CSV", size="sm", min_width=90, elem_id="manifest-csv")
        layout = gr.Dropdown(
            [(label, key) for key, label in LAYOUT_NAMES.items()],
            value="videofolder",
            label="Layout",
            min_width=220,
            elem_id="manifest-layout",
        )
        pack = gr.Button("Pack the clips", size="sm", min_width=120, elem_id="manifest-pack")
        archive = gr.DownloadButton("↓ Archive", size="sm", min_width=110, visible=False, elem_id="manifest-archive")
    return {"row": row, "jsonl": jsonl, "csv": csv, "layout": layout, "pack": pack, "archive": archive}


class _Flow:
    """What is shown: the clips of the filters, or of a saved manifest."""

    def __init__(
        self,
        page: Page,
        fields: dict[str, Any],
        chosen: gr.Dropdown,
        save: gr.Button,
        head: gr.HTML,
        exports: dict[str, Any],
        status: gr.HTML,
        shelf: gr.HTML,
        out: gr.HTML,
    ) -> None:
        self.page, self.studio, self.fields = page, page.studio, fields
        self.chosen, self.save, self.head, self.exports, self.shelf, self.out = chosen, save, head, exports, shelf, out
        self.status, self.packing = status, gr.State("")
        self.shown = gr.State(manifest_view.PAGE)
        self.inputs = [fields[name] for name in FIELDS]
        self.views = [head, shelf, out, exports["row"], exports["jsonl"], exports["csv"], exports["archive"]]

    def wire(self) -> None:
        studio, desk = self.studio, self.studio.manifests

        @guarded
        def fill(now: str, *values: Any) -> Any:
            saved = desk.manifests()
            chosen = now if now in {row["id"] for row in saved} else NEW
            studies = [(row["title"], row["id"]) for row in studio.studies.studies()]
            topics = gr.Dropdown([(tag.replace("_", " "), tag) for tag in desk.topics()])
            return gr.Dropdown(choices(saved), value=chosen), topics, gr.Dropdown(studies), *self._show(chosen, values)

        @guarded
        def filtered(*values: Any) -> Any:
            return NEW, manifest_view.PAGE, *self._show(NEW, values)

        @guarded
        def choose(now: str, *values: Any) -> Any:
            return manifest_view.PAGE, *self._show(now, values)

        @guarded
        def keep(*values: Any) -> Any:
            made = desk.build(**spec_of(values))
            gr.Info(f"{markup.plural(made['clips'], 'clip')} saved.", title="Manifest saved")
            return gr.Dropdown(choices(desk.manifests()), value=made["id"]), *self._show(made["id"], values)

        @guarded
        def act(now: str, shown: int, event: gr.EventData, *values: Any) -> Any:
            sent = event._data or {}
            if sent.get("act") == "more":
                more = shown + manifest_view.PAGE
                return more, self._view(now, values, more)[1]
            if sent.get("act") == "caption":
                self._caption(now, str(sent.get("clip", "")), str(sent.get("text", "")), values)
            return gr.skip()

        choice = [self.chosen, self.fields["topic"], self.fields["test_study"]]
        if self.page.tab is not None:
            self.page.tab.select(self._looking, None, self.head, **QUIET).then(
                fill, [self.chosen, *self.inputs], [*choice, *self.views], **QUIET
            )
        changes = [
            field.change if isinstance(field, (gr.CheckboxGroup, gr.Radio)) else field.input for field in self.inputs
        ]
        gr.on(
            changes, filtered, self.inputs, [self.chosen, self.shown, *self.views], trigger_mode="always_last", **QUIET
        )
        self.chosen.input(choose, [self.chosen, *self.inputs], [self.shown, *self.views], **QUIET)
        self.save.click(
            keep,
            self.inputs,
            [self.chosen, *self.views],
            trigger_mode="once",
            show_progress="minimal",
            api_visibility="private",
        )
        self.shelf.click(act, [self.chosen, self.shown, *self.inputs], [self.shown, self.shelf], **QUIET)
        self._wire_archive()

    def _looking(self) -> Any:
        """What stands there while the first look is taken, which reads every clip."""
        return manifest_view.LOOKING if self.studio.manifests.first_look else gr.skip()

    def _wire_archive(self) -> None:
        studio, desk = self.studio, self.studio.manifests
        outputs = [self.packing, self.status, self.exports["archive"]]

        def look(job: Job) -> tuple[Any, ...]:
            """Values of `outputs` for the job that packs, or has packed."""
            return ("" if job.ended else job.id, status_of(job), archive_button(job))

        @guarded
        def pack(now: str, layout: str) -> Any:
            if now == NEW:
                raise InputError("not_saved", "There is no saved manifest to pack.", "Save the manifest first.")
            return *look(settle(studio, desk.submit_archive(now, layout))), busy(), ""

        @guarded
        def follow(job_id: str) -> Any:
            return look(studio.job(job_id)) if job_id else gr.skip()

        @guarded
        def again(now: str) -> Any:
            """A page that is opened while a manifest is being packed shows that."""
            job = desk.archive_job(now) if now != NEW else None
            return (job.id, status_of(job)) if job else ("", "")

        @guarded
        def cancel(event: gr.EventData) -> str:
            return status_of(studio.cancel(str((event._data or {}).get("job", ""))))

        self.exports["pack"].click(
            pack,
            [self.chosen, self.exports["layout"]],
            [*outputs, self.page.timer, self.page.rows],
            trigger_mode="once",
            **QUIET,
        )
        self.page.rows.change(follow, self.packing, outputs, trigger_mode="once", **QUIET)
        self.chosen.change(again, self.chosen, outputs[:2], **QUIET)
        self.status.click(cancel, None, self.status, **QUIET)

    def _caption(self, now: str, clip: str, text: str, values: tuple[Any, ...]) -> None:
        desk = self.studio.manifests
        if now != NEW:
            desk.edit_caption(now, clip, text)
        else:
            record, _, scene = clip.partition("#")
            trigger = dict(zip(FIELDS, values, strict=True))["trigger_token"] or ""
            desk.set_caption(record, scene, text, trigger_token=trigger)
        gr.Info(
            "The caption is kept, for later manifests too." if text.strip() else "Back to the plan's own caption.",
            duration=4,
        )

    def _show(self, now: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        head, shelf, out = self._view(now, values, manifest_view.PAGE)
        saved = now != NEW
        files = copies(self.studio, now) if saved else ["", ""]
        return (
            head, shelf, out, gr.Row(visible=saved), *(gr.DownloadButton(value=path or None) for path in files),
            gr.DownloadButton(visible=False),
        )  # fmt: skip

    def _view(self, now: str, values: tuple[Any, ...], shown: int) -> tuple[str, str, str]:
        """Head, gallery and what was left out."""
        desk = self.studio.manifests
        if now != NEW:
            found = desk.manifest(now)
            rows, exclusions, trigger = desk.rows(now), found["exclusions"], found["spec"]["trigger_token"]
        else:
            spec = spec_of(values)
            made = desk.preview(**spec)
            found, rows, exclusions, trigger = made["summary"], made["rows"], made["exclusions"], spec["trigger_token"]
        if not rows and not exclusions:
            return manifest_view.NO_VIDEOS, "", ""
        gallery = manifest_view.gallery(self.studio, rows, trigger, shown)
        return manifest_view.head(found, saved=now != NEW), gallery, manifest_view.left_out(exclusions)


def spec_of(values: tuple[Any, ...]) -> dict[str, Any]:
    """The fields of the form as a spec. Raises InputError for shares that are no numbers."""
    spec = dict(zip(FIELDS, values, strict=True))
    spec |= {name: spec[name] or [] for name in ("criterion", "engine", "topic", "verdict", "include", "test_study")}
    spec["trigger_token"] = (spec["trigger_token"] or "").strip()
    spec["seed"] = int(spec["seed"] or 0)
    spec["min_score"] = spec["min_score"] or None
    if spec["min_score"] is None:
        spec["criterion"] = []
    try:
        spec["split"] = [float(part) for part in str(spec["split"]).split(",")]
    except ValueError as error:
        raise InputError("bad_split", "Train, validation, test: these are no numbers.", "Write 0.8,0.1,0.1.") from error
    return spec


def choices(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The new one first, then the saved ones by day and size."""
    named = [
        (
            f"{markup.day(row['created_at'])} · {markup.plural(row['clips'], 'clip')}"
            + (f" · score {row['min_score']:g} and more" if row["min_score"] else ""),
            row["id"],
        )
        for row in rows
    ]
    return [("New, from these filters", NEW), *named]


def _folder(studio: Studio) -> Path:
    """A fresh folder in the one place that the page may give files out of."""
    folder = studio.workspace.cache / "web" / "export" / new_id("export")
    folder.mkdir(parents=True)
    return folder


def copies(studio: Studio, manifest_id: str) -> list[str]:
    """JSONL and CSV of a saved manifest as downloads."""
    found, out = studio.manifests.manifest(manifest_id), _folder(studio)
    return [str(shutil.copyfile(found[name], out / f"{manifest_id}.{name}")) for name in ("jsonl", "csv")]


def status_of(job: Job) -> str:
    """The packing as it stands, or why it failed; empty once it is done."""
    if not job.ended:
        return job_card.live(job)
    return (
        markup.notice("Cancelled.", "Nothing was left behind.", "info")
        if job.state == "cancelled"
        else job_card.failure(job)
    )


def archive_button(job: Job) -> Any:
    """The download of what was packed; hidden before."""
    if job.state != "succeeded":
        return gr.DownloadButton(visible=False)
    return gr.DownloadButton(
        f"↓ Archive ({job.result['bytes'] / 1e6:.1f} MB)", value=job.result["archive"], visible=True
    )
