"""Prompts for diffusion engines as a plan holds them: one part a line, retrieved words first.

A plan knows no tokenizer, so its prompts hold every part in full. What a model can read is decided by its own
tokens, when the engine is known (`engines/diffusion/prompts.py`): there whole parts are left out, never retrieved words.
"""

from __future__ import annotations

from dataclasses import dataclass

from t2v_studio.library.sentences import split
from t2v_studio.planning.plan import Scene, ScenePlan
from t2v_studio.planning.templates import Template, TemplateScene
from t2v_studio.planning.topic import lower_first

NEGATIVE = (
    "blurry, flicker, camera shake, photorealistic people, faces, hands, cluttered background, garbled letters, "
    "distorted shapes, duplicated objects, watermark, logo, dark frame, overexposed"
)
_STABLE = "Static camera, flat 2D view, high contrast, smooth slow motion, one idea in the frame."
EVIDENCE = "evidence"
_HEADS = {
    "Textbook facts: ": EVIDENCE,
    "Textbook context: ": EVIDENCE,
    "Educational explainer, ": "title",
    "Picture: ": "picture",
    "Style: ": "style",
    "Static camera, ": "camera",
    "Goal: ": "goal",
    "For ": "audience",
    "Example of a good picture: ": "example",
}
"""How the line of a part begins; any other line is the author's own."""
OWN = "own words"


@dataclass(frozen=True)
class Part:
    """One line of a prompt: `evidence`, `title`, `picture`, `style`, `camera`, `goal`, `audience`, `example`, or `own words`."""

    name: str
    text: str


def scene_prompt(
    plan: ScenePlan, scene: Scene, picture: str, cues: list[str], block: list[str], example: str = ""
) -> str:
    """One scene's prompt in English, one part a line.

    cues: sentences said in this scene that come from a book (semantic); block: the retrieved context of
    the whole plan (overlay), quoted as one block. Both empty: the prompt of the arm without retrieval.
    picture: what the scene shows. example: worked description, added last.
    """
    position = [one.id for one in plan.scenes].index(scene.id) + 1
    context = " ".join(_flat(sentence) for sentence in block)
    facts = " ".join(_sentence(cue) for cue in cues)
    parts = [
        f'Textbook context: "{context}"' if context else f"Textbook facts: {facts}" if facts else "",
        _sentence(f"Educational explainer, scene {position} of {len(plan.scenes)}, {lower_first(scene.title)}"),
        _sentence(f"Picture: {picture}"),
        _sentence(f"Style: {plan.style}") if plan.style else "",
        _STABLE,
        _sentence(f"Goal: {lower_first(plan.objective)}") if plan.objective else "",
        _sentence(f"For {lower_first(plan.audience)}") if plan.audience else "",
        _sentence(f"Example of a good picture: {example}") if example else "",
    ]
    return "\n".join(filter(None, parts))


def parts_of(prompt: str) -> list[Part]:
    """The parts of a scene's prompt, in order, as `scene_prompt` or an author wrote them."""
    lines = filter(None, (_flat(line) for line in prompt.splitlines()))
    return [Part(next((name for head, name in _HEADS.items() if line.startswith(head)), OWN), line) for line in lines]


def evidence_sentences(part: Part) -> tuple[str, list[str]]:
    """The head of an evidence part and its whole sentences, without the marks of a quoted block."""
    head = next(head for head in _HEADS if part.text.startswith(head))
    text = part.text.removeprefix(head).strip()
    return head, split(text.removeprefix('"').removesuffix('"') if head.startswith("Textbook context") else text)


def negative_prompt(scene: TemplateScene) -> str:
    """What a diffusion engine is to avoid, the same in both arms."""
    return ", ".join(part for part in (scene.negative_prompt, NEGATIVE) if part)


def write_prompts(
    plan: ScenePlan, template: Template, pictures: dict[str, str], block: list[str], *, few_shot: bool
) -> ScenePlan:
    """The plan with prompt and negative prompt of every scene.

    pictures: scene id to what it shows; block: sentences of the overlay context, empty otherwise.
    """
    by_id = {scene.id: scene for scene in template.scenes}
    scenes = []
    for scene in plan.scenes:
        cues = [] if block else [step.say for step in scene.steps if step.cites]
        prompt = scene_prompt(plan, scene, pictures[scene.id], cues, block, template.example if few_shot else "")
        scenes.append(scene.model_copy(update={"prompt": prompt, "negative_prompt": negative_prompt(by_id[scene.id])}))
    return plan.model_copy(update={"scenes": scenes})


def _sentence(text: str) -> str:
    text = _flat(text)
    return text if text.endswith((".", "!", "?", '."', '"')) else text + "."


def _flat(text: str) -> str:
    return " ".join(text.split())
