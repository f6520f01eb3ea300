"""`t2v metrics`: automatic measures of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, note, print_json, say
from t2v_studio.errors import plural
from t2v_studio.studio import Studio


def register(app: typer.Typer) -> None:
    """Put the command on the root."""
    app.command("metrics")(metrics)


def metrics(
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    text: Annotated[
        str, typer.Option(help="Topic and objective, for the CLIP score: the same for both arms of a pair.")
    ] = "",
    clip_weights: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a transformers CLIPModel (or T2V_CLIP_WEIGHTS); its measures are unavailable without one."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Automatic measures: warp error with dynamic degree, flicker, still share, cuts, sharpness, SI/TI, CLIP."""
    rows = Studio().studies.metrics(videos, text=text, clip_weights=clip_weights)
    if json:
        print_json({"videos": rows})
        return
    for number, row in enumerate(rows):
        _show(row, first=number == 0)
    note("Read warp error together with dynamic degree: a clip in which nothing moves has a perfect warp error.")


def _show(row: dict[str, Any], first: bool) -> None:
    if not first:
        say()
    say(f"{row['video']}  {row['width']}x{row['height']}, {plural(row['frames'], 'frame')} at {row['fps']:g} a second")
    for measure in row["measures"]:
        value = measure["status"] if measure["value"] is None else f"{measure['value']:.4g}"
        say(f"  {measure['name']:<22}{value:<13}{measure['note']}".rstrip())
