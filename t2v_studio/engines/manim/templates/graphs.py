"""Nodes and edges: a network in training, an expression differentiated, a graph searched."""

from __future__ import annotations

from t2v_studio.engines.local.kinds.base import Moment
from t2v_studio.engines.local.kinds.timing import position
from t2v_studio.engines.manim.template import TemplateScene


class NeuralNetScene(TemplateScene):
    """Values run along the weights as pulses; each layer that has been reached is a beat."""

    live = frozenset({"pulse"})
    changes_last = True

    def events(self, moment: Moment) -> int:
        scene = self.view.scene
        acts = 4 if scene.visual.phase == "full" else 1  # type: ignore[union-attr]
        return int(position(scene, moment, acts * (len(self.view.trace.sizes) - 1)) + 1e-9)


class ComputeGraphScene(TemplateScene):
    """Values forward, gradients backward, node by node."""

    live = frozenset({"pulse"})
    changes_last = True

    def events(self, moment: Moment) -> int:
        nodes = len(self.view.trace.nodes)
        return int(position(self.view.scene, moment, nodes) + 1e-9)


class GraphSearchScene(TemplateScene):
    """The frontier grows turn by turn."""

    live = frozenset({"pulse", "reach"})
    changes_last = True

    def events(self, moment: Moment) -> int:
        return int(position(self.view.scene, moment, len(self.view.trace.expansions)) + 1e-9)
