"""The diagram kinds by name."""

from __future__ import annotations

from t2v_studio.engines.local.kinds.attention import AttentionKind
from t2v_studio.engines.local.kinds.base import Kind
from t2v_studio.engines.local.kinds.bias_variance import BiasVarianceKind
from t2v_studio.engines.local.kinds.classification_metrics import ClassificationMetricsKind
from t2v_studio.engines.local.kinds.compute_graph import ComputeGraphKind
from t2v_studio.engines.local.kinds.gradient_descent import GradientDescentKind
from t2v_studio.engines.local.kinds.graph_search import GraphSearchKind
from t2v_studio.engines.local.kinds.neural_net import NeuralNetKind
from t2v_studio.engines.local.kinds.process import ProcessKind
from t2v_studio.errors import unknown_name

_ALL: tuple[Kind, ...] = (
    ProcessKind(),
    GradientDescentKind(),
    NeuralNetKind(),
    ComputeGraphKind(),
    GraphSearchKind(),
    AttentionKind(),
    BiasVarianceKind(),
    ClassificationMetricsKind(),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def kind_of(name: str) -> Kind:
    """The kind of a name. Raises InputError with the nearest name."""
    if name not in KINDS:
        raise unknown_name("visual.kind", name, list(KINDS))
    return KINDS[name]
