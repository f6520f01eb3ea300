"""The way of a training through its page: described, estimated, started, followed over a reload, used.

The kinds of training differ in their recipe, their data and what a run shows; a subclass says these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import gradio as gr

from t2v_studio.errors import NotFoundError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import train_view
from t2v_studio.ui.components.recipe_form import RecipeForm
from t2v_studio.ui.form import listed
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, busy

LOG_LINES = 80
SIGNALS = {
    "save_now": "A checkpoint is written after this step.",
    "sample_now": "The adapter is checked after this step.",
    "stop": "It stops after this step, with a checkpoint.",
}
PLOTS = ("plots", "loss", "measures")


class TrainingFlow:
    """Builds the controls of one kind of training and wires them."""

    kind: ClassVar[Literal["video", "text"]]
    form: ClassVar[RecipeForm]
    first_recipe: ClassVar[str]
    nothing: ClassVar[str]
    data_label: ClassVar[str]
    data_info: ClassVar[str]
    held_out: ClassVar[str]
    pieces: ClassVar[tuple[str, ...]]
    """Names of the HTML views under the plots; the log is always the last."""

    def __init__(self, page: Page, tab: gr.Tab) -> None:
        """tab: the one of this kind, inside the Train tab; its lists are read anew when it is opened."""
        self.page, self.studio, self.desk = page, page.studio, page.studio.training
        self._tabs = [one for one in (page.tab, tab) if one is not None]
        self.id = self.form.prefix
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300, elem_id=f"{self.id}-form"):
                self._build_form()
            with gr.Column(scale=8, min_width=320, elem_id=f"{self.id}-outcome"):
                self._build_outcome()
        self.seen = gr.State({})
        self._wire_form()
        self._wire_start()
        self._wire_following()
        self._wire_acting()

    # --- what a kind says --------------------------------------------------------------------
    def recipe(self, name: str) -> Any:
        raise NotImplementedError

    def parsed(self, fields: dict[str, Any]) -> Any:
        raise NotImplementedError

    def datasets(self) -> list[tuple[str, str]]:
        """(label, path) of what can be trained on, the newest first."""
        raise NotImplementedError

    def dry_run(self, found: dict[str, Any]) -> str:
        raise NotImplementedError

    def drawn(self, run: dict[str, Any], part: dict[str, Any] | None) -> dict[str, str]:
        """Markup of the views in `pieces`."""
        raise NotImplementedError

    def clicked(self, sent: dict[str, Any]) -> dict[str, Any] | None:
        """Does what a button of `pieces` asks for; a target for the Generate tab, or None."""
        raise NotImplementedError

    def options(self) -> list[Any]:
        """Controls beside recipe, data and name that `start` needs."""
        return []

    def start(self, recipe: Any, dataset: str, title: str, *options: Any) -> Job:
        return self.desk.submit_training(recipe, dataset, title=title)

    # --- building ----------------------------------------------------------------------------
    def _build_form(self) -> None:
        self.recipes = gr.Dropdown([], label="Recipe", info=" ", filterable=False, elem_id=f"{self.id}-recipe")
        self.data = gr.Dropdown([], label=self.data_label, info=self.data_info, elem_id=f"{self.id}-dataset")
        with gr.Row(elem_id=f"{self.id}-actions"):
            self.estimate_button = gr.Button("Dry run", min_width=90, elem_id=f"{self.id}-dry-run")
            self.start_button = gr.Button(
                "Start training", variant="primary", min_width=130, elem_id=f"{self.id}-start"
            )
        self.title = gr.Textbox("", label="Name of the run", max_length=120, elem_id=f"{self.id}-title")
        self.more = self.options()
        built = self.form.build()
        self.fields = [built[name] for name in self.form.names]

    def _build_outcome(self) -> None:
        self.dry = gr.HTML("", css_template=train_view.STYLE, elem_id=f"{self.id}-dry", apply_default_css=False)
        with gr.Row(equal_height=True):
            self.chosen = gr.Dropdown([], label="Run", scale=5, elem_id=f"{self.id}-run")
            self.part = gr.Dropdown(
                [], label="Adapter of", scale=2, min_width=130, visible=False, elem_id=f"{self.id}-part"
            )
        made: dict[str, Any] = {"status": self._html("status", self.nothing)}
        with gr.Row(visible=False) as plots:
            for name, title in (("loss", "Loss of training"), ("measures", self.held_out)):
                elem_id = f"{self.id}-{'held' if name == 'measures' else name}"
                made[name] = gr.LinePlot(
                    x="step", y="value", color="what", height=220, title=title, y_title="", elem_id=elem_id
                )
        made["plots"] = plots
        made |= {name: self._html(name, "") for name in self.pieces}
        with gr.Accordion("Log and command", open=False, elem_id=f"{self.id}-log-fold"):
            made["log"] = gr.HTML("", js_on_load=train_view.COPY, elem_id=f"{self.id}-log", apply_default_css=False)
        self.named = made
        self.order = ("status", *PLOTS, *self.pieces, "log")
        self.views = [made[name] for name in self.order]

    def _html(self, name: str, value: str) -> gr.HTML:
        return gr.HTML(
            value,
            css_template=train_view.STYLE,
            js_on_load=markup.CLICKS,
            elem_id=f"{self.id}-{name}",
            apply_default_css=False,
        )

    # --- describing --------------------------------------------------------------------------
    def _wire_form(self) -> None:
        @guarded
        def choose(name: str) -> Any:
            return gr.Dropdown(info=self._about(name)), *self.form.values_of(self.recipe(name))

        @guarded
        def estimate(name: str, dataset: str | None, *values: Any) -> Any:
            return self.dry_run(self.desk.dry_run(self._asked_recipe(name, values), self._dataset(dataset)))

        self.recipes.input(choose, self.recipes, [self.recipes, *self.fields], **QUIET)
        self.estimate_button.click(
            estimate,
            [self.recipes, self.data, *self.fields],
            self.dry,
            trigger_mode="once",
            show_progress="full",
            show_progress_on=self.dry,
            api_visibility="private",
        )

    def _asked_recipe(self, name: str, values: tuple[Any, ...]) -> Any:
        return self.parsed(self.form.fields_of(values, self.recipe(name)))

    def _dataset(self, value: str | None) -> str:
        """What the list offers, or what the shown run was started with; no other text becomes a path."""
        known = {path for _, path in self.datasets()} | {run["dataset"] for run in self._runs_with_data()}
        return value if value in known else ""

    def _runs_with_data(self) -> list[dict[str, Any]]:
        run = self._wanted(None)
        return [self.desk.run(run)] if run else []

    def _about(self, name: str) -> str:
        row = next((row for row in self.desk.recipes(self.kind) if row["name"] == name), {})
        return str(row.get("error") or row.get("about") or " ")

    # --- starting ----------------------------------------------------------------------------
    def _wire_start(self) -> None:
        count = len(self.more)

        @guarded
        def start(name: str, dataset: str | None, title: str, *values: Any) -> Any:
            recipe = self._asked_recipe(name, values[count:])
            job = self.start(recipe, self._dataset(dataset), title, *values[:count])
            run = str(job.spec["run"])
            return self._run_list(run), *self._show(run, "", {}), busy(), "", ""

        outputs = [self.chosen, self.part, *self.views, self.seen, self.page.timer, self.page.rows, self.dry]
        asked = [self.recipes, self.data, self.title, *self.more, *self.fields]
        self.start_button.click(start, asked, outputs, trigger_mode="once", **QUIET)

    # --- following ---------------------------------------------------------------------------
    def _wire_following(self) -> None:
        shown = [self.part, *self.views, self.seen]

        @guarded
        def follow(run: str | None, part: str | None, seen: dict[str, str]) -> Any:
            return self._show(run, part or "", seen) if run else gr.skip()

        @guarded
        def choose(run: str | None) -> Any:
            return self._show(run or "", "", {})

        @guarded
        def choose_part(run: str | None, part: str | None) -> Any:
            return self._show(run or "", part or "", {})

        @guarded
        def fill(now: str | None, recipe: str | None, dataset: str | None) -> Any:
            run = self._wanted(now)
            known = [(row["name"], row["name"]) for row in self.desk.recipes(self.kind)]
            recipes = listed(known, recipe, self.first_recipe if recipe else None)
            if not dataset and run:
                dataset = self.desk.run(run)["dataset"]  # as a reload shows it: its answer may still be on the way
            return recipes, self._dataset_list(dataset), self._run_list(run), *self._show(run, "", {})

        @guarded
        def restore() -> Any:
            """A reloaded page shows the run that it showed, with the settings that it was started with."""
            run, name, dataset = self._wanted(None), self.first_recipe, None
            recipe = self.recipe(name)
            if run:
                found = self.desk.run(run)
                recipe, dataset = self.parsed(found["recipe_fields"]), found["dataset"]
                known = {row["name"] for row in self.desk.recipes(self.kind)}
                name = recipe.name if recipe.name in known else name
            lists = (self._recipe_list(name), self._dataset_list(dataset), self._run_list(run))
            return *lists, *self._show(run, "", {}), *self.form.values_of(recipe)

        lists = [self.recipes, self.data, self.chosen]
        self.page.rows.change(follow, [self.chosen, self.part, self.seen], shown, trigger_mode="once", **QUIET)
        self.chosen.input(choose, self.chosen, shown, **QUIET)
        self.part.input(choose_part, [self.chosen, self.part], shown, **QUIET)
        self.page.on_load(restore, None, [*lists, *shown, *self.fields])
        for tab in self._tabs:
            tab.select(fill, [self.chosen, self.recipes, self.data], [*lists, *shown], **QUIET)

    def _rows(self) -> list[dict[str, Any]]:
        return [row for row in self.desk.runs() if row["kind"] == self.kind]

    def _wanted(self, now: str | None) -> str:
        """The run to show: the one that is shown, the one that runs, or the newest."""
        rows = self._rows()
        known = [row["run"] for row in rows]
        running = next((row["run"] for row in rows if row["state"] in ("running", "waiting")), "")
        return now if now in known and not running else running or (known[0] if known else "")

    def _recipe_list(self, name: str) -> Any:
        names = [row["name"] for row in self.desk.recipes(self.kind)]
        return gr.Dropdown([(one, one) for one in names], value=name, info=self._about(name))

    def _dataset_list(self, now: str | None) -> Any:
        saved = self.datasets()
        value = now or (saved[0][1] if saved else None)
        if value and value not in {path for _, path in saved}:
            saved.append((value.rpartition("/")[2], value))
        return gr.Dropdown(saved, value=value)

    def _run_list(self, run: str) -> Any:
        return gr.Dropdown(train_view.run_choices(self._rows()), value=run or None)

    # --- acting ------------------------------------------------------------------------------
    def _wire_acting(self) -> None:
        @guarded
        def act(run: str | None, part: str | None, event: gr.EventData) -> Any:
            sent = event._data or {}
            name = str(sent.get("act", ""))
            if name in SIGNALS:
                self.desk.signal(str(sent.get("run", "")), name)
                gr.Info(SIGNALS[name], duration=4)
            elif name == "cancel":
                self.studio.cancel(str(sent.get("job", "")))
            elif name == "resume":
                self.desk.resume(str(sent.get("run", "")))
            return *self._show(run or "", part or "", {}), busy(), ""

        @guarded
        def use(run: str | None, part: str | None, event: gr.EventData) -> Any:
            going = self.clicked(event._data or {})
            return going or gr.skip(), *self._show(run or "", part or "", {}), busy(), ""

        outputs = [self.part, *self.views, self.seen, self.page.timer, self.page.rows]
        inputs = [self.chosen, self.part]
        self.named["status"].click(act, inputs, outputs, **QUIET)
        for name in self.pieces:
            self.named[name].click(use, inputs, [self.page.again, *outputs], **QUIET)

    # --- showing -----------------------------------------------------------------------------
    def _show(self, run_id: str, part_name: str, seen: dict[str, str]) -> tuple[Any, ...]:
        """Part list, views and what they show; what has not changed since `seen` is left alone, so that films play on."""
        if not run_id:
            empty = {"status": self.nothing, "plots": gr.Row(visible=False), "loss": None, "measures": None}
            return gr.Dropdown(visible=False), *(empty.get(name, "") for name in self.order), {}
        try:
            run = self.desk.run(run_id)
        except NotFoundError:
            return self._show("", "", {})
        job = job_of(self.studio, run_id)
        names = [one["name"] for one in run["parts"]]
        part = next((one for one in run["parts"] if one["name"] == part_name), (run["parts"] or [None])[-1])
        pieces: dict[str, Any] = {"status": train_view.status(run, job), **self.drawn(run, part)}
        log = self.studio.log(job.id, LOG_LINES) if job else ""
        pieces["log"] = train_view.log_and_command(log, run["command"], str(self.studio.workspace.training_run(run_id)))
        marks = {name: str(hash(piece)) for name, piece in pieces.items()}
        rows, checks, base = (part["log"], part["checks"], part["base"]) if part else ([], [], {})
        now = part["name"] if part else ""
        marks["plots"] = f"{run_id} {now} {len(rows)} {rows[-1:]} {len(checks)}"
        marks["part"] = f"{names} {now}"
        points: dict[str, Callable[[], Any]] = {
            "plots": lambda: gr.Row(visible=bool(rows)),
            "loss": lambda: train_view.loss_points(rows),
            "measures": lambda: train_view.held_out_points(checks, base),
        }
        new = {name: seen.get(name) != mark for name, mark in marks.items()}
        values = {name: piece if new[name] else gr.skip() for name, piece in pieces.items()}
        values |= {name: points[name]() if new["plots"] else gr.skip() for name in PLOTS}
        chooser = gr.Dropdown(names, value=now or None, visible=len(names) > 1) if new["part"] else gr.skip()
        return chooser, *(values[name] for name in self.order), marks


def job_of(studio: Studio, run_id: str) -> Job | None:
    """The newest job of a run."""
    return next((job for job in studio.jobs(limit=200) if job.spec.get("run") == run_id), None)
