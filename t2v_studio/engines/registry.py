"""Engines by name."""

from __future__ import annotations

from t2v_studio.engines.base import Engine
from t2v_studio.errors import UnavailableError, unknown_name

ENGINES = ("local", "diffusion", "manim")

_LATER = {
    "diffusion": (
        "The diffusion engine is not part of this version yet.",
        "Use --engine local. It comes with the issue on video diffusion and will need: a CUDA device and diffusers.",
    ),
    "manim": (
        "The Manim engine is not part of this version yet.",
        "Use --engine local. It will need: apt install libcairo2-dev libpango1.0-dev pkg-config, then pip install manim.",
    ),
}


def engine(name: str) -> Engine:
    """The engine of a name. Raises InputError for an unknown one, UnavailableError for one that cannot run here."""
    if name not in ENGINES:
        raise unknown_name("engine", name, list(ENGINES))
    if name in _LATER:
        message, hint = _LATER[name]
        raise UnavailableError("engine_unavailable", message, hint)
    from t2v_studio.engines.local.engine import LocalEngine

    found = LocalEngine()
    state = found.availability()
    if not state.ok:
        raise UnavailableError("engine_unavailable", state.message, state.hint)
    return found


def engine_rows() -> list[dict[str, object]]:
    """Rows for the page and `t2v doctor`: name, ok, message, hint."""
    rows: list[dict[str, object]] = []
    for name in ENGINES:
        try:
            engine(name)
        except UnavailableError as error:
            rows.append({"name": name, "ok": False, "message": error.message, "hint": error.hint})
        else:
            rows.append({"name": name, "ok": True, "message": "", "hint": ""})
    return rows
