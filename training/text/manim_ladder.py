"""Answers that are Manim code, from "it parses" to "it draws": each step is measured on all answers alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from t2v_studio.datasets.text_pairs.code import facts
from t2v_studio.errors import StudioError
from training.text.answers import Answer
from training.text.ladder import Column, mean
from training.text.manim_names import Api, installed_api, unknown_names

_FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)(?:```|\Z)", re.S)
WIDTH, HEIGHT, FPS = 320, 180, 10.0
LONGEST_S = 60.0
COLUMNS = (
    Column("parse", "parses", "Share of answers that are Python."),
    Column("one_scene", "one scene", "Share with exactly one Scene that has a construct."),
    Column("gate", "gate", "Share that the gate would let run."),
    Column("dry_run", "dry run@1", "Share whose first answer runs to its end without drawing, in the sandbox."),
    Column("dry_run_k", "dry run@k", "Share of prompts with one of k answers that does."),
    Column(
        "repaired", "after repair", "Share that runs after the error was shown to the model, at most so many times."
    ),
    Column("render", "render@1", "Share whose first answer gives a whole film, in the sandbox."),
    Column("render_k", "render@k", "Share of prompts with one of k answers that does."),
    Column("latex_free", "no LaTeX", "Share of parsed answers that need no LaTeX."),
    Column("unknown_api", "unknown names", "Share of parsed answers with names that this Manim lacks.", better="down"),
    Column("faults", "layout faults", "Faults of the layout a scene, of those that run.", share=False, better="down"),
)


@dataclass(frozen=True)
class Ran:
    """A dry run: what stopped it ("" for nothing), its length, and how many faults its layout has."""

    error: str = ""
    seconds: float = 0.0
    faults: int = 0


@dataclass
class Tools:
    """What judges code on this machine; None where it is not here, and notes say why."""

    gate: Callable[[str], list[str]] | None = None
    run: Callable[[str, str], Ran] | None = None
    draw: Callable[[str, str, float], str] | None = None
    api: Api | None = None
    notes: list[str] = field(default_factory=list)


def tools(*, render: bool, settings: Any = None) -> Tools:
    """The engine's gate, sandboxed dry run and drawing, and the names of the installed Manim."""
    from t2v_studio.datasets.text_pairs.code import tools as engine

    found, made = engine(dry_run=True), Tools()
    made.notes = [f"{name.replace('_', ' ')}: {why}" for name, why in found.missing]
    made.gate = found.gate
    if found.dry_run is not None:
        try:
            from t2v_studio.engines.manim.dry_run import attempt, ready

            ready(settings)
            made.run = lambda code, scene: _ran(attempt(code, scene, settings=settings))
        except (ImportError, StudioError) as error:
            made.notes.append(f"dry run: {getattr(error, 'message', error)}")
    if made.run is None:
        made.notes.append("dry run, render and layout faults are empty: nothing ran.")
    elif render:
        made.draw = _draw
    else:
        made.notes.append("render: not asked for (--render).")
    made.api = installed_api()
    if made.api is None:
        made.notes.append("unknown names: manim is not installed (make manim).")
    return made


def _ran(report: Any) -> Ran:
    return Ran(str(report.error) if report.error else "", float(report.duration_s), len(report.faults))


def _draw(code: str, scene: str, seconds: float) -> str:
    """Draw a scene at a small size inside the sandbox; what stopped it, "" for nothing."""
    from t2v_studio.engines.manim.job import HarnessJob
    from t2v_studio.engines.manim.render import frames, private_folder

    length = min(max(seconds, 0.2), LONGEST_S)
    count = max(1, round(length * FPS))
    with private_folder() as folder:
        job = HarnessJob(
            folder=str(folder), code=code, scene=scene, width=WIDTH, height=HEIGHT, fps=FPS, frames=count,
            seconds=length, cage=True,
        )  # fmt: skip
        try:
            made = sum(1 for _ in frames(job, lambda *_: None))
        except StudioError as error:
            return error.message
    return "" if made == count else f"{made} of {count} frames"


def code_of(answer: str) -> str:
    """The Python of an answer: what stands in its first fence, or all of it."""
    match = _FENCE.search(answer)
    return (match[1] if match else answer).strip() + "\n"


@dataclass
class _Judged:
    parse: bool = False
    one_scene: bool = False
    gate: bool | None = None
    dry_run: bool | None = None
    render: bool | None = None
    latex_free: bool | None = None
    unknown_api: bool | None = None
    faults: float | None = None
    why: str = ""


def judged(text: str, tools: Tools) -> _Judged:
    """One answer up the ladder; a step that needs an earlier one fails with it."""
    code = code_of(text)
    read = facts(code)
    empty = not code.strip()
    found = _Judged(parse=not (read.fault or empty), one_scene=len(read.scenes) == 1)
    found.why = "an empty answer" if empty else read.fault
    if found.parse:
        found.latex_free = not read.latex
        found.unknown_api = bool(unknown_names(code, tools.api)) if tools.api else None
    refused = tools.gate(code) if tools.gate and found.parse else []
    if tools.gate:
        found.gate = found.parse and not refused
        found.why = found.why or (refused[0] if refused else "")
    if tools.run is None:
        return found
    found.dry_run = False
    if found.one_scene and found.gate is not False:
        ran = tools.run(code, read.scenes[0])
        found.dry_run, found.why = not ran.error, ran.error
        if found.dry_run:
            found.faults = float(ran.faults)
            if tools.draw is not None:
                found.why = tools.draw(code, read.scenes[0], ran.seconds)
                found.render = not found.why
    if tools.draw is not None and found.render is None:
        found.render = False
    return found


def judge(answers: Sequence[Answer], tools: Tools, repair: Callable[[Answer, str], str] | None, repairs: int) -> Any:
    """Figures by column, and for each first answer why it stopped."""
    firsts, best_run, best_draw, mended, reasons = [], [], [], [], []
    for answer in answers:
        marks = [judged(text, tools) for text in answer.texts] or [_Judged(why=answer.error or "no answer")]
        first = marks[0]
        firsts.append(first)
        reasons.append(first.why)
        best_run.append(any(mark.dry_run for mark in marks) if tools.run else None)
        best_draw.append(any(mark.render for mark in marks) if tools.draw else None)
        mended.append(_mended(answer, first, tools, repair, repairs))
    names = ("parse", "one_scene", "gate", "dry_run", "render", "latex_free", "unknown_api", "faults")
    row: dict[str, Any] = {name: mean(getattr(mark, name) for mark in firsts) for name in names}
    row |= {"dry_run_k": mean(best_run), "render_k": mean(best_draw), "repaired": mean(mended)}
    return row, reasons


def _mended(
    answer: Answer, mark: _Judged, tools: Tools, repair: Callable[[Answer, str], str] | None, repairs: int
) -> bool | None:
    """Whether the code runs in the end, the error shown to the model after each try."""
    if tools.run is None or repair is None or not repairs:
        return None
    for _ in range(repairs):
        if mark.dry_run or not answer.texts:
            break
        try:
            answer = Answer(answer.pair, [repair(answer, mark.why)])
        except StudioError:
            break
        mark = judged(answer.texts[0], tools)
    return bool(mark.dry_run)
