"""The scene plan: the one contract between planning and every engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2v_studio.errors import InputError, wrong_fields
from t2v_studio.planning.visuals import VISUALS, Process, Visual


class _Strict(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid")


class Source(_Strict):
    """A page of a book that a step quotes."""

    id: str = Field(description="Short id that `cites` uses: s1, s2 and so on.")
    book_id: str
    book: str
    page: int = Field(ge=1, description="PDF page, counted from 1.")
    page_last: int = Field(ge=1)
    label: str = Field("", description="Page number as printed.")
    section: str = ""
    passage_id: str
    quote: str = Field(description="The sentences used, as they stand in the book.")
    score: float


class Step(_Strict):
    """One idea: what is said (subtitle), what is shown (label), and where it comes from."""

    say: str = Field(min_length=1, max_length=600)
    show: str = Field("", max_length=80, description="At most about eight words on the screen.")
    cites: list[str] = Field(default_factory=list)
    seconds: float | None = Field(
        None, gt=0, le=60, description="Empty: from its reading time. Set in pairs, so that both arms keep one rhythm."
    )


class Written(_Strict):
    """What the prompt writer made of a scene's prompts, and what they were before."""

    writer: str = Field(description="Adapter or chat model, as it was named.")
    sha256: str = Field(description="Of the writer's weights: of adapter and base where it is an adapter.")
    taken: bool = Field(description="Whether the written prompt stands; otherwise the rules' own does.")
    mended: str = Field("", description="What was done to an answer that could not be used as it was.")
    reason: str = Field("", description="Why an answer was sent back or refused.")
    prompt_before: str
    negative_before: str

    @property
    def name(self) -> str:
        """The writer's name without the folders that it lies in."""
        return self.writer.rstrip("/").rpartition("/")[2]


class Scene(_Strict):
    """A few steps on one diagram."""

    id: str
    title: str = Field(min_length=1, max_length=90)
    steps: list[Step] = Field(min_length=1, max_length=8)
    visual: Visual = Field(default_factory=Process)
    formula: str = Field("", max_length=300, description="LaTeX, without dollar signs.")
    seconds: float | None = Field(None, gt=0, le=120, description="Empty: from the reading time of its steps.")
    query: str = Field("", max_length=300, description="What this scene asks of the library.")
    prompt: str = Field("", description="Prompt for a diffusion engine.")
    negative_prompt: str = ""
    written: Written | None = Field(None, description="Who wrote the prompts, where a prompt writer was asked.")


class Retrieval(_Strict):
    """How the evidence of a plan was found, scene by scene."""

    mode: Literal["semantic", "overlay"]
    book_ids: list[str]
    queries: dict[str, str] = Field(description="Scene id to query.")
    outcomes: dict[str, str] = Field(description="Scene id to the outcome of its search.")


class PlannerNote(_Strict):
    """Who wrote the plan, where a language model was asked."""

    by: Literal["llm", "rules"] = Field(description="rules: the model's answers could not be used.")
    model: str
    repaired: bool = Field(False, description="The plan is a second answer: the first was sent back with its error.")
    repair_failed: bool = Field(False, description="A second answer was asked for, and could not be used either.")
    reason: str = Field("", description="What was wrong with the answers that were not used.")

    @model_validator(mode="after")
    def _says_of_the_rules_no_repair(self) -> PlannerNote:
        """Older records say `repaired` of a repair that failed, too."""
        if self.by == "rules" and self.repaired:
            self.repaired, self.repair_failed = False, True
        return self


class ScenePlan(_Strict):
    """Topic and scenes, with the sources that their steps cite.

    Two plans of a pair have the same scenes, kinds, parameters and timing; only texts, prompts and
    sources differ.
    """

    topic: str = Field(min_length=1, max_length=300)
    audience: str = ""
    objective: str = ""
    style: str = ""
    template: str = "general"
    seed: int = Field(0, ge=0, description="Seed of the data that the diagrams simulate.")
    scenes: list[Scene] = Field(min_length=1, max_length=12)
    sources: list[Source] = Field(default_factory=list)
    retrieval: Retrieval | None = None
    planner: PlannerNote | None = Field(None, description="Empty: the rules alone.")

    @model_validator(mode="after")
    def _references_hold(self) -> ScenePlan:
        ids = [scene.id for scene in self.scenes]
        if len(set(ids)) != len(ids):
            raise ValueError("scene ids must differ")
        known = {source.id for source in self.sources}
        for scene in self.scenes:
            for step in scene.steps:
                missing = set(step.cites) - known
                if missing:
                    raise ValueError(f"scene {scene.id} cites {', '.join(sorted(missing))}, which is no source")
        return self

    def cited(self, scene: Scene) -> list[Source]:
        """The sources of a scene, in the order in which its steps cite them."""
        by_id = {source.id: source for source in self.sources}
        order = dict.fromkeys(cite for step in scene.steps for cite in step.cites)
        return [by_id[cite] for cite in order]


def parse_plan(data: Any) -> ScenePlan:
    """A plan from JSON data. Raises InputError that names the field, with the nearest known name."""
    try:
        return ScenePlan.model_validate(data)
    except ValidationError as error:
        raise wrong_fields("bad_plan", error, "plan", known=_field_names()) from error


def read_plan(path: Path) -> tuple[ScenePlan, bool]:
    """A plan from a JSON file, read once, and whether the prompts that `t2v plan --print-prompt --json` shows with it were
    there: they are no part of it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            "plan_unreadable", f"--plan: {path} cannot be read ({error.strerror}).", "Name a plan file."
        ) from error
    except ValueError as error:
        raise InputError(
            "plan_not_json", f"--plan: {path} is not JSON ({error}).", "Write one with: t2v plan … --json"
        ) from error
    shown = isinstance(data, dict) and data.pop("prompts", None) is not None
    return parse_plan(data), shown


def _field_names() -> list[str]:
    models: list[type[BaseModel]] = [ScenePlan, Scene, Step, Written, Source, Retrieval, PlannerNote, *VISUALS.values()]
    return sorted({name for model in models for name in model.model_fields})
