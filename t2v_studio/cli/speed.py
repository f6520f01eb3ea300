"""`t2v models speed`: what each speed switch of diffusion was worth on this machine."""

from __future__ import annotations

from typing import Any

import typer

from t2v_studio.cli.output import JsonFlag, print_json, say, table
from t2v_studio.studio import Studio


def register(models: typer.Typer) -> None:
    """Put the command beside the other ones on models."""
    models.command("speed")(speed)


def speed(json: JsonFlag = False) -> None:
    """What each speed switch was worth on this machine, from the records of the videos made here."""
    rows = Studio().diffusion.effects()
    if json:
        print_json({"switches": rows})
        return
    table([_shown(row) for row in rows], ("flag", "choice", "time_of_a_step", "card", "scenes", "against"))
    say("\nOnly scenes that differ in one switch alone are compared: make a video with it and one without.")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    flag = f"--{row['switch'].replace('_', '-')}"
    if row["ratio"] is None:
        return {"flag": flag, "choice": row["choice"], "time_of_a_step": row["text"]}
    return row | {"flag": flag, "time_of_a_step": f"{row['ratio']:.2f}x"}
