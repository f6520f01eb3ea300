"""Curves in axes: a valley descended, polynomials fitted, a threshold moved."""

from __future__ import annotations

from t2v_studio.engines.local.display import Circle, Item
from t2v_studio.engines.local.kinds.base import Moment
from t2v_studio.engines.local.kinds.timing import position
from t2v_studio.engines.manim.template import TemplateScene


class DescentScene(TemplateScene):
    """The point rolls; tangent and step follow it."""

    live = frozenset({"now", "tangent", "step", "loss", "visited", "path"})

    def lives(self, item: Item) -> bool:
        return item.name in self.live or (isinstance(item, Circle) and not item.name)


class BiasVarianceScene(TemplateScene):
    """Samples appear, curves are drawn through them."""

    def events(self, moment: Moment) -> int:
        return int(position(self.view.scene, moment, 12) + 1e-9)


class ClassificationScene(TemplateScene):
    """The threshold slides and the counts follow it."""

    live = frozenset({"threshold", "threshold label", "called positive", "count"})

    def events(self, moment: Moment) -> int:
        return int(position(self.view.scene, moment, 12) + 1e-9)
