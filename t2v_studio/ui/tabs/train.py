"""A LoRA from scored clips: choose recipe and manifest, look at the dry run, train, watch, and use what came of it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.errors import NotFoundError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import recipe_form, train_view
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, busy, target

NAME, LABEL, ORDER = "train", "Train", 75
FIRST_RECIPE = "tiny_smoke"
LOG_LINES = 80
SIGNALS = {
    "save_now": "A checkpoint is written after this step.",
    "sample_now": "The adapter is checked after this step.",
    "stop": "It stops after this step, with a checkpoint.",
}


def build(page: Page) -> None:
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300, elem_id="train-form"):
            head, fields, buttons = _form()
        with gr.Column(scale=8, min_width=320, elem_id="train-outcome"):
            dry = gr.HTML("", elem_id="train-dry", apply_default_css=False)
            with gr.Row(equal_height=True):
                chosen = gr.Dropdown([], label="Run", scale=5, elem_id="train-run")
                part = gr.Dropdown([], label="Adapter of", scale=2, min_width=130, visible=False, elem_id="train-part")
            views = _views()
    _Flow(page, head, fields, buttons, dry, chosen, part, views).wire()


def _form() -> tuple[dict[str, Any], dict[str, Any], list[gr.Button]]:
    head: dict[str, Any] = {
        "recipe": gr.Dropdown([], label="Recipe", info=" ", filterable=False, elem_id="train-recipe"),
        "dataset": gr.Dropdown(
            [],
            label="Clips",
            info="A saved manifest: make one in the Manifest tab. Other folders train with t2v train video.",
            elem_id="train-dataset",
        ),
    }
    with gr.Row(elem_id="train-actions"):
        buttons = [
            gr.Button("Dry run", min_width=90, elem_id="train-dry-run"),
            gr.Button("Start training", variant="primary", min_width=130, elem_id="train-start"),
        ]
    head["title"] = gr.Textbox("", label="Name of the run", max_length=120, elem_id="train-title")
    head["scenarios"] = gr.Checkbox(
        False,
        label="Then one adapter for each scenario",
        info="Warm-started from the unified one, from the same cache.",
        elem_id="train-scenarios",
    )
    return head, recipe_form.build(), buttons


def _views() -> dict[str, Any]:
    views: dict[str, Any] = {
        "status": gr.HTML(
            train_view.NOTHING,
            css_template=train_view.STYLE,
            js_on_load=markup.CLICKS,
            elem_id="train-status",
            apply_default_css=False,
        )
    }
    with gr.Row(visible=False) as plots:
        views["loss"] = gr.LinePlot(
            x="step", y="value", color="what", height=220, title="Loss of training", y_title="", elem_id="train-loss"
        )
        views["measures"] = gr.LinePlot(
            x="step",
            y="value",
            color="what",
            height=220,
            title="Loss on held-out clips",
            y_title="",
            elem_id="train-held",
        )
    views["plots"] = plots
    for name in ("samples", "table"):
        views[name] = gr.HTML(
            "",
            css_template=train_view.STYLE,
            js_on_load=markup.CLICKS,
            elem_id=f"train-{name}",
            apply_default_css=False,
        )
    with gr.Accordion("Log and command", open=False, elem_id="train-log-fold"):
        views["log"] = gr.HTML("", js_on_load=train_view.COPY, elem_id="train-log", apply_default_css=False)
    return views


VIEWS = ("status", "plots", "loss", "measures", "samples", "table", "log")


class _Flow:
    """The way of one training: described, estimated, started, followed, used."""

    def __init__(
        self,
        page: Page,
        head: dict[str, Any],
        fields: dict[str, Any],
        buttons: list[gr.Button],
        dry: gr.HTML,
        chosen: gr.Dropdown,
        part: gr.Dropdown,
        views: dict[str, Any],
    ) -> None:
        self.page, self.studio, self.desk = page, page.studio, page.studio.training
        self.head, self.buttons, self.dry, self.chosen, self.part = head, buttons, dry, chosen, part
        self.fields = [fields[name] for name in recipe_form.NAMES]
        self.views = [views[name] for name in VIEWS]
        self.named = views
        self.seen = gr.State({})

    @property
    def asked(self) -> list[Any]:
        return [self.head["recipe"], self.head["dataset"], self.head["title"], self.head["scenarios"], *self.fields]

    def wire(self) -> None:
        self._wire_form()
        self._wire_start()
        self._wire_following()
        self._wire_acting()

    # --- describing --------------------------------------------------------------------------
    def _wire_form(self) -> None:
        @guarded
        def choose(name: str) -> Any:
            return gr.Dropdown(info=self._about(name)), *recipe_form.values_of(self.desk.recipe(name))

        @guarded
        def estimate(name: str, dataset: str | None, title: str, scenarios: bool, *values: Any) -> Any:
            recipe = self.desk.parsed(recipe_form.fields_of(values, self.desk.recipe(name)))
            return train_view.dry_run(self.desk.dry_run(recipe, dataset or ""))

        self.head["recipe"].input(choose, self.head["recipe"], [self.head["recipe"], *self.fields], **QUIET)
        self.buttons[0].click(
            estimate,
            self.asked,
            self.dry,
            trigger_mode="once",
            show_progress="full",
            show_progress_on=self.dry,
            api_visibility="private",
        )

    def _about(self, name: str) -> str:
        row = next((row for row in self.desk.recipes() if row["name"] == name), {})
        return str(row.get("error") or row.get("about") or " ")

    # --- starting ----------------------------------------------------------------------------
    def _wire_start(self) -> None:
        @guarded
        def start(name: str, dataset: str | None, title: str, scenarios: bool, *values: Any) -> Any:
            recipe = self.desk.parsed(recipe_form.fields_of(values, self.desk.recipe(name)))
            job = self.desk.submit_training(recipe, dataset or "", title=title, scenarios=bool(scenarios))
            run = str(job.spec["run"])
            return self._run_list(run), *self._show(run, "", {}), busy(), "", ""

        outputs = [self.chosen, self.part, *self.views, self.seen, self.page.timer, self.page.rows, self.dry]
        self.buttons[1].click(start, self.asked, outputs, trigger_mode="once", **QUIET)

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
            return (
                self._recipe_list(recipe or FIRST_RECIPE),
                self._dataset_list(dataset),
                self._run_list(run),
                *self._show(run, "", {}),
            )

        @guarded
        def restore() -> Any:
            """A reloaded page shows the run that it showed, with the settings that it was started with."""
            run = self._wanted(None)
            if not run:
                values = recipe_form.values_of(self.desk.recipe(FIRST_RECIPE))
                return (
                    self._recipe_list(FIRST_RECIPE),
                    self._dataset_list(None),
                    self._run_list(""),
                    *self._show("", "", {}),
                    *values,
                )
            found = self.desk.run(run)
            names = {row["name"] for row in self.desk.recipes()}
            recipe = self.desk.parsed(found["recipe_fields"])
            name = recipe.name if recipe.name in names else FIRST_RECIPE
            return (
                self._recipe_list(name),
                self._dataset_list(found["dataset"]),
                self._run_list(run),
                *self._show(run, "", {}),
                *recipe_form.values_of(recipe),
            )

        lists = [self.head["recipe"], self.head["dataset"], self.chosen]
        self.page.rows.change(follow, [self.chosen, self.part, self.seen], shown, trigger_mode="once", **QUIET)
        self.chosen.input(choose, self.chosen, shown, **QUIET)
        self.part.input(choose_part, [self.chosen, self.part], shown, **QUIET)
        self.page.on_load(restore, None, [*lists, *shown, *self.fields])
        if self.page.tab is not None:
            self.page.tab.select(
                fill, [self.chosen, self.head["recipe"], self.head["dataset"]], [*lists, *shown], **QUIET
            )

    def _wanted(self, now: str | None) -> str:
        """The run to show: the one that is shown, the one that runs, or the newest."""
        rows = self.desk.runs()
        known = [row["run"] for row in rows]
        running = next((row["run"] for row in rows if row["state"] in ("running", "waiting")), "")
        return now if now in known and not running else running or (known[0] if known else "")

    def _recipe_list(self, name: str) -> Any:
        return gr.Dropdown(
            [(row["name"], row["name"]) for row in self.desk.recipes()], value=name, info=self._about(name)
        )

    def _dataset_list(self, now: str | None) -> Any:
        saved = [
            (f"Manifest of {markup.day(row['created_at'])} · {markup.plural(row['clips'], 'clip')}", str(row["jsonl"]))
            for row in self.studio.manifests.manifests()
        ]
        value = now or (saved[0][1] if saved else None)
        if value and value not in {path for _, path in saved}:
            saved.append((value, value))
        return gr.Dropdown(saved, value=value)

    def _run_list(self, run: str) -> Any:
        return gr.Dropdown(train_view.run_choices(self.desk.runs()), value=run or None)

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
        def use(event: gr.EventData) -> Any:
            sent = event._data or {}
            if sent.get("act") != "use":
                return gr.skip()
            card = self.desk.publish(str(sent.get("run")), str(sent.get("part")), int(sent.get("step", 0)))
            fields = {
                "engine": "diffusion",
                "model_id": card["base_model"],
                "adapter": card["id"],
                "lora_scale": card["scale"],
                "lora_trigger": card["trigger"],
            }
            return target("adapter", card["id"], fields=fields)

        outputs = [self.part, *self.views, self.seen, self.page.timer, self.page.rows]
        self.named["status"].click(act, [self.chosen, self.part], outputs, **QUIET)
        self.named["table"].click(use, None, self.page.again, **QUIET)

    # --- showing -----------------------------------------------------------------------------
    def _show(self, run_id: str, part_name: str, seen: dict[str, str]) -> tuple[Any, ...]:
        """Part list, views and what they show; what has not changed since `seen` is left alone, so that films play on."""
        if not run_id:
            empty = (train_view.NOTHING, gr.Row(visible=False), None, None, "", "", "")
            return gr.Dropdown(visible=False), *empty, {}
        try:
            run = self.desk.run(run_id)
        except NotFoundError:
            return self._show("", "", {})
        job = job_of(self.studio, run_id)
        parts = run["parts"]
        names = [one["name"] for one in parts]
        part = next((one for one in parts if one["name"] == part_name), parts[-1] if parts else None)
        pieces: dict[str, Any] = {"status": train_view.status(run, job)}
        pieces["samples"] = train_view.samples(self.studio, run_id, part) if part else ""
        pieces["table"] = train_view.adapters(run_id, part) if part else ""
        log = self.studio.log(job.id, LOG_LINES) if job else ""
        pieces["log"] = train_view.log_and_command(log, run["command"], str(self.studio.workspace.training_run(run_id)))
        marks = {name: str(hash(piece)) for name, piece in pieces.items()}
        drawn = (part["log"], part["checks"], part["base"]) if part else ([], [], {})
        marks["plots"] = f"{run_id} {part['name'] if part else ''} {len(drawn[0])} {drawn[0][-1:]} {len(drawn[1])}"
        marks["part"] = f"{names} {part['name'] if part else ''}"
        new = {name: seen.get(name) != mark for name, mark in marks.items()}
        values: dict[str, Any] = {name: piece if new[name] else gr.skip() for name, piece in pieces.items()}
        values["plots"] = gr.Row(visible=bool(drawn[0])) if new["plots"] else gr.skip()
        values["loss"] = loss_points(drawn[0]) if new["plots"] else gr.skip()
        values["measures"] = held_out_points(drawn[1], drawn[2]) if new["plots"] else gr.skip()
        chooser = (
            gr.Dropdown(names, value=part["name"] if part else None, visible=len(names) > 1)
            if new["part"]
            else gr.skip()
        )
        return chooser, *(values[name] for name in VIEWS), marks


def job_of(studio: Studio, run_id: str) -> Job | None:
    """The newest job of a run."""
    return next((job for job in studio.jobs(limit=200) if job.spec.get("run") == run_id), None)


def loss_points(log: list[dict[str, Any]]) -> Any:
    """Loss of each optimiser step and its running mean, as LinePlot takes it."""
    import pandas as pd

    losses = [float(row["loss"]) for row in log]
    window = max(5, len(losses) // 20)
    smooth = pd.Series(losses).rolling(window, min_periods=1).mean()
    steps = [row["step"] for row in log]
    return pd.DataFrame(
        {
            "step": steps * 2,
            "value": [*losses, *smooth],
            "what": ["each step"] * len(steps) + [f"mean of {window}"] * len(steps),
        }
    )


def held_out_points(checks: list[dict[str, Any]], base: dict[str, Any]) -> Any:
    """Loss on held-out clips at each check, the base's as a level line."""
    import pandas as pd

    known = [row for row in checks if row.get("val_loss") is not None]
    rows = [{"step": row["step"], "value": row["val_loss"], "what": "adapter"} for row in known]
    if base.get("val_loss") is not None:
        rows.insert(0, {"step": 0, "value": base["val_loss"], "what": "adapter"})
        ends = [0, *[row["step"] for row in known][-1:]]
        rows += [{"step": step, "value": base["val_loss"], "what": "base"} for step in ends]
    return pd.DataFrame(rows, columns=["step", "value", "what"])
