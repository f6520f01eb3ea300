"""Proof that retrieval reached the plan: which retrieved words the treated arm holds and its control does not."""

from __future__ import annotations

import re
from typing import Any

from t2v_studio.errors import StudioError
from t2v_studio.library.passages import Evidence
from t2v_studio.planning.plan import Scene, ScenePlan
from t2v_studio.planning.sentences import content_stems, stem


def report(treated: ScenePlan, control: ScenePlan, evidence: dict[str, list[Evidence]]) -> dict[str, Any]:
    """Scene by scene, the retrieved content words in steps and prompt of the treated plan that the control's lack.

    Words are compared by their stems, and stand in the report as the treated plan writes them. A scene is
    grounded when a step cites a source and retrieved words reached both its steps and its prompt; in
    overlay mode retrieved words in the prompt are enough for a scene without a step of its own. `ok`: every
    scene with evidence is grounded, at least half of all scenes are, a step cites a source somewhere, and
    the arms differ in nothing else that a plan holds.
    """
    overlay = treated.retrieval is not None and treated.retrieval.mode == "overlay"
    outcomes = treated.retrieval.outcomes if treated.retrieval else {}
    others = {scene.id: scene for scene in control.scenes}
    rows = []
    for scene in treated.scenes:
        hits = evidence.get(scene.id, [])
        row = _scene_row(scene, others.get(scene.id), hits, treated)
        row["outcome"] = outcomes.get(scene.id, "")
        row["grounded"] = bool(row["prompt_words"]) and (overlay or (bool(row["step_words"]) and bool(row["cites"])))
        rows.append(row)
    differences = structure_differences(treated, control)
    grounded = [row["id"] for row in rows if row["grounded"]]
    wanting = [row["id"] for row in rows if row["evidence"] and not row["grounded"]]
    cited = any(row["cites"] for row in rows)
    return {
        "ok": bool(cited and not wanting and not differences and 2 * len(grounded) >= len(rows)),
        "mode": treated.retrieval.mode if treated.retrieval else "",
        "scenes": rows,
        "grounded": grounded,
        "ungrounded": [row["id"] for row in rows if not row["grounded"]],
        "words": len({stem(word) for row in rows for word in (*row["step_words"], *row["prompt_words"])}),
        "sources": len(treated.sources),
        "differences": differences,
    }


def require_grounded(found: dict[str, Any]) -> None:
    """Raises StudioError pair_not_grounded, with the report in its details, unless the report is ok."""
    if found["ok"]:
        return
    if found["differences"]:
        why = f"the arms differ in more than retrieval ({'; '.join(found['differences'])})"
    elif not found["grounded"]:
        why = "no retrieved word reached any scene"
    else:
        why = f"no retrieved words reached {', '.join(found['ungrounded'])}"
    raise StudioError(
        "pair_not_grounded",
        f"This pair would not show what retrieval does: {why}.",
        "Add a book that covers the topic, or ask for it in the book's own words with --rag-query.",
        grounding=found,
    )


def structure_differences(treated: ScenePlan, control: ScenePlan) -> list[str]:
    """What differs between two plans of a pair besides texts, prompts and sources; empty if they match."""
    found = [
        name
        for name in ("topic", "audience", "objective", "style", "template", "seed")
        if getattr(treated, name) != getattr(control, name)
    ]
    if [scene.id for scene in treated.scenes] != [scene.id for scene in control.scenes]:
        return [*found, "scenes"]
    for one, two in zip(treated.scenes, control.scenes, strict=True):
        for name in ("title", "visual", "formula", "seconds", "negative_prompt"):
            if getattr(one, name) != getattr(two, name):
                found.append(f"{one.id}.{name}")
        if len(one.steps) != len(two.steps):
            found.append(f"{one.id}.steps")
    return found


def _scene_row(scene: Scene, other: Scene | None, hits: list[Evidence], plan: ScenePlan) -> dict[str, Any]:
    retrieved = retrieved_stems(scene, hits, plan)
    in_steps = new_words(_steps_text(scene), _steps_text(other) if other else "", retrieved)
    in_prompt = new_words(scene.prompt, other.prompt if other else "", retrieved)
    return {
        "id": scene.id,
        "title": scene.title,
        "evidence": len(hits),
        "cites": [source.id for source in plan.cited(scene)],
        "step_words": in_steps,
        "prompt_words": in_prompt,
        "step_count": len(in_steps),
        "prompt_count": len(in_prompt),
    }


def retrieved_stems(scene: Scene, hits: list[Evidence], plan: ScenePlan) -> set[str]:
    """Stems of all content words that retrieval brought to a scene: its passages and the quotes that it cites."""
    retrieved = {word for hit in hits for word in content_stems(hit.passage.text)}
    return retrieved | {word for source in plan.cited(scene) for word in content_stems(source.quote)}


def _steps_text(scene: Scene) -> str:
    return " ".join(f"{step.say} {step.show}" for step in scene.steps)


def new_words(text: str, control: str, retrieved: set[str]) -> list[str]:
    """Words of `text` that were retrieved and do not stand in `control`, as written, in order."""
    known = set(content_stems(control))
    found: dict[str, str] = {}
    for word in re.findall(r"[A-Za-zÀ-ɏα-ω][A-Za-zÀ-ɏα-ω'’]+", text):
        key = next(iter(content_stems(word)), "")
        if key and key in retrieved and key not in known:
            found.setdefault(key, word.lower())
    return list(found.values())
