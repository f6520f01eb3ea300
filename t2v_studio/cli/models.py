"""`t2v models` and `t2v cache`: which video models there are, fetched, copied, and removed again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from t2v_studio.cli.output import JsonFlag, follow, note, print_json, say, table
from t2v_studio.errors import InputError, plural
from t2v_studio.studio import Studio

models = typer.Typer(
    help="Models: list, chat, presets, show, download, convert, pin, make-tiny, forget, speed.", no_args_is_help=True
)
cache = typer.Typer(help="What models take on the disk: show, prune, purge.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name or repository of a model (see `t2v models list`).")]
Dtype = Annotated[str, typer.Option("--dtype", help="bf16 or fp16.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


# --- models ------------------------------------------------------------------------------------
@models.command("list")
def list_models(json: JsonFlag = False) -> None:
    """Every model that can be named with --model-id."""
    shelf = Studio().models
    rows = shelf.rows()
    if json:
        print_json({"models": rows})
        return
    if problem := shelf.problem():
        note(f"note: {problem.message} {problem.hint}")
    table([row | _columns(row) for row in rows], ("name", "state", "size", "made_for", "license", "title"))
    say("\nFetch one with: t2v models download NAME. The tiny ones need no download.")
    for row in rows:
        if row["damaged"] or (not row["here"] and not row["repo_id"]):
            note(f"note: {row['message']} {row['hint']}")


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    low, high = row["trained_frames"]
    return {
        "state": ("ready" if row["here"] else "damaged" if row["damaged"] else "not here")
        + (", default" if row["default"] else ""),
        "size": f"{row['gigabytes']:g} GB" if row["gigabytes"] else "",
        "made_for": f"{low}-{high} frames at {row['trained_fps']:g} fps"
        if low != high
        else f"{low} frames at {row['trained_fps']:g} fps",
    }


@models.command("chat")
def list_chat_models(json: JsonFlag = False) -> None:
    """Language models: for plans, prompts and Manim scenes, and as bases to train on."""
    rows = Studio().models.chat_rows()
    if json:
        print_json({"models": rows})
        return
    shown = [
        row
        | {
            "state": "ready" if row["here"] else "not here",
            "size": f"{row['download_gb']:g} GB",
            "commit": row["revision"][:12],
        }
        for row in rows
    ]
    table(shown, ("name", "state", "size", "license", "repo_id", "commit"))
    say("\nFetch one with: t2v models download NAME.")


@models.command("presets")
def list_presets(json: JsonFlag = False) -> None:
    """Named sets of choices for --preset."""
    rows = Studio().diffusion.presets()
    if json:
        print_json({"presets": rows})
        return
    for row in rows:
        suits = f" For {', '.join(row['families'])}." if row["families"] else ""
        say(f"{row['name']}: {row['about']}{suits}{' Needs a LoRA.' if row['needs_adapter'] else ''}")
        say(f"  {', '.join(f'{name} {value}' for name, value in row['sets'].items())}")


@models.command("forget")
def forget_model(
    name: Annotated[str, typer.Argument(help="Name of a model of your own.")], json: JsonFlag = False
) -> None:
    """Take a model of your own out of the list. Its files stay where they are."""
    found = Studio().models.forget(name)
    if json:
        print_json(found)
    else:
        say(
            f"{found['name']} is no longer in the list."
            + (f" Its files stay in {found['folder']}." if found["folder"] else "")
        )


@models.command("show")
def show_model(name: Name, json: JsonFlag = False) -> None:
    """One model: parts, sizes, commit, licence, and where it stands."""
    row = Studio().models.row(name)
    if json:
        print_json(row)
        return
    say(f"{row['name']}: {row['title']}")
    say(row["about"])
    if row["repo_id"]:
        fixed = (
            "pinned commit"
            if row["revision"]
            else "commit"
            if row["commit"]
            else "commit: the newest, recorded when it is fetched"
        )
        say(f"repository: {row['repo_id']}, {fixed} {row['commit']}".rstrip())
    say(f"licence: {row['license'] or 'not stated'}")
    if row["parameters"]:
        say(
            f"size: {row['parameters'] / 1e9:.1f} billion parameters, {row['gigabytes']:g} GB as published, {row['bf16_gigabytes']:g} GB in bf16"
        )
    for part, state in row["parts"].items():
        say(f"  {part}: {state}")
    if not row["here"]:
        say(f"{row['message']}\n{row['hint']}")


@models.command("download")
def download_model(
    name: Name,
    check: Annotated[bool, typer.Option("--check", help="Check the hash of every large file that is here.")] = False,
    json: JsonFlag = False,
) -> None:
    """Fetch a model, or what it still lacks. Goes on where an earlier one stopped."""
    studio = Studio()
    job = studio.models.submit_download(name, check=check)
    result = follow(studio, job, json)
    chat = next((row for row in studio.models.chat_rows() if name in (row["name"], row["repo_id"])), None)
    if chat is not None:
        if json:
            print_json(result | {"row": chat})
        else:
            say(
                f"{chat['name']} is ready: {plural(result['files'], 'file')} fetched, {result['bytes'] / 1e9:.2f} GB, commit {result['revision'][:12]}."
            )
        return
    row = studio.models.row(name)
    if json:
        print_json(result | {"row": row})
        return
    say(
        f"{row['title']} is ready: {plural(result['files'], 'file')} fetched, {result['bytes'] / 1e9:.2f} GB, commit {result['revision'][:12]}."
    )
    if row["gigabytes"] > 1.2 * row["bf16_gigabytes"] and not row["converted"]:
        saved = row["gigabytes"] - row["bf16_gigabytes"]
        say(f"A bf16 copy takes {saved:.0f} GB less and loads in half the time: t2v models convert {row['name']}")


@models.command("convert")
def convert_model(
    name: Name,
    dtype: Dtype = "bf16",
    free: Annotated[
        bool | None, typer.Option("--free/--keep", help="Delete or keep the wide files; asked by default.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Write a bf16 copy of a fetched model, then offer to delete the wide files."""
    studio = Studio()
    result = follow(studio, studio.models.submit_convert(name, dtype), json)
    if not json:
        parts = ", ".join(result["parts"]) or "nothing: it is as narrow as that already"
        say(f"Copied in {result['dtype']}: {parts} ({result['before'] / 1e9:.2f} -> {result['after'] / 1e9:.2f} GB).")
    model = studio.models.row(name)["name"]
    found = studio.models.cache_plan("doubles", only=model)
    freed = 0
    if found["goes"] and (free or (free is None and not json and sys.stdin.isatty())):
        freed = _carry_out(studio, found, bool(free), json, only=model)["freed"]
    elif found["goes"] and free is None and not json:
        say(f"The wide files take {found['freed'] / 1e9:.2f} GB. Delete them with: t2v models convert {model} --free")
    if json:
        print_json(result | {"freed": freed, "freeable": found["freed"] - freed})


@models.command("pin")
def pin_model(name: Name, off: Annotated[bool, typer.Option("--off", help="No longer.")] = False) -> None:
    """Keep a model whatever is pruned or purged."""
    row = Studio().models.pin(name, not off)
    say(f"{row['name']} is {'kept' if row['pinned'] else 'no longer kept'} by prune and purge.")


@models.command("make-tiny")
def make_tiny(
    family: Annotated[str, typer.Argument(help="wan, wan22, wan22-5b, cogvideox, cogvideox-5b or ltx.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    name: Annotated[str, typer.Option("--name", help="Its name for --model-id. Default: the folder's.")] = "",
    seed: Annotated[int, typer.Option("--seed", help="Of its random weights.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Write a tiny random pipeline (under 1 MB) and register it as a model."""
    row = Studio().models.make_tiny(family, folder, name=name, seed=seed)
    if json:
        print_json(row)
        return
    say(
        f"Wrote {row['folder']} ({row['bytes'] / 1e3:.0f} kB). Use it with: --engine diffusion --model-id {row['name']}"
    )


# --- cache -------------------------------------------------------------------------------------
@cache.command("show")
def show_cache(json: JsonFlag = False) -> None:
    """What is there, what a prune would free, and what it keeps."""
    shelf = Studio().models
    report = shelf.cache_report()
    if json:
        print_json(report)
        return
    say(f"{report['root']}: {report['bytes'] / 1e9:.2f} GB of models, {report['free'] / 1e9:.1f} GB free on its disk.")
    _items(report["items"])
    say(f"\nt2v cache prune would free {report['prune'] / 1e9:.2f} GB, t2v cache purge {report['purge'] / 1e9:.2f} GB.")


@cache.command("prune")
def prune_cache(yes: Yes = False, json: JsonFlag = False) -> None:
    """Delete what no kept model needs: shown first, then asked."""
    _clean("prune", yes, json)


@cache.command("purge")
def purge_cache(yes: Yes = False, json: JsonFlag = False) -> None:
    """Delete every model that the studio fetched, but pinned ones and those of jobs: shown first, then asked."""
    _clean("purge", yes, json)


def _clean(depth: Literal["prune", "purge"], yes: bool, json: bool) -> None:
    studio = Studio()
    found = studio.models.cache_plan(depth)
    if found["goes"]:
        found = _carry_out(studio, found, yes, json)
    elif not json:
        show_plan(found)
    if json:
        print_json(found)


def _carry_out(studio: Studio, found: dict[str, Any], yes: bool, json: bool, only: str = "") -> dict[str, Any]:
    """Show a plan, ask, and delete. Gives what was deleted: the plan with `deleted` true, or with 0 freed."""
    if not json:
        show_plan(found)
    if not yes and not confirmed(found, json):
        say_no = found | {"deleted": False, "freed": 0}
        if not json:
            say("Nothing was deleted.")
        return say_no
    done = studio.models.cache_delete(found["token"], found["depth"], only=only)
    if not json:
        say(f"Deleted: {done['freed'] / 1e9:.2f} GB are free again.")
    return done | {"deleted": True}


def confirmed(found: dict[str, Any], json: bool = False) -> bool:
    """Ask a person; without a terminal it is an error, since nothing is deleted that nobody agreed to."""
    if json or not sys.stdin.isatty():
        raise InputError(
            "not_confirmed", "Nothing was deleted: nobody could be asked.", "Look at the plan, then give --yes."
        )
    return typer.confirm(f"Delete {found['freed'] / 1e9:.2f} GB?", err=True)


def asker(yes: bool) -> Callable[[dict[str, Any]], bool]:
    """For `studio.models.before_generate`: shows a plan, then asks unless `yes`; all of it on the error stream."""

    def ask(found: dict[str, Any]) -> bool:
        show_plan(found, note)
        return yes or confirmed(found)

    return ask


def show_plan(found: dict[str, Any], line: Callable[[str], None] = say) -> None:
    """A plan for a person: what goes, what stays, and why."""
    if not found["goes"]:
        line("Nothing would go.")
    for item in found["goes"]:
        line(f"goes   {item['bytes'] / 1e9:8.2f} GB  {item['name']} {item['revision'][:12]}: {item['why']}")
    for item in found["stays"]:
        line(f"stays  {item['bytes'] / 1e9:8.2f} GB  {item['name']} {item['revision'][:12]}: {item['why']}")
    line(f"It would free {found['freed'] / 1e9:.2f} GB.")


def _items(items: list[dict[str, Any]]) -> None:
    if not items:
        say("No model is there. Fetch one with: t2v models download NAME")
        return
    rows = [
        item
        | {"size": f"{item['bytes'] / 1e9:.2f} GB", "commit": item["revision"][:12], "for": ", ".join(item["models"])}
        for item in items
    ]
    table(rows, ("size", "name", "commit", "for", "why"))
