"""Scenes to one stream of frames: engine, fallback, encoder, verdicts and still pictures together."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from t2v_studio.engines.base import Canvas, Engine, Provenance, SceneSettings
from t2v_studio.errors import CancelledError, LimitError, StudioError, UnavailableError, plural
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.production.background import Background
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
    _done: float = field(default=0.0, init=False)
    _reported: float = field(default=float("-inf"), init=False)
    _pictured: float = field(default_factory=time.monotonic, init=False)

    def progress(self, done: float) -> None:
        """Report `done` frames, a few times a second; raises CancelledError."""
        self._done = done
        now = time.monotonic()
        if now - self._reported >= REPORT_EVERY_S:
            self._reported = now
            self.check_cancelled()
            self.report("render", int(done), self.total, self.message)

    def say(self, message: str) -> None:
        """What is done now, told at once: it may last long without a step. Raises CancelledError."""
        self.message, self._reported = message, float("-inf")
        self.progress(self._done)

    def stage(self, stage: str, step: int = 0, total: int = 0, message: str = "") -> None:
        """What an engine does before its first scene."""
        self.check_cancelled()
        self.report(stage, step, total, message)

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

    Scenes of the local engine are encoded frame by frame as they are painted. Those of any other are encoded
    once they are whole, in a thread, while the next one is made.
    local: gives the engine that draws a scene where `engine` fails; None lets the failure through.
    Raises what the engine raises, and CancelledError.
    """
    watch.total = sum(canvas.scene_frames)
    writer = _Writer(plan, canvas, encoder, snapshots)
    failed = _prepared(plan, canvas, engine, local, watch)
    if engine.name == "local":
        _painted(plan, canvas, engine, writer, watch)
    else:
        _spooled(plan, canvas, engine, local, writer, watch, failed)
    return writer.rendered


def _prepared(
    plan: ScenePlan, canvas: Canvas, engine: Engine, local: Callable[[], Engine] | None, watch: Watch
) -> StudioError | None:
    """Let the engine load what it needs. What this machine lacks comes back, where the local engine may stand in for all
    scenes; broken files and wrong choices are raised, since whoever asked can mend them."""
    prepare = getattr(engine, "prepare", None)
    if prepare is None:
        return None
    try:
        prepare(plan, canvas, watch.stage)
    except (LimitError, UnavailableError) as error:
        if local is None:
            raise
        log.warning("%s cannot start: %s", engine.name, error.message)
        return error
    return None


def _painted(plan: ScenePlan, canvas: Canvas, engine: Engine, writer: _Writer, watch: Watch) -> None:
    for index in range(len(plan.scenes)):
        scene = _Scene(plan, index, canvas, watch)
        writer.begin(index)
        for frame in scene.drawn(engine):
            writer.frame(frame)
        writer.end(engine.provenance(plan, index, canvas))


def _spooled(
    plan: ScenePlan,
    canvas: Canvas,
    engine: Engine,
    local: Callable[[], Engine] | None,
    writer: _Writer,
    watch: Watch,
    failed: StudioError | None,
) -> None:
    """A frame that went into the encoder cannot be taken back, so each scene goes to a file until it is whole.

    At most one whole scene waits while one is encoded and one is made.
    """
    with Background(waiting=1, name="scene-writer") as background:
        for index in range(len(plan.scenes)):
            scene = _Scene(plan, index, canvas, watch)
            spool = tempfile.TemporaryFile(prefix="t2v-scene-")  # noqa: SIM115  (the writer closes it)
            try:
                shape, source = scene.whole(engine, local, spool, failed)
            except BaseException:
                spool.close()
                raise
            background.put(
                partial(writer.whole, index, spool, shape, source, background.stopping), watch.check_cancelled
            )
        watch.message = "encoding the last scene"


class _Writer:
    """Takes scenes in their order: encodes, judges, keeps stills, and writes each scene's part of the record."""

    def __init__(self, plan: ScenePlan, canvas: Canvas, encoder: Encoder, snapshots: Snapshots) -> None:
        self._plan, self._canvas, self._encoder, self._snapshots = plan, canvas, encoder, snapshots
        self._index, self._judge, self._first, self._count = 0, Judge(canvas.fps), 0, 0
        self.rendered = Rendered([], [], [])

    def begin(self, index: int) -> None:
        self._index, self._count = index, 0
        self._judge = Judge(self._canvas.fps, len(self._plan.scenes[index].steps))

    def frame(self, frame: Frame) -> None:
        changed = self._encoder.write(frame)
        self._judge.see(frame, changed)
        self._snapshots.see(self._first + self._count, frame)
        self._count += 1

    def end(self, source: Provenance) -> None:
        verdict = self._judge.verdict()
        if source.fallback:
            self.rendered.notices.append(f"Scene {self._index + 1} was drawn by the local engine: {source.fallback}")
        elif source.retries:
            steps = "; ".join(f"{row.get('cause', '')}: {row.get('next', '')}".rstrip(": ") for row in source.retries)
            tries = len(source.retries) + 1
            self.rendered.notices.append(f"Scene {self._index + 1} was made {tries} times ({steps}).")
        scene_id = self._plan.scenes[self._index].id
        self.rendered.verdicts.append(verdict)
        self.rendered.scenes.append(
            _scene_record(scene_id, source, self._count, self._first, self._canvas.fps, verdict)
        )
        self._first += self._count

    def whole(
        self, index: int, spool: IO[bytes], shape: tuple[int, ...], source: Provenance, stopping: Callable[[], bool]
    ) -> None:
        """One scene from its file."""
        with spool:
            spool.seek(0)
            self.begin(index)
            size = int(np.prod(shape))
            while not stopping() and (data := spool.read(size)):
                self.frame(np.frombuffer(data, np.uint8).reshape(shape))
            self.end(source)


class _Scene:
    """One scene: exactly as many frames as the canvas says, from the engine or from its fallback."""

    def __init__(self, plan: ScenePlan, index: int, canvas: Canvas, watch: Watch) -> None:
        self._plan, self._index, self._canvas, self._watch = plan, index, canvas, watch
        self._before = sum(canvas.scene_frames[:index])
        self._reached = float(self._before)
        self._title = f"scene {index + 1} of {len(plan.scenes)}: {plan.scenes[index].title}"
        watch.message = self._title
        watch.progress(self._before)

    def whole(
        self, engine: Engine, local: Callable[[], Engine] | None, spool: IO[bytes], failed: StudioError | None
    ) -> tuple[tuple[int, ...], Provenance]:
        """All frames into a file; returns their shape and where they come from."""
        start = self._canvas.settings_of(self._index)
        if start.engine == "local":
            return self._instead(local or _local_engine, spool, start.reason or "as its settings say")
        if failed is not None and local is not None:
            return self._instead(local, spool, f"{engine.name} failed: {failed.message}")
        try:
            shape = self._into(engine, spool)
            return shape, engine.provenance(self._plan, self._index, self._canvas)
        except CancelledError:
            raise
        except Exception as error:
            if local is None:
                raise
            if isinstance(error, StudioError):
                reason, tries = error.message, error.details.get("tries", [])
                log.warning("scene %s failed on %s: %s", self._index + 1, engine.name, reason)
            else:
                reason, tries = f"{type(error).__name__}: {error}", []
                log.exception("scene %s failed on %s", self._index + 1, engine.name)
        return self._instead(local, spool, f"{engine.name} failed: {reason}", tries)

    def _instead(
        self, local: Callable[[], Engine], spool: IO[bytes], reason: str, tries: list[dict[str, Any]] | None = None
    ) -> tuple[tuple[int, ...], Provenance]:
        replacement = local()
        spool.seek(0)
        spool.truncate()
        shape = self._into(replacement, spool)
        source = replacement.provenance(self._plan, self._index, self._canvas)
        source.fallback = reason
        source.retries = tries or []
        source.settings = SceneSettings(engine="local", reason=reason).changes()
        return shape, source

    def _into(self, engine: Engine, spool: IO[bytes]) -> tuple[int, ...]:
        shape: tuple[int, ...] = ()
        for frame in self.drawn(engine):
            shape = frame.shape
            np.ascontiguousarray(frame).tofile(spool)
        return shape

    def drawn(self, engine: Engine) -> Iterator[Frame]:
        """The engine's frames, counted. Raises StudioError where there are too few or too many."""
        wanted, count = self._canvas.scene_frames[self._index], 0
        for frame in engine.render_scene(self._plan, self._index, self._canvas, _Steps(self._watch, self)):
            count += 1
            if count <= wanted:
                self._watch.progress(max(self._before + count, self._reached))
                self._watch.show(frame)
                yield frame
        if count != wanted:
            raise StudioError(
                "engine_frames",
                f"The engine {engine.name} gave {plural(count, 'frame')} for scene {self._index + 1} instead of {wanted}.",
                "This is a fault of the engine; choose another and report it.",
            )

    def step(self, step: int, total: int) -> None:
        share = step / total if total else 0.0
        self._reached = self._before + share * self._canvas.scene_frames[self._index]
        self._watch.progress(self._reached)

    def say(self, text: str) -> None:
        self._watch.say(f"{self._title} ({text})" if text else self._title)


class _Steps:
    """What an engine reports with: steps, pictures of the work so far, and a word on what it does."""

    def __init__(self, watch: Watch, scene: _Scene) -> None:
        self.show, self.say, self._step = watch.show, scene.say, scene.step

    def __call__(self, step: int, total: int) -> None:
        self._step(step, total)


def _local_engine() -> Engine:
    from t2v_studio.engines import registry

    return registry.engine("local")


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
        settings=source.settings,
        details=source.details,
        verdict=verdict.name,
        measures=verdict.measures,
    )
