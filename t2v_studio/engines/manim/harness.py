"""The program in the child: `python -m t2v_studio.engines.manim.harness JOB.json` draws a scene and ends.

It imports Manim, drops its rights where the job says so, runs the scene, lints the layout after each play,
streams frames to standard output (see `render`) and writes report.json. It ends with 0 whenever there is a report.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import traceback
from pathlib import Path
from typing import IO, Any

from t2v_studio.engines.manim.job import CODE, REPORT, CodeError, HarnessJob, HarnessReport

MOST_FAULTS = 40
SHOWN_NAMES = ("Lesson", "Formula", "Lettering")
"""What a written scene finds in its namespace beside its own imports."""
PLAYBACK = (0.4, 2.5)
"""A written scene is played at most so much slower or faster to fill its frames; beyond, it holds or is cut."""


def main(arguments: list[str]) -> int:
    """Several jobs one after the other spare the start of a child for each; a cage holds for one alone."""
    jobs = [HarnessJob.model_validate(json.loads(Path(path).read_text(encoding="utf-8"))) for path in arguments]
    sink = _claim_output()
    for job in jobs[: 1 if any(job.cage for job in jobs) else None]:
        report = HarnessReport()
        try:
            _run(job, report, sink)
        except BrokenPipeError:
            return 1
        except BaseException as error:
            report.error = _told(error)
            traceback.print_exc()
        (Path(job.folder) / REPORT).write_text(report.model_dump_json(), encoding="utf-8")
    return 0


def _claim_output() -> IO[bytes]:
    """Standard output for frames alone: whatever prints goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return sink


def _run(job: HarnessJob, report: HarnessReport, sink: IO[bytes]) -> None:
    os.chdir(job.folder)
    import manim

    report.manim = manim.__version__
    configure(manim.config, job)
    from t2v_studio.engines.manim.stream import StreamRenderer

    scene_class, code = _template(job) if job.plan is not None else (None, "")
    if job.plan is None:
        code = (Path(job.folder) / CODE).read_text(encoding="utf-8")
        names = _namespace()
        if job.cage:
            from t2v_studio.engines.manim import sandbox

            report.held = str(sandbox.enter(Path(job.folder)))
        scene_class = _defined(code, names, job.scene)
    assert scene_class is not None
    report.scene = scene_class.__name__
    renderer = StreamRenderer(job, sink, most_faults=MOST_FAULTS)
    scene = scene_class(renderer=renderer)
    if job.plan is not None:
        scene.fill(job)
    try:
        scene.render()
        renderer.close(scene)
    finally:
        report.duration_s = round(float(renderer.time), 4)
        report.plays, report.frames, report.faults = renderer.num_plays, renderer.sent, renderer.faults


def configure(config: Any, job: HarnessJob) -> None:
    """Manim's settings: the frame in design units over 90, so that 1280x720 is Manim's own 14.2 by 8."""
    from t2v_studio.engines.local.painter import design_size
    from t2v_studio.engines.local.theme import PALETTES

    width, height = design_size(job.width, job.height)
    config.update(
        {
            "pixel_width": job.width,
            "pixel_height": job.height,
            "frame_width": width / 90,
            "frame_height": height / 90,
            "frame_rate": _frame_rate(job),
            # Manim's own colours are made for a dark ground: on a light one a model's white words would be lost.
            "background_color": PALETTES[job.theme if job.plan is not None else "dark"].paper,
            "disable_caching": True,
            "progress_bar": "none",
            "verbosity": "ERROR",
            "dry_run": True,
            "media_dir": str(Path(job.folder) / "media"),
            "seed": job.seed,
        }
    )


def _frame_rate(job: HarnessJob) -> float:
    if job.frames is None or not job.seconds:
        return job.fps
    asked = job.frames / job.seconds
    return min(max(asked, PLAYBACK[0] * job.fps), PLAYBACK[1] * job.fps)


def _template(job: HarnessJob) -> tuple[type[Any], str]:
    from t2v_studio.engines.manim.templates import template_of

    assert job.plan is not None
    return template_of(job.plan["scenes"][job.index]["visual"]["kind"]), ""


def _namespace() -> dict[str, Any]:
    from t2v_studio.engines.manim import board

    # Typefaces and the typesetter are read now: in a cage it would be too late.
    board.Lettering("a")
    board.Formula("x")
    return {"__name__": "scene", **{name: getattr(board, name) for name in SHOWN_NAMES}}


def _defined(code: str, names: dict[str, Any], asked: str) -> type[Any]:
    """Runs the code and finds its scene. Raises ValueError where there is none, or more than one and no name."""
    from manim import Scene

    exec(compile(code, CODE, "exec"), names)
    found = {
        name: value
        for name, value in names.items()
        if isinstance(value, type) and issubclass(value, Scene) and value.__module__ == "scene"
    }
    if asked:
        if asked not in found:
            raise ValueError(f"The code defines no scene {asked}; it has {', '.join(found) or 'none'}.")
        return found[asked]
    if len(found) != 1:
        raise ValueError(f"The code must define one Scene; it has {', '.join(found) or 'none'}.")
    return next(iter(found.values()))


def _told(error: BaseException) -> CodeError:
    """The error with the line of the scene's own code where it arose."""
    line, text = 0, ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == CODE:
            line, text = frame.lineno or 0, frame.line or ""
    if isinstance(error, SyntaxError) and error.filename == CODE:
        line, text = error.lineno or 0, (error.text or "").strip()
    if line and not text:
        text = _line(line)
    return CodeError(type=type(error).__name__, message=str(error)[:2000], line=line, text=text[:300])


def _line(number: int) -> str:
    try:
        return Path(CODE).read_text(encoding="utf-8").splitlines()[number - 1].strip()
    except (OSError, IndexError):
        return ""


HEADER = struct.Struct("<I")
"""Before each frame: how often it stands in the film. Then width * height * 4 bytes RGBA, top left first."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
