"""The plan as a table that can be edited, with the sources that its steps cite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from t2v_studio.planning.plan import ScenePlan, parse_plan
from t2v_studio.ui import markup, plan_table
from t2v_studio.ui.components import evidence, manim_view, written_prompts
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page


@dataclass
class PlanView:
    """`plan` holds the plan as it was made; the table holds what the person made of it."""

    plan: gr.State
    table: gr.Dataframe
    outputs: list[Any]
    code: manim_view.CodeView

    def show(
        self,
        made: ScenePlan,
        notices: list[str],
        open_now: bool = True,
        rows: list[list[Any]] | None = None,
        codes: dict[str, str] | None = None,
    ) -> list[Any]:
        """Values of `outputs`. `rows`: the table as a person left it, where it is not the plan's own; `codes`: of
        written Manim scenes."""
        count = sum(len(scene.steps) for scene in made.scenes)
        line = (
            f"{markup.plural(len(made.scenes), 'scene')}, {markup.plural(count, 'step')}. Double-click a cell to edit it; clear the "
            "words of a step to drop it. Empty seconds follow the reading time. Words that no longer stand in their "
            "source lose its citation. Generate draws what stands here."
        )
        return [
            made.model_dump(mode="json"),
            gr.Accordion(visible=True, open=open_now),
            f'<p class="t2-muted">{markup.text(line)}</p>{evidence.notices(notices)}',
            gr.Dataframe(value=rows or plan_table.rows_of(made)),
            written_prompts.prompts(made) + evidence.sources(made),
            *self.code.show(made, codes),
        ]

    def hide(self) -> list[Any]:
        return [None, gr.Accordion(visible=False), "", gr.Dataframe(value=[]), "", *self.code.hide()]


def build(page: Page) -> PlanView:
    """The view, hidden until there is a plan."""
    plan = gr.State(None)
    with gr.Accordion("The plan", open=True, visible=False, elem_id="plan") as box:
        words = gr.HTML("", apply_default_css=False)
        table = gr.Dataframe(
            value=[], headers=list(plan_table.HEAD), type="array", datatype="str", interactive=True, wrap=True, show_label=False, label="Scenes of the plan",
            static_columns=list(plan_table.FIXED), max_height=430,
            column_widths=["68px", "124px", "92px", "262px", "118px", "80px"], buttons=[], elem_id="plan-table",
        )  # fmt: skip
        discard = gr.Button("Discard the plan", size="sm", min_width=120, elem_id="discard-plan")
        code = manim_view.build_code(page)
        cited = gr.HTML("", js_on_load=markup.CLICKS, elem_id="plan-sources", apply_default_css=False)
    view = PlanView(plan, table, [plan, box, words, table, cited, *code.outputs], code)

    @guarded
    def show_source(made: dict[str, Any] | None, event: gr.EventData) -> Any:
        return (
            evidence.source_spread(page.studio, parse_plan(made), str((event._data or {}).get("source", "")))
            if made
            else gr.skip()
        )

    cited.click(show_source, plan, page.viewer, show_progress="minimal", api_visibility="private")
    discard.click(view.hide, None, view.outputs, **QUIET)
    return view
