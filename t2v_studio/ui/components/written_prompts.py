"""What a prompt writer made of the scenes' prompts: before and after, side by side."""

from __future__ import annotations

from t2v_studio.planning.plan import Scene, ScenePlan, Written
from t2v_studio.ui import markup


def prompts(plan: ScenePlan) -> str:
    """A fold with a block a scene; nothing where no writer was asked."""
    asked = [(number, scene, scene.written) for number, scene in enumerate(plan.scenes, 1) if scene.written]
    if not asked:
        return ""
    taken = sum(note.taken for _, _, note in asked)
    head = f"Prompts by {asked[0][2].name}: {taken} of {markup.plural(len(plan.scenes), 'scene')} written"
    body = "".join(_scene(number, scene, note) for number, scene, note in asked)
    return f'<details class="t2-written"><summary>{markup.text(head)}</summary>{body}</details>'


def _scene(number: int, scene: Scene, note: Written) -> str:
    chip = markup.chip("written", "good") if note.taken else markup.chip("the rules' own", "warn")
    why = note.mended or note.reason
    said = f'<small class="t2-muted">{markup.text(why)}</small>' if why else ""
    before = _both("Before", note.prompt_before, note.negative_before)
    after = _both("After", scene.prompt, scene.negative_prompt) if note.taken else ""
    title = f'<h4 class="t2-h">{number}. {markup.text(scene.title)} {chip} {said}</h4>'
    return f'{title}<div class="t2-beforeafter">{before}{after}</div>'


def _both(name: str, prompt: str, negative: str) -> str:
    lines = "".join(f"<p>{markup.text(line)}</p>" for line in prompt.splitlines())
    less = f'<p class="t2-muted">Negative: {markup.text(negative)}</p>' if negative else ""
    return f"<div><b>{name}</b>{lines}{less}</div>"
