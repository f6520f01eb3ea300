"""Plans as JSON: how they travel between the lanes of the queue and wait in the folder of a pack's run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from t2v_studio.library.passages import Evidence
from t2v_studio.planning.plan import parse_plan

if TYPE_CHECKING:
    from t2v_studio.planning.planner import Planned


def planned_form(planned: Planned) -> dict[str, Any]:
    """plan, evidence (scene id to list), grounding, notices."""
    return {
        "plan": planned.plan.model_dump(mode="json"),
        "evidence": {key: [hit.model_dump(mode="json") for hit in hits] for key, hits in planned.evidence.items()},
        "grounding": planned.grounding,
        "notices": planned.notices,
    }


def planned_from(form: dict[str, Any]) -> Planned:
    """What `planned_form` was made from."""
    from t2v_studio.planning.planner import Planned

    evidence = {key: [Evidence.model_validate(hit) for hit in hits] for key, hits in form["evidence"].items()}
    return Planned(parse_plan(form["plan"]), evidence, form["grounding"], form["notices"])
