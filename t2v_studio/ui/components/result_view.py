"""A finished video: player with subtitles, its facts, sources with pages, downloads, figures, and what to do next."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.production.record import VideoRecord
from t2v_studio.production.request import DIFFUSION_FIELDS, MANIM_FIELDS
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import evidence, manim_view, player, scene_details, written_prompts
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import OFF, ON, QUIET, Page, target
from t2v_studio.ui.wording import FIELDS, choice
from t2v_studio.workspace import new_id

ARMS = {
    "": "",
    "no_rag": "without retrieval",
    "rag_semantic": "with retrieval",
    "rag_overlay": "with retrieval (overlay)",
}
FORMATS = ("svg", "pdf", "png")


def summary(record: VideoRecord) -> str:
    """Title and a line of chips."""
    engines = ", ".join(dict.fromkeys(scene.engine for scene in record.scenes))
    arm = ARMS.get(record.arm, record.arm)
    chips = [
        scene_details.verdict_chip(record.verdict),
        markup.chip(markup.duration(record.duration_s)),
        markup.chip(f"{record.width} × {record.height}"),
        markup.chip(f"{record.fps:g} frames/s"),
        markup.chip(f"engine {engines}"),
        markup.chip(arm, "run") if arm else "",
    ]
    return f'<h2 class="t2-title">{markup.text(record.plan.topic)}</h2><div class="t2-row">{"".join(chips)}</div>'


LABELS = FIELDS | {
    "book_ids": "Books",
    "width": "Width",
    "height": "Height",
    "use_llm_planner": "A language model plans",
    "planner_model_id": "Plan written by",
    "prompt_writer": "Prompts written by",
    "text_overlay": "Words over the picture",
    "diagram_lock": "Held to one flat diagram",
    "retries": "Bad scenes drawn again",
    "manim_scenes": "Scenes by",
    "manim_model_id": "Scenes written by",
    "manim_adapter": "With the LoRA",
    "evidence_room": "Tokens kept for evidence",
}


def treated(record: VideoRecord) -> bool:
    """Whether the plan holds what books say, by its own retrieval: a request that brings its plan asks for none."""
    return record.plan.retrieval is not None or bool(record.plan.sources)


def settings_table(record: VideoRecord) -> str:
    """Everything that was asked and everything that was chosen."""
    rows: list[tuple[str, Any]] = [("Uses books", scene_details.plain(treated(record)))]
    made = [
        ("Made", markup.day(record.created_at)),
        ("Frames", f"{record.frames:,}"),
        ("Id", record.id),
        ("SHA-256", record.video_sha256),
    ]
    return (
        f'<div class="t2-columns">{markup.facts([*rows, *asked(record), *made])}</div>'
        + scene_details.scenes_table(record)
        + scene_details.checked()
        + scene_details.machine(record)
        + _planner(record)
        + scene_details.prompts(("", record))
        + written_prompts.prompts(record.plan)
    )


def asked(record: VideoRecord) -> list[tuple[str, str]]:
    """The request's fields that its engine reads, with what was chosen for those that were left open."""
    engine = record.request.engine
    hidden = {"plan", "use_rag", "manim_code"} | (set() if engine == "diffusion" else set(DIFFUSION_FIELDS))
    hidden |= set() if engine == "manim" else set(MANIM_FIELDS)
    found = record.request.model_dump(mode="json", exclude=hidden, exclude_none=True)
    return [
        (LABELS.get(name, name.replace("_", " ").capitalize()), choice(name, scene_details.plain(value)))
        for name, value in found.items()
        if value != ""
    ]


def _planner(record: VideoRecord) -> str:
    """Who wrote the plan, where a language model was asked."""
    asked = record.plan.planner
    if asked is None:
        return ""
    said = f"The plan is by the language model {asked.model}" + (", mended once." if asked.repaired else ".")
    if asked.by == "rules":
        also = ", and one repair of it failed" if asked.repair_failed else ""
        said = f"The plan is by the rules: {asked.model} gave none that could be used{also} ({asked.reason})."
    return f'<p class="t2-muted">{markup.text(said)}</p>'


@dataclass
class ResultView:
    """One instance a tab. `show` gives the values of `outputs`."""

    studio: Studio
    outputs: list[Any]
    box: gr.Group
    one_scene: manim_view.OneScene

    def show(self, video_id: str) -> list[Any]:
        record = self.studio.video(video_id)
        files = player.media(self.studio, record)
        scenes = [(f"{number}. {scene.title}", number) for number, scene in enumerate(record.plan.scenes, start=1)]
        subtitles = files.get("srt") or files.get("vtt")
        return [
            gr.Column(elem_classes=ON),
            record.id,
            player.film(self.studio, record, record.plan.topic),
            summary(record),
            gr.Button("Show the pair" if record.pair_id else "Make the other arm"),
            _download(files.get("video")),
            _download(subtitles),
            _download(files.get("record")),
            evidence.sources(record.plan) + evidence.notices(record.notices),
            settings_table(record),
            gr.Dropdown(scenes, value=1),
            gr.Image(value=None, visible=False),
            gr.DownloadButton(value=None, visible=False),
            *self.one_scene.show(self.studio, record),
        ]

    def hide(self) -> list[Any]:
        return [gr.Column(elem_classes=OFF), *[gr.skip()] * (len(self.outputs) - 1)]


def _download(path: Path | None) -> Any:
    return gr.DownloadButton(value=str(path) if path else None, interactive=path is not None)


def build(page: Page, name: str) -> ResultView:
    """The view, hidden until something is shown; `name` tells its element ids apart."""
    studio = page.studio
    shown = gr.State("")
    with gr.Column(elem_classes=OFF, elem_id=f"{name}-result") as box:
        head = gr.HTML("", apply_default_css=False)
        video = gr.HTML("", elem_id=f"{name}-video", apply_default_css=False)
        with gr.Row(elem_classes="t2-actions"):
            again = gr.Button("Make again", size="sm", min_width=100, elem_id=f"{name}-again")
            other = gr.Button("Make the other arm", size="sm", min_width=130, elem_id=f"{name}-other")
            get_video = gr.DownloadButton("↓ Video", size="sm", min_width=80, elem_id=f"{name}-get-video")
            get_words = gr.DownloadButton("↓ Subtitles", size="sm", min_width=90)
            get_record = gr.DownloadButton("↓ Record", size="sm", min_width=80)
        with gr.Accordion("Sources", open=True):
            cited = gr.HTML("", js_on_load=markup.CLICKS, elem_id=f"{name}-sources", apply_default_css=False)
        with gr.Accordion("Settings and scenes", open=False):
            settings = gr.HTML("", apply_default_css=False)
        one_scene = manim_view.build_one_scene(page, name, shown)
        with gr.Accordion("A figure for the thesis", open=False):
            with gr.Row(equal_height=True):
                scene = gr.Dropdown([], label="Scene", min_width=160)
                at = gr.Slider(0, 1, value=0.8, step=0.05, label="Moment, start to end", min_width=160)
                kind = gr.Radio(list(FORMATS), value="svg", label="Format", min_width=140)
            draw = gr.Button("Draw the figure", size="sm", elem_id=f"{name}-draw")
            sketch = gr.Image(
                visible=False,
                label="The figure",
                show_label=False,
                interactive=False,
                buttons=[],
                elem_id=f"{name}-figure",
            )
            get_figure = gr.DownloadButton("↓ Download the figure", size="sm", visible=False)
    view = ResultView(
        studio, [box, shown, video, head, other, get_video, get_words, get_record, cited, settings, scene, sketch, get_figure, *one_scene.outputs],
        box, one_scene,
    )  # fmt: skip

    @guarded
    def figure(video_id: str, number: int, moment: float, suffix: str) -> Any:
        record = studio.video(video_id)
        folder = Path(os.environ["GRADIO_TEMP_DIR"]) / "figures" / new_id("figure")
        folder.mkdir(parents=True, exist_ok=True)
        size = {
            "width": record.width,
            "height": record.height,
            "theme": record.request.theme,
            "show_sources": record.request.show_sources,
        }
        stem = f"scene-{int(number)}"
        picture = studio.figure(record.plan, int(number), float(moment), folder / f"{stem}.png", **size)
        wanted = (
            picture
            if suffix == "png"
            else studio.figure(record.plan, int(number), float(moment), folder / f"{stem}.{suffix}", **size)
        )
        return gr.Image(value=str(picture), visible=True), gr.DownloadButton(value=str(wanted), visible=True)

    @guarded
    def make_again(video_id: str) -> Any:
        studio.video(video_id)
        return target("again", video_id)

    @guarded
    def other_arm(video_id: str) -> Any:
        record = studio.video(video_id)
        if record.pair_id:
            return target("pair", record.pair_id), gr.skip()
        return gr.skip(), target("other", video_id)

    @guarded
    def show_source(video_id: str, event: gr.EventData) -> str:
        return evidence.source_spread(studio, studio.video(video_id).plan, str((event._data or {}).get("source", "")))

    draw.click(
        figure, [shown, scene, at, kind], [sketch, get_figure], show_progress="minimal", api_visibility="private"
    )
    again.click(make_again, shown, page.again, **QUIET)
    other.click(other_arm, shown, [page.opened, page.again], **QUIET)
    cited.click(show_source, shown, page.viewer, show_progress="minimal", api_visibility="private")
    return view
