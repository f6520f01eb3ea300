"""The engines, and what Manim needs beside its package."""

from __future__ import annotations

import shutil

from t2v_studio.doctor.row import Row, installed_version, row
from t2v_studio.settings import Settings


def engines() -> list[Row]:
    from t2v_studio.engines.registry import engine_rows

    rows = []
    for engine in engine_rows():
        name = f"engine {engine['name']}"
        if engine["ok"]:
            rows.append(row(name, "ok", "ready"))
        else:
            state = "missing" if engine["name"] == "local" else "warning"
            rows.append(row(name, state, "not available", str(engine["message"]), str(engine["hint"])))
    return rows


def manim() -> Row:
    cost = "Scenes cannot be drawn with Manim; the local engine draws them."
    version = installed_version("manim")
    if not version:
        return row("Manim", "warning", "not installed", cost, "make manim")
    try:
        import cairo  # noqa: F401
        import manimpango  # noqa: F401
    except ImportError as error:
        return row("Manim", "warning", f"{version}, which cannot be loaded ({error})", cost, "make manim")
    return row("Manim", "ok", version)


def written_scenes(settings: Settings) -> Row:
    """The isolation of code that a language model writes, as a child measured it here."""
    from t2v_studio.engines.manim.sandbox import Level, probe

    found = probe()
    text = found.words()
    if found.level >= Level.files_and_network:
        return row("sandbox", "ok", text)
    if found.missing:
        text += f"; open: {', '.join(found.missing)}"
    cost = "Written Manim scenes are off: their code could not be shut off from files and network. Templates need none."
    if settings.manim_unconfined:
        cost = "T2V_MANIM_UNCONFINED is set: written Manim code runs all the same and may do what is open."
    return row("sandbox", "warning", text, cost, found.hint)


def program(command: str, name: str, cost: str) -> Row:
    found = shutil.which(command)
    return (
        row(name, "ok", found)
        if found
        else row(name, "warning", "not found", cost, f"Install {name} with your system's packages.")
    )
