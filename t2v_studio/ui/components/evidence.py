"""Markup of what a plan stands on: its sources with pages, its grounding, and how two plans differ."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

from t2v_studio.planning.plan import ScenePlan, Source
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import viewer
from t2v_studio.ui.wording import on_page

WORDS_SHOWN = 14


def sources(plan: ScenePlan) -> str:
    """Each source with book, page, quote, and a button that shows the page."""
    if not plan.sources:
        return '<p class="t2-muted">This plan cites no book. Switch on "Use my books" to let the scenes say what your books say.</p>'
    used = {
        cite: number
        for number, scene in reversed(list(enumerate(plan.scenes, start=1)))
        for step in scene.steps
        for cite in step.cites
    }
    return f'<div class="t2-list">{"".join(_source(one, used.get(one.id)) for one in plan.sources)}</div>'


def _source(one: Source, scene: int | None) -> str:
    where = markup.pages({"page": one.page, "page_last": one.page_last, "label": one.label})
    parts = [where, one.section.split(" > ")[-1], f"scene {scene}" if scene else ""]
    return (
        f'<article class="t2-hit"><header>{markup.chip(one.id, "run")}<b>{markup.text(one.book)}</b>'
        f'<span class="t2-grow">{markup.text(" · ".join(part for part in parts if part))}</span>'
        f"{markup.button('Show page', 'source', kind='quiet strong', source=one.id)}</header><p>{markup.text(one.quote)}</p></article>"
    )


def source_spread(studio: Studio, plan: ScenePlan, source_id: str) -> str:
    """The page of a source beside the quoted words, as a dialog. An unknown id shows nothing."""
    one = next((source for source in plan.sources if source.id == source_id), None)
    if one is None:
        return ""
    where = f"{one.book} · {markup.pages({'page': one.page, 'page_last': one.page_last, 'label': one.label})}"
    return viewer.dialog(
        viewer.spread(
            studio, book_id=one.book_id, page=one.page, heading=one.section or one.book, words=one.quote, where=where
        )
    )


def notices(lines: list[str]) -> str:
    """What the planner or the engine rounded, replaced or left out: one quiet box, however many lines."""
    if not lines:
        return ""
    items = "".join(f"<li>{markup.text(on_page(line))}</li>" for line in lines)
    return f'<ul class="t2-notes" role="status">{items}</ul>'


def grounding(report: dict[str, Any] | None) -> str:
    """Scene by scene, the retrieved words that stand in the treated plan and not in the control's."""
    scenes = (report or {}).get("scenes") or []
    if not report or not scenes:
        return ""
    cells = (
        (
            markup.text(scene.get("title") or scene.get("id")),
            markup.chip("grounded", "good") if scene.get("grounded") else markup.chip("no words", "warn"),
            f'<span class="t2-num">{len(scene.get("step_words") or [])}</span>',
            markup.text(_some(scene.get("step_words") or [])) or "–",
            markup.text(", ".join(scene.get("cites") or [])) or "–",
        )
        for scene in scenes
    )
    grounded, words = len(report.get("grounded") or []), report.get("words")
    line = f"{grounded} of {markup.plural(len(scenes), 'scene')} grounded"
    line += f", {markup.plural(int(words), 'word')} from the books in all." if words is not None else "."
    table = markup.table(
        ("Scene", "", "Words", "Retrieved words that only this arm has", "Cites"),
        cells,
        caption="Grounding by scene",
        kind="grounding",
    )
    return f'<p class="t2-muted">{markup.text(line)}</p>{table}'


def _some(words: list[str]) -> str:
    more = len(words) - WORDS_SHOWN
    return ", ".join(words[:WORDS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def difference(plain: ScenePlan, treated: ScenePlan) -> str:
    """Two plans side by side, scene by scene, with the words that differ marked."""
    rows = []
    for one, other in zip(plain.scenes, treated.scenes, strict=False):
        rows.append((f"<strong>{markup.text(one.title)}</strong>", f"<strong>{markup.text(other.title)}</strong>"))
        left, right = ([step.say for step in scene.steps] for scene in (one, other))
        for index in range(max(len(left), len(right))):
            a, b = (lines[index] if index < len(lines) else "" for lines in (left, right))
            rows.append(marked(a, b))
    table = markup.table(
        ("Without retrieval", "With retrieval"), rows, caption="The two plans, differing words marked", kind="t2-diff"
    )
    return table


def marked(a: str, b: str) -> tuple[str, str]:
    """Both texts as markup, with the words that stand in one and not at that place in the other marked."""
    left, right = (re.findall(r"\s+|[^\s]+", text) for text in (a, b))
    out: tuple[list[str], list[str]] = ([], [])
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for side, words in ((0, left[a0:a1]), (1, right[b0:b1])):
            piece = markup.text("".join(words))
            out[side].append(piece if kind == "equal" or not piece.strip() else f"<mark>{piece}</mark>")
    return "".join(out[0]), "".join(out[1])
