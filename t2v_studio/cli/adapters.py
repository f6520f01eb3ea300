"""`t2v adapters`: the LoRAs there are, added, checked against a model, exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.flags import naming_flags
from t2v_studio.cli.options import optional, with_flags
from t2v_studio.cli.output import JsonFlag, note, print_json, say, table
from t2v_studio.errors import InputError
from t2v_studio.studio import Studio

app = typer.Typer(help="LoRA adapters: list, show, add, check, edit, export, remove.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="Id or name of an adapter (see `t2v adapters list`).")]
Name = Annotated[str | None, typer.Option("--name", help="Name in lists; the file's name by default.")]
Trigger = Annotated[str | None, typer.Option("--trigger", help="Word that is put before the prompt.")]
Base = Annotated[str | None, typer.Option("--base", help="Model it was made for (see `t2v models list`).")]
Scale = Annotated[float | None, typer.Option("--scale", help="Recommended scale.")]
ScaleMin = Annotated[float | None, typer.Option("--scale-min", help="Lowest scale that is taken.")]
ScaleMax = Annotated[float | None, typer.Option("--scale-max", help="Highest scale that is taken.")]
Profile = Annotated[str | None, typer.Option("--profile", help="Prompt profile: auto, none or academic_infographic.")]
Experts = Annotated[
    str | None,
    typer.Option("--experts", help="Of a two-expert model: both, high (noise) or low. Default: by the name."),
]
License = Annotated[str | None, typer.Option("--license", help="Licence of the weights.")]
Notes = Annotated[str | None, typer.Option("--notes", help="Anything worth keeping.")]
WeightName = Annotated[
    str, typer.Option("--weight-name", "--lora-weight-name", help="Which file, where PATH is a folder of several.")
]
Alpha = Annotated[float | None, typer.Option("--alpha", help="Alpha it was trained with, where the file does not say.")]
DOES_NOT_FIT = 1
CARD = {
    "name": Name, "trigger": Trigger, "base": Base, "scale": Scale, "scale_min": ScaleMin, "scale_max": ScaleMax,
    "profile": Profile, "experts": Experts, "license": License, "notes": Notes,
}  # fmt: skip
"""Flags that fill fields of an adapter's card."""


def with_card_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of CARD; it takes them as keyword arguments, None where one was not given."""
    return with_flags(command, [optional(name, kind) for name, kind in CARD.items()])


@app.command("list")
def list_adapters(
    model: Annotated[str, typer.Option("--model", help="Only those that may be used on this model.")] = "",
    json: JsonFlag = False,
) -> None:
    """The adapters of this workspace and the presets for them."""
    shelf = Studio().adapters
    rows, presets = shelf.rows(), shelf.presets()
    if model:
        fitting = {adapter_id for _, adapter_id in shelf.choices(model)}
        rows = [row for row in rows if row["id"] in fitting]
    if json:
        print_json({"adapters": rows, "presets": presets})
        return
    if rows:
        table(
            [row | {"limits": _limits(row)} for row in rows],
            ("name", "base_model", "trigger", "scale", "limits", "rank", "id"),
        )
    else:
        say(f"No adapter{f' for {model}' if model else ''} yet. Add one with: t2v adapters add FILE, or train one.")
    for row in rows:
        if row["error"]:
            note(f"note: {row['id']}: {row['error']}")
    say("\nPresets:")
    table(
        [row | {"limits": _limits(row), "is there": "yes" if row["adapter_id"] else "no"} for row in presets],
        ("name", "base", "scale", "limits", "trigger", "steps", "guidance", "is there"),
    )


@app.command("show")
def show_adapter(adapter: Id, json: JsonFlag = False) -> None:
    """Everything that is known about one adapter."""
    row = Studio().adapters.row(adapter)
    if json:
        print_json(row)
    else:
        _show(row)


@app.command("add")
@with_card_flags
def add_adapter(
    path: Annotated[Path, typer.Argument(help="A .safetensors file, or a folder that holds one.")],
    weight_name: WeightName = "",
    second: Annotated[
        Path | None, typer.Option("--second", help="The low-noise file, where PATH is the high-noise one of a pair.")
    ] = None,
    alpha: Alpha = None,
    json: JsonFlag = False,
    **card: Any,
) -> None:
    """Add a LoRA: PEFT, diffusers, ComfyUI, kohya or musubi keys, safetensors only. The same file is added once."""
    with naming_flags(card):
        row = Studio().adapters.adopt(path, weight_name=weight_name, second=second, alpha=alpha, **_given(card))
    _say(row, json)


@app.command("edit")
@with_card_flags
def edit_adapter(
    adapter: Id,
    also_for: Annotated[
        list[str] | None, typer.Option("--also-for", help="Another model it may be used on; several times for several.")
    ] = None,
    json: JsonFlag = False,
    **card: Any,
) -> None:
    """Change what an adapter's card says."""
    with naming_flags(card):
        row = Studio().adapters.edit(adapter, **_given({"also_for": also_for, **card}))
    _say(row, json)


@app.command("check")
def check_adapter(
    path: Annotated[str, typer.Argument(help="A .safetensors file, a folder with one, or an adapter's id or name.")],
    model: Annotated[str, typer.Option("--model", help="Model to check against (see `t2v models list`).")],
    weight_name: WeightName = "",
    alpha: Alpha = None,
    json: JsonFlag = False,
) -> None:
    """Say which layers of an adapter a model has. Exit code 1 where it cannot be used; nothing is added."""
    row = Studio().adapters.check(path, model, weight_name=weight_name, alpha=alpha)
    if json:
        print_json(row)
    else:
        _report(row)
    if not row["ok"]:
        raise typer.Exit(DOES_NOT_FIT)


@app.command("export")
def export_adapter(
    adapter: Id,
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder, or a file that ends in .safetensors.")],
    format: Annotated[str, typer.Option("--format", help="diffusers, comfyui or kohya.")] = "diffusers",
    json: JsonFlag = False,
) -> None:
    """Write an adapter for other programs, alpha included; it is read back and compared."""
    made = Studio().adapters.export(adapter, format, output)
    if json:
        print_json(made)
        return
    for path in made["files"]:
        say(f"wrote {path}")


@app.command("remove")
def remove_adapter(
    adapter: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonFlag = False,
) -> None:
    """Delete an adapter from the catalogue. Videos made with it keep its hash in their records."""
    shelf = Studio().adapters
    row = next((row for row in shelf.rows() if row["id"] == adapter), None) or shelf.row(adapter)
    if not yes:
        if json:
            raise InputError("confirm", f"{row['name']} would be deleted.", "Add --yes.")
        say(f"{row['name']} [{row['id']}] will be deleted; videos made with it cannot be made again without the file.")
        typer.confirm("Delete it?", abort=True)
    gone = shelf.remove(row["id"])
    if json:
        print_json(gone)
    else:
        say(f"removed {gone['name']}")


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _limits(row: dict[str, Any]) -> str:
    return f"{row['scale_min']:g} to {row['scale_max']:g}" if "scale_min" in row else ""


def _say(row: dict[str, Any], json: bool) -> None:
    """A card that was added or changed, with what is to know about it."""
    if json:
        print_json(row)
        return
    _show(row)
    for words in row["notices"]:
        note(f"note: {words}")


def _show(row: dict[str, Any]) -> None:
    say(f"{row['name']}  [{row['id']}]")
    facts = {
        "made for": row["base_model"] or f"unknown; {row['made_for']}".rstrip("; "),
        "also for": ", ".join(row["also_for"]),
        "trigger": row["trigger"],
        "scale": f"{row['scale']:g} ({_limits(row)})",
        "preset": row["preset"],
        "profile": row["profile"],
        "rank, alpha": f"{row['rank']}, {row['alpha']:g} ({row['alpha_source']})",
        "layers": f"{row['modules']}: {', '.join(row['targets'])}",
        "keys": row["format"],
        "experts": row["experts"] if row["experts"] != "both" else "",
        "made from": row["made_from"],
        "licence": row["license"],
        "data": row["data_hash"],
        "metrics": ", ".join(f"{name} {value}" for name, value in row["metrics"].items()),
        "notes": row["notes"],
        "SHA-256": row["sha256"],
        "folder": row["folder"],
    }
    for name, value in facts.items():
        if value:
            say(f"  {name:<12} {value}")


def _report(row: dict[str, Any]) -> None:
    numbers = "" if row["ok"] or not row["fits"] else ", but its numbers cannot be used"
    say(f"{'fits' if row['fits'] else 'does not fit'} {row['model']}{numbers}")
    say(f"  made for     {row['made_for'] or 'unknown'}")
    say(f"  rank, alpha  {row['rank']}, {row['alpha']:g} ({row['alpha_source']})")
    if row["depth"] == "layers" or not row["ok"]:
        say(
            f"  layers       {len(row['matched'])} matched, {len(row['unmatched'])} unmatched, {len(row['wrong_shape'])} of another shape"
        )
    elif row["depth"] == "names":
        say(f"  layers       {len(row['matched'])} matched, {len(row['unmatched'])} unmatched, by their names alone: {row['model']} is not on this machine")  # fmt: skip
    else:
        say(f"  layers       only their sizes were compared: {row['model']} is not on this machine")
    if row["error"]:
        note(f"note: {row['error']}")
    for name in row["unmatched"][:10]:
        note(f"note: the model has no {name}")
    for name, why in [*row["wrong_shape"].items(), *row["ignored"].items()][:10]:
        note(f"note: {name}: {why}")
