"""The page: header, tabs, jobs drawer, timer, and links such as ?job= and ?video=."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

import gradio as gr

from t2v_studio.studio import Studio
from t2v_studio.ui import tabs
from t2v_studio.ui.components import header, jobs_panel, viewer
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import PACE_BUSY_S, QUIET, Page, target


def tab_modules() -> list[ModuleType]:
    """The tabs, in their ORDER: each module of ui/tabs/ that has build(page), NAME and LABEL."""
    found = [importlib.import_module(f"{tabs.__name__}.{info.name}") for info in pkgutil.iter_modules(tabs.__path__)]
    return sorted((module for module in found if hasattr(module, "build")), key=lambda module: module.ORDER)


def build(studio: Studio) -> gr.Blocks:
    """The whole page over `studio`."""
    modules = tab_modules()
    with gr.Blocks(
        title="T2V Studio", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400), elem_id="t2v"
    ) as demo:
        head = gr.HTML(header.markup_of(""), js_on_load=header.THEME_SWITCH, elem_id="header", apply_default_css=False)
        timer = gr.Timer(PACE_BUSY_S)
        rows, opened, again, first_job = gr.State(""), gr.State(None), gr.State(None), gr.State("")
        # At the top of the page: in a tab that is not open it would be read too late.
        kept = gr.BrowserState({}, storage_key="t2v-generate", secret="t2v-generate")
        dialog = gr.HTML("", js_on_load=viewer.DIALOG, elem_id="page-dialog", apply_default_css=False)
        with gr.Tabs(elem_id="tabs") as tab_bar:
            page = Page(studio, tab_bar, timer, rows, opened, again, dialog, head, kept)
            for module in modules:
                with gr.Tab(
                    module.LABEL, id=module.NAME, elem_id=f"tab-{module.NAME}", render_children=True
                ) as page.tab:
                    module.build(page)
        jobs_panel.build(studio, page, first_job)
        _links(page, first_job, demo)
    _without_hidden_progress(demo)
    return demo


def _without_hidden_progress(demo: gr.Blocks) -> None:
    """Progress that is never shown is kept for no component.

    At every event Gradio 6.31's page looks up, in the whole tree, each component that ever had a progress: a page
    that only waited took a quarter of a core.
    """
    for function in demo.fns.values():
        if function.show_progress == "hidden":
            function.show_progress_on = []


def _links(page: Page, first_job: gr.State, demo: gr.Blocks) -> None:
    """Everything that happens when a page is opened, and the way from a result to its tab."""
    studio = page.studio

    @guarded
    def follow_link(request: gr.Request) -> tuple[Any, Any, str]:
        asked = dict(request.query_params) if request else {}
        opening = gr.skip()
        for kind in ("video", "pair"):
            if asked.get(kind):
                opening = target(kind, str(asked[kind]))
        return opening, str(asked.get("job", "")), header.state_line(studio)

    def choose_tab(what: dict[str, Any] | None) -> Any:
        if not what:
            return gr.skip()
        place = {"book": "library", "plan": "generate", "results": "results", "pack": "packs"}.get(
            what["kind"], "gallery"
        )
        return gr.Tabs(selected=place)

    page.opened.change(choose_tab, page.opened, page.tabs, **QUIET)
    for wanted in page.loads:
        demo.load(wanted["fn"], wanted["inputs"], wanted["outputs"], **QUIET)
    demo.load(follow_link, None, [page.opened, first_job, page.header], **QUIET)
