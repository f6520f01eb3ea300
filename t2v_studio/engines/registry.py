"""Engines by name."""

from __future__ import annotations

from t2v_studio.engines.base import Availability, Engine
from t2v_studio.errors import UnavailableError, unknown_name
from t2v_studio.settings import Settings, load_settings
from t2v_studio.workspace import Workspace

ENGINES = ("local", "diffusion", "manim")


def engine(name: str, settings: Settings | None = None, workspace: Workspace | None = None) -> Engine:
    """The engine of a name. Raises InputError for an unknown one, UnavailableError for one that cannot run here.

    settings, workspace: of an engine that keeps models; by default those of the environment. Whether the model
    that a request names is there is asked later: `Engine.availability(options)`.
    """
    if name not in ENGINES:
        raise unknown_name("engine", name, list(ENGINES))
    found, state = _built(name, settings, workspace)
    if not state.ok:
        raise UnavailableError("engine_unavailable", state.message, state.hint)
    return found


def engine_rows(settings: Settings | None = None, workspace: Workspace | None = None) -> list[dict[str, object]]:
    """Rows for the page and `t2v doctor`: name, ok, message, hint. No model is loaded, and torch is not imported."""
    rows: list[dict[str, object]] = []
    for name in ENGINES:
        _, state = _built(name, settings, workspace)
        rows.append({"name": name, "ok": state.ok, "message": state.message, "hint": state.hint})
    return rows


def _built(name: str, settings: Settings | None, workspace: Workspace | None) -> tuple[Engine, Availability]:
    """An engine and whether this machine can run it at all."""
    if name == "local":
        from t2v_studio.engines.local.engine import LocalEngine

        local = LocalEngine()
        return local, local.availability()
    if name == "diffusion":
        from t2v_studio.engines.diffusion.engine import DiffusionEngine

        settings = settings or load_settings()
        diffusion = DiffusionEngine(settings, workspace or Workspace.at(settings.home))
        return diffusion, diffusion.libraries()
    from t2v_studio.engines.manim.engine import ManimEngine

    manim = ManimEngine(settings)
    return manim, manim.availability()
