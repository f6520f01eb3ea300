"""Attention: rows of scores fill, become shares, and mix the values."""

from __future__ import annotations

from t2v_studio.engines.local.kinds.base import Moment
from t2v_studio.engines.local.kinds.timing import position
from t2v_studio.engines.manim.template import TemplateScene


class AttentionScene(TemplateScene):
    """A beat for each token's row."""

    def events(self, moment: Moment) -> int:
        scene = self.view.scene
        acts = 4 if scene.visual.phase == "full" else 1  # type: ignore[union-attr]
        return int(position(scene, moment, acts * len(self.view.trace.tokens)) + 1e-9)
