"""Past videos as cards; choosing one shows the same view as after making it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import pair_view, player, result_view, scene_details
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, TO_TOP, Page

NAME, LABEL, ORDER = "gallery", "Gallery", 30
SHOWN = 60
NOTHING = markup.empty(
    "No videos yet", "Go to Generate, type a topic and press Generate. Each finished video is kept here."
)


def cards(studio: Studio, chosen: str = "") -> str:
    """One card a video, newest first."""
    rows = studio.videos(limit=SHOWN)
    return f'<div class="t2-cards">{"".join(_card(studio, row, chosen) for row in rows)}</div>' if rows else NOTHING


def _card(studio: Studio, row: dict[str, Any], chosen: str) -> str:
    poster = poster_url(studio, row)
    picture = (
        f'<img loading="lazy" alt="" src="{markup.text(poster)}">' if poster else '<span class="t2-noposter"></span>'
    )
    arm = result_view.ARMS.get(row.get("arm") or "", "")
    details = " · ".join(
        part for part in (markup.duration(row.get("duration_s")), str(row.get("engine") or ""), arm) if part
    )
    name = str(row.get("title") or row.get("topic") or row["id"])
    return (
        f'<button type="button" class="t2-card" data-act="video" data-id="{markup.text(row["id"])}" aria-pressed="{str(row["id"] == chosen).lower()}">'
        f"{picture}<div><b>{markup.text(name)}</b><small>{markup.text(details)}</small>"
        f'<span class="t2-row">{scene_details.verdict_chip(str(row.get("verdict") or ""))}<small>{markup.text(markup.day(row.get("created_at")))}</small></span></div></button>'
    )


def poster_url(studio: Studio, row: dict[str, Any]) -> str:
    """The poster's address; only pictures of this video's own folder, which is one of the two served folders."""
    if not row.get("poster"):
        return ""
    folder = studio.video_folder(row["id"]).resolve()
    path = folder / Path(str(row["poster"])).name
    return player.address(path) if path.is_file() and path.suffix in (".png", ".jpg", ".webp") else ""


def build(page: Page) -> None:
    studio = page.studio
    chosen, seen = gr.State(""), gr.State("")
    with gr.Row(equal_height=False, elem_id="gallery-row"):
        with gr.Column(scale=3, min_width=240, elem_id="gallery-shelf"):
            shelf = gr.HTML(markup.OPENING, js_on_load=markup.CLICKS, elem_id="gallery", apply_default_css=False)
        with gr.Column(scale=9, min_width=300, elem_id="gallery-shown"):
            result = result_view.build(page, "past")
            pair = pair_view.build(page, "past")

    @guarded
    def refresh(name: str, before: str) -> Any:
        view = cards(studio, name)
        return gr.skip() if view == before else (view, view)

    @guarded
    def choose(event: gr.EventData) -> Any:
        return show({"kind": "video", "id": str((event._data or {}).get("id", ""))})

    @guarded
    def opened(what: dict[str, Any] | None) -> Any:
        return show(what) if what and what["kind"] in ("video", "pair") else gr.skip()

    def show(what: dict[str, Any]) -> tuple[Any, ...]:
        name = what["id"]
        shown = [*result.hide(), *pair.show(name)] if what["kind"] == "pair" else [*result.show(name), *pair.hide()]
        view = cards(studio, name)
        return (*shown, name, view, view)

    outputs = [*result.outputs, *pair.outputs, chosen, shelf, seen]
    shelf.click(choose, None, outputs, show_progress="minimal", api_visibility="private").then(
        None, None, None, js=TO_TOP
    )
    page.opened.change(opened, page.opened, outputs, **QUIET)
    page.on_load(refresh, [chosen, gr.State("")], [shelf, seen])
    if page.tab is not None:
        page.tab.select(refresh, [chosen, seen], [shelf, seen], **QUIET)
