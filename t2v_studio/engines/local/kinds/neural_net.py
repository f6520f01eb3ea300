"""A small network on one example: values flow forward, deltas flow back, weights change."""

from __future__ import annotations

from typing import Any, cast

from t2v_studio.engines.local.display import Item
from t2v_studio.engines.local.kinds.base import LegendEntry, Moment, Stage
from t2v_studio.engines.local.kinds.network_picture import Picture, draw_picture
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.kinds.timing import position
from t2v_studio.engines.local.simulations.network import NetworkPass, train_step
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene
from t2v_studio.planning.visuals import NeuralNet

ACTS = ("forward", "loss", "backward", "update")


class NeuralNetKind:
    """The trace is one training step with all its numbers."""

    name = "neural_net"

    def simulate(self, scene: Scene, seed: int) -> NetworkPass:
        params = cast(NeuralNet, scene.visual)
        return train_step(params.layers, params.activation, params.learning_rate, seed)

    def draw(self, scene: Scene, trace: NetworkPass, moment: Moment, stage: Stage) -> list[Item]:
        return draw_picture(trace, _picture(scene, moment), stage)

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]:
        phase = cast(NeuralNet, scene.visual).phase
        entries = [
            LegendEntry("weight > 0", palette.positive, "line"),
            LegendEntry("weight < 0", palette.negative, "dash"),
        ]
        if phase != "loss":
            entries.append(LegendEntry("value", palette.accent, "disc"))
        if phase in ("backward", "update", "full"):
            entries.append(LegendEntry("delta", palette.warm, "diamond"))
        return entries

    def caption(self, scene: Scene, trace: NetworkPass, moment: Moment) -> str:
        at = _picture(scene, moment)
        if at.update > 0:
            if at.update < 1:
                return f"rate η = {number(trace.rate)}"
            return f"loss {number(trace.loss, 3)} → {number(trace.new_loss, 3)}"
        if at.backward > 0:
            return f"output δ = {number(trace.deltas[-1][0], 3)}"
        if at.loss > 0:
            return f"loss = {number(trace.loss, 3)}"
        if at.forward == 1:
            return f"output ŷ = {number(trace.activations[-1][0])}"
        return "input x = (" + ", ".join(number(x) for x in trace.activations[0]) + ")"

    def table(self, scene: Scene, trace: NetworkPass) -> list[dict[str, Any]]:
        rows = []
        for layer, (old, gradient, new) in enumerate(
            zip(trace.weights, trace.weight_gradients, trace.new_weights, strict=True), 1
        ):
            for to, source in ((j, i) for j in range(old.shape[0]) for i in range(old.shape[1])):
                rows.append(
                    {
                        "layer": layer,
                        "from": source + 1,
                        "to": to + 1,
                        "weight": float(old[to, source]),
                        "input": float(trace.activations[layer - 1][source]),
                        "delta": float(trace.deltas[layer - 1][to]),
                        "gradient": float(gradient[to, source]),
                        "new_weight": float(new[to, source]),
                    }
                )
        return rows


def _picture(scene: Scene, moment: Moment) -> Picture:
    """How far each act is: earlier acts are done, later ones have not begun."""
    phase = cast(NeuralNet, scene.visual).phase
    if phase == "full":
        place = position(scene, moment, len(ACTS))
        done = [min(max(place - i, 0.0), 1.0) for i in range(len(ACTS))]
    else:
        place = position(scene, moment, 1)
        now = ACTS.index(phase)
        done = [1.0 if i < now else place if i == now else 0.0 for i in range(len(ACTS))]
    return Picture(*done)
