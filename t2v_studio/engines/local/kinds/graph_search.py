"""Graph search: the frontier expands, costs stand beside the nodes, the path grows."""

from __future__ import annotations

from typing import Any, cast

from t2v_studio.engines.local.display import Item
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment, Stage
from t2v_studio.engines.local.kinds.search_picture import SearchMoment, draw_search
from t2v_studio.engines.local.kinds.timing import position
from t2v_studio.engines.local.simulations.search import Search, find_path, grow_graph
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene
from t2v_studio.planning.visuals import GraphSearch

SETUP_SHARE, PATH_SHARE = 0.12, 0.2
"""Parts of a full run for the start and for the path at its end."""


class GraphSearchKind:
    """The trace is the finished search; the same seed and size give the same graph to every algorithm."""

    name = "graph_search"

    def simulate(self, scene: Scene, seed: int) -> Search:
        params = cast(GraphSearch, scene.visual)
        return find_path(params.algorithm, grow_graph(params.nodes, seed))

    def draw(self, scene: Scene, trace: Search, moment: Moment, stage: Stage) -> list[Item]:
        return draw_search(trace, _moment(scene, trace, moment), stage)

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]:
        phase = cast(GraphSearch, scene.visual).phase
        if phase == "setup":
            return []
        entries = [
            LegendEntry("current", palette.warm, "disc"),
            LegendEntry("frontier", palette.accent, "ring"),
            LegendEntry("done", palette.muted, "disc"),
        ]
        return entries if phase == "expand" else [*entries, LegendEntry("path", palette.positive, "line")]

    def caption(self, scene: Scene, trace: Search, moment: Moment) -> str:
        at = _moment(scene, trace, moment)
        names, weighted = trace.graph.names, trace.algorithm in ("dijkstra", "astar")
        if at.path >= 1:
            walk = " → ".join(names[i] for i in trace.path)
            return f"{walk},  cost {trace.cost}" if weighted else f"{walk},  {len(trace.path) - 1} edges"
        if at.setup < 1 or at.turns <= 0:
            return f"from {names[trace.graph.start]} to {names[trace.graph.goal]}"
        entry = trace.expansions[min(int(at.turns), len(trace.expansions) - 1)].current
        if trace.algorithm == "astar":
            return f"expand {names[entry.node]}:  f = {entry.g} + {entry.h} = {entry.f}"
        if trace.algorithm == "dijkstra":
            return f"expand {names[entry.node]}:  g = {entry.g}"
        return f"expand {names[entry.node]},  number {min(int(at.turns), len(trace.expansions) - 1) + 1}"

    def table(self, scene: Scene, trace: Search) -> list[dict[str, Any]]:
        names = trace.graph.names
        return [
            {
                "turn": turn, "expanded": names[one.current.node], "g": one.current.g, "h": one.current.h, "f": one.current.f,
                "touched": " ".join(names[i] for i in one.touched),
                "frontier_after": " ".join(f"{names[entry.node]}:{entry.f}" for entry in one.after),
            }
            for turn, one in enumerate(trace.expansions, 1)
        ]  # fmt: skip


def _moment(scene: Scene, trace: Search, moment: Moment) -> SearchMoment:
    """setup and path 0 to 1; turns 0 to the number of expansions."""
    phase, count = cast(GraphSearch, scene.visual).phase, len(trace.expansions)
    place = position(scene, moment, 1)
    if phase == "setup":
        return SearchMoment(place, 0.0, 0.0)
    if phase == "expand":
        return SearchMoment(1.0, place * count, 0.0)
    if phase == "reconstruct":
        return SearchMoment(1.0, float(count), place)
    middle = 1 - SETUP_SHARE - PATH_SHARE
    turns = min(max((place - SETUP_SHARE) / middle, 0.0), 1.0) * count
    return SearchMoment(min(place / SETUP_SHARE, 1.0), turns, max(0.0, (place - 1 + PATH_SHARE) / PATH_SHARE))
