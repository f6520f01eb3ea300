"""Steps of any topic as numbered cards: the kind that fits where no other does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from t2v_studio.engines.local.display import MIN_TEXT, Box, Circle, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import blend, mix, settle, smooth, span
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment, Stage
from t2v_studio.engines.local.kinds.process_layout import (
    BADGE,
    LIFT,
    PAD,
    Lettering,
    along,
    lettering,
    place,
    text_area,
)
from t2v_studio.engines.local.text import LINE_HEIGHT, fit
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene, Step
from t2v_studio.planning.visuals import Process

TRAVEL = (0.0, 0.2)
"""Share of a step in which the link grows and the token travels to the card."""

APPEAR = (0.1, 0.26)
KEY_WORDS = 7


@dataclass(frozen=True)
class ProcessTrace:
    """What the cards say, in order."""

    labels: tuple[str, ...]
    layout: str
    centre: str


def key_phrase(step: Step) -> str:
    """The label of a step: what it shows, else the first words of what it says."""
    if step.show.strip():
        return " ".join(step.show.split())
    words = step.say.split()
    phrase = " ".join(words[:KEY_WORDS]).rstrip(" .,;:")
    return phrase + ("…" if len(words) > KEY_WORDS else "")


class ProcessKind:
    """Cards appear one after another; the active one is lit, those before it rest, those to come are outlined."""

    name = "process"

    def simulate(self, scene: Scene, seed: int) -> ProcessTrace:
        layout, centre = "flow", ""
        if isinstance(scene.visual, Process):
            layout, centre = scene.visual.layout, scene.visual.centre.strip()
        return ProcessTrace(tuple(key_phrase(step) for step in scene.steps), layout, centre)

    def draw(self, scene: Scene, trace: ProcessTrace, moment: Moment, stage: Stage) -> list[Item]:
        plan = place(trace.layout, trace.labels, stage.box, trace.centre)
        letters = lettering(trace.labels, plan.cards)
        pal = stage.palette
        items: list[Item] = []
        if plan.axis:
            items.append(Polyline(points=plan.axis, stroke=blend(pal.line, pal.surface, 0.35), width=4, name="axis"))
        if plan.centre is not None:
            items += _centre(plan.centre, trace, scene, pal)
        for i, path in enumerate(plan.links):
            if len(path) > 1:
                items += _link(path, i, moment, plan.arrows, pal)
        if len(plan.closing) > 1:
            items += _closing(plan.closing, len(plan.cards), moment, pal)
        for i, mark in enumerate(plan.marks):
            items += _timeline_mark(mark, plan.cards[i], i, moment, pal)
        for i, card in enumerate(plan.cards):
            items += _card(card, i, trace.labels[i], letters, moment, pal)
        return items

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]:
        return []

    def caption(self, scene: Scene, trace: ProcessTrace, moment: Moment) -> str:
        return ""

    def table(self, scene: Scene, trace: ProcessTrace) -> list[dict[str, Any]]:
        return [{"step": i, "label": label} for i, label in enumerate(trace.labels, start=1)]


def _arrival(index: int, moment: Moment, window: tuple[float, float] = APPEAR) -> float:
    """How far a card has come: 0 not yet, 1 there. The first is there from the start."""
    if index < moment.step or index == 0:
        return 1.0
    return settle(span(moment.progress, *window)) if index == moment.step else 0.0


def _emphasis(index: int, moment: Moment) -> float:
    """How strongly a card is lit."""
    if index == moment.step:
        return 1.0 if index == 0 else settle(span(moment.progress, *APPEAR))
    if index == moment.step - 1:
        return 1.0 - smooth(span(moment.progress, *TRAVEL))
    return 0.0


def _centre(box: Box, trace: ProcessTrace, scene: Scene, pal: Palette) -> list[Item]:
    word = trace.centre or (scene.title if trace.layout == "map" else "")
    if not word:
        return []
    items: list[Item] = []
    if trace.layout == "map":
        items.append(Rect(box=box, radius=min(26.0, box.h / 2), fill=pal.accent, width=0, layer=2, name="centre"))
        colour = pal.surface
    else:
        colour = pal.muted
    fitted = fit(word, box.w - 28, box.h - 12, 34, weight="bold")
    pitch = fitted.size * 1.18
    top = box.centre.y - (len(fitted.lines) - 1) * pitch / 2
    for i, line in enumerate(fitted.lines):
        items.append(
            Text(
                at=Point(box.centre.x, top + i * pitch),
                text=line,
                size=fitted.size,
                colour=colour,
                weight="bold",
                anchor="centre",
                layer=3,
                name="centre",
            )
        )
    return items


def _link(path: tuple[Point, ...], index: int, moment: Moment, arrows: bool, pal: Palette) -> list[Item]:
    if index > moment.step:
        return []
    grown = 1.0 if index < moment.step else smooth(span(moment.progress, *TRAVEL))
    lit = 1.0 if index == moment.step else 0.0
    colour = pal.accent if lit else blend(pal.line, pal.muted, 0.55)
    items: list[Item] = []
    if grown > 0.02:
        part, end = along(path, grown)
        items.append(
            Polyline(
                points=part,
                stroke=colour,
                width=4 if lit else 3.5,
                name="link",
                arrow="end" if arrows and grown > 0.12 else "",
            )
        )
        if lit and grown < 0.999:
            items.append(
                Circle(centre=end, radius=9, fill=pal.warm, stroke=pal.surface, width=2.5, layer=6, name="token")
            )
    return items


def _closing(path: tuple[Point, ...], count: int, moment: Moment, pal: Palette) -> list[Item]:
    """The way back to the first card, drawn while the last step ends."""
    if moment.step < count - 1:
        return []
    grown = smooth(span(moment.progress, 0.5, 0.75))
    if grown <= 0.02:
        return []
    part, end = along(path, grown)
    items: list[Item] = [
        Polyline(points=part, stroke=pal.accent, width=4, arrow="end" if grown > 0.12 else "", name="link")
    ]
    if grown < 0.999:
        items.append(Circle(centre=end, radius=9, fill=pal.warm, stroke=pal.surface, width=2.5, layer=6, name="token"))
    return items


def _timeline_mark(at: Point, card: Box, index: int, moment: Moment, pal: Palette) -> list[Item]:
    there = _arrival(index, moment)
    if there <= 0:
        return [Circle(centre=at, radius=8, fill=pal.surface, stroke=pal.line, width=3, layer=3, name="mark")]
    lit = _emphasis(index, moment)
    items: list[Item] = [
        Circle(
            centre=at,
            radius=mix(8, 12, lit),
            fill=blend(pal.accent, pal.warm, lit),
            stroke=pal.surface,
            width=3,
            layer=4,
            name="mark",
        )
    ]
    if card.x > at.x:
        edge = Point(card.x - LIFT, at.y)
    else:
        edge = Point(at.x, card.bottom + LIFT if card.bottom < at.y else card.y - LIFT)
    items.append(
        Polyline(
            points=(at, along((at, edge), there)[1]), stroke=blend(pal.line, pal.accent, lit), width=3, name="stem"
        )
    )
    return items


def _card(card: Box, index: int, label: str, letters: Lettering, moment: Moment, pal: Palette) -> list[Item]:
    there, lit = _arrival(index, moment), _emphasis(index, moment)
    items: list[Item] = []
    if there < 1.0:
        items.append(
            Rect(
                box=card,
                radius=16,
                fill=pal.surface,
                stroke=pal.line,
                width=2,
                dash=(7, 7),
                alpha=1 - there,
                name="slot",
            )
        )
        items += _number(card, letters.flat, index, pal.surface, pal.line, pal.muted, 1 - there)
    if there <= 0.01:
        return items
    box = card.inset(-LIFT * lit).inset(mix(10, 0, there))
    fill = blend(pal.paper, pal.accent_soft, lit)
    if lit > 0.01:
        shadow = Box(box.x, box.y + 4, box.w, box.h)
        items.append(
            Rect(box=shadow, radius=18, fill=pal.ink, width=0, alpha=0.07 * lit * there, layer=1, name="shadow")
        )
    items.append(
        Rect(
            box=box,
            radius=18,
            fill=fill,
            stroke=blend(pal.line, pal.accent, lit),
            width=mix(2, 3.5, lit),
            alpha=there,
            layer=2,
            name="node",
        )
    )
    items += _number(card, letters.flat, index, pal.accent_soft, "", pal.ink, there * (1 - lit))
    items += _number(card, letters.flat, index, pal.accent, "", pal.surface, there * lit)
    area = text_area(card, letters.flat)
    fitted = fit(label, area.w, area.h, letters.size, weight="bold")
    pitch = fitted.size * LINE_HEIGHT * 0.94
    first = area.centre.y - (len(fitted.lines) - 1) * pitch / 2
    if not letters.flat:
        first = min(first, area.y + fitted.size * 0.6 + (area.h - len(fitted.lines) * pitch) * 0.35)
    for i, line in enumerate(fitted.lines):
        items.append(
            Text(
                at=Point(area.x + mix(14, 0, there), first + i * pitch),
                text=line,
                size=fitted.size,
                colour=blend(blend(pal.muted, pal.ink, 0.5), pal.ink, lit),
                weight="bold",
                alpha=there,
                layer=3,
                name="label",
            )
        )
    return items


def _number(card: Box, flat: bool, index: int, fill: str, stroke: str, colour: str, alpha: float) -> list[Item]:
    if alpha <= 0.01:
        return []
    beside = Point(card.x + PAD * 0.8 + BADGE, card.centre.y)
    at = beside if flat else Point(card.x + PAD + BADGE, card.y + PAD + BADGE)
    return [
        Circle(
            centre=at,
            radius=BADGE,
            fill=fill,
            stroke=stroke,
            width=2 if stroke else 0,
            alpha=alpha,
            layer=2,
            name="badge",
        ),
        Text(
            at=at,
            text=str(index + 1),
            size=MIN_TEXT,
            colour=colour,
            weight="bold",
            anchor="centre",
            alpha=alpha,
            layer=3,
            name="number",
        ),
    ]
