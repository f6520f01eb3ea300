"""Attention: queries meet keys cell by cell, rows become shares, values are mixed."""

from __future__ import annotations

import math
from typing import Any, cast

from t2v_studio.engines.local.display import Item
from t2v_studio.engines.local.kinds.attention_picture import AttentionMoment, draw_attention
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment, Stage
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.kinds.timing import position, turn
from t2v_studio.engines.local.simulations.attention import AttentionPass, attend
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene
from t2v_studio.planning.visuals import Attention

ACTS = ("setup", "scores", "softmax", "aggregate")


class AttentionKind:
    """The trace is one attention pass."""

    name = "attention"

    def simulate(self, scene: Scene, seed: int) -> AttentionPass:
        params = cast(Attention, scene.visual)
        return attend(params.tokens, params.dimension, params.causal, seed)

    def draw(self, scene: Scene, trace: AttentionPass, moment: Moment, stage: Stage) -> list[Item]:
        return draw_attention(trace, _moment(scene, moment), stage)

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]:
        return []

    def caption(self, scene: Scene, trace: AttentionPass, moment: Moment) -> str:
        at = _moment(scene, moment)
        count = len(trace.tokens)
        if at.act == "setup":
            return f"{count} tokens, d = {trace.queries.shape[1]}"
        if at.act == "scores":
            index, _ = turn(at.progress * count * count, count * count)
            i, j = divmod(index, count)
            names = f"{trace.tokens[i]} · {trace.tokens[j]}"
            if trace.mask[i, j]:
                return f"{names}:  masked, the key comes later"
            dot = trace.scores[i, j] * math.sqrt(trace.queries.shape[1])
            return f"{names}:  {number(dot)} / √{trace.queries.shape[1]} = {number(trace.scores[i, j])}"
        i, _ = turn(at.progress * count, count)
        if at.act == "softmax":
            return f"row “{trace.tokens[i]}”:  shares add up to {number(trace.weights[i].sum())}"
        terms = [f"{number(w)} {t}" for w, t in zip(trace.weights[i], trace.tokens, strict=True) if w >= 0.005]
        return f"{trace.tokens[i]} = " + " + ".join(terms)

    def table(self, scene: Scene, trace: AttentionPass) -> list[dict[str, Any]]:
        count = len(trace.tokens)
        return [
            {
                "query": trace.tokens[i], "key": trace.tokens[j], "score": float(trace.scores[i, j]),
                "masked": bool(trace.mask[i, j]), "weight": float(trace.weights[i, j]),
            }
            for i in range(count)
            for j in range(count)
        ]  # fmt: skip


def _moment(scene: Scene, moment: Moment) -> AttentionMoment:
    phase = cast(Attention, scene.visual).phase
    if phase != "full":
        return AttentionMoment(phase, position(scene, moment, 1))
    index, progress = turn(position(scene, moment, len(ACTS)), len(ACTS))
    return AttentionMoment(ACTS[index], progress)
