"""Manim on the page: who writes the scenes, what each runs before it runs, and one scene of a film drawn again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.planning.plan import ScenePlan, parse_plan
from t2v_studio.production.record import VideoRecord
from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup, plan_table
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, busy, target
from t2v_studio.ui.wording import CHOICES, FIELDS

SHOWN_FAULTS = 6


def build_form(made: dict[str, Any]) -> gr.Accordion:
    """The Manim part of the form, seen when that engine is chosen."""
    with gr.Accordion("Manim", open=True, visible=False, elem_id="manim-form") as box:
        made["manim_scenes"] = gr.Radio(
            CHOICES["manim_scenes"], value=form.default("manim_scenes"), label=FIELDS["manim_scenes"], elem_id="manim-scenes",
            info="Written code is tried in the sandbox first; a scene that cannot be mended is drawn by its template.",
        )  # fmt: skip
        with gr.Row(visible=False) as chosen:
            made["manim_model_id"] = _list("manim_model_id", ("As set for this studio", ""))
            made["manim_adapter"] = _list("manim_adapter", ("None", ""))
    made["manim_scenes"].change(lambda who: gr.Row(visible=who == "written"), made["manim_scenes"], chosen, **QUIET)
    return box


def _list(name: str, first: tuple[str, str]) -> gr.Dropdown:
    return gr.Dropdown(
        [first], value="", label=FIELDS[name], filterable=False, min_width=130, elem_id=name.replace("_", "-")
    )


def model_choices(studio: Studio) -> list[tuple[str, str]]:
    """Chat models that may write scenes."""
    rows = studio.diffusion.planners()
    return [
        ("As set for this studio", ""),
        *((row["name"] if row["here"] else f"{row['name']} (not here)", row["name"]) for row in rows),
    ]


def adapter_choices(studio: Studio) -> list[tuple[str, str]]:
    return [("None", ""), *studio.manim.adapters()]


@dataclass
class CodeView:
    """The code of a plan's scenes. `codes`: scene id to code that a person or a model gave; templates have none."""

    studio: Studio
    box: gr.Accordion
    codes: gr.State
    scene: gr.Dropdown
    code: gr.Code
    said: gr.HTML
    write: gr.Button
    keep: gr.Button
    back: gr.Button
    job: gr.State

    @property
    def outputs(self) -> list[Any]:
        return [self.codes, self.scene, self.code, self.said]

    def show(self, plan: ScenePlan, codes: dict[str, str] | None = None) -> list[Any]:
        """Values of `outputs` for a new plan."""
        codes = codes or {}
        first = plan.scenes[0].id
        return [codes, gr.Dropdown(choices_of(plan), value=first), shown_code(self.studio, plan, first, codes), said_of(codes, first)]  # fmt: skip

    def hide(self) -> list[Any]:
        return [{}, gr.Dropdown([], value=None), "", ""]

    def wire(self, page: Page, plan: gr.State, table: gr.Dataframe, inputs: list[Any]) -> None:
        """Listeners. inputs: the form's controls, in the order of form.NAMES."""
        studio = page.studio

        @guarded
        def choose(scene: str | None, made: dict[str, Any] | None, codes: dict[str, str]) -> Any:
            if not made or not scene:
                return gr.skip()
            return shown_code(studio, parse_plan(made), scene, codes), said_of(codes, scene)

        self.scene.input(choose, [self.scene, plan, self.codes], [self.code, self.said], **QUIET)

        @guarded
        def write(scene: str | None, made: dict[str, Any] | None, rows: list[list[Any]], *values: Any) -> Any:
            current = _plan(made, rows)
            asked = dict(zip(form.NAMES, values, strict=True))
            request = form.request_from({**asked, "engine": "manim", "manim_scenes": "written"}, plan=current)
            job = studio.manim.submit_written(request, current, [str(scene)])
            return (
                job.id,
                '<p class="t2-muted">The scene is being written and tried; you can go on meanwhile.</p>',
                busy(),
            )

        self.write.click(write, [self.scene, plan, table, *inputs], [self.job, self.said, page.timer], **QUIET)

        @guarded
        def follow(job_id: str, scene: str | None, made: dict[str, Any] | None, codes: dict[str, str]) -> Any:
            if not job_id:
                return gr.skip()
            job = studio.job(job_id)
            if not job.ended:
                return gr.skip()
            if job.state != "succeeded":
                error = job.error or {}
                words = markup.notice(error.get("message") or "Nothing was written.", error.get("hint") or "", "warn")
                return "", gr.skip(), gr.skip(), words
            known, words = dict(codes), ""
            for row in job.result["scenes"]:
                if row["fallback"]:
                    words += markup.notice(f"No code for {row['id']} held: {row['fallback']}", "Its template draws it.", "warn")  # fmt: skip
                else:
                    known[row["id"]] = row["code"]
                    words += written_words(row)
            text = shown_code(studio, parse_plan(made), scene, known) if made and scene else gr.skip()
            return "", known, text, words

        page.rows.change(follow, [self.job, self.scene, plan, self.codes], [self.job, self.codes, self.code, self.said], **QUIET)  # fmt: skip

        @guarded
        def keep(text: str, scene: str | None, made: dict[str, Any] | None, rows: list[list[Any]], codes: dict[str, str]) -> Any:  # fmt: skip
            current = _plan(made, rows)
            problem = studio.manim.problem(text, current, _index(current, str(scene)))
            if problem:
                raise InputError("code_fails", f"This code does not run: {problem}", "Correct it; nothing was changed.")
            return {**codes, str(scene): text}, f'<p class="t2-muted">Checked: Generate draws {markup.text(str(scene))} with this code.</p>', "written"  # fmt: skip

        scenes_control = inputs[form.NAMES.index("manim_scenes")]
        self.keep.click(
            keep, [self.code, self.scene, plan, table, self.codes], [self.codes, self.said, scenes_control],
            show_progress="minimal", api_visibility="private",
        )  # fmt: skip

        @guarded
        def template(scene: str | None, made: dict[str, Any] | None, codes: dict[str, str]) -> Any:
            if not made or not scene:
                return gr.skip()
            known = {**codes, scene: ""}
            return known, shown_code(studio, parse_plan(made), scene, known), said_of(known, scene)

        self.back.click(template, [self.scene, plan, self.codes], [self.codes, self.code, self.said], **QUIET)


def build_code(page: Page) -> CodeView:
    """The panel within the plan, hidden until Manim is the engine."""
    with gr.Accordion("What Manim runs", open=False, visible=False, elem_id="manim-code") as box:
        scene = gr.Dropdown([], label="Scene", filterable=False, elem_id="manim-scene")
        code = gr.Code(
            value="", language="python", label="Code of the scene", interactive=True, lines=10, max_lines=24,
            elem_id="manim-code-text",
        )  # fmt: skip
        with gr.Row():
            write = gr.Button("Let the model write it", size="sm", min_width=130, elem_id="manim-write")
            keep = gr.Button("Check and keep this code", size="sm", min_width=150, elem_id="manim-keep")
            back = gr.Button("Take the template", size="sm", min_width=120, elem_id="manim-template")
        said = gr.HTML("", apply_default_css=False, elem_id="manim-said")
    return CodeView(page.studio, box, gr.State({}), scene, code, said, write, keep, back, gr.State(""))


def choices_of(plan: ScenePlan) -> list[tuple[str, str]]:
    return [(f"{number}. {scene.title}", scene.id) for number, scene in enumerate(plan.scenes, start=1)]


def shown_code(studio: Studio, plan: ScenePlan, scene: str, codes: dict[str, str]) -> str:
    """The code that draws a scene, or what its template is filled with."""
    return codes.get(scene) or studio.manim.template_code(plan, _index(plan, scene))


def said_of(codes: dict[str, str], scene: str) -> str:
    """What will draw the scene."""
    if codes.get(scene):
        words = "This code draws the scene, through the gate and the sandbox. Edit it, then check and keep it."
    else:
        words = "The template draws this scene; above is what it is filled with. Write code instead, or let the model."
    return f'<p class="t2-muted">{words}</p>'


def written_words(row: dict[str, Any]) -> str:
    """How a scene was written: its tries, and what the layout lint still finds."""
    tries = len(row["attempts"]) or 1
    said = f"{row['id']}: written in {tries} {'try' if tries == 1 else 'tries'}."
    faults = "".join(f"<li>{markup.text(fault['message'])}</li>" for fault in row["faults"][:SHOWN_FAULTS])
    return f'<p class="t2-muted">{markup.text(said)}</p>' + (f'<ul class="t2-ahead">{faults}</ul>' if faults else "")


def _plan(made: dict[str, Any] | None, rows: list[list[Any]]) -> ScenePlan:
    if not made:
        raise InputError("no_plan", "There is no plan yet.", "Press Plan first.")
    return plan_table.edited(parse_plan(made), rows)


def _index(plan: ScenePlan, scene: str) -> int:
    ids = [one.id for one in plan.scenes]
    if scene not in ids:
        raise InputError("no_scene", f"The plan has no scene {scene} any more.", "Choose another.")
    return ids.index(scene)


# --- one scene of a film -------------------------------------------------------------------------
def drawn_by(record: VideoRecord, number: int) -> str:
    """What drew a scene, in a line, with the faults that the layout lint found."""
    made = record.scenes[number - 1]
    said = [f"Engine {made.engine}", made.model if made.engine == "manim" else "", made.revision]
    if made.details.get("not_written"):
        said.append(f"not written: {made.details['not_written']}")
    if made.fallback:
        said.append(made.fallback)
    faults = made.details.get("layout_faults") or []
    told = "".join(f"<li>{markup.text(fault['message'])}</li>" for fault in faults[:SHOWN_FAULTS])
    line = f'<p class="t2-muted">{markup.text("; ".join(part for part in said if part))}.</p>'
    return line + (f'<ul class="t2-ahead">{told}</ul>' if told else "")


def code_of(studio: Studio, record: VideoRecord, number: int) -> Any:
    """The code that drew a scene, editable where it was written; nothing for other engines."""
    made = record.scenes[number - 1]
    if made.engine != "manim":
        return gr.Code(value="", visible=False)
    written = (made.details.get("written") or {}).get("code", "")
    return gr.Code(value=written or studio.manim.template_code(record.plan, number - 1), visible=True, interactive=bool(written))  # fmt: skip


@dataclass
class OneScene:
    """Draw one scene of a finished film again."""

    outputs: list[Any]

    def show(self, studio: Studio, record: VideoRecord) -> list[Any]:
        scenes = [(f"{number}. {scene.title}", number) for number, scene in enumerate(record.plan.scenes, start=1)]
        return [
            gr.Accordion(visible=not record.pair_id),
            gr.Dropdown(scenes, value=1),
            drawn_by(record, 1),
            code_of(studio, record, 1),
            gr.Textbox(value="", visible=record.request.engine == "diffusion"),
        ]


def build_one_scene(page: Page, name: str, shown: gr.State) -> OneScene:
    """Scene, what drew it, its code where it has some, and the button. shown: the id of the video."""
    studio = page.studio
    with gr.Accordion("Draw one scene again", open=False, elem_id=f"{name}-one-scene") as box:
        scene = gr.Dropdown([], label="Scene", filterable=False, elem_id=f"{name}-scene")
        how = gr.HTML("", apply_default_css=False)
        code = gr.Code(value="", language="python", label="Code of the scene", visible=False, lines=8, max_lines=20)
        seed = gr.Textbox(value="", label="Seed", placeholder="as before", visible=False, max_length=12)
        again = gr.Button("Draw this scene again", size="sm", elem_id=f"{name}-redraw")

    @guarded
    def choose(video_id: str, number: int) -> Any:
        record = studio.video(video_id)
        return drawn_by(record, int(number)), code_of(studio, record, int(number))

    @guarded
    def redraw(video_id: str, number: int, text: str, noise: str) -> Any:
        record = studio.video(video_id)
        written = (record.scenes[int(number) - 1].details.get("written") or {}).get("code", "")
        edited = text if written else None
        job = studio.submit_redraw(video_id, int(number), code=edited, seed=form.read_number("seed", noise))
        return target("redraw", job.id)

    scene.input(choose, [shown, scene], [how, code], **QUIET)
    again.click(redraw, [shown, scene, code, seed], page.again, **QUIET)
    return OneScene([box, scene, how, code, seed])
