"""The closed list of diagram kinds, each with the parameters that a plan may set.

Every kind runs its real algorithm on small seeded data; parameters choose the data and the part of
the run that a scene shows. Engines draw from these models alone.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Params(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class Process(_Params):
    """Steps of any topic: the universal fallback."""

    kind: Literal["process"] = "process"
    layout: Literal["flow", "cycle", "timeline", "map"] = "flow"
    centre: str = Field("", max_length=60, description="Word in the middle of a map or cycle.")


class GradientDescent(_Params):
    """Steps x := x - rate * gradient on a known function."""

    kind: Literal["gradient_descent"] = "gradient_descent"
    view: Literal["curve", "contour", "rates"] = Field(
        "curve", description="1-D curve with tangent, 2-D contour, or several rates side by side."
    )
    function: Literal["quadratic", "double_well", "ravine", "rosenbrock"] = "quadratic"
    learning_rate: float = Field(0.15, gt=0, le=3)
    rates: list[Annotated[float, Field(gt=0, le=3)]] = Field(
        default_factory=lambda: [0.05, 0.3, 1.05], min_length=2, max_length=4
    )
    steps: int = Field(12, ge=1, le=60)
    start: list[float] = Field(
        default_factory=list, max_length=2, description="Starting point; empty chooses one that shows the idea."
    )


class NeuralNet(_Params):
    """A small multilayer perceptron on one example: forward, loss, backward, update."""

    kind: Literal["neural_net"] = "neural_net"
    layers: list[Annotated[int, Field(ge=1, le=6)]] = Field(
        default_factory=lambda: [2, 3, 1], min_length=2, max_length=5
    )
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    learning_rate: float = Field(0.5, gt=0, le=5)
    phase: Literal["forward", "loss", "backward", "update", "full"] = "full"


class ComputeGraph(_Params):
    """An expression as a graph: values forward, adjoints backward, local derivatives on the edges."""

    kind: Literal["compute_graph"] = "compute_graph"
    expression: Literal["product_sum", "sigmoid_neuron", "squared_error"] = "squared_error"
    phase: Literal["forward", "backward", "full"] = "full"


class GraphSearch(_Params):
    """BFS, DFS, Dijkstra or A* on a small seeded graph, with the frontier and g, h, f."""

    kind: Literal["graph_search"] = "graph_search"
    algorithm: Literal["bfs", "dfs", "dijkstra", "astar"] = "astar"
    nodes: int = Field(8, ge=5, le=12)
    phase: Literal["setup", "expand", "reconstruct", "full"] = "full"


class Attention(_Params):
    """Scaled dot-product attention over a few tokens: scores, softmax rows, weighted sum."""

    kind: Literal["attention"] = "attention"
    tokens: list[Annotated[str, Field(min_length=1, max_length=12)]] = Field(
        default_factory=lambda: ["the", "cat", "sat", "down"], min_length=2, max_length=6
    )
    dimension: int = Field(4, ge=2, le=8)
    causal: bool = False
    phase: Literal["setup", "scores", "softmax", "aggregate", "full"] = "full"


class BiasVariance(_Params):
    """Polynomials of rising degree fitted to noisy samples; squared bias, variance and test error."""

    kind: Literal["bias_variance"] = "bias_variance"
    degrees: list[Annotated[int, Field(ge=0, le=12)]] = Field(
        default_factory=lambda: [1, 3, 9], min_length=1, max_length=4
    )
    samples: int = Field(16, ge=6, le=60)
    noise: float = Field(0.25, ge=0, le=2)
    phase: Literal["data", "fits", "spread", "curve", "full"] = "full"


class ClassificationMetrics(_Params):
    """Scores of two classes, a moving threshold, the confusion matrix, precision, recall and ROC."""

    kind: Literal["classification_metrics"] = "classification_metrics"
    samples: int = Field(40, ge=10, le=200)
    threshold: float = Field(0.5, ge=0, le=1)
    phase: Literal["scores", "confusion", "precision_recall", "roc", "full"] = "full"


Visual = Annotated[
    Process
    | GradientDescent
    | NeuralNet
    | ComputeGraph
    | GraphSearch
    | Attention
    | BiasVariance
    | ClassificationMetrics,
    Field(discriminator="kind"),
]
VISUALS: dict[str, type[_Params]] = {
    model.model_fields["kind"].default: model
    for model in (
        Process,
        GradientDescent,
        NeuralNet,
        ComputeGraph,
        GraphSearch,
        Attention,
        BiasVariance,
        ClassificationMetrics,
    )
}
