"""`t2v pack`: an evaluation set made in one go, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.flags import naming_flags
from t2v_studio.cli.options import with_request_flags
from t2v_studio.cli.output import JsonFlag, follow, note, print_json, say, table
from t2v_studio.errors import plural
from t2v_studio.studio import Studio

app = typer.Typer(
    help="Packs of topics, each made with and without retrieval: list, run, show, compare.", no_args_is_help=True
)

_SET_BY_TOPICS = (
    "topic", "audience", "objective", "course_template", "use_rag", "rag_query", "seed", "fallback_local_on_fail",
)  # fmt: skip
FAILED = 1


@app.command("list")
def list_packs(json: JsonFlag = False) -> None:
    """Pack files that can be run, and the runs there are."""
    shelf = Studio().packs
    packs, runs = shelf.packs(), shelf.pack_runs()
    if json:
        print_json({"packs": packs, "runs": runs})
        return
    table([row | {"topics": len(row["topics"])} for row in packs], ("name", "topics", "title", "path"))
    for row in packs:
        if row["error"]:
            note(f"note: {row['error']}")
    if not runs:
        say(f"\nNo run yet. Start one with: t2v pack run {packs[0]['name'] if packs else 'PACK'}")
        return
    say()
    table([row | _counted(row) for row in runs], ("run", "state", "made", "refused", "failed", "created_at"))


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    number = row["counts"]
    return {"made": f"{number['ok']} of {number['topics']}", "refused": number["refused"], "failed": number["failed"]}


@app.command("run")
@with_request_flags(*_SET_BY_TOPICS)
def run_pack(
    pack: Annotated[str, typer.Argument(help="A pack file, or the name of one (see `t2v pack list`).")],
    seed_offset: Annotated[
        list[int] | None,
        typer.Option(
            "--seed-offset",
            envvar="T2V_SEED_OFFSET",
            help="Added to every seed; give it several times for one run each.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict/--no-strict",
            envvar=["T2V_STRICT", "STRICT_DIFFUSION"],
            help="No scene may be drawn by another engine.",
        ),
    ] = False,
    tag: Annotated[
        str,
        typer.Option(
            "--tag",
            envvar=["T2V_RUN_TAG", "RUN_TAG"],
            help="Name of the run; a known one is gone on with. Default: the time.",
        ),
    ] = "",
    resume: Annotated[
        bool,
        typer.Option("--resume/--new", help="Go on with the newest unfinished run of this pack and these settings."),
    ] = True,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the run's folder. Default: outputs/packs.")
    ] = None,
    json: JsonFlag = False,
    **values: Any,
) -> None:
    """Make every topic of a pack, with and without retrieval. Exit code 0 means that all of it is there."""
    studio = Studio()
    engine = values.pop("engine", None) or ""
    overrides = {name: value for name, value in values.items() if value is not None and value != []}
    made = []
    for offset in seed_offset or [0]:
        with naming_flags(overrides):
            job = studio.packs.submit_pack(
                pack,
                engine=engine,
                seed_offset=offset,
                strict=strict,
                tag=f"{tag}-s{offset}" if tag and len(seed_offset or []) > 1 else tag,
                resume=resume,
                overrides=overrides,
                output=output,
            )
        if not json:
            note(f"run: {job.spec['run']}")
        made.append(follow(studio, job, json))
    if json:
        print_json(made[0] if len(made) == 1 else {"runs": made})
    else:
        for found in made:
            _show(found)
    if not all(found["ok"] for found in made):
        raise typer.Exit(FAILED)


@app.command("show")
def show_run(
    run: Annotated[str, typer.Argument(help="Id of a run, or its folder.")],
    json: JsonFlag = False,
) -> None:
    """One run: a row a topic and variant, with verdicts and what retrieval brought."""
    found = Studio().packs.pack_run(run)
    if json:
        print_json(found)
    else:
        _show(found)


@app.command("compare")
def compare(
    base: Annotated[str, typer.Argument(help="A run without an adapter: its id or folder.")],
    adapter: Annotated[str, typer.Argument(help="The run of the same pack, seeds and settings with --adapter.")],
    clip_weights: Annotated[
        Path | None, typer.Option(help="Folder of a transformers CLIPModel (or T2V_CLIP_WEIGHTS), for the CLIP score.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Base against adapter, clip by clip: measures of the pictures, and scores of closed studies. Writes two tables."""

    def report(stage: str, step: int, total: int, message: str = "") -> None:
        if not json and step == 0:
            note(f"{stage} {message}")

    found = Studio().packs.compare(base, adapter, report, clip_weights=clip_weights)
    if json:
        print_json(found)
        return
    columns = ("measure", "better", "n", "base", "adapter", "difference", "improved", "worsened")
    table([{key: _figure(value) for key, value in row.items()} for row in found["summary"]], columns)
    say(
        f"{plural(len(found['rows']), 'clip')} that differ in the adapter alone\ntables: {found['markdown']}\n        {found['csv']}"
    )
    for row in found["left_out"]:
        note(f"left out: {row['topic_slug']}, {row['variant']}: {row['reason']}")
    note("Read warp error together with dynamic degree: a clip in which nothing moves has a perfect warp error.")


def _figure(value: Any) -> Any:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else value


def _show(found: dict[str, Any]) -> None:
    number = found["counts"]
    say(f"{found['title']}  [{found['run']}]  {found['state']}")
    columns = (
        "topic_slug",
        "variant",
        "status",
        "model_used",
        "seed",
        "frames",
        "verdict",
        "retrieved_words",
        "pair_id",
    )
    table(found["rows"], columns)
    say(f"{number['ok']} of {number['topics']} topics made, {number['refused']} refused, {number['failed']} failed")
    say(f"tables: {found['results']}\n        {found['summary']}")
    for slug, reason in {row["topic_slug"]: row["reason"] for row in found["rows"] if row["reason"]}.items():
        note(f"note: {slug}: {reason}")
