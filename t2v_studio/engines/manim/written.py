"""Scenes that a language model writes: asked, refused or tried in the sandbox, linted, mended at most three times.

What still fails then is drawn by the template for that scene alone, and the record says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from t2v_studio.adapters.catalogue import find
from t2v_studio.engines.base import Canvas
from t2v_studio.engines.manim import dry_run, repair, scene_prompt
from t2v_studio.engines.manim.api_docs import ApiDocs, api_docs
from t2v_studio.engines.manim.gate import refusals
from t2v_studio.engines.manim.installed import manim_version
from t2v_studio.engines.manim.job import Fault, HarnessReport
from t2v_studio.engines.manim.options import ManimOptions
from t2v_studio.errors import InputError, StudioError
from t2v_studio.planning.chat_model import ChatModel, Use, chat_model_folder
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.settings import Settings, load_settings
from t2v_studio.workspace import Workspace

log = logging.getLogger(__name__)

Ask = Callable[[list[dict[str, str]]], str]
"""Messages with role and content to the model's answer."""
Report = Callable[[int, int], None]

MOST_REPAIRS = 3
USE = Use("manim_model_id", "manim", "Name a chat model with --manim-model-id, or set T2V_MANIM_MODEL_ID.", most_tokens=2048)  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """One try. how: "written", "mended" or "given". problem: what was wrong with it, "" for nothing."""

    how: str
    code: str
    problem: str = ""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Written:
    """A scene's code and how it came about.

    fallback: why the template draws the scene instead, "" when the code does. seconds: its own length. faults: of the
    layout that stayed, which only code that was given may have. held: by what the sandbox held it.
    """

    code: str
    scene: str
    attempts: tuple[Attempt, ...] = ()
    faults: tuple[Fault, ...] = ()
    fallback: str = ""
    seconds: float = 0.0
    model: str = ""
    held: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For records and the page."""
        form = asdict(self)
        form["faults"] = [fault.model_dump() for fault in self.faults]
        form["attempts"] = [
            {"how": one.how, "code": one.code, "problem": one.problem, "faults": [f.model_dump() for f in one.faults]}
            for one in self.attempts
        ]
        return form


def write_scene(
    plan: ScenePlan,
    index: int,
    canvas: Canvas,
    options: ManimOptions,
    report: Report,
    *,
    settings: Settings | None = None,
    ask: Ask | None = None,
) -> Written:
    """Code for scene `index`, tried in the sandbox; where `options.manim_code` has some for it, that as it stands.

    ask: a model that is loaded already (see `author`). Raises UnavailableError where Manim, the isolation or the model
    is missing, InputError for a model that cannot be used, and what `report` raises.
    """
    settings = settings or load_settings()
    dry_run.ready(settings)
    given = options.manim_code.get(plan.scenes[index].id, "")
    if given.strip():
        return check_code(given, canvas, settings=settings, report=report)
    with ExitStack() as stack:
        _say(report, "loading the model that writes")
        asking = ask or stack.enter_context(author(options, settings))
        return _Writing(plan, index, canvas, options, report, settings, asking).run()


@contextmanager
def author(options: ManimOptions, settings: Settings) -> Iterator[Ask]:
    """The language model that writes scenes, loaded once for as many of them as there are."""
    base, adapter = _model(options, settings)
    with ChatModel(base, adapter=adapter, use=USE) as chat:
        yield chat


def check_code(
    code: str, canvas: Canvas, *, settings: Settings | None = None, report: Report = lambda done, total: None
) -> Written:
    """Code that a person wrote or changed: the same gate and sandbox. Faults of its layout are told and left to them."""
    settings = settings or load_settings()
    refused = refusals(code)
    if refused:
        why = " ".join(refused)
        return Written(code, "", (Attempt("given", code, why),), fallback=f"The code is refused: {why}")
    found = _tried(code, canvas, settings, report)
    problem = str(found.error) if found.error else ""
    return Written(
        code,
        found.scene,
        (Attempt("given", code, problem, tuple(found.faults)),),
        tuple(found.faults),
        f"The code stopped: {problem}" if problem else "",
        found.duration_s,
        held=found.held,
    )


def problem(code: str, plan: ScenePlan, index: int, settings: Settings) -> str:
    """What keeps code from drawing scene `index` at the usual size, "" for nothing. Raises as `write_scene` does."""
    dry_run.ready(settings)
    canvas = Canvas(1280, 720, 30.0, (1,) * len(plan.scenes), seed=plan.seed)
    return check_code(code, canvas, settings=settings).fallback


class _Writing:
    """One scene from the first question to code that holds, or to the reason why there is none."""

    def __init__(
        self, plan: ScenePlan, index: int, canvas: Canvas, options: ManimOptions, report: Report, settings: Settings, ask: Ask
    ) -> None:  # fmt: skip
        self.canvas, self.report, self.settings, self.ask = canvas, report, settings, ask
        self.scene = plan.scenes[index]
        self.model = model_name(options, settings)
        self.docs: ApiDocs = api_docs(Workspace.at(settings.home).cache)
        seconds = canvas.scene_frames[index] / canvas.fps if index < len(canvas.scene_frames) else 10.0
        self.asked = scene_prompt.messages(plan, index, seconds, frame_size(canvas), self.docs, manim_version())
        self.attempts: list[Attempt] = []

    def run(self) -> Written:
        try:
            _say(self.report, f"writing {self.scene.id}")
            code = repair.code_of(self.ask(self.asked))
            widen = 0
            for count in range(MOST_REPAIRS + 1):
                self.report(0, self.canvas_total)
                found, problem = self._judged(code, "mended" if count else "written")
                if problem is None:
                    return self._done(code, found)
                if count == MOST_REPAIRS:
                    break
                widen = widen + 1 if self._same_again() else 0
                code = self._mended(code, problem, widen, count + 1)
            why = f"after {MOST_REPAIRS} repairs it still fails: {self.attempts[-1].problem}"
        except StudioError as error:
            if error.code == "cancelled":
                raise
            why = f"the model gave no code: {error.message}"
        log.warning("%s is drawn by its template: %s", self.scene.id, why)
        last = self.attempts[-1].code if self.attempts else ""
        return Written(last, "", tuple(self.attempts), fallback=f"Written scene: {why}", model=self.model)

    @property
    def canvas_total(self) -> int:
        return sum(self.canvas.scene_frames) or 1

    def _judged(self, code: str, how: str) -> tuple[HarnessReport | None, repair.Problem | None]:
        """Gate, dry run, lint: the first that objects."""
        found: HarnessReport | None = None
        refused = refusals(code)
        if refused:
            problem: repair.Problem | None = repair.of_refusals(refused)
        else:
            _say(self.report, f"trying {self.scene.id} in the sandbox")
            found = _tried(code, self.canvas, self.settings, self.report)
            if found.error is not None:
                problem = repair.of_error(found.error, self.docs)
            else:
                problem = repair.of_faults(found.faults, code) if found.faults else None
        faults = tuple(found.faults) if found else ()
        self.attempts.append(Attempt(how, code, problem.text if problem else "", faults))
        return found, problem

    def _same_again(self) -> bool:
        """Whether the last repair changed nothing about what is wrong: then a larger block is asked for."""
        problems = [attempt.problem for attempt in self.attempts[-2:]]
        return len(problems) == 2 and (problems[0] == problems[1] or self.attempts[-1].code == self.attempts[-2].code)

    def _mended(self, code: str, problem: repair.Problem, widen: int, number: int) -> str:
        _say(self.report, f"mending {self.scene.id} ({number} of {MOST_REPAIRS})")
        first, last = repair.block(code, problem, widen)
        wish = repair.request(code, problem, first, last)
        return repair.merged(code, self.ask(scene_prompt.answered(self.asked, code, wish)), first, last)

    def _done(self, code: str, found: HarnessReport | None) -> Written:
        assert found is not None
        return Written(code, found.scene, tuple(self.attempts), (), "", found.duration_s, self.model, found.held)


def _tried(code: str, canvas: Canvas, settings: Settings, report: Report) -> HarnessReport:
    total = sum(canvas.scene_frames) or 1
    return dry_run.attempt(
        code, width=canvas.width, height=canvas.height, seed=canvas.seed % 2**32, settings=settings,
        check=lambda: report(0, total),
    )  # fmt: skip


def frame_size(canvas: Canvas) -> tuple[float, float]:
    """Width and height of the frame in Manim's units, as the harness sets them."""
    from t2v_studio.engines.local.painter import design_size

    width, height = design_size(canvas.width, canvas.height)
    return width / 90, height / 90


def model_name(options: ManimOptions, settings: Settings) -> str:
    """What the record calls the model: its name, with that of the adapter it wears."""
    name = options.manim_model_id or settings.manim_model_id
    name = Path(name).name if "/" in name and Path(name).expanduser().is_dir() else name
    return " + ".join(part for part in (name, options.manim_adapter) if part)


def _model(options: ManimOptions, settings: Settings) -> tuple[Path, Path | None]:
    """Folders of the base model and of the adapter that it wears."""
    name = options.manim_model_id or settings.manim_model_id
    if not options.manim_adapter:
        return chat_model_folder(name, settings, USE), None
    workspace = Workspace.at(settings.home)
    card = find(workspace, options.manim_adapter)
    if not card.is_text:
        raise InputError(
            "no_text_adapter",
            f"manim_adapter: {card.name} is a LoRA of a video model.",
            "Name one of a language model: t2v adapters list",
        )
    return chat_model_folder(name or card.base_model, settings, USE), workspace.adapter(card.id)


def _say(report: Any, text: str) -> None:
    """In words, where the report can carry them (see `StepReport`)."""
    said = getattr(report, "say", None)
    if said is not None:
        said(text)
