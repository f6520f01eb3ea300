"""From a topic to a video: plan, edit, generate, pair."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.errors import NotFoundError, StudioError
from t2v_studio.jobs.model import Job
from t2v_studio.planning.plan import parse_plan
from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup
from t2v_studio.ui.components import (
    diffusion_wiring,
    job_card,
    pair_view,
    plan_view,
    request_form,
    result_view,
)
from t2v_studio.ui.components.video_job import (
    Film,
    drawn_plan,
    is_read,
    own_codes,
    preview_of,
    status_of,
    submit_request,
)
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, TO_OUTCOME, Page, busy, settle, target

NAME, LABEL, ORDER = "generate", "Generate", 20
KINDS = frozenset({"plan", "video", "pair", "redraw"})
Made = dict[str, Any] | None
"""A plan as JSON."""
Rows = list[list[Any]]
"""The plan's table."""
EMPTY = markup.empty(
    "Your video will appear here",
    "Type a topic. Plan shows the scenes first, so that you can edit them; Generate goes straight to the video; "
    "Make the pair makes it twice, with and without your books.",
)


def build(page: Page) -> None:
    studio = page.studio
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300, elem_id="form"):
            controls, inputs, buttons = request_form.build(studio)
        with gr.Column(scale=7, min_width=320, elem_id="outcome"):
            status = gr.HTML(EMPTY, js_on_load=markup.CLICKS, elem_id="status", apply_default_css=False)
            preview = gr.HTML("", elem_id="preview", apply_default_css=False)
            result = result_view.build(page, "made")
            pair = pair_view.build(page, "made")
            plan = plan_view.build(page)
    following, done = gr.State(""), gr.State(None)
    flow = _Flow(page, controls, inputs, plan, status, preview, following, done)
    flow.wire_buttons(*buttons)
    flow.wire_following(result, pair)
    flow.wire_restoring()
    _wire_form(page, controls, plan.code.box)


def _wire_form(page: Page, controls: dict[str, Any], code_box: gr.Accordion) -> None:
    """Presets, the notes of the engines, and the lists that follow the library."""
    studio = page.studio

    @guarded
    def preset(name: str) -> Any:
        row = next((row for row in studio.templates() if row["name"] == name), None)
        if row is None or not row.get("topic"):
            return gr.skip()
        return row["topic"], row.get("audience", ""), row.get("objective", "")

    @guarded
    def refresh(engine: str, chosen: list[str], template: str) -> Any:
        return (
            form.listed(request_form.book_choices(studio), chosen or [], []),
            form.listed(request_form.template_choices(studio), template, "auto"),
            request_form.engine_notes(studio, engine),
        )

    controls["course_template"].input(
        preset, controls["course_template"], [controls[name] for name in ("topic", "audience", "objective")], **QUIET
    )
    notes = [controls["engine"], controls["book_ids"], controls["course_template"]]
    lists = [controls["book_ids"], controls["course_template"], controls["engine_notes"]]
    page.on_load(refresh, notes, lists)
    if page.tab is not None:
        page.tab.select(refresh, notes, lists, **QUIET)
    controls["engine"].change(
        lambda engine: [gr.Accordion(visible=engine == "manim")] * 2,
        controls["engine"],
        [controls["manim"], code_box],
        **QUIET,
    )
    controls["engine"].change(
        lambda engine: request_form.engine_notes(studio, engine), controls["engine"], controls["engine_notes"], **QUIET
    )
    diffusion_wiring.wire(page, controls)


class _Flow:
    """The way of one request: submitted, followed, shown, restored after a reload."""

    def __init__(self, page: Page, controls: dict[str, Any], inputs: list[Any], plan: plan_view.PlanView, status: gr.HTML, preview: gr.HTML,
                 following: gr.State, done: gr.State) -> None:  # fmt: skip
        self.page, self.studio = page, page.studio
        self.controls, self.inputs, self.plan = controls, inputs, plan
        self.status, self.preview, self.following, self.done, self.kept = status, preview, following, done, page.kept
        self.seen = gr.State("")
        self.plan_inputs = [plan.plan, plan.table, plan.code.codes]
        plan.code.wire(page, plan.plan, plan.table, inputs)

    # --- submitting --------------------------------------------------------------------------
    def wire_buttons(self, plan_button: gr.Button, make_button: gr.Button, pair_button: gr.Button) -> None:
        outputs = [self.following, self.status, self.preview, self.page.timer, self.kept, self.seen, self.page.rows]

        def submitter(what: str) -> Any:
            @guarded
            def submit(came: Film, again: Film, made: Made, rows: Rows, codes: dict[str, str], *values: Any) -> Any:
                asked = dict(zip(form.NAMES, values, strict=True))
                own = own_codes(self.studio, codes, came, again)
                drawn = drawn_plan(asked, made, rows, own) if what == "video" else None
                job = submit_request(self.studio, what, asked, drawn, rows, codes)
                kept = {"values": asked, "job": job.id, "plan": drawn, "rows": rows if drawn else None, "codes": codes}
                return job.id, status_of(job), "", busy(), kept, "", ""

            return submit

        sent = [self.done, self.page.again, *self.plan_inputs, *self.inputs]
        for button, what in ((plan_button, "plan"), (make_button, "video"), (pair_button, "pair")):
            button.click(submitter(what), sent, outputs, trigger_mode="once", **QUIET).then(
                None, None, None, js=TO_OUTCOME
            )
        self.controls["topic"].submit(submitter("plan"), sent, outputs, trigger_mode="once", **QUIET)

        @guarded
        def keep_edits(made: dict[str, Any] | None, rows: list[list[Any]], kept: dict[str, Any] | None) -> Any:
            return {**(kept or {}), "plan": made, "rows": rows} if made else gr.skip()

        self.plan.table.input(
            keep_edits, [self.plan.plan, self.plan.table, self.kept], self.kept, trigger_mode="always_last", **QUIET
        )

        @guarded
        def from_record(what: dict[str, Any] | None, told: str, following: str) -> Any:
            if not what:
                return gr.skip()
            gone = "" if is_read(told, following) else gr.skip()
            if what["kind"] == "redraw":
                job = self.studio.job(what["id"])
                rest = [gr.skip()] * (len(self.plan.outputs) + len(self.inputs))
                return (gr.Tabs(selected=NAME), job.id, status_of(job), "", busy(), gr.skip(), "", "", *rest)
            if what["kind"] == "adapter":
                return self._with_adapter(what["fields"], outputs, gone)
            record = self.studio.video(what["id"])
            asked = diffusion_wiring.as_made(self.studio, record, form.values_of(record.request))
            asked["use_rag"] = result_view.treated(record)
            if record.plan.retrieval is not None:
                asked.update(rag_mode=record.plan.retrieval.mode, book_ids=list(record.plan.retrieval.book_ids))
            asked["book_ids"] = [
                book for book in asked["book_ids"] if book in {row["book"] for row in self.studio.books()}
            ]
            if what["kind"] == "other":
                asked["use_rag"] = not asked["use_rag"]
                if not asked["use_rag"]:
                    asked.update(rag_query="", rag_top_k="")
                job = submit_request(self.studio, "video", asked, None, [])
                kept = {"values": asked, "job": job.id, "plan": None}
                return (
                    gr.Tabs(selected=NAME),
                    job.id,
                    status_of(job),
                    "",
                    busy(),
                    kept,
                    "",
                    "",
                    *self.plan.hide(),
                    *diffusion_wiring.shown(self.studio, asked),
                )
            gr.Info("The form holds the settings of that video. Change what you like, then Generate.")
            plan = self.plan.show(record.plan, [], codes=record.request.manim_code)
            return (
                gr.Tabs(selected=NAME),
                gr.skip(),
                gone,
                *[gr.skip()] * 5,
                *plan,
                *diffusion_wiring.shown(self.studio, asked),
            )

        self.page.again.change(
            from_record,
            [self.page.again, self.status, self.following],
            [self.page.tabs, *outputs, *self.plan.outputs, *self.inputs],
            **QUIET,
        ).then(None, None, None, js=TO_OUTCOME)

    def _with_adapter(self, fields: dict[str, Any], outputs: list[Any], status: Any) -> Any:
        """The form with what a training says of its adapter; all else stays as it is."""
        values = {name: fields[name] for name in form.NAMES if name in fields}
        shown = diffusion_wiring.shown(self.studio, values)
        changed = dict(zip(values, shown, strict=True))
        gr.Info("The form uses it now. Type a topic, then Generate.")
        rest = [gr.skip()] * (len(outputs) - 2 + len(self.plan.outputs))
        return (
            gr.Tabs(selected=NAME),
            gr.skip(),
            status,
            *rest,
            *(changed.get(name, gr.skip()) for name in form.NAMES),
        )

    # --- following ---------------------------------------------------------------------------
    def wire_following(self, result: result_view.ResultView, pair: pair_view.PairView) -> None:
        @guarded
        def follow(job_id: str, before: str) -> Any:
            if not job_id:
                return gr.skip()
            job = self.studio.job(job_id)
            view, picture = status_of(job), preview_of(self.studio, job)
            kind, made = job_card.outcome(job)
            now = f"{view}{job.preview}{job.step}"
            if not job.ended:
                return gr.skip() if now == before else (view, picture, job_id, gr.skip(), now)
            return view, "", "", target(kind, made) if kind else gr.skip(), ""

        @guarded
        def cancel(event: gr.EventData) -> Any:
            return status_of(self.studio.cancel(str((event._data or {}).get("job", ""))))

        @guarded
        def cancelled(job_id: str) -> Any:
            """The end of a job, without the wait for the timer."""
            job = settle(self.studio, self.studio.job(job_id)) if job_id else None
            return (status_of(job), "") if job and job.ended else gr.skip()

        def show(what: dict[str, Any] | None) -> Any:
            if not what:
                return gr.skip()
            kind, name = what["kind"], what["id"]
            try:
                if kind == "draft":
                    plan = self.plan.show(parse_plan(what["plan"]), [], rows=what.get("rows"), codes=what.get("codes"))
                    return (*result.hide(), *pair.hide(), *plan)
                if kind == "plan":
                    made = self.studio.job(name).result
                    return (
                        *result.hide(),
                        *pair.hide(),
                        *self.plan.show(parse_plan(made["plan"]), made.get("notices") or [], rows=what.get("rows")),
                    )
                if kind == "pair":
                    return (*result.hide(), *pair.show(name), *self.plan.hide())
                record = self.studio.video(name)
                return (
                    *result.show(name),
                    *pair.hide(),
                    *self.plan.show(record.plan, [], open_now=False, codes=record.request.manim_code),
                )
            except NotFoundError:
                return gr.skip()

        self.page.rows.change(
            follow,
            [self.following, self.seen],
            [self.status, self.preview, self.following, self.done, self.seen],
            trigger_mode="once",
            **QUIET,
        )
        self._wire_going_on()
        self.status.click(cancel, None, self.status, **QUIET).then(
            cancelled, self.following, [self.status, self.page.rows], **QUIET
        )
        outputs = [*result.outputs, *pair.outputs, *self.plan.outputs]
        self.done.change(guarded(show), self.done, outputs, **QUIET)
        self.page.opened.change(
            guarded(lambda what: show(what) if what and what["kind"] == "plan" else gr.skip()),
            self.page.opened,
            outputs,
            **QUIET,
        )

    def _wire_going_on(self) -> None:
        """How the last job ended is told until the person chooses something else, after a reload too."""
        put_away = gr.State("")

        @guarded
        def go_on(told: str, job_id: str, came: Film) -> Any:
            if not is_read(told, job_id):
                return gr.skip()
            return "" if came else EMPTY, target("put away", "")

        @guarded
        def forget(kept: dict[str, Any] | None) -> Any:
            return {**(kept or {}), "job": ""}

        choices = [self.controls[name].input for name in form.NAMES]
        told = [self.status, self.following, self.done]
        gr.on(choices, go_on, told, [self.status, put_away], trigger_mode="always_last", **QUIET)
        put_away.change(forget, self.kept, self.kept, **QUIET)

    # --- a reload ----------------------------------------------------------------------------
    def wire_restoring(self) -> None:
        @guarded
        def restore(kept: dict[str, Any] | None) -> Any:
            kept = kept or {}
            values = restored(self.studio, kept.get("values"))
            job = self._job(str(kept.get("job") or ""))
            kind, made = job_card.outcome(job) if job else ("", "")
            opening = target(kind, made) if kind else gr.skip()
            if kind in ("", "plan") and kept.get("plan"):
                opening = target("draft", "", plan=kept["plan"], rows=kept.get("rows"), codes=kept.get("codes"))
            return (job.id if job and not job.ended else "", status_of(job) if job else gr.skip(), opening, *values)

        self.page.on_load(restore, self.kept, [self.following, self.status, self.done, *self.inputs])

    def _job(self, name: str) -> Job | None:
        """The job that this browser started last, or the newest that still runs."""
        try:
            if name:
                return self.studio.job(name)
        except StudioError:
            pass
        return next((job for job in self.studio.jobs(active=True) if job.kind in KINDS), None)


def restored(studio: Studio, values: Any) -> list[Any]:
    """The form as this browser last sent it; defaults where it holds nothing usable."""
    if not isinstance(values, dict) or set(values) != set(form.NAMES):
        return [gr.skip()] * len(form.NAMES)
    books = {row["book"] for row in studio.books()}
    templates = {"auto", *(row["name"] for row in studio.templates())}
    values["book_ids"] = [book for book in values.get("book_ids") or [] if book in books]
    values["course_template"] = values["course_template"] if values["course_template"] in templates else "auto"
    lists = {
        "book_ids": request_form.book_choices(studio),
        "course_template": request_form.template_choices(studio),
        **diffusion_wiring.lists(studio, str(values["model_id"] or "")),
    }
    for name in diffusion_wiring.LISTED:
        values[name] = form.known(lists[name], values[name])
    if not isinstance(values["lora_scale"], str):  # as a slider left it in a browser of an earlier version
        values["lora_scale"] = form.shown(values["lora_scale"])
    return [gr.Dropdown(lists[name], value=values[name]) if name in lists else values[name] for name in form.NAMES]
