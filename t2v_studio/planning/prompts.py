"""Prompts for diffusion engines: the same parts and the same word limits with and without retrieval.

Retrieved words come first, so that a text encoder's token limit never cuts them; room for them is kept
free in both arms, so that retrieval never pushes another part out.
"""

from __future__ import annotations

from t2v_studio.planning.plan import Scene, ScenePlan
from t2v_studio.planning.templates import Template, TemplateScene
from t2v_studio.planning.topic import lower_first

CUE_WORDS = 50
"""Words kept free for retrieved text."""
OWN_WORDS = 108
"""Words of all other parts; with CUE_WORDS about 215 tokens, under the smallest usual limit (226)."""

NEGATIVE = (
    "blurry, flicker, camera shake, photorealistic people, faces, hands, cluttered background, garbled letters, "
    "distorted shapes, duplicated objects, watermark, logo, dark frame, overexposed"
)
_STABLE = "Static camera, flat 2D view, high contrast, smooth slow motion, one idea in the frame"


def scene_prompt(
    plan: ScenePlan, scene: Scene, picture: str, cues: list[str], block: list[str], example: str = ""
) -> str:
    """One scene's prompt in English, at most CUE_WORDS + OWN_WORDS words.

    cues: sentences said in this scene that come from a book (semantic); block: the retrieved context of
    the whole plan (overlay), quoted as one block. Both empty: the prompt of the arm without retrieval.
    picture: what the scene shows. example: worked description, added last where it fits.
    """
    retrieved = ""
    if block:
        retrieved = f'Textbook context: "{_fitting(block, CUE_WORDS - 2)}"'
    elif cues:
        retrieved = f"Textbook facts: {_fitting(cues, CUE_WORDS - 2)}"
    position = [one.id for one in plan.scenes].index(scene.id) + 1
    parts = [
        _sentence(f"Educational explainer, scene {position} of {len(plan.scenes)}, {lower_first(scene.title)}"),
        _sentence(f"Picture: {picture}"),
        _sentence(f"Style: {plan.style}") if plan.style else "",
        _sentence(_STABLE),
        _sentence(f"Goal: {lower_first(plan.objective)}") if plan.objective else "",
        _sentence(f"For {lower_first(plan.audience)}") if plan.audience else "",
        _sentence(f"Example of a good picture: {example}") if example else "",
    ]
    own: list[str] = []
    words = 0
    for part in filter(None, parts):
        length = len(part.split())
        if words + length <= OWN_WORDS:
            own.append(part)
            words += length
    return " ".join([*([_sentence(retrieved)] if retrieved else []), *own])


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


def _fitting(sentences: list[str], limit: int) -> str:
    """As many whole sentences as fit; at least the first, cut between words if it alone is too long."""
    kept: list[str] = []
    for sentence in sentences:
        if sum(len(one.split()) for one in [*kept, sentence]) <= limit:
            kept.append(sentence)
    return " ".join(kept) if kept else " ".join(sentences[0].split()[:limit])


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", '."', '"')) else text + "."
