"""Proof that the model reads what was retrieved: a pair's prompts compared as their tokens hold them."""

from __future__ import annotations

from typing import Any

from t2v_studio.engines.diffusion.prompts import FinalPrompt
from t2v_studio.errors import StudioError
from t2v_studio.library.passages import Evidence
from t2v_studio.planning.grounding import new_words, retrieved_stems
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.sentences import content_stems


def read_words(
    treated: list[FinalPrompt], control: list[FinalPrompt], plan: ScenePlan, evidence: dict[str, list[Evidence]]
) -> dict[str, Any]:
    """Scene by scene, the retrieved words that the model reads in the treated arm and not in the control's.

    plan: the treated one. Of each scene: words (as the model reads them), lost (stems of its evidence that the limit
    or the tokenizer left out), evidence and evidence_dropped (sentences), token_count, limit, own_parts_alike.
    `ok`: every scene whose prompt holds evidence has words, some scene has, and all other parts are the same in both arms.
    """
    rows: list[dict[str, Any]] = []
    for scene, mine, other in zip(plan.scenes, treated, control, strict=True):
        retrieved = retrieved_stems(scene, evidence.get(scene.id, []), plan)
        words = new_words(mine.read, other.read, retrieved)
        offered = set(content_stems(" ".join((*mine.evidence, *mine.evidence_dropped)))) & retrieved
        rows.append(
            {
                "id": scene.id,
                "words": words,
                "lost": sorted(offered - set(content_stems(mine.read))),
                "evidence": len(mine.evidence),
                "evidence_dropped": len(mine.evidence_dropped),
                "token_count": mine.token_count,
                "limit": mine.limit,
                "own_parts_alike": mine.dropped == other.dropped and mine.negative == other.negative,
            }
        )
    wanting = [row["id"] for row in rows if row["evidence"] and not row["words"]]
    unlike = [row["id"] for row in rows if not row["own_parts_alike"]]
    total = len({word for row in rows for word in row["words"]})
    return {"ok": bool(total) and not wanting and not unlike, "scenes": rows, "words": total, "wanting": wanting, "unlike": unlike}  # fmt: skip


def require_read(found: dict[str, Any]) -> None:
    """Raises StudioError pair_not_grounded, with the report, unless the model provably reads retrieved words."""
    if found["ok"]:
        return
    if found["unlike"]:
        why = f"other parts of the prompt differ as well ({', '.join(found['unlike'])})"
    elif not found["words"]:
        why = "not one retrieved word is left in any prompt as the model's tokenizer reads it"
    else:
        why = f"the prompts of {', '.join(found['wanting'])} hold no retrieved word as the tokenizer reads them"
    raise StudioError(
        "pair_not_grounded",
        f"This pair would not show what retrieval does: {why}.",
        "Take a model that reads more tokens (Wan reads 512), or ask the library more narrowly with --rag-query.",
        grounding=found,
    )
