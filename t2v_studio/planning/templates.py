"""The lesson templates under data/templates: loaded, checked, and chosen by topic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from t2v_studio.errors import InputError, unknown_name, wrong_fields
from t2v_studio.planning.topic import find_phrase, words_of
from t2v_studio.planning.visuals import VISUALS, Process, Visual
from t2v_studio.workspace import SHIPPED

GENERAL = "general"
"""The template for a topic that no other template names."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TemplateStep(_Strict):
    """What is said and shown where no book is asked, or where the book says nothing."""

    say: str = Field(min_length=1, max_length=300, description="One spoken sentence or two short ones.")
    show: str = Field(min_length=1, max_length=60, description="Label on the screen, two to seven words.")
    query: str = Field(
        "", max_length=200, description="What the step asks of the library; empty asks with what it says."
    )
    defines: bool = Field(False, description="Only a sentence that says what the topic is serves this step.")
    cues: list[str] = Field(
        default_factory=list,
        description="Words of which a book's sentence for this step must hold one; a final * leaves the ending open.",
    )
    heading: str = Field(
        "", max_length=40, description="Label where a book's sentence is said and names no term; empty keeps `show`."
    )


class TemplateScene(_Strict):
    """A scene with its diagram and the question it asks of the library."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = Field(min_length=1, max_length=80)
    query: str = Field(min_length=1, max_length=200)
    steps: list[TemplateStep] = Field(min_length=2, max_length=4)
    visual: Visual = Field(default_factory=Process)
    formula: str = Field("", max_length=300)
    prompt: str = Field(min_length=1, description="What a diffusion engine is to show, without style.")
    negative_prompt: str = ""


class Template(_Strict):
    """A lesson of four scenes.

    In texts of the general template {topic} stands for the topic as a noun phrase, {Topic} for the
    same at the start of a sentence, {label} and {Label} for its short name, {goal} for a sentence
    made of audience and objective.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    aliases: list[str] = Field(description="Whole words that choose this template; the longest match wins.")
    excludes: list[str] = Field(default_factory=list, description="Whole words that rule it out.")
    topic: str
    audience: str
    objective: str
    style: str
    query: str = Field(description="Query of the whole lesson: what overlay retrieval asks.")
    example: str = Field("", description="A worked description, added to prompts with few-shot on.")
    scenes: list[TemplateScene] = Field(min_length=1, max_length=8)

    @field_validator("scenes")
    @classmethod
    def _ids_differ(cls, scenes: list[TemplateScene]) -> list[TemplateScene]:
        if len({scene.id for scene in scenes}) != len(scenes):
            raise ValueError("scene ids must differ")
        return scenes

    def alias_words(self) -> set[str]:
        """Every word that an alias of this template holds."""
        return {word for alias in self.aliases for word in words_of(alias)}


def load_templates(folder: Path | None = None) -> dict[str, Template]:
    """Every template of `folder` (the shipped ones by default) by name, general last."""
    folder = folder or SHIPPED / "templates"
    found = [read_template(path) for path in sorted(folder.glob("*.yaml"))]
    if not any(template.name == GENERAL for template in found):
        raise InputError(
            "no_templates", f"templates: {folder} holds no general.yaml.", "Restore data/templates from the repository."
        )
    found.sort(key=lambda template: (template.name == GENERAL, template.name))
    return {template.name: template for template in found}


def read_template(path: Path) -> Template:
    """One template file. Raises InputError that names file and field, with the nearest known name."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            "template_unreadable", f"{path.name}: {error}", "Correct the YAML of this template."
        ) from error
    try:
        template = Template.model_validate(data)
    except ValidationError as error:
        raise wrong_fields("bad_template", error, path.name, known=_field_names()) from error
    if template.name != path.stem:
        raise InputError("bad_template", f"{path.name}: name is {template.name!r}.", f"Set name to {path.stem}.")
    return template


def template_rows(templates: dict[str, Template]) -> list[dict[str, Any]]:
    """Rows for lists and presets: name, title, topic, audience, objective, style, query, scenes."""
    return [
        {
            "name": one.name,
            "title": one.title,
            "topic": one.topic,
            "audience": one.audience,
            "objective": one.objective,
            "style": one.style,
            "query": one.query,
            "scenes": [scene.title for scene in one.scenes],
        }
        for one in templates.values()
    ]


def choose_template(name: str, topic: str, templates: dict[str, Template]) -> Template:
    """The named template, or with "auto" the one whose longest alias stands in the topic.

    Of two aliases of the same length the later one wins: "gradient descent with backpropagation"
    and its like name the narrower subject last. Raises unknown_name for a name that is none.
    """
    if name in templates:
        return templates[name]
    if name not in ("", "auto"):
        raise unknown_name("course_template", name, [*templates, "auto"])
    words = words_of(topic)
    best: tuple[int, int] = (0, -1)
    chosen = templates[GENERAL]
    for template in templates.values():
        if any(find_phrase(words, words_of(word)) >= 0 for word in template.excludes):
            continue
        for alias in template.aliases:
            phrase = words_of(alias)
            at = find_phrase(words, phrase)
            if at >= 0 and (len(phrase), at) > best:
                best, chosen = (len(phrase), at), template
    return chosen


def _field_names() -> list[str]:
    models: list[type[BaseModel]] = [Template, TemplateScene, TemplateStep, *VISUALS.values()]
    return sorted({name for model in models for name in model.model_fields})
