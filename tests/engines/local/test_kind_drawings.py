"""What the simulated kinds draw: within their stage, readable, deterministic, and true to the trace."""

from __future__ import annotations

from typing import Any

import pytest

from t2v_studio.engines.local.composition import compose
from t2v_studio.engines.local.display import Box, Circle, Polyline, Text
from t2v_studio.engines.local.formula import measure_formula
from t2v_studio.engines.local.kinds import kind_of
from t2v_studio.engines.local.kinds.base import Moment, Stage
from t2v_studio.engines.local.lint import lint_composition
from t2v_studio.engines.local.simulations.classification import confusion
from t2v_studio.engines.local.text import measure
from t2v_studio.engines.local.theme import PALETTES
from t2v_studio.planning.plan import Scene, Step, parse_plan

LONG = ["attention", "is", "all", "you", "need", "transforming"]
CASES: list[dict[str, Any]] = [
    *({"kind": "gradient_descent", "view": view} for view in ("curve", "contour", "rates")),
    {"kind": "gradient_descent", "view": "contour", "function": "rosenbrock", "steps": 40},
    {"kind": "gradient_descent", "view": "rates", "function": "ravine", "rates": [0.05, 0.1, 0.15, 0.3]},
    {"kind": "gradient_descent", "learning_rate": 2.5, "steps": 60},
    *({"kind": "neural_net", "phase": phase} for phase in ("forward", "loss", "backward", "update", "full")),
    {"kind": "neural_net", "layers": [6, 6, 6, 6, 6], "activation": "tanh"},
    {"kind": "neural_net", "layers": [1, 1], "activation": "relu"},
    *({"kind": "compute_graph", "expression": name} for name in ("product_sum", "sigmoid_neuron", "squared_error")),
    *({"kind": "graph_search", "algorithm": name, "nodes": 8} for name in ("bfs", "dfs", "dijkstra", "astar")),
    {"kind": "graph_search", "nodes": 12},
    {"kind": "graph_search", "nodes": 5, "phase": "setup"},
    {"kind": "attention"},
    {"kind": "attention", "tokens": LONG, "dimension": 8, "causal": True},
    {"kind": "attention", "tokens": ["WWWWWWWWWWWW"] * 6, "dimension": 2},
    {"kind": "bias_variance"},
    {"kind": "bias_variance", "degrees": [0, 2, 5, 12], "samples": 6, "noise": 2},
    {"kind": "classification_metrics"},
    {"kind": "classification_metrics", "samples": 200, "threshold": 0},
]
FRAMES = {"wide": (1280, 720), "square": (720, 720), "tall": (720, 1280)}


def _plan(visual: dict[str, Any], formula: str = "", seed: int = 3) -> Any:
    steps = [{"say": "This is said.", "show": "This is shown"}] * 3
    scene = {"id": "s1", "title": "A title", "steps": steps, "visual": visual, "formula": formula}
    return parse_plan({"topic": "A topic", "seed": seed, "scenes": [scene]})


def _named(visual: dict[str, Any]) -> str:
    return "-".join(str(value) for value in visual.values())[:60]


@pytest.mark.parametrize("visual", CASES, ids=_named)
@pytest.mark.parametrize("frame", FRAMES)
def test_nothing_overlaps_leaves_the_stage_or_is_too_small(visual, frame):
    width, height = FRAMES[frame]
    formula = r"\theta_{t+1} = \theta_t - \eta \nabla f(\theta_t)" if frame == "square" else ""
    view = compose(_plan(visual, formula), 0, width=width, height=height, theme="light", show_sources=True)
    assert lint_composition(view, [0.0, 0.28, 0.62, 1.0]) == []


@pytest.mark.parametrize("visual", CASES[::2], ids=_named)
@pytest.mark.parametrize("theme", ["dark", "contrast"])
def test_other_themes_are_readable(visual, theme):
    view = compose(_plan(visual), 0, width=1280, height=720, theme=theme, show_sources=True)
    assert lint_composition(view, [0.3, 1.0]) == []


def _drawn(visual: dict[str, Any], at: float, seed: int = 3, steps: int = 1) -> tuple[Any, Any, Scene, list[Any]]:
    scene = Scene(id="s1", title="t", steps=[Step(say="x")] * steps, visual=visual)  # type: ignore[arg-type]
    kind = kind_of(visual["kind"])
    trace = kind.simulate(scene, seed)
    stage = Stage(Box(64, 134, 1152, 372), PALETTES["light"], measure, measure_formula)
    step = min(int(at * steps), steps - 1)
    moment = Moment(step, at * steps - step, at)
    return kind, trace, scene, kind.draw(scene, trace, moment, stage)


@pytest.mark.parametrize("visual", CASES, ids=_named)
def test_drawings_are_pure_small_and_move(visual):
    first, again = (_drawn(visual, 0.4)[3] for _ in range(2))
    assert first == again and len(first) < 1000
    assert _drawn(visual, 0.0)[3] != _drawn(visual, 1.0)[3]
    assert _drawn(visual, 0.85)[3] == _drawn(visual, 1.0)[3], "the last part of a step rests"


@pytest.mark.parametrize("visual", CASES, ids=_named)
def test_every_kind_has_a_table_and_a_short_caption(visual):
    kind, trace, scene, _ = _drawn(visual, 0.5)
    rows = kind.table(scene, trace)
    assert rows and all(row.keys() == rows[0].keys() for row in rows)
    assert len(kind.caption(scene, trace, Moment(0, 0.5, 0.5))) < 130
    assert all(entry.label for entry in kind.legend(scene, PALETTES["light"]))


def _texts(items: list[Any], name: str) -> list[str]:
    return [item.text for item in items if isinstance(item, Text) and item.name == name]


def test_the_tangent_has_the_slope_of_the_gradient():
    _, (run,), _, items = _drawn({"kind": "gradient_descent"}, 0.0)
    (tangent,) = [item for item in items if item.name == "tangent"]
    (curve,) = [item for item in items if item.name == "curve"]
    (x1, y1), (x2, y2) = tangent.points[0], tangent.points[-1]
    drawn = (y2 - y1) / (x2 - x1)
    ball = next(item for item in items if isinstance(item, Circle) and item.name == "now")
    near = sorted(curve.points, key=lambda p: abs(p.x - ball.centre.x))[:2]
    near.sort()
    assert run.gradients[0, 0] < 0 < drawn, "falling curve, y downwards on the screen"
    assert drawn == pytest.approx((near[1].y - near[0].y) / (near[1].x - near[0].x), rel=0.05)


def test_the_ball_descends_a_valley():
    """The lowest point of the drawn curve lies below its ends, and the ball ends lower than it began."""
    heights = []
    for at in (0.0, 0.3, 1.0):
        *_, items = _drawn({"kind": "gradient_descent", "steps": 8}, at)
        heights.append(next(item.centre.y for item in items if item.name == "now"))
    (curve,) = [item for item in items if item.name == "curve"]
    assert heights[0] < heights[1] < heights[2]
    assert max(p.y for p in curve.points) > max(curve.points[0].y, curve.points[-1].y) + 100


def test_the_step_arrow_points_against_the_gradient():
    _, (run,), _, items = _drawn({"kind": "gradient_descent", "steps": 1}, 0.45)
    (arrow,) = [item for item in items if isinstance(item, Polyline) and item.name == "step"]
    assert (arrow.points[-1].x - arrow.points[0].x) * run.gradients[0, 0] < 0 and arrow.arrow == "end"


def test_a_diverging_rate_is_flagged_in_words():
    *_, items = _drawn({"kind": "gradient_descent", "view": "rates"}, 1.0)
    assert [text.split()[-1] for text in _texts(items, "verdict")] == ["slow", "converges", "diverges"]


def test_network_shows_the_numbers_of_its_trace():
    _, run, _, items = _drawn({"kind": "neural_net", "phase": "backward"}, 1.0)
    shown = _texts(items, "delta")
    expected = [f"δ {value:.3f}".replace("-", "−") for layer in run.deltas for value in layer]
    assert sorted(shown) == sorted(expected)
    assert len([item for item in items if item.name == "weight"]) == sum(w.size for w in run.weights)


def test_negative_weights_are_dashed():
    _, run, _, items = _drawn({"kind": "neural_net", "phase": "forward"}, 0.0)
    signs = [value < 0 for weight in run.weights for value in weight.ravel()]
    assert [bool(item.dash) for item in items if item.name == "weight"] == signs


def test_search_lights_the_node_that_is_expanded_and_ends_with_its_path():
    _, search, _, items = _drawn({"kind": "graph_search", "phase": "reconstruct"}, 1.0)
    (path,) = [item for item in items if item.name == "path"]
    assert len(path.points) == len(search.path)
    centres = {t.text: t.at for t in items if isinstance(t, Text) and t.name == "node name"}
    assert [centres[search.graph.names[i]] for i in reversed(search.path)] == list(path.points)
    count = len(search.expansions)
    for turn in range(count):
        at = (turn + 0.5) / count * 0.75 + 0.05
        *_, items = _drawn({"kind": "graph_search", "phase": "expand"}, at)
        (halo,) = [item for item in items if item.name == "halo"]
        names = [t.text for t in items if isinstance(t, Text) and t.name == "node name" and t.at == halo.centre]
        assert names == [search.graph.names[search.expansions[turn].current.node]]


def test_attention_shows_every_share_and_crosses_out_what_is_masked():
    _, run, _, items = _drawn({"kind": "attention", "phase": "softmax", "causal": True}, 1.0)
    shares = [f"{run.weights[i, j]:.2f}" for i in range(4) for j in range(4) if not run.mask[i, j]]
    assert _texts(items, "cell") == shares
    assert len([item for item in items if item.name == "masked"]) == 6
    assert _texts(items, "sum") == ["Σ = 1.00"] * 4


def test_the_matrix_counts_what_the_threshold_divides():
    _, data, _, items = _drawn({"kind": "classification_metrics", "phase": "confusion", "threshold": 0.35}, 1.0)
    counts = confusion(data.scores, data.labels, 0.35)
    assert _texts(items, "count") == [str(n) for n in (counts.tp, counts.fn, counts.fp, counts.tn)]
    line = next(item for item in items if item.name == "threshold").points[0].x
    dots = [item for item in items if item.name == "example"]
    right = [d for d in dots if (d.centre.x if isinstance(d, Circle) else d.box.centre.x) >= line]
    assert len(right) == counts.tp + counts.fp
    hollow = [d for d in dots if d.fill == PALETTES["light"].surface]
    assert len(hollow) == counts.fp + counts.fn


def test_scenes_of_one_plan_share_their_data():
    for kind, phases in (
        ("graph_search", ("setup", "expand")),
        ("attention", ("scores", "softmax")),
        ("neural_net", ("forward", "update")),
    ):
        tables = []
        for phase in phases:
            drawn, trace, scene, _ = _drawn({"kind": kind, "phase": phase}, 0.5)
            tables.append(drawn.table(scene, trace))
        assert tables[0] == tables[1]


def test_a_point_that_left_the_picture_does_not_come_back():
    at = [i / 60 for i in range(49)]
    visual = {"kind": "gradient_descent", "learning_rate": 1.05, "steps": 30}
    balls = [any(item.name == "now" for item in _drawn(visual, share)[3]) for share in at]
    last = max(i for i, seen in enumerate(balls) if seen)
    assert 5 < last < 45
    flags = [any(item.name == "flag" for item in _drawn(visual, share)[3]) for share in at]
    assert all(flags[last + 1 :])
