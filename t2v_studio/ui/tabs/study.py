"""A blind study: made from pairs, checked, locked, its examiners invited, followed, closed and unblinded."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.app import LOCAL_HOSTS
from t2v_studio.ui.components import study_view
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, target

NAME, LABEL, ORDER = "study", "Study", 50
TOPIC_COUNTS, RATER_COUNTS = [8, 12, 16], [3, 5, 8]
GAP = 0.5
OPEN = ("locked", "collecting")
REASONS = ["Topic", "What stops it", "Reason why it may stay"]
STYLE = ".t2-invitation { flex: 1; min-width: 0; font-family: var(--font-mono); font-size: 13px; padding: 6px 9px; border-radius: 6px; border: 1px solid var(--border-color-primary); background: var(--input-background-fill); color: var(--body-text-color); }"


def pair_choices(studio: Studio) -> list[tuple[str, str]]:
    """Finished pairs, newest first, as label and id. Both arms must be there."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for row in studio.videos(limit=2000):
        if row.get("pair_id"):
            arms.setdefault(row["pair_id"], []).append(row)
    return [
        (f"{rows[0]['topic'] or rows[0]['title']} · {markup.day(rows[0]['created_at'])}", pair)
        for pair, rows in arms.items()
        if len({row["arm"] for row in rows}) == 2
    ]


def run_choices(studio: Studio) -> list[tuple[str, str]]:
    """Runs of packs that made pairs, newest first."""
    shelf = getattr(studio, "packs", None)
    if shelf is None:
        return []
    return [
        (f"{row['title']} · {row['tag']} ({markup.plural(len(row['pair_ids']), 'pair')})", row["run"])
        for row in shelf.pack_runs()
        if row["pair_ids"]
    ]


def overridable(study: dict[str, Any]) -> list[list[str]]:
    """Rows of REASONS for the checks that may stay."""
    return [
        [row["topic"], row["message"], ""] for row in study["checks"] if row["level"] == "block" and row["can_override"]
    ]


def build(page: Page) -> None:
    studio = page.studio
    chosen, seen, link = gr.State(""), gr.State(""), gr.State("")
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            shelf = gr.HTML("", js_on_load=study_view.CLICKS, elem_id="studies", apply_default_css=False)
            with gr.Accordion("New study", open=True):
                title = gr.Textbox(
                    label="Title", info="Examiners see it. Name no method in it.", max_length=200, elem_id="study-title"
                )
                run = gr.Dropdown([], label="From a run of a pack", info="Takes all its pairs.", elem_id="study-run")
                pairs = gr.Dropdown([], label="Pairs", multiselect=True, info="One topic each.", elem_id="study-pairs")
                make = gr.Button("Make the study", variant="primary", elem_id="study-make")
            with gr.Accordion("How many topics and examiners?", open=False):
                gap = gr.Slider(
                    0.1,
                    2.0,
                    GAP,
                    step=0.1,
                    label="Gap that should be found",
                    info="In points of the scale, the same for all five criteria.",
                    elem_id="study-gap",
                )
                plan = gr.Button("Simulate", elem_id="study-plan")
                power = gr.HTML("", elem_id="study-power", apply_default_css=False)
        with gr.Column(scale=7, min_width=340):
            view = gr.HTML(
                study_view.NO_STUDY,
                js_on_load=study_view.CLICKS,
                css_template=STYLE,
                elem_id="study-view",
                apply_default_css=False,
            )
            with gr.Column(visible=False) as draft_box:
                reasons = gr.Dataframe(
                    headers=REASONS,
                    column_count=3,
                    static_columns=[0, 1],
                    interactive=True,
                    visible=False,
                    wrap=True,
                    label="Checks that may stay, with a reason",
                    elem_id="study-reasons",
                )
                raters = gr.Number(
                    3,
                    precision=0,
                    minimum=1,
                    maximum=60,
                    label="Examiners",
                    info="Fixed when the study is locked: the orders are balanced over this number.",
                    elem_id="study-raters",
                )
                steps = gr.HTML(
                    study_view.draft_steps(),
                    js_on_load=study_view.CLICKS,
                    elem_id="study-steps",
                    apply_default_css=False,
                )
            with gr.Row(visible=False) as invite_box:
                pseudonym = gr.Textbox(
                    label="Pseudonym",
                    info="Empty: Examiner 1, 2, … Never a real name.",
                    max_length=40,
                    scale=3,
                    elem_id="study-pseudonym",
                )
                invite = gr.Button("Invite the next examiner", scale=2, elem_id="study-invite")
    flow = _Flow(page, chosen, seen, link, [shelf, view, draft_box, reasons, invite_box])
    flow.wire_making(title, run, pairs, make)
    flow.wire_steps(steps, raters, reasons, pseudonym, invite)
    flow.wire_following(run, pairs)

    @guarded
    def simulate(points: float) -> str:
        return study_view.power_table(studio.studies.power(float(points), TOPIC_COUNTS, RATER_COUNTS))

    plan.click(simulate, gap, power, trigger_mode="once", **QUIET)


class _Flow:
    """One study on the right, all of them on the left."""

    def __init__(self, page: Page, chosen: gr.State, seen: gr.State, link: gr.State, parts: list[Any]) -> None:
        self.page, self.studio = page, page.studio
        self.chosen, self.seen, self.link = chosen, seen, link
        self.shelf, self.view = parts[0], parts[1]
        self.outputs = [chosen, seen, link, *parts]

    def show(self, study_id: str, link: str = "") -> tuple[Any, ...]:
        """Values of `outputs`."""
        rows = self.studio.studies.studies()
        if not study_id or study_id not in {row["id"] for row in rows}:
            study_id = rows[0]["id"] if rows else ""
        list_view = study_view.shelf(rows, study_id)
        if not study_id:
            return (
                "",
                "",
                "",
                list_view,
                study_view.NO_STUDY,
                gr.Column(visible=False),
                gr.Dataframe(visible=False),
                gr.Row(visible=False),
            )
        study = self.study(study_id)
        is_open, draft = study["state"] in OPEN, study["state"] == "draft"
        why = overridable(study)
        view = study_view.overview(study, link)
        return (
            study_id,
            f"{list_view}{view}",
            link,
            list_view,
            view,
            gr.Column(visible=draft),
            gr.Dataframe(value=why, visible=draft and bool(why)),
            gr.Row(visible=is_open and study["places"] > 0),
        )

    def study(self, study_id: str) -> dict[str, Any]:
        study = self.studio.studies.study(study_id)
        return study | {"raters_locked": len(study["raters"])}

    # --- making ----------------------------------------------------------------------------------
    def wire_making(self, title: gr.Textbox, run: gr.Dropdown, pairs: gr.Dropdown, make: gr.Button) -> None:
        @guarded
        def take(run_id: str | None) -> Any:
            if not run_id:
                return gr.skip()
            row = self.studio.packs.pack_run(run_id)
            return gr.Dropdown(pair_choices(self.studio), value=row["pair_ids"]), row["title"]

        run.input(take, run, [pairs, title], **QUIET)

        @guarded
        def made(name: str, ids: list[str] | None, run_id: str | None) -> Any:
            study = self.studio.studies.create(name or "", list(ids or []), pack=run_id or "")
            return (*self.show(study["id"]), "", [], None)

        make.click(made, [title, pairs, run], [*self.outputs, title, pairs, run], trigger_mode="once", **QUIET)

    # --- steps -----------------------------------------------------------------------------------
    def wire_steps(
        self, steps: gr.HTML, raters: gr.Number, reasons: gr.Dataframe, pseudonym: gr.Textbox, invite: gr.Button
    ) -> None:
        desk = self.studio.studies

        @guarded
        def choose(event: gr.EventData) -> Any:
            return self.show(str((event._data or {}).get("id", "")))

        @guarded
        def act(study_id: str, count: float | None, why: Any, request: gr.Request, event: gr.EventData) -> Any:
            data = event._data or {}
            match data.get("act"):
                case "lock":
                    desk.lock(study_id, raters=int(count or 0), overrides=_given(why))
                case "remove":
                    desk.edit(study_id, remove=[str(data.get("key", ""))])
                case "delete":
                    desk.delete_draft(study_id)
                    study_id = ""
                case "close":
                    desk.close(study_id)
                case "unblind":
                    desk.unblind(study_id)
                case "again":
                    return (
                        *self.show(
                            study_id,
                            _link(desk.invite_again(study_id, str(data.get("name", ""))), request, self.studio),
                        ),
                        gr.skip(),
                    )
                case "results":
                    return (*[gr.skip()] * len(self.outputs), target("results", study_id))
                case _:
                    raise InputError("unknown_step", "This step is not known.", "Reload the page.")
            return (*self.show(study_id), gr.skip())

        @guarded
        def invited(study_id: str, name: str, request: gr.Request) -> Any:
            made = desk.invite(study_id, name or "")
            return (*self.show(study_id, _link(made, request, self.studio)), "")

        self.shelf.click(choose, None, self.outputs, **QUIET)
        gr.on(
            [self.view.click, steps.click],
            act,
            [self.chosen, raters, reasons],
            [*self.outputs, self.page.opened],
            show_progress="minimal",
            api_visibility="private",
        )
        gr.on(
            [invite.click, pseudonym.submit],
            invited,
            [self.chosen, pseudonym],
            [*self.outputs, pseudonym],
            trigger_mode="once",
            **QUIET,
        )

    # --- following -------------------------------------------------------------------------------
    def wire_following(self, run: gr.Dropdown, pairs: gr.Dropdown) -> None:
        @guarded
        def counts(study_id: str, before: str, link: str) -> Any:
            rows = self.studio.studies.studies() if study_id else []
            # Of a draft nothing changes by itself, and its checks read every video.
            if not any(row["id"] == study_id and row["state"] in OPEN for row in rows):
                return gr.skip()
            list_view = study_view.shelf(rows, study_id)
            view = study_view.overview(self.study(study_id), link)
            now = f"{list_view}{view}"
            return gr.skip() if now == before else (now, list_view, view)

        @guarded
        def restore(study_id: str) -> Any:
            found = pair_choices(self.studio)
            return (*self.show(study_id), gr.Dropdown(run_choices(self.studio)), gr.Dropdown(found))

        @guarded
        def lists(study_id: str, link: str) -> Any:
            return (
                *self.show(study_id, link),
                gr.Dropdown(run_choices(self.studio)),
                gr.Dropdown(pair_choices(self.studio)),
            )

        self.page.timer.tick(
            counts,
            [self.chosen, self.seen, self.link],
            [self.seen, self.shelf, self.view],
            trigger_mode="once",
            **QUIET,
        )
        self.page.on_load(restore, self.chosen, [*self.outputs, run, pairs])
        if self.page.tab is not None:
            self.page.tab.select(lists, [self.chosen, self.link], [*self.outputs, run, pairs], **QUIET)


def _given(table: Any) -> dict[str, str]:
    """Topic -> reason, of the rows of REASONS where one is given."""
    rows = table.values.tolist() if hasattr(table, "values") and not isinstance(table, dict) else []
    return {str(row[0]): str(row[2]).strip() for row in rows if len(row) == 3 and str(row[2] or "").strip()}


def _link(made: dict[str, Any], request: gr.Request, studio: Studio) -> str:
    """The invitation, at the address under which the author reached this page."""
    headers = request.headers if request else {}
    scheme = headers.get("x-forwarded-proto") or "http"
    host = headers.get("x-forwarded-host") or headers.get("host") or ""
    local = studio.settings.host in LOCAL_HOSTS and host.partition(":")[0] in LOCAL_HOSTS
    return study_view.invitation(made["pseudonym"], f"{scheme}://{host}{made['path']}", local=local)
