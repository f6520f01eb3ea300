"""A plan as rows that a person may edit, and the plan that the edited rows ask for."""

from __future__ import annotations

import re
from typing import Any

from t2v_studio.errors import InputError
from t2v_studio.planning.plan import ScenePlan, parse_plan
from t2v_studio.ui import markup

HEAD = ("Step", "Title", "Seconds", "Say", "Show", "Cites")
FIXED = (0, 5)
"""Columns that place a row, and are not edited."""


def rows_of(plan: ScenePlan) -> list[list[Any]]:
    """One row a step, named "scene.step"; title and seconds stand in the first row of each scene."""
    rows = []
    pages = {one.id: markup.pages({"page": one.page, "page_last": one.page_last}) for one in plan.sources}
    for number, scene in enumerate(plan.scenes, start=1):
        for index, step in enumerate(scene.steps, start=1):
            first = index == 1
            title = scene.title if first else ""
            seconds = f"{scene.seconds:g}" if first and scene.seconds else ""
            rows.append([f"{number}.{index}", title, seconds, step.say, step.show, _cited(step.cites, pages)])
    return rows


def _cited(cites: list[str], pages: dict[str, str]) -> str:
    return ", ".join(f"{cite} {pages[cite]}" for cite in cites)


def is_edited(plan: ScenePlan, rows: list[list[Any]]) -> bool:
    """Whether the table says anything else than the plan does."""
    return [[str(cell or "") for cell in row] for row in rows] != [[str(cell) for cell in row] for row in rows_of(plan)]


def _letters(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


def still_quotes(say: str, cites: list[str], quotes: dict[str, str]) -> bool:
    """Whether `say` still stands in a quote that it cites: the engines draw cited words in quotation marks."""
    return any(_letters(say) in _letters(quotes.get(cite, "")) for cite in cites)


def edited(plan: ScenePlan, rows: list[list[Any]]) -> ScenePlan:
    """`plan` with the titles, seconds and words of `rows`. A step whose words were cleared is left out; one that
    no longer says what its source says loses the citation.

    Raises InputError that names scene and field.
    """
    by_place = {str(row[0]).strip(): row for row in rows if len(row) == len(HEAD)}
    data = plan.model_dump(mode="json")
    quotes = {one.id: one.quote for one in plan.sources}
    for number, scene in enumerate(data["scenes"], start=1):
        lines = [by_place.get(f"{number}.{index}") for index in range(1, len(scene["steps"]) + 1)]
        if any(line is None for line in lines):
            raise InputError(
                "plan_rows", f"Scene {number}: rows of the plan are missing.", "Press Plan again, then edit words only."
            )
        _, title, seconds, *_ = lines[0]  # type: ignore[misc]
        scene["title"] = str(title or "").strip() or scene["title"]
        scene["seconds"] = _seconds(seconds, number)
        words = [(str(line[3] or "").strip(), str(line[4] or "").strip()) for line in lines if line is not None]
        pairs = zip(scene["steps"], words, strict=True)
        scene["steps"] = [_step(step, say, show, quotes) for step, (say, show) in pairs if say]
        if not scene["steps"]:
            raise InputError(
                "scene_empty", f"Scene {number}: every step was cleared.", "Keep one step, or make a new plan."
            )
    return parse_plan(data)


def _step(step: dict[str, Any], say: str, show: str, quotes: dict[str, str]) -> dict[str, Any]:
    changed = _letters(say) != _letters(step["say"])
    cites = [] if changed and not still_quotes(say, step["cites"], quotes) else step["cites"]
    return {**step, "say": say, "show": show, "cites": cites}


def _seconds(value: Any, number: int) -> float | None:
    text = str(value if value is not None else "").strip().replace(",", ".")
    if text.lower() in ("", "nan", "none"):
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 120:
        raise InputError(
            "bad_seconds",
            f"Scene {number}: {text!r} seconds cannot be used.",
            "Write a number from 0.5 to 120, or leave it empty.",
        )
    return seconds
