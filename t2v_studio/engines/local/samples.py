"""Plans that show every diagram kind: for the gallery, the linter's tests and the benchmark."""

from __future__ import annotations

from typing import Any

from t2v_studio.planning.plan import ScenePlan, Source, Step, parse_plan
from t2v_studio.planning.templates import GENERAL, load_templates
from t2v_studio.planning.visuals import VISUALS

_BOOK = "Notes on Machine Learning: A Short Course"

_SVM = (
    ("flow", "", "From points to a rule", r"\min_{w,b}\ \tfrac{1}{2}\lVert w \rVert^2 \quad y_i(w^\top x_i + b) \geq 1", (
        ("Two classes of points", "Each example is a point, marked by its class."),
        ("A line between them", "Many lines separate the classes; which one is best?"),
        ("Widest margin wins", "The best line keeps the largest distance to the nearest points of both classes."),
        ("Support vectors decide", "Only the points on the edge of the margin matter; all others could be moved."),
    )),
    ("map", "Support vector machine", "What belongs to it", "", (
        ("Hyperplane", "The boundary is a line in the plane and a hyperplane in general."),
        ("Margin", "The margin is the empty street on both sides of the boundary."),
        ("Support vectors", "The training points that touch the margin are called support vectors."),
        ("Slack", "Slack variables let some points stand inside the margin, at a price."),
        ("Kernel", "A kernel compares points as if they lived in a space of more dimensions."),
    )),
    ("cycle", "Choose C", "Tuning by trial", "", (
        ("Pick a value of C", "A large C punishes every slip; a small one allows a wider margin."),
        ("Train on one part", "The machine is trained on a part of the data."),
        ("Test on the rest", "The error is measured on the part that was held back."),
        ("Compare and repeat", "The value with the smallest error is kept."),
    )),
    ("timeline", "", "How the idea grew", "", (
        ("1963: maximal margin", "The optimal hyperplane is proposed for separable classes."),
        ("1992: kernels", "Kernels make the boundary curved without leaving the same algorithm."),
        ("1995: soft margin", "The soft margin accepts some points on the wrong side."),
        ("1998: fast training", "Sequential minimal optimisation makes training practical on large sets."),
        ("Today", "Linear machines of this kind remain a strong baseline for text."),
    )),
)  # fmt: skip

_MORE: dict[str, list[dict[str, Any]]] = {
    "neural_net": [{"kind": "neural_net", "layers": [3, 4, 3, 2], "activation": "tanh", "phase": "full"}],
    "compute_graph": [
        {"kind": "compute_graph", "expression": "product_sum", "phase": "forward"},
        {"kind": "compute_graph", "expression": "sigmoid_neuron", "phase": "backward"},
    ],
    "graph_search": [{"kind": "graph_search", "algorithm": "bfs", "nodes": 12, "phase": "full"}],
    "gradient_descent": [{"kind": "gradient_descent", "view": "contour", "function": "rosenbrock", "steps": 40, "learning_rate": 0.1}],
    "attention": [{"kind": "attention", "tokens": ["every", "word", "looks", "at", "earlier", "words"], "dimension": 8, "causal": True}],
    "bias_variance": [{"kind": "bias_variance", "degrees": [0, 2, 5, 12], "samples": 30, "phase": "full"}],
    "classification_metrics": [{"kind": "classification_metrics", "samples": 200, "threshold": 0.35, "phase": "full"}],
}  # fmt: skip


def sample_plans() -> dict[str, ScenePlan]:
    """One plan for each kind: its scenes from the lesson templates, and further settings of its parameters."""
    scenes: dict[str, list[dict[str, Any]]] = {kind: [] for kind in VISUALS}
    topics: dict[str, str] = dict.fromkeys(VISUALS, "Support vector machines")
    for name, template in load_templates().items():
        if name == GENERAL:
            continue
        for scene in template.scenes:
            kind: str = scene.visual.kind
            topics[kind] = template.title
            steps = [{"say": step.say, "show": step.show} for step in scene.steps]
            scenes[kind].append(
                {"title": scene.title, "visual": scene.visual.model_dump(), "formula": scene.formula, "steps": steps}
            )
    scenes["process"] = _process_scenes()
    topics["process"] = "Support vector machines"
    for kind, visuals in _MORE.items():
        steps = scenes[kind][0]["steps"] if scenes[kind] else [{"say": "One step.", "show": "One step"}]
        scenes[kind] += [
            {"title": "The same with other settings", "visual": visual, "formula": "", "steps": steps}
            for visual in visuals
        ]
    return {kind: _plan(topics[kind], found) for kind, found in scenes.items() if found}


def _process_scenes() -> list[dict[str, Any]]:
    return [
        {
            "title": title,
            "visual": {"kind": "process", "layout": layout, "centre": centre},
            "formula": formula,
            "steps": [{"say": say, "show": show} for show, say in steps],
        }
        for layout, centre, title, formula, steps in _SVM
    ]


def _plan(topic: str, scenes: list[dict[str, Any]]) -> ScenePlan:
    source = Source(
        id="s1",
        book_id="notes",
        book=_BOOK,
        page=12,
        page_last=12,
        label="12",
        section="",
        passage_id="p",
        quote="q",
        score=0.6,
    )
    for number, scene in enumerate(scenes):
        scene["id"] = f"scene{number + 1}"
        scene["steps"] = [
            {**step, "cites": ["s1"] if position == 1 else []} for position, step in enumerate(scene["steps"])
        ]
    return parse_plan({"topic": topic, "seed": 7, "scenes": scenes, "sources": [source.model_dump()]})


def lengthened(plan: ScenePlan) -> ScenePlan:
    """The same plan with texts as long as they may be: titles 90, what is said 600, labels 80 characters."""
    words = "Überaus long-winded explanations of gradients, kernels and probabilities fill every line "
    steps = lambda step: Step(say=(words * 8)[:600], show=(words * 2)[:80], cites=step.cites)  # noqa: E731
    scenes = [
        scene.model_copy(update={"title": (words * 2)[:90], "steps": [steps(step) for step in scene.steps]})
        for scene in plan.scenes
    ]
    sources = [source.model_copy(update={"book": words * 2}) for source in plan.sources]
    return plan.model_copy(update={"topic": (words * 4)[:300], "scenes": scenes, "sources": sources})
