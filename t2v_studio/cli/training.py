"""`t2v train`: a LoRA from scored clips: what it would take, the run itself, its checks, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.cli import text_training
from t2v_studio.cli.flags import naming_flags
from t2v_studio.cli.output import JsonFlag, follow, note, print_json, say, table
from t2v_studio.cli.recipe_flags import changes_of, with_flags_of
from t2v_studio.errors import StudioError, plural
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio

app = typer.Typer(
    help="Train adapters: dry run, video, text, resume, validate, evaluate, export, list, show.", no_args_is_help=True
)

WORSE = 1
RecipeName = Annotated[str, typer.Option("--recipe", "-r", help="A recipe's name, or a YAML file.")]
Dataset = Annotated[
    Path, typer.Option("--manifest", "--dataset", "-d", help="A manifest.jsonl, or a folder of clips with captions.")
]
TextRecipeName = Annotated[str, typer.Option("--recipe", "-r", help="A text recipe's name, or a YAML file.")]
TextDataset = Annotated[
    Path,
    typer.Option("--dataset", "-d", help="A folder with train.jsonl and test.jsonl, or one JSONL, JSON or CSV file."),
]
RunId = Annotated[str, typer.Argument(help="Id of a run (see `t2v train list`).")]


@app.command("video")
@with_flags_of(Recipe)
def train_video(
    dataset: Dataset,
    recipe: RecipeName = "wan_course",
    title: Annotated[str, typer.Option("--title", help="What the run is called.")] = "",
    scenarios: Annotated[
        bool, typer.Option("--scenarios", help="Then one adapter for each scenario, warm-started.")
    ] = False,
    stage: Annotated[
        str, typer.Option("--stage", help="all; latents or text fills the cache alone; train goes on from there.")
    ] = "all",
    npz: Annotated[bool, typer.Option("--export-npz", help="Write the cached latents as .npz, too.")] = False,
    only_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take, as `t2v train dry-run` does; train nothing.")
    ] = False,
    json: JsonFlag = False,
    **values: Any,
) -> None:
    """Train a LoRA of a video model: cache clips, cache captions, train, check, put the best into the catalogue."""
    studio = Studio()
    with naming_flags(values):
        chosen = studio.training.recipe(recipe, **changes_of(values))
    if only_dry_run:
        _show_dry_run(studio.training.dry_run(chosen, dataset), json)
        return
    job = studio.training.submit_training(chosen, dataset, title=title, scenarios=scenarios, stage=stage, npz=npz)
    if not json:
        note(f"run: {job.spec['run']}")
    _print_results(_followed(studio, job, json), json)


def _followed(studio: Studio, job: Job, json: bool) -> dict[str, Any]:
    try:
        return follow(studio, job, json)
    except StudioError as error:
        error.hint = f"{error.hint} Go on with: t2v train resume {job.spec['run']}".strip()
        raise


def _print_results(found: dict[str, Any], json: bool) -> None:
    if json:
        print_json(found)
        return
    for one in found["results"]:
        measured = one["metrics"]
        loss = measured.get("val_loss")
        words = f"held-out loss {loss:.4f} (base {one['base']['val_loss']:.4f})" if loss is not None else ""
        say(f"{one['part']}: adapter {one['adapter']}, step {one['step']} of {one['steps']}  {words}".rstrip())
        if one["notice"]:
            note(f"note: {one['notice']}")
        if one["pushed"]:
            say(f"pushed: {one['pushed']}")
    if found["adapter"]:
        say(f"use it: t2v generate --engine diffusion --adapter {found['adapter']} --topic ...")


def _print_text_results(found: dict[str, Any], json: bool) -> None:
    """Of a run of a language model: the same, with its own next step."""
    _print_results(found | {"adapter": ""}, json)
    if not json:
        say(f"judge it: t2v train evaluate {found['run']}   take it away: t2v train export {found['adapter']}")


@app.command("text")
@with_flags_of(TextRecipe)
def train_text(
    dataset: TextDataset,
    recipe: TextRecipeName = "text_smoke",
    title: Annotated[str, typer.Option("--title", help="What the run is called.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Rows, layers, memory and steps alone; train nothing.")
    ] = False,
    json: JsonFlag = False,
    **values: Any,
) -> None:
    """Train a LoRA of a language model by TRL; the checkpoint with the lowest held-out loss goes into the catalogue."""
    studio = Studio()
    with naming_flags(values):
        chosen = studio.training.text_recipe(recipe, **changes_of(values))
    if dry_run:
        text_training.show_dry_run(studio.training.dry_run(chosen, dataset), json)
        return
    job = studio.training.submit_training(chosen, dataset, title=title)
    if not json:
        note(f"run: {job.spec['run']}")
    found = _followed(studio, job, json)
    if json:
        print_json(found)
    else:
        _print_text_results(found, json)


@app.command("dry-run")
@with_flags_of(Recipe)
def dry_run(
    dataset: Dataset,
    recipe: RecipeName = "wan_course",
    json: JsonFlag = False,
    **values: Any,
) -> None:
    """What a training would need: clips per bucket, what is dropped, memory, seconds a step, disk. Nothing is loaded.

    For a language model: t2v train text --dry-run.
    """
    studio = Studio()
    with naming_flags(values):
        chosen = studio.training.recipe(recipe, **changes_of(values))
    _show_dry_run(studio.training.dry_run(chosen, dataset), json)


def _show_dry_run(found: dict[str, Any], json: bool) -> None:
    if json:
        print_json(found)
        return
    number = found["clips"]
    say(
        f"{found['model']}: {plural(number['train'], 'clip')} to train on, {number['validation']} held out, {number['dropped']} dropped"
    )
    table([{"bucket": name, "clips": count} for name, count in found["buckets"].items()], ("bucket", "clips"))
    say(f"\n{found['steps']:,} optimiser steps, {found['epochs']:g} rounds through the clips")
    counted = found["parameters"]
    say(
        f"{counted['trainable']:,} trainable parameters in {plural(counted['layers'], 'layer')}; base {counted['base']:,}"
    )
    say("memory on the card, estimated:")
    table(
        [{"what": name.replace("_", " "), "GiB": value} for name, value in found["memory_gib"].items()], ("what", "GiB")
    )
    say()
    table(found["speed"], ("machine", "step_s", "training_s", "sampling_s", "total_s"))
    stored = found["disk"]
    say(
        f"\ncache {stored['cache_bytes'] / 1e6:,.1f} MB ({stored['cache_missing_bytes'] / 1e6:,.1f} to make), "
        f"checkpoints {stored['checkpoints_bytes'] / 1e6:,.1f} MB, free {stored['free_bytes'] / 1e9:,.0f} GB"
    )
    for row in found["dropped"]:
        note(f"dropped: {row['id']}: {row['reason']}")
    for words in found["notices"]:
        note(f"note: {words}")


@app.command("smoke")
def smoke(recipe: RecipeName = "tiny_smoke", json: JsonFlag = False) -> None:
    """Two steps of a recipe on a tiny random model: train, save, load again, compare. text_smoke tries language models."""
    found = Studio().training.smoke(recipe)
    if json:
        print_json(found)
    elif found.get("kind") == "text":
        text_training.show_smoke(found)
    else:
        say(
            f"{found['recipe']}: {plural(found['steps'], 'step')} on {found['model']}, saved and loaded alike, {found['seconds']:.1f} s"
        )


@app.command("resume")
def resume(run: RunId, json: JsonFlag = False) -> None:
    """Go on with a run from its last checkpoint; the weights come out as if it had never stopped."""
    studio = Studio()
    shown = _print_text_results if studio.training.run(run)["kind"] == "text" else _print_results
    shown(_followed(studio, studio.training.resume(run), json), json)


@app.command("validate")
def validate(
    adapter: Annotated[str, typer.Argument(help="Id or name of an adapter (see `t2v adapters list`).")],
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="How to measure. Default: that of its own run.")] = "",
    dataset: Annotated[
        Path | None,
        typer.Option("--manifest", "--dataset", "-d", help="Held-out clips. Default: those of its own run."),
    ] = None,
    scale: Annotated[float | None, typer.Option("--scale", help="Default: the scale on its card.")] = None,
    json: JsonFlag = False,
) -> None:
    """Compare an adapter with its base. Exit code 1 where it is worse in a measure."""
    studio = Studio()
    chosen = studio.training.recipe(recipe) if recipe else None
    found = follow(studio, studio.training.submit_check(adapter, recipe=chosen, dataset=dataset, scale=scale), json)
    if json:
        print_json(found)
    else:
        rows = [
            {"measure": name, "base": _number(found["base"][name]), "adapter": _number(found["measured"][name])}
            for name in found["base"]
        ]
        table(rows, ("measure", "base", "adapter"))
        for words in found["regressions"]:
            say(f"worse: {words}")
        if found["clip_note"]:
            note(f"note: CLIP is {found['clip_note']}")
        say("no regression" if found["ok"] else "this adapter is worse than its base")
    if not found["ok"]:
        raise typer.Exit(WORSE)


def _number(value: float | None) -> str:
    return "unavailable" if value is None else f"{value:.5g}"


@app.command("list")
def list_runs(json: JsonFlag = False) -> None:
    """Recipes that ship, and the runs there are."""
    desk = Studio().training
    recipes, runs = [*desk.recipes(), *desk.recipes("text")], desk.runs()
    if json:
        print_json(
            {
                "recipes": [{key: row[key] for key in ("name", "kind", "model", "about")} for row in recipes],
                "runs": runs,
            }
        )
        return
    table(recipes, ("name", "kind", "model", "about"))
    if not runs:
        say("\nNo run yet. Start one with: t2v train video --recipe tiny_smoke --manifest MANIFEST")
        return
    say()
    table([row | _where(row) for row in runs], ("run", "state", "step", "loss", "adapter", "title", "created_at"))


def _where(row: dict[str, Any]) -> dict[str, Any]:
    at = row["step"]
    if not at or at.get("step") is None:
        return {"step": "", "loss": ""}
    return {"step": f"{at['step']} of {at['total']}", "loss": _number(at["loss"])}


@app.command("show")
def show(run: RunId, json: JsonFlag = False) -> None:
    """One run: where it stands, and a row for each adapter that was checked."""
    found = Studio().training.run(run)
    if json:
        print_json(found)
        return
    say(f"{found['title']}  [{found['run']}]  {found['state']}")
    say(f"{found['last'].get('stage', '')}  {found['last'].get('message', '')}".strip())
    for part in found["parts"]:
        say(f"\n{part['name']}")
        columns: tuple[str, ...] = (
            "step",
            "val_loss",
            "warp_score",
            "motion",
            "clip_text",
            "frozen",
            "mean_rank",
            "place",
            "state",
            "reason",
        )
        if found["kind"] == "text":
            columns = ("step", "epoch", "val_loss", "val_accuracy", "place", "chosen", "state")
        rows = [
            {key: _number(row[key]) if isinstance(row[key], float) else row[key] for key in row}
            for row in part["table"]
        ]
        table(rows, columns)
    say(f"\ncommand: {found['command']}")


@app.command("publish")
def publish(
    run: RunId,
    step: Annotated[int, typer.Option("--step", help="Step of a check (see `t2v train show`).")],
    part: Annotated[str, typer.Option("--part", help="unified, or a scenario.")] = "unified",
    json: JsonFlag = False,
) -> None:
    """Put the adapter of a step into the catalogue, one that was moved aside as well."""
    card = Studio().training.publish(run, part, step)
    if json:
        print_json(card)
    else:
        say(f"{card['id']}  {card['name']}")


def _signal(run: str, name: str, said: str, json: bool) -> None:
    found = Studio().training.signal(run, name)
    if json:
        print_json(found)
    else:
        say(said)


@app.command("save")
def save(run: RunId, json: JsonFlag = False) -> None:
    """Write a checkpoint after the present step."""
    _signal(run, "save_now", "A checkpoint is written after this step.", json)


@app.command("sample")
def sample(run: RunId, json: JsonFlag = False) -> None:
    """Check the adapter after the present step: loss on held-out clips and samples."""
    _signal(run, "sample_now", "It is checked after this step.", json)


@app.command("stop")
def stop(run: RunId, json: JsonFlag = False) -> None:
    """Stop after the present step, with a checkpoint to go on from."""
    _signal(run, "stop", f"It stops after this step. Go on with: t2v train resume {run}", json)


text_training.register(app)
