"""An expression as a graph: values travel forward, adjoints travel back over local derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

from t2v_studio.engines.local.display import MIN_TEXT, Box, Circle, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import blend, smooth, span
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment, Stage
from t2v_studio.engines.local.kinds.edges import along, between_rims, free_place, label_box, pulse, tag
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.kinds.timing import position
from t2v_studio.engines.local.simulations.tape import OPERATIONS, Tape, TapeNode, record
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene
from t2v_studio.planning.visuals import ComputeGraph

LABEL = 26.0


@dataclass(frozen=True, eq=False)
class Layout:
    """centres: one a node; radius; down: the graph flows downwards; edges: (source, target, place in inputs).

    labels: where the local derivative of an edge (source, target) stands.
    card: width and height of the nodes where circles with labels around them have no room, else None.
    """

    centres: tuple[Point, ...]
    radius: float
    down: bool
    edges: tuple[tuple[int, int, int], ...]
    long_labels: bool
    card: tuple[float, float] | None
    labels: dict[tuple[int, int], Point]


class ComputeGraphKind:
    """The trace is the evaluated tape."""

    name = "compute_graph"

    def simulate(self, scene: Scene, seed: int) -> Tape:
        return record(cast(ComputeGraph, scene.visual).expression, seed)

    def draw(self, scene: Scene, trace: Tape, moment: Moment, stage: Stage) -> list[Item]:
        forward, backward = _progress(scene, trace, moment)
        plan = _layout(trace, stage)
        items = _edges(trace, plan, forward, backward, stage)
        for index in range(len(trace.nodes)):
            items += _node(trace, plan, index, forward, backward, stage)
        return items

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]:
        entries = [LegendEntry("value, forward", palette.accent, "disc")]
        if cast(ComputeGraph, scene.visual).phase != "forward":
            entries += [LegendEntry("gradient, backward", palette.negative, "diamond")]
        return entries

    def caption(self, scene: Scene, trace: Tape, moment: Moment) -> str:
        forward, backward = _progress(scene, trace, moment)
        if backward > 0:
            return _chain(trace, _backward_node(trace, backward))
        if forward > 0:
            reached = max(
                (n for n in trace.nodes if n.inputs and forward >= n.depth - 0.2), key=lambda n: n.depth, default=None
            )
            if reached is not None:
                return f"{reached.name} = {number(reached.value)}"
        return ",  ".join(f"{name} = {number(value, 1)}" for name, value in trace.leaves.items())

    def table(self, scene: Scene, trace: Tape) -> list[dict[str, Any]]:
        rows = []
        for node in trace.nodes:
            sources = [trace.nodes[i].name for i in node.inputs]
            local = {name: number for name, number in zip(sources, node.local, strict=True)}
            rows.append(
                {
                    "node": node.name,
                    "operation": node.operation,
                    "inputs": " ".join(sources),
                    "value": node.value,
                    "local_derivatives": " ".join(f"{name}: {value:.6g}" for name, value in local.items()),
                    "gradient": node.adjoint,
                }
            )
        return rows


def _chain(trace: Tape, node: TapeNode) -> str:
    """The chain rule in numbers, for the node whose gradient came last."""
    index, output = trace.nodes.index(node), trace.nodes[-1].name
    for user in trace.nodes:
        if index in user.inputs:
            local = number(user.local[user.inputs.index(index)])
            return f"∂{output}/∂{node.name} = {number(user.adjoint)} × {local} = {number(node.adjoint)}"
    return f"∂{output}/∂{node.name} = 1"


def _depth(trace: Tape) -> int:
    return trace.nodes[-1].depth


def _progress(scene: Scene, trace: Tape, moment: Moment) -> tuple[float, float]:
    """(forward, backward) in layers: 0 to the depth, and 0 to the depth + 1 (the first unit seeds the output)."""
    phase = cast(ComputeGraph, scene.visual).phase
    depth = _depth(trace)
    if phase == "forward":
        return position(scene, moment, depth), 0.0
    if phase == "backward":
        return float(depth), position(scene, moment, depth + 1)
    place = position(scene, moment, 2)
    return min(place, 1.0) * depth, max(place - 1.0, 0.0) * (depth + 1)


def _backward_node(trace: Tape, backward: float) -> TapeNode:
    """The node whose adjoint was completed last."""
    done = [node for node in trace.nodes if _adjoint_shown(trace, node, backward) > 0.5]
    return min(done, key=lambda node: node.depth, default=trace.nodes[-1])


def _column(trace: Tape, index: int) -> int:
    """A leaf stands one column before its first user."""
    node = trace.nodes[index]
    if node.inputs:
        return node.depth
    return min(user.depth for user in trace.nodes if index in user.inputs) - 1


@lru_cache(maxsize=32)
def _layout(trace: Tape, stage: Stage) -> Layout:
    box, depth = stage.box, _depth(trace)
    down = box.h > 1.05 * box.w
    columns: dict[int, list[int]] = {}
    for index in range(len(trace.nodes)):
        columns.setdefault(_column(trace, index), []).append(index)
    length, breadth = (box.h, box.w) if down else (box.w, box.h)
    narrow = not down and box.w < 800
    card = (min(112.0, length / (depth + 1) - 16), min(104.0, breadth / 2 - 10)) if narrow else None
    radius = min(40.0, breadth / 2 * 0.3)
    head = card[0] / 2 + 2 if card else radius + (20 if down else 50)
    margin = card[1] / 2 + 2 if card else radius + (70 if down else 40)
    centres: dict[int, Point] = {}
    for column, members in columns.items():
        main = head + (length - 2 * head) * column / depth
        rows = _rows(trace, members, column, depth)
        for member, row in zip(members, rows, strict=True):
            across = breadth / 2 - (50 if down else 0) + row * min(breadth / 2 - margin, 150.0)
            centres[member] = Point(box.x + across, box.y + main) if down else Point(box.x + main, box.y + across)
    edges = tuple(
        (source, target, i) for target, node in enumerate(trace.nodes) for i, source in enumerate(node.inputs)
    )
    gap = (length - 2 * head) / depth - 2 * radius
    long_labels = (not down and gap > stage.measure("∂L/∂p = −0.00", MIN_TEXT, "regular") + 8) or (down and box.w > 500)
    plan = Layout(tuple(centres[i] for i in range(len(trace.nodes))), radius, down, edges, bool(long_labels), card, {})
    return replace(plan, labels=_label_places(trace, plan, stage))


def _rows(trace: Tape, members: list[int], column: int, depth: int) -> list[float]:
    """Places across a column, -1 to 1: two of one column at either side, operations above later leaves."""
    if len(members) == 1:
        return [0.0]
    ordered = sorted(members, key=lambda i: (not trace.nodes[i].inputs, i))
    places = {member: -1.0 + 2.0 * i / (len(ordered) - 1) for i, member in enumerate(ordered)}
    return [places[member] for member in members]


def _value_shown(node: TapeNode, forward: float) -> float:
    return 1.0 if not node.inputs else smooth(span(forward - node.depth + 1, 0.6, 0.95))


def _adjoint_shown(trace: Tape, node: TapeNode, backward: float) -> float:
    """The output's adjoint is 1 at once; a node's is complete when its last user has sent its share."""
    depth = _depth(trace)
    if node is trace.nodes[-1]:
        return smooth(span(backward, 0.2, 0.8))
    index = trace.nodes.index(node)
    first = min(user.depth for user in trace.nodes if index in user.inputs)
    return smooth(span(backward - (depth - first + 1), 0.6, 0.95))


def _edges(trace: Tape, plan: Layout, forward: float, backward: float, stage: Stage) -> list[Item]:
    palette, depth = stage.palette, _depth(trace)
    items: list[Item] = []
    for source, target, place in plan.edges:
        user = trace.nodes[target]
        a, b = _ends(plan, source, target)
        ahead = smooth(span(forward - user.depth + 1, 0.1, 0.65))
        back = span(backward - (depth - user.depth + 1), 0.0, 1.0)
        colour = palette.negative if back > 0 else palette.accent if ahead >= 1 else palette.muted
        items.append(Polyline(points=(a, b), stroke=colour, width=3, arrow="end", alpha=0.9, layer=1, name="edge"))
        if 0 < ahead < 1:
            items.append(pulse(a, b, ahead, palette.accent, 10, layer=3))
        moving = smooth(span(back, 0.15, 0.65))
        if 0 < moving < 1:
            items.append(pulse(b, a, moving, palette.warm, 11, "diamond", layer=3))
        if back > 0 and not plan.card:
            items += _local_label(trace, plan, source, target, place, smooth(span(back, 0.0, 0.2)), stage)
    return items


def _ends(plan: Layout, source: int, target: int) -> tuple[Point, Point]:
    a, b = plan.centres[source], plan.centres[target]
    if plan.card:
        wide, high = plan.card
        if abs(a.y - b.y) > high:
            up = 1 if a.y > b.y else -1
            return Point(a.x, a.y - up * (high / 2 + 1)), Point(b.x, b.y + up * (high / 2 + 4))
        return Point(a.x + wide / 2 + 1, a.y), Point(b.x - wide / 2 - 4, b.y)
    return between_rims(a, b, plan.radius + 3, plan.radius + 7)


def _local_text(trace: Tape, plan: Layout, source: int, target: int, place: int) -> str:
    user = trace.nodes[target]
    local = user.local[place]
    value = number(local, 0 if local == round(local) else 2)
    return f"∂{user.name}/∂{trace.nodes[source].name} = {value}" if plan.long_labels else f"×{value}"


def _label_places(trace: Tape, plan: Layout, stage: Stage) -> dict[tuple[int, int], Point]:
    """On each edge the place nearest to its middle that leaves the labels of the nodes free."""
    taken = []
    for node, centre in zip(trace.nodes, plan.centres, strict=True):
        taken.append(Box(centre.x - plan.radius, centre.y - plan.radius, 2 * plan.radius, 2 * plan.radius).inset(-6))
        for side, text in ((-1, _value_text(node)), (1, _gradient_text(node))):
            at, anchor = _beside(plan, centre, side)
            width = stage.measure(text, LABEL, "bold")
            taken.append(label_box(width, Point(at.x + (width / 2 if anchor == "left" else 0), at.y), LABEL - 4))
    places = {}
    for source, target, place in plan.edges:
        a, b = plan.centres[source], plan.centres[target]
        width = stage.measure(_local_text(trace, plan, source, target, place), MIN_TEXT, "regular")
        options = [along(a, b, t) for t in (0.5, 0.47, 0.53, 0.44, 0.56, 0.41, 0.59, 0.38, 0.62)]
        options += [Point(p.x + dx, p.y) for p in options for dx in (-16, 16, -32, 32)]
        chosen = free_place(options, width, MIN_TEXT - 4, taken, stage.box) or options[0]
        places[source, target] = chosen
        taken.append(label_box(width, chosen, MIN_TEXT - 4))
    return places


def _local_label(
    trace: Tape, plan: Layout, source: int, target: int, place: int, shown: float, stage: Stage
) -> list[Item]:
    text = _local_text(trace, plan, source, target, place)
    middle = plan.labels[source, target]
    width = stage.measure(text, MIN_TEXT, "regular")
    return tag(
        text,
        middle,
        width,
        stage.palette,
        MIN_TEXT,
        colour=stage.palette.negative,
        alpha=shown,
        name="local derivative",
    )


def _value_text(node: TapeNode) -> str:
    return f"{node.name} = {number(node.value, 1 if not node.inputs or abs(node.value) >= 10 else 2)}"


def _gradient_text(node: TapeNode) -> str:
    return f"grad {number(node.adjoint)}"


def _node(trace: Tape, plan: Layout, index: int, forward: float, backward: float, stage: Stage) -> list[Item]:
    """A circle with its sign or name; its value above it, its gradient below it (both at its right in tall frames)."""
    if plan.card:
        return _card(trace, plan, index, forward, backward, stage)
    palette, node, centre = stage.palette, trace.nodes[index], plan.centres[index]
    leaf = not node.inputs
    value, adjoint = _value_shown(node, forward), _adjoint_shown(trace, node, backward) if backward > 0 else 0.0
    fill = blend(palette.surface, palette.accent_soft, value)
    sign = node.name if leaf else OPERATIONS[node.operation].sign
    items: list[Item] = [
        Circle(centre=centre, radius=plan.radius, fill=fill, stroke=palette.accent if value > 0.5 else palette.muted, width=3,
               layer=2, name="node"),
        Text(at=centre, text=sign, size=min(plan.radius * 0.9, 34), colour=palette.ink, weight="bold", italic=leaf,
             anchor="centre", layer=3, name="operation"),
    ]  # fmt: skip
    if adjoint > 0:
        items.append(
            Circle(centre=centre, radius=plan.radius + 5, stroke=palette.negative, width=2.5, layer=2, alpha=adjoint)
        )
    sides = ((-1, _value_text(node), value, palette.accent), (1, _gradient_text(node), adjoint, palette.negative))
    for side, text, alpha, colour in sides:
        if alpha > 0:
            at, anchor = _beside(plan, centre, side)
            items.append(Text(at=at, text=text, size=LABEL, colour=colour, weight="bold", anchor=anchor,  # type: ignore[arg-type]
                              layer=5, alpha=alpha, name="value" if side < 0 else "gradient"))  # fmt: skip
    return items


def _card(trace: Tape, plan: Layout, index: int, forward: float, backward: float, stage: Stage) -> list[Item]:
    """The node as a card: sign or name, value, gradient."""
    assert plan.card
    palette, node, centre = stage.palette, trace.nodes[index], plan.centres[index]
    leaf = not node.inputs
    value, adjoint = _value_shown(node, forward), _adjoint_shown(trace, node, backward) if backward > 0 else 0.0
    box = Box(centre.x - plan.card[0] / 2, centre.y - plan.card[1] / 2, *plan.card)
    fill = blend(palette.surface, palette.accent_soft, value)
    border = palette.negative if adjoint > 0.5 else palette.accent if value > 0.5 else palette.muted
    items: list[Item] = [Rect(box=box, radius=16, fill=fill, stroke=border, width=3, layer=2, name="node")]
    pitch = plan.card[1] / 3.2
    rows = [(node.name if leaf else OPERATIONS[node.operation].sign, 1.0, palette.ink, leaf)]
    rows += [
        (number(node.value), value, palette.accent, False),
        (f"∂ {number(node.adjoint)}", adjoint, palette.negative, False),
    ]
    for row, (text, alpha, colour, italic) in enumerate(rows):
        if alpha > 0:
            at = Point(centre.x, round(centre.y + (row - 1) * pitch, 2))
            items.append(Text(at=at, text=text, size=MIN_TEXT, colour=colour, weight="bold", italic=italic, anchor="centre",
                              layer=5, alpha=alpha, name=("operation", "value", "gradient")[row]))  # fmt: skip
    return items


def _beside(plan: Layout, centre: Point, side: int) -> tuple[Point, str]:
    if plan.down:
        return Point(centre.x + plan.radius + 12, centre.y + side * 17), "left"
    return Point(centre.x, centre.y + side * (plan.radius + 22)), "centre"
