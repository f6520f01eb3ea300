"""What planning is asked for, and a template filled with it: the lesson before any book is opened."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.planning.templates import GENERAL, Template, TemplateScene, choose_template
from t2v_studio.planning.topic import Phrases, capital, layout_of, lower_first, phrases, shortened, words_of
from t2v_studio.planning.visuals import Process

TITLE_LABEL = 44
"""Longest topic name inside a scene title, in characters."""

_PLACE = re.compile(r"\{(topic|Topic|label|Label|goal)\}")


class LessonRequest(BaseModel):
    """The part of a video's request that planning reads. Empty texts are taken from the template."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(min_length=1, max_length=300)
    audience: str = ""
    objective: str = ""
    style: str = ""
    template: str = "auto"
    seed: int = Field(0, ge=0)
    use_rag: bool = False
    rag_mode: Literal["semantic", "overlay"] = "semantic"
    rag_query: str = ""
    rag_top_k: int | None = Field(None, ge=1, le=50)
    book_ids: list[str] = Field(default_factory=list)
    course_few_shot: bool = False
    use_llm_planner: bool = False
    planner_model_id: str = ""


def fill(lesson: LessonRequest, templates: dict[str, Template]) -> Template:
    """The lesson's template with topic, audience, objective and style of the request put in."""
    chosen = choose_template(lesson.template or "auto", lesson.topic, templates)
    said = phrases(lesson.topic)
    audience = " ".join((lesson.audience or chosen.audience).split())
    objective = " ".join((lesson.objective or chosen.objective).split())
    values = {
        "topic": said.noun,
        "Topic": said.noun_first,
        "label": said.label,
        "Label": said.label_first,
        "goal": goal_sentence(audience, objective),
    }
    scenes = [_filled(scene, values, chosen, lesson.topic, said) for scene in chosen.scenes]
    return chosen.model_copy(
        update={
            "topic": lesson.topic,
            "audience": audience,
            "objective": objective,
            "style": lesson.style or chosen.style,
            "query": _query(chosen.query, values, chosen, lesson.topic),
            "scenes": scenes,
        }
    )


def goal_sentence(audience: str, objective: str) -> str:
    """Audience and objective as one spoken sentence."""
    aim = lower_first(objective.strip().rstrip(".!"))
    return capital(
        f"for {lower_first(audience)}, the goal is this: {aim}." if audience else f"the goal is this: {aim}."
    )


def bare_plan(lesson: LessonRequest, template: Template) -> ScenePlan:
    """The plan of a filled template: its own texts, no sources, no prompts yet."""
    scenes = [
        Scene(
            id=scene.id,
            title=scene.title,
            steps=[Step(say=step.say, show=step.show) for step in scene.steps],
            visual=scene.visual,
            formula=scene.formula,
            query=(lesson.rag_query or scene.query)[:300],
        )
        for scene in template.scenes
    ]
    return ScenePlan(
        topic=" ".join(lesson.topic.split()),
        audience=template.audience,
        objective=template.objective,
        style=template.style,
        template=template.name,
        seed=lesson.seed,
        scenes=scenes,
    )


def _filled(
    scene: TemplateScene, values: dict[str, str], template: Template, topic: str, said: Phrases
) -> TemplateScene:
    short = {**values, "label": shortened(said.label, TITLE_LABEL), "Label": shortened(said.label_first, TITLE_LABEL)}
    visual = scene.visual
    if isinstance(visual, Process):
        layout = (layout_of(topic) or visual.layout) if scene.id == "mechanism" else visual.layout
        visual = Process(layout=layout, centre=_put(visual.centre, short))
    steps = [
        step.model_copy(
            update={
                "say": shortened(_put(step.say, values), 590),
                "query": _query(step.query or step.say, values, template, topic),
            }
        )
        for step in scene.steps
    ]
    return scene.model_copy(
        update={
            "title": _put(scene.title, short),
            "query": _query(scene.query, values, template, topic),
            "steps": steps,
            "visual": visual,
            "prompt": _put(scene.prompt, short),
        }
    )


def _query(query: str, values: dict[str, str], template: Template, topic: str) -> str:
    """A scene's question; a named template adds what the topic says beyond the template's own words."""
    text = _put(query, values)
    if template.name == GENERAL:
        return text[:300]
    known = {*template.alias_words(), *words_of(text), *words_of(template.topic)}
    extra = [
        word for word in words_of(phrases(topic).label) if word not in known and word.removesuffix("s") not in known
    ]
    return f"{text} {' '.join(extra)}".strip()[:300]


def _put(text: str, values: dict[str, str]) -> str:
    """Placeholders replaced in one pass, so that a topic that holds braces stays as typed."""
    return _PLACE.sub(lambda match: values[match.group(1)], text)
