"""What a diagram kind is: run the real algorithm once, then draw any moment of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from t2v_studio.engines.local.display import Box, Item
from t2v_studio.engines.local.theme import Palette
from t2v_studio.planning.plan import Scene


@dataclass(frozen=True)
class Moment:
    """A point in time of a scene.

    step: index of the step that is told now; progress: 0 to 1 within that step;
    overall: 0 to 1 within the scene, monotone over all its frames.
    """

    step: int
    progress: float
    overall: float


@dataclass(frozen=True)
class Stage:
    """Where and with what a kind draws. Every item must stay inside `box` (design units).

    measure(text, size, weight) gives the width of a line in units;
    measure_formula(latex, size) gives (width, height) in units.
    """

    box: Box
    palette: Palette
    measure: Callable[[str, float, str], float]
    measure_formula: Callable[[str, float], tuple[float, float]]


@dataclass(frozen=True)
class LegendEntry:
    """A mark and its meaning: never colour alone, so each entry names a shape too."""

    label: str
    colour: str
    mark: str = "disc"
    """disc, ring, square, line, dash, arrow or diamond."""


class Kind(Protocol):
    """One diagram kind. Instances hold no state; a trace is what a simulation left behind."""

    name: str

    def simulate(self, scene: Scene, seed: int) -> Any:
        """Run the algorithm on the scene's parameters. Pure: same scene and seed, same trace."""
        ...

    def draw(self, scene: Scene, trace: Any, moment: Moment, stage: Stage) -> list[Item]:
        """The stage at one moment."""
        ...

    def legend(self, scene: Scene, palette: Palette) -> list[LegendEntry]: ...

    def caption(self, scene: Scene, trace: Any, moment: Moment) -> str:
        """A live read-out such as "step 4: x = 0.31, loss = 0.10"; empty when there is none."""
        ...

    def table(self, scene: Scene, trace: Any) -> list[dict[str, Any]]:
        """The trace's numbers as rows, for the thesis."""
        ...
