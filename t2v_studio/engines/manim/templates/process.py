"""Steps of any topic: boxes are drawn as their step is told, arrows grow between them."""

from __future__ import annotations

from t2v_studio.engines.manim.template import TemplateScene


class ProcessScene(TemplateScene):
    """Flow, cycle, timeline or map; a beat for each step."""
