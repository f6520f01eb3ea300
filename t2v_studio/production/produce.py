"""A request and its plan become a video with its record, in one folder that is whole or not there."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from t2v_studio.disk import disk_full, is_full
from t2v_studio.engines.base import Canvas, Engine, SceneSettings
from t2v_studio.errors import StudioError, UnavailableError
from t2v_studio.library.passages import Evidence
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.timing import step_frames
from t2v_studio.production import records
from t2v_studio.production.output import check_output, copy_out
from t2v_studio.production.record import Arm, VideoRecord
from t2v_studio.production.render import Rendered, Watch, render_scenes
from t2v_studio.production.request import VideoRequest
from t2v_studio.production.settle import settled
from t2v_studio.production.writing import write_prompts
from t2v_studio.settings import Settings
from t2v_studio.video import subtitles
from t2v_studio.video.encode import Encoded, Encoder
from t2v_studio.video.ffmpeg import Content
from t2v_studio.video.metadata import Chapter, seal
from t2v_studio.video.quality import Verdict, whole_clip
from t2v_studio.video.snapshots import Snapshots
from t2v_studio.workspace import Workspace, new_id

log = logging.getLogger(__name__)

Report = Callable[..., None]
"""Called with (stage, step, total, message); raises CancelledError."""

_DEGENERATE = {
    "black": "is black",
    "white": "is white",
    "underexposed": "is almost black",
    "washed_out": "is almost white",
    "noise": "shows only noise",
    "frozen": "stands still",
}


class Planned(Protocol):
    """What planning hands over: a plan, its evidence by scene, its grounding, and notices."""

    plan: ScenePlan
    evidence: dict[str, list[Evidence]]
    grounding: dict[str, Any] | None
    notices: list[str]


@dataclass
class AsRecorded:
    """A plan that is drawn again as its record has it."""

    plan: ScenePlan
    evidence: dict[str, list[Evidence]] = field(default_factory=dict)
    grounding: dict[str, Any] | None = None
    notices: list[str] = field(default_factory=list)


def nothing(*_: Any) -> None:
    """For callers that want no progress."""


def produce(
    request: VideoRequest,
    planned: Planned,
    *,
    workspace: Workspace,
    settings: Settings,
    engine: Engine,
    report: Report = nothing,
    preview: Callable[[str], None] = nothing,
    check_cancelled: Callable[[], None] = nothing,
    pair_id: str = "",
    arm: Arm = "",
    video_id: str = "",
    output: Path | None = None,
    local: Callable[[], Engine] | None = None,
    scene_settings: tuple[SceneSettings | None, ...] = (),
    earlier_tries: Sequence[list[dict[str, Any]]] = (),
) -> VideoRecord:
    """Make a video: outputs/videos/<id>/ with video, poster, subtitles, stills, plan and record.

    video_id: its id, for a caller that goes on after a kill; by default a new one.
    output: a copy goes there, with its side files. local: gives the engine for scenes where `engine`
    fails and the request allows it; by default the registry's. scene_settings: what each scene starts with, where an
    earlier drawing of it found something better than the request; earlier_tries: that drawing's retries, a list a scene,
    which come first in the record. Notices in the record say whatever was rounded, replaced or left out. Raises
    StudioError; nothing is left behind then.
    """
    if output is not None:
        check_output(output)
    started = time.perf_counter()
    instead = (local or _local_engine) if request.fallback_local_on_fail and engine.name != "local" else None
    engine, notices = _able(engine, instead, request)
    planned = write_prompts(request, planned, engine, settings=settings, workspace=workspace, report=report)
    recorded = isinstance(planned, AsRecorded)
    request, plan, canvas, rounded = settled(request, planned.plan, engine, settings, recorded=recorded)
    canvas = replace(canvas, scene_settings=scene_settings)
    notices = [*planned.notices, *notices, *rounded, *_engine_notices(engine, plan, canvas)]
    records.sweep_unfinished(workspace)
    video_id = video_id or new_id("vid")
    with _finishing(engine), _building(workspace, video_id) as folder:
        watch = Watch(
            report, preview, check_cancelled, folder / "preview.jpg", workspace.relative(folder / "preview.jpg")
        )
        snapshots = Snapshots(_stills(plan, canvas))
        content: Content = "footage" if request.engine == "diffusion" else "graphics"
        with Encoder(
            folder / "frames.mp4",
            width=canvas.width,
            height=canvas.height,
            fps=canvas.fps,
            threads=settings.worker_threads,
            content=content,
        ) as encoder:
            rendered = render_scenes(plan, canvas, engine, instead, encoder, snapshots, watch)
        for scene, tries in zip(rendered.scenes, earlier_tries, strict=False):
            scene.retries = [*tries, *scene.retries]
        assert encoder.result is not None
        check_cancelled()
        report("finish", 0, 0, "subtitles, pictures and record")
        rendered_s = time.perf_counter() - started
        record = _record(
            video_id, request, plan, planned, canvas, encoder.result, rendered, notices, pair_id=pair_id, arm=arm
        )
        record.timings_s["render"] = round(rendered_s, 3)
        _finish(folder, record, encoder.result, snapshots, started)
        check_cancelled()
        folder.rename(workspace.video(video_id))
    records.store_row(workspace, record)
    if "poster" in record.files:
        preview(workspace.relative(workspace.video(video_id) / record.files["poster"]))
    if output is not None:
        report("copy", 0, 0, str(output))
        records.add_notices(workspace, record, copy_out(record, workspace.video(video_id), output))
    return record


def _able(engine: Engine, instead: Callable[[], Engine] | None, request: VideoRequest) -> tuple[Engine, list[str]]:
    """The engine, or the local one where it cannot run here at all and the request allows that."""
    state = engine.availability(request.diffusion() if engine.name == "diffusion" else None)
    if state.ok:
        return engine, []
    if instead is None:
        raise UnavailableError("engine_unavailable", state.message, state.hint)
    return instead(), [f"The engine {engine.name} cannot run here ({state.message}) The local engine drew all scenes."]


def _local_engine() -> Engine:
    from t2v_studio.engines import registry

    return registry.engine("local")


def _engine_notices(engine: Engine, plan: ScenePlan, canvas: Canvas) -> list[str]:
    say = getattr(engine, "notices", None)
    return list(say(plan, canvas)) if say is not None else []


@contextmanager
def _finishing(engine: Engine) -> Iterator[None]:
    """Tell the engine when the video stands, or that it does not: it keeps what another attempt can use."""
    finish, done = getattr(engine, "finish", None), False
    try:
        yield
        done = True
    finally:
        if finish is not None:
            finish(done)


@contextmanager
def _building(workspace: Workspace, video_id: str) -> Iterator[Path]:
    """A folder for the unfinished video; gone afterwards, unless it was renamed."""
    folder = workspace.videos / f"{records.UNFINISHED}{video_id}"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        if is_full(error):
            raise disk_full("the video") from error
        if error.errno in (13, 30):
            raise StudioError(
                "not_writable", f"{workspace.videos} cannot be written to.", "Check its permissions, or set T2V_HOME."
            ) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stills(plan: ScenePlan, canvas: Canvas) -> dict[str, int]:
    """Which frames become pictures; the poster is the middle of the first scene's last step."""
    total = sum(canvas.scene_frames)
    shares = step_frames(plan.scenes[0], canvas.scene_frames[0])
    poster = canvas.scene_frames[0] - 1 - shares[-1] // 2
    return {"poster": max(0, poster), "first_frame": 0, "middle_frame": total // 2, "last_frame": total - 1}


def _spoken(plan: ScenePlan, canvas: Canvas) -> list[tuple[str, float, float]]:
    """What each step says, from when to when, in seconds."""
    told: list[tuple[str, float, float]] = []
    first = 0
    for scene, frames in zip(plan.scenes, canvas.scene_frames, strict=True):
        at = first
        for step, count in zip(scene.steps, step_frames(scene, frames), strict=True):
            told.append((step.say, at / canvas.fps, (at + count) / canvas.fps))
            at += count
        first += frames
    return told


def _record(
    video_id: str,
    request: VideoRequest,
    plan: ScenePlan,
    planned: Planned,
    canvas: Canvas,
    encoded: Encoded,
    rendered: Rendered,
    notices: list[str],
    *,
    pair_id: str,
    arm: Arm,
) -> VideoRecord:
    verdict = whole_clip(rendered.verdicts)
    return VideoRecord(
        id=video_id,
        arm=arm,
        pair_id=pair_id,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        request=_with_code(request, rendered),
        plan=plan,
        evidence=planned.evidence,
        grounding=planned.grounding,
        scenes=rendered.scenes,
        width=encoded.width,
        height=encoded.height,
        fps=encoded.fps,
        frames=encoded.frames,
        duration_s=round(encoded.duration_s, 6),
        verdict=verdict.name,
        measures=verdict.measures,
        notices=[
            *notices,
            *_adapter_notices(rendered),
            *_compile_notices(request, rendered),
            *rendered.notices,
            *encoded.notices,
            *_verdict_notices(rendered.verdicts),
        ],
        adapter=_adapter(rendered),
        versions=records.versions(diffusion=any(scene.engine == "diffusion" for scene in rendered.scenes)),
        timings_s={},
        files={"video": f"video{encoded.path.suffix}", "srt": "subtitles.srt", "vtt": "subtitles.vtt"},
        video_sha256="",
        frames_sha256=encoded.frames_sha256,
    )


def _with_code(request: VideoRequest, rendered: Rendered) -> VideoRequest:
    """The request with the code that drew its written Manim scenes, "" for those that fell back to the template, so
    that the video can be made again without asking the model."""
    if request.manim_scenes != "written":
        return request
    found = {scene.id: scene.details["written"]["code"] if "written" in scene.details else "" for scene in rendered.scenes}  # fmt: skip
    return request.model_copy(update={"manim_code": found})


def _adapter(rendered: Rendered) -> dict[str, Any] | None:
    """The adapter, at the scale that most scenes wore; what each scene wore stands with the scene."""
    worn = [scene.details["adapter"] for scene in rendered.scenes if scene.details.get("adapter")]
    if not worn:
        return None
    usual = Counter(one["scale"] for one in worn).most_common(1)[0][0]
    first = next(one for one in worn if one["scale"] == usual)
    return {name: value for name, value in first.items() if name != "seconds"}


def _adapter_notices(rendered: Rendered) -> list[str]:
    """What of a LoRA's file the model could not take."""
    worn = next((scene.details["adapter"] for scene in rendered.scenes if scene.details.get("adapter")), None)
    if worn is None or not (worn["unmatched"] or worn["ignored"]):
        return []
    every = worn["matched"] + worn["unmatched"]
    said = f"Of the {every} layers of the LoRA {worn['name']} the model has {worn['matched']}"
    if worn["unmatched"]:
        said += f", and no {', '.join(worn['unmatched_names'][:3])}"
    if worn["ignored"]:
        said += f"; {worn['ignored']} tensors of its file are no LoRA that can be read"
    weak = "Its effect may be weak. " if 2 * worn["matched"] < every + worn["ignored"] / 2 else ""
    return [f"{said}. {weak}See: t2v adapters check {worn['id']}"]


def _compile_notices(request: VideoRequest, rendered: Rendered) -> list[str]:
    """Why blocks that were to be compiled are not, which shows itself once the model is loaded."""
    if request.compile_blocks != "on":
        return []
    why = (str(scene.details.get("switches", {}).get("compile", "")) for scene in rendered.scenes)
    off = next((one for one in why if one.startswith("off: ")), "")
    return [f"--compile-blocks on did nothing: {off.removeprefix('off: ')}."] if off else []


def _verdict_notices(verdicts: list[Verdict]) -> list[str]:
    return [
        f"Scene {number} {_DEGENERATE[verdict.name]} ({verdict.name})."
        for number, verdict in enumerate(verdicts, start=1)
        if verdict.name in _DEGENERATE
    ]


def _finish(folder: Path, record: VideoRecord, encoded: Encoded, snapshots: Snapshots, started: float) -> None:
    """Write all files beside the frames, the record last, as it holds the hash of the video."""
    canvas_steps = _spoken_of(record)
    (folder / "subtitles.srt").write_text(subtitles.srt(canvas_steps), encoding="utf-8")
    (folder / "subtitles.vtt").write_text(subtitles.vtt(canvas_steps), encoding="utf-8")
    (folder / "plan.json").write_text(record.plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
    record.files |= snapshots.save(folder) | {"plan": "plan.json", "record": records.RECORD}
    video = folder / record.files["video"]
    if encoded.codec == "gif":
        encoded.path.replace(video)
    else:
        tags = {"title": record.plan.topic, "comment": record.model_dump_json()}
        seal(encoded.path, video, tags=tags, chapters=_chapters(record))
        encoded.path.unlink()
    with video.open("rb") as stream:
        record.video_sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    (folder / "preview.jpg").unlink(missing_ok=True)
    record.timings_s["total"] = round(time.perf_counter() - started, 3)
    (folder / records.RECORD).write_text(records.dump(record), encoding="utf-8")


def _spoken_of(record: VideoRecord) -> list[tuple[str, float, float]]:
    frames = tuple(scene.frames for scene in record.scenes)
    return _spoken(record.plan, Canvas(record.width, record.height, record.fps, frames, 0))


def _chapters(record: VideoRecord) -> list[Chapter]:
    return [
        Chapter(scene.title, made.start_s, made.start_s + made.duration_s)
        for scene, made in zip(record.plan.scenes, record.scenes, strict=True)
    ]
