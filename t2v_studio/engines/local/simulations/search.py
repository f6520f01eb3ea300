"""Breadth-first, depth-first, Dijkstra and A* search on a small planar graph with whole-number costs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import unknown_name

ASPECT = 1.9
"""Width over height of the field on which the nodes lie."""
SCALE = 11.0
"""Cost units per unit of height."""


@dataclass(frozen=True, eq=False)
class Graph:
    """An undirected graph. positions: (n, 2) in a field of ASPECT by 1, y downwards.

    edges: {(i, j): cost} with i < j; heuristic[i]: straight-line distance to the goal, rounded down, so that
    it never exceeds a cost (edges cost at least their rounded-up length): admissible and consistent.
    """

    names: tuple[str, ...]
    positions: NDArray[np.float64]
    edges: dict[tuple[int, int], int]
    heuristic: tuple[int, ...]
    start: int
    goal: int

    def neighbours(self, node: int) -> list[int]:
        """In order of name."""
        found = [j if i == node else i for i, j in self.edges if node in (i, j)]
        return sorted(found, key=lambda other: self.names[other])

    def cost(self, i: int, j: int) -> int:
        return self.edges[min(i, j), max(i, j)]


class Entry(NamedTuple):
    """A node on the frontier with its costs at that time; f is what orders the queue."""

    node: int
    g: int
    h: int
    f: int


@dataclass(frozen=True)
class Expansion:
    """One turn of the loop: `current` leaves the frontier, its edges are looked at.

    before, after: the frontier in the order of removal; closed: nodes done before this turn, oldest first;
    touched: neighbours that were added or got a shorter way; g, parents: as they stand after this turn.
    """

    current: Entry
    before: tuple[Entry, ...]
    after: tuple[Entry, ...]
    closed: tuple[int, ...]
    touched: tuple[int, ...]
    g: dict[int, int]
    parents: dict[int, int]


@dataclass(frozen=True, eq=False)
class Search:
    """A finished search: its expansions, and the path from start to goal with its cost."""

    algorithm: str
    graph: Graph
    expansions: tuple[Expansion, ...]
    path: tuple[int, ...]
    cost: int

    @property
    def order(self) -> tuple[int, ...]:
        return tuple(expansion.current.node for expansion in self.expansions)


def find_path(algorithm: str, graph: Graph) -> Search:
    """Run bfs, dfs, dijkstra or astar from start to goal; ends when the goal leaves the frontier.

    Ties go to the smaller h, then to the alphabet. Depth-first search keeps a stack on which a node may be
    pushed again from a deeper parent, so that it visits in preorder.
    """
    if algorithm not in ("bfs", "dfs", "dijkstra", "astar"):
        raise unknown_name("visual.algorithm", algorithm, ["bfs", "dfs", "dijkstra", "astar"])
    g, parents = {graph.start: 0}, dict[int, int]()
    frontier, closed = [graph.start], list[int]()
    expansions = []
    while frontier:
        before = _entries(algorithm, graph, frontier, g)
        current = before[0]
        frontier.remove(current.node)
        touched = (
            () if current.node == graph.goal else _expand(algorithm, graph, current.node, frontier, closed, g, parents)
        )
        after = _entries(algorithm, graph, frontier, g)
        expansions.append(Expansion(current, before, after, tuple(closed), touched, dict(g), dict(parents)))
        closed.append(current.node)
        if current.node == graph.goal:
            break
    path = _walk_back(graph, parents)
    cost = sum(graph.cost(i, j) for i, j in itertools.pairwise(path))
    return Search(algorithm, graph, tuple(expansions), path, cost)


def _entries(algorithm: str, graph: Graph, frontier: list[int], g: dict[int, int]) -> tuple[Entry, ...]:
    entries = []
    for node in frontier:
        h = graph.heuristic[node] if algorithm == "astar" else 0
        entries.append(Entry(node, g[node], h, g[node] + h))
    if algorithm in ("dijkstra", "astar"):
        entries.sort(key=lambda entry: (entry.f, entry.h, graph.names[entry.node]))
    elif algorithm == "dfs":
        entries.reverse()
    return tuple(entries)


def _expand(
    algorithm: str, graph: Graph, node: int, frontier: list[int], closed: list[int], g: dict[int, int], parents: dict[int, int]
) -> tuple[int, ...]:  # fmt: skip
    touched = []
    neighbours = graph.neighbours(node)
    for other in reversed(neighbours) if algorithm == "dfs" else neighbours:
        cost = g[node] + graph.cost(node, other)
        if other in closed or (algorithm == "bfs" and other in g):
            continue
        if algorithm in ("dijkstra", "astar") and other in g and cost >= g[other]:
            continue
        if other in frontier:
            frontier.remove(other)
        frontier.append(other)
        g[other], parents[other] = cost, node
        touched.append(other)
    return tuple(touched)


def _walk_back(graph: Graph, parents: dict[int, int]) -> tuple[int, ...]:
    path = [graph.goal]
    while path[-1] != graph.start:
        path.append(parents[path[-1]])
    return tuple(reversed(path))


@lru_cache(maxsize=32)
def grow_graph(nodes: int, seed: int) -> Graph:
    """A connected planar graph on spread-out points, the same for every algorithm.

    Of some seeded draws the first is taken that tells the algorithms apart: the cheapest path has at least
    three edges and costs less than the path with the fewest, and A* expands fewer nodes than Dijkstra.
    """
    best, best_score = None, -1
    for attempt in range(40):
        graph = _draw_graph(nodes, np.random.default_rng([seed, nodes, attempt]))
        astar, dijkstra, bfs = (find_path(name, graph) for name in ("astar", "dijkstra", "bfs"))
        score = (
            2 * (len(astar.expansions) < len(dijkstra.expansions) - (nodes > 8))
            + (bfs.cost > astar.cost)
            + (len(astar.path) >= 4)
            + (len(astar.expansions) > len(astar.path))
        )
        if score > best_score:
            best, best_score = graph, score
        if score == 5 or (nodes < 7 and attempt == 12):
            break
    assert best is not None
    return best


def _draw_graph(nodes: int, rng: np.random.Generator) -> Graph:
    from scipy.spatial import Delaunay

    positions = _spread_points(nodes, rng)
    order = np.lexsort((positions[:, 1], positions[:, 0]))
    positions = positions[order]
    names = _names(nodes)
    triangles = Delaunay(positions)
    pairs = {tuple(sorted((int(t[i]), int(t[j])))) for t in triangles.simplices for i, j in ((0, 1), (1, 2), (0, 2))}
    kept = _thin_out(positions, sorted(pairs), rng)
    edges = {}
    for i, j in kept:
        length = float(np.linalg.norm(positions[i] - positions[j])) * SCALE
        edges[i, j] = int(np.ceil(length)) + int(rng.choice([0, 0, 1, 2, 4]))
    to_goal = np.linalg.norm(positions - positions[-1], axis=1) * SCALE
    return Graph(names, positions, edges, tuple(int(np.floor(d)) for d in to_goal), 0, nodes - 1)


def _names(nodes: int) -> tuple[str, ...]:
    """Start S and goal G; the letters between leave those two out."""
    letters = [letter for letter in "ABCDEFHIJKLMNO" if letter not in "SG"]
    return ("S", *letters[: nodes - 2], "G")


def _spread_points(nodes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points that push each other apart inside the field; the first sits left, the last right."""
    points = rng.uniform((0.15, 0.0), (ASPECT - 0.15, 1.0), (nodes, 2))
    points[0], points[-1] = (0.0, rng.uniform(0.35, 0.65)), (ASPECT, rng.uniform(0.35, 0.65))
    for _ in range(160):
        gaps = points[:, None] - points[None]
        distance = np.linalg.norm(gaps, axis=2) + np.eye(nodes) * 9
        push = (gaps / distance[..., None] ** 3.2).sum(axis=1)
        push[:, 1] += 0.5 / (points[:, 1] + 0.16) ** 2.2 - 0.5 / (1.16 - points[:, 1]) ** 2.2
        step = 0.012 * push / np.maximum(1.0, np.linalg.norm(push, axis=1, keepdims=True) / 4)
        points[1:-1] += step[1:-1]
        points[1:-1] = np.clip(points[1:-1], (0.24, 0.0), (ASPECT - 0.24, 1.0))
    points[:, 1] = (points[:, 1] - points[:, 1].min()) / (points[:, 1].max() - points[:, 1].min())
    return points


def _thin_out(
    positions: NDArray[np.float64], pairs: list[tuple[int, ...]], rng: np.random.Generator
) -> list[tuple[int, int]]:
    """A minimum spanning tree and some of the other edges; none that is long or passes close to a third node."""
    clear = [(int(i), int(j)) for i, j in pairs if _clearance(positions, int(i), int(j)) > 0.17]
    clear.sort(key=lambda e: float(np.linalg.norm(positions[e[0]] - positions[e[1]])))
    group = list(range(len(positions)))
    tree, rest = [], []
    for i, j in clear + [(int(i), int(j)) for i, j in pairs if (int(i), int(j)) not in clear]:
        if group[i] != group[j]:
            old, new = group[i], group[j]
            group = [new if one == old else one for one in group]
            tree.append((i, j))
        elif (i, j) in clear and (i, j) != (0, len(positions) - 1):
            rest.append((i, j))
    extra = [edge for edge in rest if rng.random() < 0.62]
    return sorted(tree + extra)


def _clearance(positions: NDArray[np.float64], i: int, j: int) -> float:
    """Distance from the edge to the nearest other node."""
    a, b = positions[i], positions[j]
    others = np.delete(positions, [i, j], axis=0)
    along = np.clip(((others - a) @ (b - a)) / float((b - a) @ (b - a)), 0, 1)
    return float(np.linalg.norm(others - (a + along[:, None] * (b - a)), axis=1).min())
