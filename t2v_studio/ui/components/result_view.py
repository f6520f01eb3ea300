"""A finished video: player with subtitles, its facts, sources with pages, downloads, figures, and what to do next."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.production.request import DIFFUSION_FIELDS, MANIM_FIELDS
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import evidence, manim_view, player, written_prompts
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import OFF, ON, QUIET, Page, target
from t2v_studio.workspace import new_id

ARMS = {
    "": "",
    "no_rag": "without retrieval",
    "rag_semantic": "with retrieval",
    "rag_overlay": "with retrieval (overlay)",
}
FORMATS = ("svg", "pdf", "png")


def verdict_chip(verdict: str) -> str:
    return markup.chip(
        "looks right" if verdict == "ok" else verdict.replace("_", " "), "good" if verdict == "ok" else "warn"
    )


def summary(record: VideoRecord) -> str:
    """Title and a line of chips."""
    engines = ", ".join(dict.fromkeys(scene.engine for scene in record.scenes))
    arm = ARMS.get(record.arm, record.arm)
    chips = [
        verdict_chip(record.verdict),
        markup.chip(markup.duration(record.duration_s)),
        markup.chip(f"{record.width} × {record.height}"),
        markup.chip(f"{record.fps:g} frames/s"),
        markup.chip(f"engine {engines}"),
        markup.chip(arm, "run") if arm else "",
    ]
    return f'<h2 class="t2-title">{markup.text(record.plan.topic)}</h2><div class="t2-row">{"".join(chips)}</div>'


LABELS = {
    "fps": "Frames a second",
    "rag_mode": "Retrieval",
    "rag_top_k": "Passages a scene",
    "rag_query": "One query",
    "book_ids": "Books",
    "course_few_shot": "Worked examples",
    "fallback_local_on_fail": "Local fallback",
    "show_sources": "Sources in picture",
    "course_template": "Template",
    "model_id": "Model",
    "use_llm_planner": "Language model plans",
    "lora_prompt_profile": "Prompt profile",
    "cfg_cutoff": "Guidance ends after",
    "prompt_writer": "Prompts written by",
    "manim_scenes": "Scenes",
    "manim_model_id": "Scenes written by",
    "manim_adapter": "With the LoRA",
}


def treated(record: VideoRecord) -> bool:
    """Whether the plan holds what books say, by its own retrieval: a request that brings its plan asks for none."""
    return record.plan.retrieval is not None or bool(record.plan.sources)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def settings_table(record: VideoRecord) -> str:
    """Everything that was asked and everything that was chosen."""
    engine = record.request.engine
    hidden = {"plan", "use_rag", "manim_code"} | (set() if engine == "diffusion" else set(DIFFUSION_FIELDS))
    hidden |= set() if engine == "manim" else set(MANIM_FIELDS)
    asked = record.request.model_dump(mode="json", exclude=hidden, exclude_none=True)
    asked = {name: value for name, value in asked.items() if value != ""}
    rows: list[tuple[str, Any]] = [("Uses books", _plain(treated(record)))]
    rows += [(LABELS.get(name, name.replace("_", " ").capitalize()), _plain(value)) for name, value in asked.items()]
    rows += [
        ("Made", markup.day(record.created_at)),
        ("Frames", f"{record.frames:,}"),
        ("Id", record.id),
        ("SHA-256", record.video_sha256),
    ]
    return (
        f'<div class="t2-columns">{markup.facts(rows)}</div>'
        + scenes_table(record)
        + _drawn_with(record)
        + _planner(record)
        + written_prompts.prompts(record.plan)
    )


def scenes_table(record: VideoRecord) -> str:
    """A row a scene: what drew it, with which settings, what was tried before, and how near to the card's limit."""
    titles = {scene.id: scene.title for scene in record.plan.scenes}
    diffusion = any(scene.details.get("sampling") for scene in record.scenes)
    heads = ["Scene", "Engine", "Seed", "Length", "Verdict"] + ["Settings", "Tokens", "Share of limit"] * diffusion
    tried = any(scene.retries for scene in record.scenes)
    rows = []
    for one in record.scenes:
        engine = one.engine + (f" {one.model}" if one.model not in ("", one.engine) else "")
        engine += f" (instead of {one.fallback})" if one.fallback else ""
        cells = [*map(markup.text, (titles.get(one.id, one.id), engine, one.seed, markup.duration(one.duration_s)))]
        cells.append(verdict_chip(one.verdict))
        if diffusion:
            cells += [markup.text(text) for text in (_sampled(one), _tokens(one), _share(one))]
        rows.append([*cells, *([markup.text(_tries(one))] if tried else [])])
    return markup.table([*heads, *(["Tried before"] if tried else [])], rows, caption="Scenes")


def _sampled(scene: SceneRecord) -> str:
    """Steps, guidance and LoRA of a scene, and what a retry changed."""
    sampling, adapter = scene.details.get("sampling") or {}, scene.details.get("adapter") or {}
    said = [f"{sampling['steps']} steps", f"guidance {sampling['guidance']:g}"] if sampling else []
    said += [f"LoRA at {adapter['scale']:g}"] if adapter.get("scale") else []
    said += [
        f"{name.replace('_', ' ')} {_plain(value)}" for name, value in scene.settings.items() if name not in sampling
    ]
    return ", ".join(said)


def _tokens(scene: SceneRecord) -> str:
    tokens = scene.details.get("tokens") or {}
    return f"{tokens['prompt']} of {tokens['limit']}" if tokens else ""


def _share(scene: SceneRecord) -> str:
    """The share of the card's physical limit, where one is known."""
    limit = scene.details.get("limit") or {}
    return f"{100 * limit['share']:.0f} %" if limit.get("share") else ""


def _tries(scene: SceneRecord) -> str:
    """Each earlier try with its cause and what was done."""
    return "; ".join(
        ": ".join(dict.fromkeys(str(one[name]) for name in ("cause", "verdict", "next") if one.get(name))).replace(
            "_", " "
        )
        for one in scene.retries
    )


def _drawn_with(record: VideoRecord) -> str:
    """Plan of memory and speed switches of the first scene that diffusion drew; they hold for the whole video."""
    details = next((scene.details for scene in record.scenes if scene.details.get("memory")), None)
    if details is None:
        return ""
    switches = "; ".join(
        f"{name.replace('_', ' ')}: {_plain(how)}" for name, how in (details.get("switches") or {}).items()
    )
    said = f"Memory: {details['memory']['plan']}. {switches.capitalize()}" + ("." if switches else "")
    return f'<p class="t2-muted">{markup.text(said)}</p>'


def _planner(record: VideoRecord) -> str:
    """Who wrote the plan, where a language model was asked."""
    asked = record.plan.planner
    if asked is None:
        return ""
    said = f"The plan is by the language model {asked.model}" + (", mended once." if asked.repaired else ".")
    if asked.by == "rules":
        said = f"The plan is by the rules: {asked.model} gave none that could be used ({asked.reason})."
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
