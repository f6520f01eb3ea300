"""What every engine is: a plan in, frames out, scene by scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from t2v_studio.planning.plan import ScenePlan

if TYPE_CHECKING:
    from t2v_studio.engines.diffusion.options import DiffusionOptions
    from t2v_studio.engines.manim.options import ManimOptions

Frames = Iterator[NDArray[np.uint8]]
"""Arrays of shape (height, width, 3) RGB or (height, width, 4) RGBA, one a frame."""

Theme = Literal["light", "dark", "contrast"]


class SceneSettings(BaseModel):
    """What one scene is drawn with where that is not what its canvas says; None and "" leave it to the canvas.

    Found by retries, kept in the record, given again through `Canvas.scene_settings` by whoever draws the
    same scene once more: a record that is made again, the other arm of a pair.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    engine: str = ""
    """Another engine draws the scene ("local"), for this reason."""
    reason: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    attention: str = ""
    decode_dtype: Literal["", "float32", "bfloat16", "float16"] = ""
    tiled: bool | None = None
    lora_scale: float | None = None
    drop_leading: int = 0
    """Frames made in front of the scene and thrown away."""
    step_cache: bool | None = None
    template: bool | None = None
    """The Manim template draws a scene that a model was to write, for this reason."""

    def changes(self) -> dict[str, Any]:
        """Only what is set: empty for a scene that was drawn as its canvas says."""
        return self.model_dump(exclude_defaults=True)


@dataclass(frozen=True)
class Canvas:
    """How a plan is to be drawn: the same for both arms of a pair.

    scene_frames: number of frames of each scene, in the order of the plan.
    show_sources: the source footer; off in blind studies.
    options: what only the diffusion engine reads; manim: what only the Manim engine reads.
    scene_settings: one a scene, or empty.
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
    options: DiffusionOptions | None = None
    scene_settings: tuple[SceneSettings | None, ...] = ()
    manim: ManimOptions | None = None

    def settings_of(self, index: int) -> SceneSettings:
        """The settings with which scene `index` starts."""
        given = self.scene_settings[index] if index < len(self.scene_settings) else None
        return given or SceneSettings()


@dataclass(frozen=True)
class Availability:
    """Whether an engine can run here; if not, what it costs and what to install."""

    ok: bool
    message: str = ""
    hint: str = ""


@dataclass
class Provenance:
    """What made a scene: kept in the record, scene by scene.

    settings: `SceneSettings.changes()` of the try that was kept, enough to draw it again.
    details: how it was drawn (memory tier, attention, timings, tokens, share of the physical limit).
    """

    engine: str
    model: str = ""
    revision: str = ""
    seed: int = 0
    retries: list[dict[str, Any]] = field(default_factory=list)
    fallback: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


StepReport = Callable[[int, int], None]
"""Called with (steps done, steps in all) within a scene; raises CancelledError to stop.

May carry `show(picture)`, which takes an RGB picture of the work so far, and `say(text)`: what is being done.
"""

PrepareReport = Callable[[str, int, int, str], None]
"""Called with (stage, step, total, message) before the scenes; raises CancelledError to stop."""


class Engine(Protocol):
    """Draws plans. An instance may keep a model in memory between calls.

    options: None for engines that are not diffusion. An engine may also have `prepare(plan, canvas, report)`,
    called once before the scenes of a plan, `finish(done)`, called once the video stands or is given up, `together()`, around the
    videos of a pair, and `notices(plan, canvas)`: what of a plan cannot be drawn as it stands, in words.
    """

    name: str

    def availability(self, options: DiffusionOptions | None = None) -> Availability: ...

    def default_canvas(self, options: DiffusionOptions | None = None) -> dict[str, Any]:
        """Width, height and fps that suit this engine, for requests that leave them open; diffusion also names
        scene_frames, steps and guidance."""
        ...

    def frame_rule(self, frames: int, options: DiffusionOptions | None = None) -> int:
        """The nearest number of frames a scene that this engine can make."""
        ...

    def size_rule(self, width: int, height: int, options: DiffusionOptions | None = None) -> tuple[int, int]:
        """The nearest size that this engine can make, both sides even."""
        ...

    def render_scene(self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport) -> Frames:
        """The frames of scene `index`, exactly `canvas.scene_frames[index]` of them."""
        ...

    def provenance(self, plan: ScenePlan, index: int, canvas: Canvas) -> Provenance:
        """What made the scene that `render_scene` drew last under this index."""
        ...


class AnySize:
    """Rules of an engine that draws any number of frames at any even size."""

    def default_canvas(self, options: DiffusionOptions | None = None) -> dict[str, Any]:
        return {"width": 1280, "height": 720, "fps": 30.0}

    def frame_rule(self, frames: int, options: DiffusionOptions | None = None) -> int:
        return max(1, frames)

    def size_rule(self, width: int, height: int, options: DiffusionOptions | None = None) -> tuple[int, int]:
        return even_size(width, height)


def even_size(width: int, height: int) -> tuple[int, int]:
    """The size rule of engines that can draw any size: H.264 needs even sides."""
    return width + width % 2, height + height % 2
