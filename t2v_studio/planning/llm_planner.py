"""A language model drafts the lesson; the rules check it, and stand in where it cannot be used.

The model answers with JSON, and can answer with nothing else. Its scenes become a template, so that retrieval,
citations and prompts follow as for any other lesson. What it says is held to the plan's own limits, mended once with
the error in hand, and replaced by the rule-based lesson where that does not help; the plan's `planner` says which of
these happened.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2v_studio.errors import CancelledError, StudioError, wrong_field
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.plan import PlannerNote
from t2v_studio.planning.templates import Template, TemplateScene, TemplateStep
from t2v_studio.planning.visuals import VISUALS, Process, Visual
from t2v_studio.settings import Settings

Message = dict[str, str]
Generate = Callable[[list[Message]], str]
"""Messages with role and content to the model's answer."""

QUOTED = "From the book"
"""Label of a step that a book's sentence replaces and that names no term of it."""
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DraftStep(_Strict):
    """One idea."""

    say: str = Field(min_length=12, max_length=300, description="One spoken English sentence.")
    show: str = Field(min_length=2, max_length=60, description="Label on the screen, two to seven words.")


class DraftScene(_Strict):
    """Two to four steps on one diagram."""

    title: str = Field(min_length=3, max_length=80)
    query: str = Field(min_length=3, max_length=200, description="What to look up in a textbook for this scene.")
    picture: str = Field(min_length=12, max_length=400, description="What the picture shows, without any writing.")
    visual: Visual = Field(default_factory=Process)
    formula: str = Field("", max_length=300, description="LaTeX without dollar signs, or empty.")
    steps: list[DraftStep] = Field(min_length=2, max_length=4)


class DraftPlan(_Strict):
    """What the model answers with: the part of a scene plan that is its own. A small model in a loop is no plan."""

    objective: Annotated[str, Field(max_length=400)] = ""
    scenes: list[DraftScene] = Field(min_length=2, max_length=6)

    @model_validator(mode="after")
    def _says_no_thing_twice(self) -> DraftPlan:
        titles = [scene.title for scene in self.scenes]
        sentences = [step.say for scene in self.scenes for step in scene.steps]
        for what, texts in (("title of a scene", titles), ("sentence of a step", sentences)):
            said = Counter(_flat(text).lower().rstrip(".") for text in texts)
            text, times = said.most_common(1)[0]
            if times > 1:
                raise ValueError(f'the {what} "{text[:60]}" stands there {times} times')
        return self


@dataclass(frozen=True)
class Draft:
    """The lesson to go on with: the model's or the rules', what is to be said of it, and a notice where it failed."""

    template: Template
    note: PlannerNote
    notices: tuple[str, ...] = ()


def draft(lesson: LessonRequest, template: Template, generate: Generate, model: str) -> Draft:
    """Ask for a plan, mend it once, or keep `template`, the rules' own lesson. Never raises for what a model says."""
    messages = _asked(lesson, template)
    reasons: list[str] = []
    for repaired in (False, True):
        try:
            answer = generate(messages)
        except CancelledError:
            raise
        except StudioError as error:
            reasons.append(error.message)
            break
        try:
            made = _template(read_draft(answer), template)
        except ValueError as error:
            wrong, advice = _readable(error)
            reasons.append(wrong)
            messages = [*messages, {"role": "assistant", "content": answer[:6000]}, _mend(advice)]
            continue
        return Draft(made, PlannerNote(by="llm", model=model, repaired=repaired, reason=" ".join(reasons)))
    return _ruled(template, model, reasons)


def _ruled(template: Template, model: str, reasons: list[str]) -> Draft:
    """The rules' lesson. reasons: why the model's answer cannot be used, and after it why its repair cannot."""
    failed = len(reasons) > 1
    why = "; then: ".join(dict.fromkeys(reason.rstrip(".") for reason in reasons))
    also = ", and one repair of it failed" if failed else ""
    notice = f"The language model {model} gave no usable plan{also} ({why}); the plan is the rule-based one."
    return Draft(template, PlannerNote(by="rules", model=model, repair_failed=failed, reason=why), (notice,))


def draft_with_model(lesson: LessonRequest, template: Template, settings: Settings) -> Draft:
    """`draft` by the chat model that the lesson or T2V_PLANNER_MODEL_ID names.

    Raises StudioError for a model that is not named, not there, or no chat model: that is a mistake of the
    request, not of the model.
    """
    from t2v_studio.planning.chat_model import ChatModel, chat_model_folder

    name = lesson.planner_model_id or settings.planner_model_id
    folder = chat_model_folder(name, settings)
    with ChatModel(folder) as chat:
        generate = partial(chat, schema=_schema(template))
        return draft(lesson, template, generate, name if name != str(folder) else folder.name)


def read_draft(answer: str) -> DraftPlan:
    """The first whole JSON object of an answer, checked. Raises ValueError."""
    text = _THINKING.sub("", answer)
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\{", text):
        try:
            found, _ = decoder.raw_decode(text, match.start())
        except ValueError:
            continue
        return DraftPlan.model_validate(found)
    raise ValueError("it holds no whole JSON object: the model was cut off, or wrote something else")


def _template(made: DraftPlan, template: Template) -> Template:
    """The rules' template with the model's scenes in place of its own."""
    scenes = [
        TemplateScene(
            id=f"scene_{number}",
            title=_flat(scene.title).rstrip("."),
            query=_flat(scene.query),
            steps=[TemplateStep(say=_flat(step.say), show=_flat(step.show), heading=QUOTED) for step in scene.steps],
            visual=scene.visual,
            formula=scene.formula.strip().strip("$"),
            prompt=_flat(scene.picture).rstrip("."),
        )
        for number, scene in enumerate(made.scenes, 1)
    ]
    objective = template.objective or _flat(made.objective)
    return template.model_copy(update={"scenes": scenes, "objective": objective})


def _asked(lesson: LessonRequest, template: Template) -> list[Message]:
    kinds = "; ".join(f"{name}: {(model.__doc__ or '').split('.')[0].strip()}" for name, model in VISUALS.items())
    system = (
        "You plan short explainer videos. Answer with one JSON object and nothing else, in English. "
        f"It must follow this JSON schema: {json.dumps(_schema(template), separators=(',', ':'))} "
        f"visual.kind is one of: {kinds}. Take process where no other kind shows the idea."
    )
    lines = [
        f"Topic: {lesson.topic}",
        f"Audience: {template.audience}" if template.audience else "",
        f"Objective: {template.objective}" if template.objective else "",
        f"Plan {len(template.scenes)} scenes of 2 to 4 steps each: the problem, the mechanism in order, a check, the limits.",
    ]
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n".join(filter(None, lines))}]


def _schema(template: Template) -> dict[str, Any]:
    """The draft's schema, with no more scenes than the rules plan; of `visual` only its kind, since every other
    parameter has a default."""
    schema = DraftPlan.model_json_schema()
    definitions = {name: body for name, body in schema["$defs"].items() if name.startswith("Draft")}
    visual = {
        "type": "object",
        "properties": {"kind": {"enum": list(VISUALS)}},
        "required": ["kind"],
        "additionalProperties": False,
    }
    definitions["DraftScene"]["properties"]["visual"] = visual
    definitions["DraftScene"]["required"].append("visual")
    schema["properties"]["scenes"]["maxItems"] = max(2, len(template.scenes))
    return {**schema, "$defs": definitions}


def _mend(advice: str) -> Message:
    return {
        "role": "user",
        "content": f"That cannot be used: {advice} Answer again with the corrected JSON object alone.",
    }


def _readable(error: ValueError) -> tuple[str, str]:
    """What is wrong with an answer in a person's words, and the same with what to do about it, for the model."""
    if not isinstance(error, ValidationError):
        return str(error), f"{error}."
    models: list[type[BaseModel]] = [DraftPlan, DraftScene, DraftStep, *VISUALS.values()]
    names = {name for model in models for name in model.model_fields}
    # One by one: a model has one repair, so it is to hear of more than the first.
    found = [
        wrong_field("bad_draft", row, known=names, hint="Correct it, or leave it out.")
        for row in error.errors(include_url=False)[:3]
    ]
    said = "; ".join(one.message.rstrip(".") for one in found)
    return said, " ".join(f"{one.message} {one.hint}" for one in found)


def _flat(text: str) -> str:
    return " ".join(text.split())
