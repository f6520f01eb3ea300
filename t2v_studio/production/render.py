"""Scenes to one stream of frames: engine, fallback, encoder, verdicts and still pictures together."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from t2v_studio.engines.base import Canvas, Engine, Provenance
from t2v_studio.errors import CancelledError, StudioError
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.production.record import SceneRecord
from t2v_studio.video.encode import Encoder
from t2v_studio.video.quality import Judge, Verdict
from t2v_studio.video.snapshots import Snapshots, write_preview

log = logging.getLogger(__name__)

REPORT_EVERY_S = 0.1
PREVIEW_EVERY_S = 2.0

Frame = NDArray[np.uint8]


@dataclass
class Watch:
    """Who wants to know how far a video is: progress, a picture, and whether to stop."""

    report: Callable[..., None]
    preview: Callable[[str], None]
    check_cancelled: Callable[[], None]
    picture: Path
    shown_as: str
    total: int = 0
    message: str = ""
    _reported: float = field(default=float("-inf"), init=False)
    _pictured: float = field(default_factory=time.monotonic, init=False)

    def progress(self, done: float) -> None:
        """Report `done` frames, a few times a second; raises CancelledError."""
        now = time.monotonic()
        if now - self._reported >= REPORT_EVERY_S:
            self._reported = now
            self.check_cancelled()
            self.report("render", int(done), self.total, self.message)

    def show(self, frame: Frame) -> None:
        """Write a preview picture now and then."""
        now = time.monotonic()
        if now - self._pictured >= PREVIEW_EVERY_S:
            self._pictured = now
            write_preview(self.picture, frame)
            self.preview(self.shown_as)


@dataclass(frozen=True)
class Rendered:
    """All scenes of a video."""

    scenes: list[SceneRecord]
    verdicts: list[Verdict]
    notices: list[str]


def render_scenes(
    plan: ScenePlan,
    canvas: Canvas,
    engine: Engine,
    local: Callable[[], Engine] | None,
    encoder: Encoder,
    snapshots: Snapshots,
    watch: Watch,
) -> Rendered:
    """Draw every scene into the encoder.

    local: gives the engine that draws a scene where `engine` fails; None lets the failure through.
    Raises what the engine raises, and CancelledError.
    """
    rendered = Rendered([], [], [])
    done = 0
    watch.total = sum(canvas.scene_frames)
    for index, scene in enumerate(plan.scenes):
        count = canvas.scene_frames[index]
        watch.message = f"scene {index + 1} of {len(plan.scenes)}: {scene.title}"
        watch.progress(done)
        judge = Judge(canvas.fps, len(scene.steps))
        drawn = _Scene(plan, index, canvas, watch, done)
        for number, frame in enumerate(drawn.frames(engine, local)):
            changed = encoder.write(frame)
            judge.see(frame, changed)
            snapshots.see(done + number, frame)
            watch.show(frame)
        verdict = judge.verdict()
        source = drawn.provenance
        if source.fallback:
            rendered.notices.append(f"Scene {index + 1} was drawn by the local engine: {source.fallback}")
        rendered.verdicts.append(verdict)
        rendered.scenes.append(_scene_record(scene.id, source, count, done, canvas.fps, verdict))
        done += count
    return rendered


class _Scene:
    """One scene: exactly as many frames as the canvas says, from the engine or from its fallback."""

    def __init__(self, plan: ScenePlan, index: int, canvas: Canvas, watch: Watch, before: int) -> None:
        self._plan, self._index, self._canvas, self._watch, self._before = plan, index, canvas, watch, before
        self.provenance = Provenance(engine="")

    def frames(self, engine: Engine, local: Callable[[], Engine] | None) -> Iterator[Frame]:
        if local is None or engine.name == "local":
            yield from self._drawn(engine)
            self.provenance = engine.provenance(self._plan, self._index, self._canvas)
            return
        # A frame that went into the encoder cannot be taken back, so the scene is spooled until it is whole.
        with tempfile.TemporaryFile(prefix="t2v-scene-") as spool:
            try:
                shape = self._spooled(engine, spool)
                self.provenance = engine.provenance(self._plan, self._index, self._canvas)
            except CancelledError:
                raise
            except Exception as error:
                log.exception("scene %s failed on %s", self._index + 1, engine.name)
                reason = error.message if isinstance(error, StudioError) else f"{type(error).__name__}: {error}"
                replacement = local()
                yield from self._drawn(replacement)
                self.provenance = replacement.provenance(self._plan, self._index, self._canvas)
                self.provenance.fallback = f"{engine.name} failed: {reason}"
                return
            spool.seek(0)
            size = int(np.prod(shape))
            while data := spool.read(size):
                yield np.frombuffer(data, np.uint8).reshape(shape)

    def _spooled(self, engine: Engine, spool: object) -> tuple[int, ...]:
        shape: tuple[int, ...] = ()
        for frame in self._drawn(engine):
            shape = frame.shape
            np.ascontiguousarray(frame).tofile(spool)  # type: ignore[arg-type]
        return shape

    def _drawn(self, engine: Engine) -> Iterator[Frame]:
        """The engine's frames, counted. Raises StudioError where there are too few or too many."""
        wanted, count = self._canvas.scene_frames[self._index], 0
        for frame in engine.render_scene(self._plan, self._index, self._canvas, self._step):
            count += 1
            if count <= wanted:
                self._watch.progress(self._before + count)
                yield frame
        if count != wanted:
            raise StudioError(
                "engine_frames",
                f"The engine {engine.name} gave {count} frames for scene {self._index + 1} instead of {wanted}.",
                "This is a fault of the engine; choose another and report it.",
            )

    def _step(self, step: int, total: int) -> None:
        share = step / total if total else 0.0
        self._watch.progress(self._before + share * self._canvas.scene_frames[self._index])


def _scene_record(
    scene_id: str, source: Provenance, frames: int, first: int, fps: float, verdict: Verdict
) -> SceneRecord:
    return SceneRecord(
        id=scene_id,
        engine=source.engine,
        model=source.model,
        revision=source.revision,
        seed=source.seed,
        frames=frames,
        start_s=round(first / fps, 6),
        duration_s=round(frames / fps, 6),
        retries=source.retries,
        fallback=source.fallback,
        verdict=verdict.name,
        measures=verdict.measures,
    )
