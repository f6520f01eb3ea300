"""Steps of any topic: boxes are drawn, arrows grow between them, the step that is told is circled."""

from __future__ import annotations

from manim import Animation, Circumscribe, Mobject

from t2v_studio.engines.local.display import Item
from t2v_studio.engines.local.kinds.base import Moment
from t2v_studio.engines.manim.template import TemplateScene


class ProcessScene(TemplateScene):
    """Flow, cycle, timeline or map."""

    def stress(self, fresh: list[tuple[Item, Mobject]], moment: Moment) -> list[Animation]:
        return []
