"""Drawing a graph search: nodes by state, costs, the frontier as a queue, the path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from t2v_studio.engines.local.display import MIN_TEXT, Box, Circle, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import blend, smooth, span
from t2v_studio.engines.local.kinds.base import Stage
from t2v_studio.engines.local.kinds.edges import (
    along,
    between_rims,
    distance_to_segment,
    free_place,
    label_box,
    pulse,
    tag,
)
from t2v_studio.engines.local.kinds.ink import readable_on
from t2v_studio.engines.local.simulations.search import ASPECT, Entry, Expansion, Search

OFFSETS = (
    *((0, 1), (0, -1), (1, 0), (-1, 0), (0.75, 0.8), (-0.75, 0.8), (0.75, -0.8), (-0.75, -0.8)),
    *((0.45, 1), (-0.45, 1), (0.45, -1), (-0.45, -1), (1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5)),
)
"""Where the costs of a node may stand around it, in shares of the reach aside and above."""
TITLES = {
    "bfs": "Queue: first in, first out",
    "dfs": "Stack: last in, first out",
    "dijkstra": "Frontier: lowest g first",
    "astar": "Frontier: lowest f first",
}


@dataclass(frozen=True)
class SearchMoment:
    """setup, path: 0 to 1; turns: expansions done, with the running one as a fraction."""

    setup: float
    turns: float
    path: float


@dataclass(frozen=True, eq=False)
class Plan:
    """centres, radius; notes: where the costs of a node stand, `short`: f alone; edge_labels; the panel of the frontier."""

    centres: tuple[Point, ...]
    radius: float
    notes: tuple[Point | None, ...]
    short: bool
    edge_labels: dict[tuple[int, int], Point]
    panel: Box
    rows: int
    across: int


def weighted(search: Search) -> bool:
    return search.algorithm in ("dijkstra", "astar")


def draw_search(search: Search, at: SearchMoment, stage: Stage) -> list[Item]:
    plan = _plan(search, stage)
    count = len(search.expansions)
    index = min(int(at.turns), count - 1)
    progress = at.turns - index if at.turns > 0 else 0.0
    turn = search.expansions[index]
    before = search.expansions[index - 1] if index else None
    items = _edges(search, plan, turn, before, progress, at, stage)
    items += _nodes(search, plan, turn, before, progress, at, stage)
    items += _notes(search, plan, turn, before, progress, at, stage)
    items += _panel(search, plan, turn, progress, at, stage)
    return items


@lru_cache(maxsize=32)
def _plan(search: Search, stage: Stage) -> Plan:
    box = stage.box
    if box.w > 1.9 * box.h and box.w > 800:
        panel = Box(box.right - 300, box.y, 300, box.h)
        field, rows, across = Box(box.x, box.y, box.w - 330, box.h), int((box.h - 78) / 40), 1
    elif box.h > box.w:
        panel = Box(box.x, box.bottom - 210, box.w, 210)
        field, rows, across = Box(box.x, box.y, box.w, box.h - 230), 4, 2
    else:
        panel = Box(box.right - 128, box.y, 128, box.h)
        field, rows, across = Box(box.x, box.y, box.w - 146, box.h), int((box.h - 36) / 36), 1
    radius = 27.0 if field.h > 330 and field.w > 600 else 22.0
    rim = radius + 11
    inner = Box(field.x + rim, field.y + rim, field.w - 2 * rim, field.h - 2 * rim - 22)
    upright = inner.h > inner.w
    centres = tuple(_placed(float(x) / ASPECT, float(y), inner, upright) for x, y in search.graph.positions)
    edge_labels = _edge_labels(search, centres, radius, field, stage) if weighted(search) else {}
    full = {"astar": "00+00=00", "dijkstra": "g 00", "bfs": "00.", "dfs": "00."}[search.algorithm]
    notes, crowded = _note_places(search, centres, radius, field, edge_labels, stage, full)
    if crowded and search.algorithm == "astar":
        notes, _ = _note_places(search, centres, radius, field, edge_labels, stage, "f 00")
    return Plan(centres, radius, notes, crowded, edge_labels, panel, rows, across)


def _placed(x: float, y: float, box: Box, upright: bool) -> Point:
    """A point of the unit field; in tall fields the graph runs downwards."""
    x, y = (y, x) if upright else (x, y)
    return Point(round(box.x + x * box.w, 1), round(box.y + y * box.h, 1))


def _edge_labels(
    search: Search, centres: tuple[Point, ...], radius: float, field: Box, stage: Stage
) -> dict[tuple[int, int], Point]:
    taken = [Box(p.x - radius, p.y - radius, 2 * radius, 2 * radius) for p in centres]
    places = {}
    for (i, j), cost in search.graph.edges.items():
        width = stage.measure(str(cost), MIN_TEXT, "regular")
        options = [along(centres[i], centres[j], t) for t in (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65)]
        place = free_place(options, width, MIN_TEXT - 4, taken, field) or options[0]
        places[i, j] = place
        taken.append(label_box(width, place, MIN_TEXT - 4))
    return places


def _note_places(
    search: Search, centres: tuple[Point, ...], radius: float, field: Box,
    edge_labels: dict[tuple[int, int], Point], stage: Stage, sample: str,
) -> tuple[tuple[Point | None, ...], bool]:  # fmt: skip
    """Beside each node the place that is clear of nodes, labels and, as far as can be, of edges; and whether one is not.

    A node without a clear place gets None: its costs stand in the panel alone.
    """
    graph = search.graph
    width = stage.measure(sample, MIN_TEXT, "bold")
    rim = radius + 8
    taken = [Box(p.x - rim, p.y - rim, 2 * rim, 2 * rim) for p in centres]
    crowded = False
    taken += [
        label_box(stage.measure(str(graph.edges[e]), MIN_TEXT, "regular"), p, MIN_TEXT - 4)
        for e, p in edge_labels.items()
    ]
    segments = [(centres[i], centres[j]) for i, j in graph.edges]
    places: list[Point | None] = []
    for centre in centres:
        reach, aside = radius + 23, radius + width / 2 + 14
        options = [Point(centre.x + dx * aside, centre.y + dy * reach) for dx, dy in OFFSETS]
        best = min(options, key=lambda p: _crowding(p, width, taken, segments, field))
        clear = _crowding(best, width, taken, segments, field)[0] <= 0
        crowded = crowded or not clear
        places.append(best if clear else None)
        if clear:
            taken.append(label_box(width, best, MIN_TEXT - 2))
    return tuple(places), crowded


def _crowding(
    place: Point, width: float, taken: list[Box], segments: list[tuple[Point, Point]], field: Box
) -> tuple[float, float]:
    box = label_box(width, place, MIN_TEXT - 2)
    overlap = sum(box.overlap(other) for other in taken) + (0 if field.contains(box) else 9999.0)
    probes = [Point(box.x + box.w * t, place.y) for t in (0.08, 0.3, 0.5, 0.7, 0.92)]
    near = sum(max(0.0, 13 - min(distance_to_segment(p, a, b) for p in probes)) for a, b in segments)
    return overlap, near


def _edges(
    search: Search,
    plan: Plan,
    turn: Expansion,
    before: Expansion | None,
    progress: float,
    at: SearchMoment,
    stage: Stage,
) -> list[Item]:
    palette, r = stage.palette, plan.radius
    settled = turn.parents if progress >= 0.75 else before.parents if before else {}
    tree = {(min(c, p), max(c, p)) for c, p in settled.items()} if at.turns > 0 else set()
    items: list[Item] = []
    for (i, j), cost in search.graph.edges.items():
        a, b = between_rims(plan.centres[i], plan.centres[j], r, r)
        inside = (i, j) in tree
        colour, width = (palette.accent, 4.0) if inside else (blend(palette.line, palette.muted, 0.35), 2.0)
        items.append(Polyline(points=(a, b), stroke=colour, width=width, alpha=1.0, name="edge"))
        if (i, j) in plan.edge_labels:
            text = str(cost)
            items += tag(text, plan.edge_labels[i, j], stage.measure(text, MIN_TEXT, "regular"), palette, MIN_TEXT,
                         colour=palette.muted, layer=3, name="cost")  # fmt: skip
    if 0 < progress < 1:
        moving = smooth(span(progress, 0.25, 0.75))
        for other in turn.touched:
            a, b = between_rims(plan.centres[turn.current.node], plan.centres[other], r, r)
            if 0 < moving < 1:
                items.append(
                    Polyline(points=(a, along(a, b, moving)), stroke=palette.accent, width=4, layer=1, name="reach")
                )
                items.append(pulse(a, b, moving, palette.warm, 9, layer=4))
    return items + _path(search, plan, at, stage)


def _path(search: Search, plan: Plan, at: SearchMoment, stage: Stage) -> list[Item]:
    """Walked back from the goal over the parents, as the algorithm does it."""
    if at.path <= 0:
        return []
    back = [plan.centres[i] for i in reversed(search.path)]
    legs = len(back) - 1
    place = smooth(span(at.path, 0.0, 0.9)) * legs
    whole = min(int(place), legs)
    points = back[: whole + 1]
    if whole < legs:
        points = [*points, along(back[whole], back[whole + 1], place - whole)]
    if len(points) < 2 or points[0] == points[-1]:
        return []
    return [Polyline(points=tuple(points), stroke=stage.palette.positive, width=10, alpha=0.85, layer=2, name="path")]


def _states(
    search: Search, turn: Expansion, before: Expansion | None, progress: float, at: SearchMoment
) -> dict[int, str]:
    """unseen, open, current, closed or path, by node."""
    states = dict.fromkeys(range(len(search.graph.names)), "unseen")
    if at.turns <= 0:
        states[search.graph.start] = "open"
        return states
    for entry in turn.after if progress >= 0.75 else turn.before:
        states[entry.node] = "open"
    for node in turn.closed:
        states[node] = "closed"
    finished = at.turns >= len(search.expansions)
    states[turn.current.node] = "closed" if finished else "current"
    if at.path > 0:
        legs = len(search.path) - 1
        reached = smooth(span(at.path, 0.0, 0.9)) * legs
        for i, node in enumerate(reversed(search.path)):
            if reached >= i - 0.02:
                states[node] = "path"
    return states


def _nodes(
    search: Search,
    plan: Plan,
    turn: Expansion,
    before: Expansion | None,
    progress: float,
    at: SearchMoment,
    stage: Stage,
) -> list[Item]:
    palette, graph = stage.palette, search.graph
    looks = {
        "unseen": (palette.surface, palette.muted, 2.0, palette.muted),
        "open": (palette.accent_soft, palette.accent, 5.0, palette.ink),
        "current": (palette.warm, palette.ink, 4.0, readable_on(palette.warm, palette)),
        "closed": (palette.muted, palette.muted, 2.0, readable_on(palette.muted, palette)),
        "path": (palette.positive, palette.positive, 2.0, readable_on(palette.positive, palette)),
    }
    items: list[Item] = []
    for node, state in _states(search, turn, before, progress, at).items():
        fill, stroke, width, ink = looks[state]
        centre = plan.centres[node]
        if state == "current":
            items.append(
                Circle(centre=centre, radius=plan.radius + 8, stroke=palette.warm, width=3, layer=5, name="halo")
            )
        elif node == graph.goal:
            items.append(
                Circle(centre=centre, radius=plan.radius + 6, stroke=palette.muted, width=2, layer=5, name="goal")
            )
        items.append(
            Circle(centre=centre, radius=plan.radius, fill=fill, stroke=stroke, width=width, layer=5, name="node")
        )
        items.append(Text(at=centre, text=graph.names[node], size=26, colour=ink, weight="bold", anchor="centre", layer=6,
                          name="node name"))  # fmt: skip
    return items


def _notes(
    search: Search,
    plan: Plan,
    turn: Expansion,
    before: Expansion | None,
    progress: float,
    at: SearchMoment,
    stage: Stage,
) -> list[Item]:
    """g + h = f or g beside reached nodes; the place in the order for searches without costs."""
    palette, graph = stage.palette, search.graph
    shown = span(at.setup, 0.3, 0.6) if at.turns <= 0 else 1.0
    if at.turns <= 0:
        if search.algorithm != "astar" or shown <= 0:
            return []
        notes = {node: f"h {graph.heuristic[node]}" for node in range(len(graph.names))}
    elif weighted(search):
        g = turn.g if progress >= 0.75 else before.g if before else {graph.start: 0}
        notes = {node: _cost_note(search, node, cost, plan.short) for node, cost in g.items()}
    else:
        notes = {node: f"{i + 1}." for i, node in enumerate((*turn.closed, turn.current.node))}
    items: list[Item] = []
    for node, text in notes.items():
        place = plan.notes[node]
        if place is None:
            continue
        width = stage.measure(text, MIN_TEXT, "bold")
        colour = palette.accent if node != turn.current.node or at.turns <= 0 else palette.ink
        items += tag(text, place, width, palette, MIN_TEXT, colour=colour, weight="bold", alpha=shown, layer=4,
                     name="note")  # fmt: skip
    return items


def _cost_note(search: Search, node: int, g: int, short: bool) -> str:
    if search.algorithm == "dijkstra":
        return f"g {g}"
    h = search.graph.heuristic[node]
    return f"f {g + h}" if short else f"{g}+{h}={g + h}"


def _panel(search: Search, plan: Plan, turn: Expansion, progress: float, at: SearchMoment, stage: Stage) -> list[Item]:
    """The frontier in the order of removal; its head is the next to be expanded."""
    palette, box = stage.palette, plan.panel
    wide = box.w > 200
    title = (
        TITLES[search.algorithm] if wide else "Frontier" if weighted(search) else TITLES[search.algorithm].split(":")[0]
    )
    items: list[Item] = [
        Text(at=Point(box.x, box.y + 14), text=title, size=MIN_TEXT, colour=palette.muted, name="frontier title")
    ]
    if at.turns <= 0:
        start = search.expansions[0].before
        entries: tuple[Entry, ...] = start
    elif at.turns >= len(search.expansions):
        entries = turn.after
    else:
        entries = turn.after if progress >= 0.75 else turn.before
    current = None if at.turns <= 0 or at.turns >= len(search.expansions) or progress >= 0.75 else turn.current.node
    room = plan.rows * plan.across
    pitch = 40.0 if wide else 36.0
    width = (box.w - 4 - 16 * (plan.across - 1)) / plan.across
    for i, entry in enumerate(entries[:room]):
        row = Box(
            box.x + 2 + (i % plan.across) * (width + 16), box.y + 38 + (i // plan.across) * pitch, width, pitch - 5
        )
        head = entry.node == current
        items.append(Rect(box=row, radius=9, fill=palette.highlight if head else palette.paper,
                          stroke=palette.warm if head else palette.line, width=2.5 if head else 1.5, name="entry"))  # fmt: skip
        items.append(Text(at=Point(row.x + 12, row.centre.y), text=search.graph.names[entry.node], size=25, colour=palette.ink,
                          weight="bold", layer=1, name="entry"))  # fmt: skip
        note = _entry_note(search, entry, wide)
        if note:
            items.append(Text(at=Point(row.right - 10, row.centre.y), text=note, size=MIN_TEXT, colour=palette.ink, anchor="right",
                              layer=1, name="entry"))  # fmt: skip
    if not entries:
        items.append(
            Text(
                at=Point(box.x, box.y + 54),
                text="empty",
                size=MIN_TEXT,
                colour=palette.muted,
                italic=True,
                name="entry",
            )
        )
    done = (
        (*turn.closed, turn.current.node) if at.turns >= len(search.expansions) else turn.closed if at.turns > 0 else ()
    )
    if wide and done:
        text = "done:  " + " ".join(search.graph.names[i] for i in done)
        if stage.measure(text, MIN_TEXT, "regular") > box.w:
            text = f"done:  {len(done)} of {len(search.graph.names)} nodes"
        items.append(
            Text(at=Point(box.x, box.bottom - 14), text=text, size=MIN_TEXT, colour=palette.muted, name="done")
        )
    return items


def _entry_note(search: Search, entry: Entry, wide: bool) -> str:
    if search.algorithm == "dijkstra":
        return f"g = {entry.g}" if wide else f"{entry.g}"
    if search.algorithm == "astar":
        return f"{entry.g} + {entry.h} = {entry.f}" if wide else f"{entry.f}"
    return ""
