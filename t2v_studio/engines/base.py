"""What every engine is: a plan in, frames out, scene by scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from t2v_studio.planning.plan import ScenePlan

Frames = Iterator[NDArray[np.uint8]]
"""Arrays of shape (height, width, 3) RGB or (height, width, 4) RGBA, one a frame."""

Theme = Literal["light", "dark", "contrast"]


@dataclass(frozen=True)
class Canvas:
    """How a plan is to be drawn: the same for both arms of a pair.

    scene_frames: number of frames of each scene, in the order of the plan.
    show_sources: the source footer; off in blind studies.
    """

    width: int
    height: int
    fps: float
    scene_frames: tuple[int, ...]
    seed: int
    theme: Theme = "light"
    show_sources: bool = True
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Availability:
    """Whether an engine can run here; if not, what it costs and what to install."""

    ok: bool
    message: str = ""
    hint: str = ""


@dataclass
class Provenance:
    """What made a scene: kept in the record, scene by scene."""

    engine: str
    model: str = ""
    revision: str = ""
    seed: int = 0
    retries: list[dict[str, Any]] = field(default_factory=list)
    fallback: str = ""


StepReport = Callable[[int, int], None]
"""Called with (steps done, steps in all) within a scene; raises CancelledError to stop."""


class Engine(Protocol):
    """Draws plans. An instance may keep a model in memory between calls."""

    name: str

    def availability(self) -> Availability: ...

    def default_canvas(self) -> dict[str, Any]:
        """Width, height and fps that suit this engine, for requests that leave them open."""
        ...

    def frame_rule(self, frames: int) -> int:
        """The nearest number of frames a scene that this engine can make."""
        ...

    def render_scene(self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport) -> Frames:
        """The frames of scene `index`, exactly `canvas.scene_frames[index]` of them."""
        ...

    def provenance(self, plan: ScenePlan, index: int, canvas: Canvas) -> Provenance: ...
