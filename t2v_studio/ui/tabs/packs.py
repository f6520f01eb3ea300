"""An evaluation set in one go: choose a pack, run it, follow it, look at its pairs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.errors import NotFoundError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup
from t2v_studio.ui.components import job_card, pack_tables, pair_view
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, busy

NAME, LABEL, ORDER = "packs", "Packs", 40
OWN_ENGINE = "as the pack says"


def build(page: Page) -> None:
    studio = page.studio
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300, elem_id="pack-form"):
            fields = _form(studio)
        with gr.Column(scale=7, min_width=320, elem_id="pack-outcome"):
            status = gr.HTML("", js_on_load=markup.CLICKS, elem_id="pack-status", apply_default_css=False)
            shelf = gr.HTML(pack_tables.NO_RUN, js_on_load=markup.CLICKS, elem_id="pack-runs", apply_default_css=False)
            table = gr.HTML("", js_on_load=markup.CLICKS, elem_id="pack-results", apply_default_css=False)
            pair = pair_view.build(page, "pack")
    _Flow(page, fields, status, shelf, table, pair).wire()


def _form(studio: Studio) -> dict[str, Any]:
    fields: dict[str, Any] = {"pack": gr.Dropdown([], label="Pack", elem_id="pack-name", interactive=True)}
    with gr.Row():
        fields["engine"] = gr.Dropdown(
            [(OWN_ENGINE, ""), *((name, name) for name in form.choices("engine"))],
            value="",
            label="Engine",
            info="What draws the frames.",
            min_width=130,
            elem_id="pack-engine",
        )
        fields["seed_offset"] = gr.Number(
            0,
            precision=0,
            label="Seed offset",
            info="Added to every seed.",
            min_width=130,
            elem_id="pack-seed-offset",
        )
    fields["strict"] = gr.Checkbox(
        False,
        label="Strict",
        info="No scene may be drawn by another engine than the one asked for.",
        elem_id="pack-strict",
    )
    fields["tag"] = gr.Textbox(
        "",
        label="Name of the run",
        info="Empty: the time. A known name is gone on with: what was refused or failed is tried again.",
        max_length=40,
        elem_id="pack-tag",
    )
    fields["go"] = gr.Button("Run the pack", variant="primary", elem_id="pack-go")
    fields["topics"] = gr.HTML("", elem_id="pack-topics", apply_default_css=False)
    return fields


class _Flow:
    """The way of one run: submitted, followed, shown, restored after a reload."""

    def __init__(
        self,
        page: Page,
        fields: dict[str, Any],
        status: gr.HTML,
        shelf: gr.HTML,
        table: gr.HTML,
        pair: pair_view.PairView,
    ) -> None:
        self.page, self.studio, self.fields = page, page.studio, fields
        self.status, self.shelf, self.table, self.pair = status, shelf, table, pair
        self.following, self.seen, self.chosen, self.playing = gr.State(""), gr.State(""), gr.State(""), gr.State("")

    def wire(self) -> None:
        self._wire_choice()
        self._wire_run()
        self._wire_following()
        self._wire_looking()

    # --- choosing ----------------------------------------------------------------------------
    def _wire_choice(self) -> None:
        fields = self.fields
        name, offset = fields["pack"], fields["seed_offset"]

        @guarded
        def fill(now: str | None, shift: float | None) -> Any:
            rows = {row["name"]: row for row in self.studio.packs.packs()}
            if not rows:
                advice = "Put a YAML file into data/packs, then reload this page."
                return gr.Dropdown([]), markup.empty("No packs", advice)
            chosen = now if now in rows else ("course_ml" if "course_ml" in rows else next(iter(rows)))
            choices = [(row["title"], row["name"]) for row in rows.values()]
            return gr.Dropdown(choices, value=chosen), pack_tables.topics(rows[chosen], int(shift or 0))

        @guarded
        def describe(now: str | None, shift: float | None) -> Any:
            row = next((row for row in self.studio.packs.packs() if row["name"] == now), None)
            return pack_tables.topics(row, int(shift or 0)) if row else ""

        self.page.on_load(fill, [name, offset], [name, fields["topics"]])
        gr.on([name.input, offset.change], describe, [name, offset], fields["topics"], **QUIET)

    # --- running -----------------------------------------------------------------------------
    def _wire_run(self) -> None:
        fields = self.fields
        inputs = [fields[name] for name in ("pack", "engine", "seed_offset", "strict", "tag")]

        @guarded
        def submit(pack: str | None, engine: str, offset: float | None, strict: bool, tag: str) -> Any:
            job = self.studio.packs.submit_pack(
                pack or "", engine=engine or "", seed_offset=int(offset or 0), strict=bool(strict), tag=tag.strip()
            )
            run = str(job.spec["run"])
            return job.id, status_of(job), run, *self._view(run, ""), busy(), "", ""

        outputs = [self.following, self.status, self.chosen, self.shelf, self.table, self.page.timer, self.seen]
        fields["go"].click(submit, inputs, [*outputs, self.page.rows], trigger_mode="once", **QUIET)

    # --- following ---------------------------------------------------------------------------
    def _wire_following(self) -> None:
        @guarded
        def follow(job_id: str, before: str, chosen: str, playing: str) -> Any:
            if not job_id:
                return gr.skip()
            job = self.studio.job(job_id)
            card, views = status_of(job), self._view(chosen, playing)
            now = f"{card}{views}"
            if job.ended:
                return card, "", "", *views
            return gr.skip() if now == before else (card, job_id, now, *views)

        @guarded
        def cancel(event: gr.EventData) -> Any:
            return status_of(self.studio.cancel(str((event._data or {}).get("job", ""))))

        @guarded
        def restore() -> Any:
            job = next((job for job in self.studio.jobs(active=True) if job.kind == "pack"), None)
            runs = self.studio.packs.pack_runs()
            run = str(job.spec["run"]) if job else runs[0]["run"] if runs else ""
            return (job.id if job else "", status_of(job) if job else "", run, *self._view(run, ""))

        rows = [self.shelf, self.table]
        self.page.rows.change(
            follow,
            [self.following, self.seen, self.chosen, self.playing],
            [self.status, self.following, self.seen, *rows],
            trigger_mode="once",
            **QUIET,
        )
        self.status.click(cancel, None, self.status, **QUIET)
        restored = [self.following, self.status, self.chosen, *rows]
        self.page.on_load(restore, None, restored)
        if self.page.tab is not None:
            # A run that was started on the command line is noticed when the tab is opened.
            self.page.tab.select(restore, None, restored, **QUIET)

    # --- looking -----------------------------------------------------------------------------
    def _wire_looking(self) -> None:
        shown = [self.chosen, self.playing, self.shelf, self.table, *self.pair.outputs]

        @guarded
        def choose(event: gr.EventData) -> Any:
            return look(str((event._data or {}).get("run", "")))

        @guarded
        def opened(what: dict[str, Any] | None) -> Any:
            return look(what["id"]) if what and what["kind"] == "pack" else gr.skip()

        def look(run: str) -> tuple[Any, ...]:
            return (self.studio.packs.pack_run(run)["run"], "", *self._view(run, ""), *self.pair.hide())

        @guarded
        def play(chosen: str, event: gr.EventData) -> Any:
            name = str((event._data or {}).get("pair", ""))
            return (chosen, name, *self._view(chosen, name), *self.pair.show(name))

        self.shelf.click(choose, None, shown, show_progress="hidden", api_visibility="private")
        self.page.opened.change(opened, self.page.opened, shown, **QUIET)
        self.table.click(play, self.chosen, shown, show_progress="minimal", api_visibility="private").then(
            None, None, None, js="() => document.getElementById('pack-pair').scrollIntoView({behavior: 'smooth'})"
        )

    def _view(self, chosen: str, playing: str) -> tuple[str, str]:
        """The list of runs and the table of the chosen one."""
        packs = self.studio.packs
        try:
            table = pack_tables.results(packs.pack_run(chosen), playing) if chosen else ""
        except NotFoundError:
            table = ""
        return pack_tables.runs(packs.pack_runs(), chosen), table


def status_of(job: Job) -> str:
    """Progress over the whole pack with a cancel button, or how the job ended where that is not a result."""
    if job.state == "succeeded":
        number = job.result["counts"]
        if job.result["ok"]:
            return markup.notice(f"All {markup.plural(number['topics'], 'topic')} are made.", kind="good")
        lacking = f"{number['ok']} of {number['topics']} topics are made, {number['refused']} refused, {number['failed']} failed."
        hint = f"The table says why. When the cause is gone, run the pack again with the name {job.result['tag']}."
        return markup.notice(lacking, hint, "warn")
    if job.ended:
        going_on = "Run the same pack again: it goes on where it stood."
        if job.state == "cancelled":
            return markup.notice("Cancelled. What was made is kept.", going_on, "info")
        return job_card.failure(job) + markup.notice("What was made is kept.", going_on, "info")
    return job_card.live(job)
