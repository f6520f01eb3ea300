"""What the interfaces ask about Manim scenes: their code before it runs, who may write it, one scene drawn again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from t2v_studio.jobs.model import Job
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


class ManimDesk:
    """submit: queues a job of a kind in a lane with a spec and a title."""

    def __init__(self, settings: Settings, workspace: Workspace, submit: Callable[..., Job]) -> None:
        self._settings, self._workspace, self._submit = settings, workspace, submit

    def template_code(self, plan: ScenePlan, index: int) -> str:
        """What the template of scene `index` (from 0) is filled with, as text."""
        from t2v_studio.engines.manim.engine import template_code

        return template_code(plan, index)

    def adapters(self) -> list[tuple[str, str]]:
        """(label, id) of the text adapters that a writing model may wear."""
        from t2v_studio.adapters.catalogue import catalogue

        return [
            (f"{card.name} ({card.base_model or card.family})", card.id)
            for card in catalogue(self._workspace)
            if card.is_text
        ]

    def submit_written(self, request: VideoRequest, plan: ScenePlan, scenes: Sequence[str] | None = None) -> Job:
        """Scenes (ids; None: all) written and tried, nothing drawn. Result: scenes, a row each: id, index, scene, code,
        attempts, faults, fallback, seconds."""
        spec = {
            "request": request.model_dump(mode="json"),
            "plan": plan.model_dump(mode="json"),
            "scenes": list(scenes) if scenes is not None else None,
        }
        return self._submit("write_scenes", "studio", spec, f"Manim scenes: {plan.topic}")

    def problem(self, code: str, plan: ScenePlan, index: int) -> str:
        """What keeps code from running in the sandbox, "" where nothing does: gate, then a dry run of some seconds."""
        from t2v_studio.engines.manim import written

        check: Any = written.problem  # type: ignore[attr-defined]
        return str(check(code, plan, index, self._settings))
