"""The template scenes, one for each diagram kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from t2v_studio.errors import unknown_name

if TYPE_CHECKING:
    from t2v_studio.engines.manim.template import TemplateScene


def template_of(kind: str) -> type[TemplateScene]:
    """The template scene of a diagram kind; imports Manim. Raises InputError with the nearest name."""
    from t2v_studio.engines.manim.templates.attention import AttentionScene
    from t2v_studio.engines.manim.templates.curves import BiasVarianceScene, ClassificationScene, DescentScene
    from t2v_studio.engines.manim.templates.graphs import ComputeGraphScene, GraphSearchScene, NeuralNetScene
    from t2v_studio.engines.manim.templates.process import ProcessScene

    scenes: dict[str, type[TemplateScene]] = {
        "process": ProcessScene, "gradient_descent": DescentScene, "neural_net": NeuralNetScene,
        "compute_graph": ComputeGraphScene, "graph_search": GraphSearchScene, "attention": AttentionScene,
        "bias_variance": BiasVarianceScene, "classification_metrics": ClassificationScene,
    }  # fmt: skip
    if kind not in scenes:
        raise unknown_name("visual.kind", kind, list(scenes))
    return scenes[kind]
