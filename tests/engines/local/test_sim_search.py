"""Graph search against networkx on many seeds."""

import networkx as nx
import pytest

from t2v_studio.engines.local.simulations.search import find_path, grow_graph

SEEDS = range(12)
SIZES = (5, 8, 12)


def _twin(graph):
    twin = nx.Graph()
    for (i, j), cost in graph.edges.items():
        twin.add_edge(graph.names[i], graph.names[j], weight=cost)
    return twin


@pytest.fixture(scope="module")
def graphs():
    return [grow_graph(nodes, seed) for nodes in SIZES for seed in SEEDS]


def test_costs_and_orders_equal_networkx(graphs):
    for graph in graphs:
        twin, names = _twin(graph), graph.names
        best = nx.dijkstra_path_length(twin, "S", "G")
        assert find_path("dijkstra", graph).cost == best
        astar = find_path("astar", graph)
        h = dict(zip(names, graph.heuristic, strict=True))
        assert astar.cost == best == nx.astar_path_length(twin, "S", "G", heuristic=lambda u, _, h=h: h[u])
        bfs = find_path("bfs", graph)
        assert len(bfs.path) - 1 == nx.shortest_path_length(twin, "S", "G")
        in_order = ["S"] + [v for _, v in nx.bfs_edges(twin, "S", sort_neighbors=sorted)]
        assert [names[i] for i in bfs.order] == in_order[: len(bfs.order)]
        dfs = find_path("dfs", graph)
        preorder = list(nx.dfs_preorder_nodes(twin, "S", sort_neighbors=sorted))
        assert [names[i] for i in dfs.order] == preorder[: len(dfs.order)]


def test_heuristic_is_admissible_and_consistent(graphs):
    for graph in graphs:
        left = nx.single_source_dijkstra_path_length(_twin(graph), "G")
        for name, h in zip(graph.names, graph.heuristic, strict=True):
            assert h <= left[name]
        for (i, j), cost in graph.edges.items():
            assert abs(graph.heuristic[i] - graph.heuristic[j]) <= cost
        assert graph.heuristic[graph.goal] == 0


def test_astar_always_takes_the_lowest_f_and_never_more_nodes_than_dijkstra(graphs):
    for graph in graphs:
        search = find_path("astar", graph)
        for turn in search.expansions:
            assert turn.current.f == min(entry.f for entry in turn.before)
            assert all(entry.f == entry.g + entry.h == entry.g + graph.heuristic[entry.node] for entry in turn.before)
            assert turn.current not in turn.after
        assert len(search.expansions) <= len(find_path("dijkstra", graph).expansions)


def test_most_graphs_tell_the_algorithms_apart(graphs):
    telling = [
        len(find_path("astar", graph).expansions) < len(find_path("dijkstra", graph).expansions)
        and len(find_path("astar", graph).path) >= 4
        for graph in graphs
        if len(graph.names) > 5
    ]
    assert sum(telling) >= 0.9 * len(telling)


def test_graphs_are_planar_connected_and_roomy(graphs):
    for graph in graphs:
        twin = _twin(graph)
        assert nx.is_connected(twin) and nx.check_planarity(twin)[0]
        assert len(set(graph.names)) == len(graph.names)
        points = graph.positions
        gaps = [((points[i] - points[j]) ** 2).sum() ** 0.5 for i in range(len(points)) for j in range(i)]
        assert min(gaps) > 0.28
        for first in graph.edges:
            for second in graph.edges:
                if not set(first) & set(second):
                    assert not _cross(points[list(first)], points[list(second)])


def _cross(first, second):
    def side(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    a, b, c, d = *first, *second
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def test_path_walks_along_edges_and_the_same_seed_gives_the_same_search():
    first, again = (find_path("astar", grow_graph.__wrapped__(9, 4)) for _ in range(2))
    assert first.graph is not again.graph
    assert first.expansions == again.expansions and first.path == again.path
    assert sum(first.graph.cost(i, j) for i, j in zip(first.path[:-1], first.path[1:], strict=True)) == first.cost
