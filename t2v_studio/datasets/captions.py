"""What a clip shows, in words: from its scene plan, or as the author wrote it."""

from __future__ import annotations

import re

from t2v_studio.database import reading, writing
from t2v_studio.errors import InputError
from t2v_studio.planning.plan import Scene, ScenePlan
from t2v_studio.studies.store_states import now
from t2v_studio.workspace import Workspace

WORDS_MAX = 150
"""Of a caption from a plan: about 205 tokens, below the smallest usual limit of a text encoder (226)."""
CAPTION_MAX = 2000
_TRIGGER = re.compile(r"^[A-Za-z0-9_-]{0,40}$")


def checked_trigger(trigger: str) -> str:
    """A trigger token, or "" for none. Raises InputError."""
    if not _TRIGGER.match(trigger):
        raise InputError(
            "bad_trigger",
            f"trigger_token: {trigger!r} is no single token.",
            "Use up to 40 letters, digits, - and _, such as acad_course_v1.",
        )
    return trigger


def scene_caption(plan: ScenePlan, scene: Scene) -> str:
    """One scene: its prompt, which is what the engine is asked for; else title, diagram and labels."""
    if scene.prompt.strip():
        return _cut(scene.prompt)
    return _cut(f"Explainer on {plan.topic}. {_pictured(scene)}")


def plan_caption(plan: ScenePlan) -> str:
    """A whole video: topic and objective, then every scene in turn with its diagram and what is written in it.

    Labels of later scenes go first where it would grow too long.
    """
    head = f"Explainer video on {plan.topic}, {len(plan.scenes)} scene{'s' if len(plan.scenes) > 1 else ''}."
    if plan.objective:
        head += f" {_sentence(plan.objective)}"
    for labelled in range(len(plan.scenes), -1, -1):
        told = [_pictured(scene, labels=number < labelled) for number, scene in enumerate(plan.scenes)]
        text = " ".join([head, *told])
        if len(text.split()) <= WORDS_MAX:
            break
    return _cut(text)


def _pictured(scene: Scene, *, labels: bool = True) -> str:
    kind = scene.visual.kind.replace("_", " ")
    shown = [step.show.strip() for step in scene.steps if step.show.strip()] if labels else []
    return _sentence(f"{scene.title}: {kind} diagram{', ' + ', '.join(shown) if shown else ''}")


def with_trigger(trigger: str, text: str) -> str:
    """The caption as it is trained on: the token first, as at inference."""
    return f"{trigger}, {text}" if trigger else text


def without_trigger(trigger: str, text: str) -> str:
    """A caption as an author edits it, so that another token can be put before it."""
    stripped = " ".join(text.split())
    return stripped.removeprefix(f"{trigger},").strip() if trigger else stripped


def overrides(workspace: Workspace) -> dict[tuple[str, str], str]:
    """(record id, scene id or "") to the caption that the author wrote in place of the plan's."""
    with reading(workspace.database) as connection:
        rows = connection.execute("SELECT record_id, scene, text FROM caption")
        return {(row["record_id"], row["scene"]): row["text"] for row in rows}


def checked_caption(text: str) -> str:
    """A caption on one line. Raises InputError for an empty or an endless one."""
    text = " ".join(text.split())
    if not text or len(text) > CAPTION_MAX:
        raise InputError(
            "bad_caption",
            f"caption: {len(text)} characters." if text else "caption: it is empty.",
            f"Say what the clip shows, in at most {CAPTION_MAX} characters.",
        )
    return text


def store_override(workspace: Workspace, record_id: str, scene: str, text: str) -> None:
    """Keep a caption, without its trigger, for every manifest from now on."""
    with writing(workspace.database) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO caption (record_id, scene, text, edited_at) VALUES (?, ?, ?, ?)",
            (record_id, scene, text, now()),
        )


def forget_override(workspace: Workspace, record_id: str, scene: str) -> None:
    """Go back to the plan's own caption."""
    with writing(workspace.database) as connection:
        connection.execute("DELETE FROM caption WHERE record_id = ? AND scene = ?", (record_id, scene))


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else text + "."


def _cut(text: str) -> str:
    return " ".join(text.split()[:WORDS_MAX])
