"""`t2v manifest`, `t2v scenarios` and `t2v summary`: training sets from scored clips or from footage, and what there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, note, print_json, say, table
from t2v_studio.errors import InputError, plural
from t2v_studio.studio import Studio

app = typer.Typer(
    help="Training sets from scored clips: build, show, export, check, caption, delete.", no_args_is_help=True
)
footage = typer.Typer(help="Training sets from captioned footage, sorted by scenario.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Id of a saved manifest, or the path of a .jsonl file.")]
NOT_AS_IT_SHOULD_BE = 1
SUMMARY = "PROJECT_SUMMARY.json"


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="manifest")
    root.add_typer(footage, name="scenarios")
    root.command("summary")(summary)


@app.command("build")
def build(
    input_root: Annotated[
        Path | None, typer.Option(help="Folder to look for videos in. Default: the workspace's own.")
    ] = None,
    glob: Annotated[
        list[str] | None, typer.Option("--glob", help='Which files, such as "**/*.mp4". Default: every MP4 and GIF.')
    ] = None,
    output_jsonl: Annotated[
        Path | None, typer.Option(help="Write the rows here as well, with a CSV of the same name beside.")
    ] = None,
    trigger_token: Annotated[str, typer.Option(help="First word of every caption; empty for none.")] = "acad_course_v1",
    split: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(min=0, help="Decides which family goes where.")] = 42,
    unit: Annotated[str, typer.Option(help="A row for each whole video, or for each scene: video or scene.")] = "video",
    min_score: Annotated[
        float | None, typer.Option(help="Lowest mean score in closed studies; unscored clips are left out then.")
    ] = None,
    criterion: Annotated[
        list[str] | None, typer.Option("--criterion", help="Criterion that must reach --min-score; several: each must.")
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="Engine that drew the clip; several: any.")
    ] = None,
    topic: Annotated[list[str] | None, typer.Option("--topic", help="Topic tag; several: any.")] = None,
    verdict: Annotated[list[str] | None, typer.Option("--verdict", help="Verdict; several: any. Default: ok.")] = None,
    include_fallback: Annotated[
        bool, typer.Option("--include-fallback", help="Keep clips that another engine drew.")
    ] = False,
    include: Annotated[
        list[str] | None, typer.Option("--include", help="Keep what is left out: fallback, gif, degenerate, study.")
    ] = None,
    test_study: Annotated[
        list[str] | None, typer.Option("--test-study", help="Study whose topics and seeds are kept for tests.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Rows from the records of videos and the scores of closed studies, split by family of topic and seed."""
    made = Studio().manifests.build(
        input_root=input_root,
        globs=glob or [],
        output_jsonl=output_jsonl,
        trigger_token=trigger_token,
        split=_shares(split),
        seed=seed,
        unit=unit,
        min_score=min_score,
        criterion=criterion or [],
        engine=engine or [],
        topic=topic or [],
        verdict=verdict or [],
        include=[*(include or []), *(["fallback"] if include_fallback else [])],
        test_study=test_study or [],
    )
    if json:
        print_json(made)
        return
    _show(made)
    for path in made.get("output", []):
        say(f"written: {path}")
    note(f"Next: t2v train dry-run --manifest {made['jsonl']}")


def _shares(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError("bad_split", f"--split: {text!r} is no list of numbers.", "Write 0.8,0.1,0.1.") from error


def _show(made: dict[str, Any]) -> None:
    say(f"{made['id']}  {plural(made['clips'], 'clip')}, {made['excluded']} left out  {made['jsonl']}")
    table(
        [row | {"topics": _counted(row["topics"])} for row in made["splits"]],
        ("split", "clips", "families", "seconds", "topics"),
    )
    if made["reasons"]:
        say(f"left out: {_counted(made['reasons'])}")
    _show_leaks(made["leaks"])
    for text in [*made["warnings"], *made["notices"]]:
        note(f"note: {text}")


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in found.items())


def _show_leaks(found: dict[str, Any]) -> None:
    say("leak check: nothing stands in two splits" if found["ok"] else f"leak check: {len(found['leaks'])} LEAKS")
    for leak in found["leaks"]:
        say(f"  {leak['kind']} {leak['what']} in {' and '.join(leak['splits'])}")
    for text in found["notes"]:
        note(f"note: {text}")


@app.command("show")
def show(
    manifest: Annotated[str, typer.Argument(help="Id of a saved manifest; none lists all of them.")] = "",
    excluded: Annotated[
        bool, typer.Option("--excluded", help="Every clip that was left out, with its reasons.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """The saved manifests, or one with its rows."""
    desk = Studio().manifests
    if not manifest:
        found = desk.manifests()
        if json:
            print_json({"manifests": found})
        elif not found:
            say("No manifest yet. Make one with: t2v manifest build --min-score 4")
        else:
            table(found, ("id", "clips", "train", "val", "test", "excluded", "min_score", "created_at"))
        return
    made, rows = desk.manifest(manifest), desk.rows(manifest)
    if json:
        print_json(made | {"rows": rows})
        return
    _show(made)
    say()
    if excluded:
        told = [one | {"why": " ".join(reason["message"] for reason in one["reasons"])} for one in made["exclusions"]]
        table(told, ("id", "topic", "why"))
    else:
        table(rows, ("id", "split", "topic_tag", "score", "frames", "engine", "caption"))


@app.command("export")
def export(
    manifest: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make; it may not exist yet.")],
    layout: Annotated[
        str, typer.Option(help="jsonl, videofolder (metadata.jsonl) or text (.txt beside each clip).")
    ] = "videofolder",
    json: JsonFlag = False,
) -> None:
    """Copy the clips with their captions into a folder that a trainer reads. Scenes become files of their own."""
    made = Studio().manifests.export(manifest, layout, output)
    if json:
        print_json(made)
    else:
        say(f"{made['folder']}: {plural(made['clips'], 'clip')}, {made['bytes'] / 1e6:.1f} MB, layout {layout}")


@app.command("check")
def check(manifest: Name, json: JsonFlag = False) -> None:
    """Read every clip again and look for leaks. Exit code 0 means that all is as the manifest says."""
    found = Studio().manifests.check(manifest)
    if json:
        print_json(found)
    else:
        say(f"{found['manifest']}: {plural(found['clips'], 'clip')}, {len(found['changed'])} changed")
        for line in found["changed"]:
            say(f"  {line}")
        _show_leaks(found["leaks"])
    if not found["ok"]:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


@app.command("caption")
def caption(
    manifest: Annotated[str, typer.Argument(help="Id of a saved manifest.")],
    clip: Annotated[str, typer.Argument(help="Id of one of its rows.")],
    text: Annotated[str, typer.Argument(help="The caption, with or without the trigger token.")],
    json: JsonFlag = False,
) -> None:
    """Write a caption by hand. It is kept for every later manifest, too."""
    row = Studio().manifests.edit_caption(manifest, clip, text)
    if json:
        print_json(row)
    else:
        say(f"{row['id']}: {row['caption']}")


@app.command("delete")
def delete(
    manifest: Annotated[str, typer.Argument(help="Id of a saved manifest.")],
    json: JsonFlag = False,
) -> None:
    """Remove a saved manifest. Its clips and the captions written by hand stay."""
    Studio().manifests.delete(manifest)
    if json:
        print_json({"deleted": manifest})
    else:
        say(f"deleted: {manifest}")


@footage.command("list")
def list_scenarios(
    scenarios: Annotated[Path | None, typer.Option(help="Another scenarios file than data/scenarios.yaml.")] = None,
    json: JsonFlag = False,
) -> None:
    """The scenarios: their words and minimum counts."""
    found = Studio().manifests.scenarios(scenarios)
    if json:
        print_json({"scenarios": found})
        return
    rows = [
        {"scenario": name, "min_examples": one["min_examples"], "keywords": ", ".join(one["keywords"])}
        for name, one in found.items()
    ]
    table(rows, ("scenario", "min_examples", "keywords"))


@footage.command("build")
def build_scenarios(
    source: Annotated[list[str], typer.Option("--source", help="msr-vtt, vatex or panda70m; once for each set.")],
    root: Annotated[list[Path], typer.Option("--root", help="Folder of the set, in the order of --source.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for scenario_metadata.json and manifest.jsonl.")
    ],
    annotations: Annotated[Path | None, typer.Option(help="Annotation file, where it is not found by itself.")] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos, where they lie elsewhere.")] = None,
    scenarios: Annotated[Path | None, typer.Option(help="Another scenarios file than data/scenarios.yaml.")] = None,
    min_examples: Annotated[int | None, typer.Option(min=0, help="In place of each scenario's own minimum.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Most clips of a scenario; 0 takes all.")] = 1200,
    validation_ratio: Annotated[float, typer.Option(help="Share of source videos for validation.")] = 0.1,
    resolution: Annotated[str, typer.Option(help="Size of the first-frame pictures.")] = "720x480",
    seed: Annotated[int, typer.Option(min=0, help="Decides which source video goes where.")] = 1234,
    trigger_token: Annotated[str, typer.Option(help="First word of every caption in the manifest.")] = "",
    json: JsonFlag = False,
) -> None:
    """Sort footage on disk by scenario, split it by source video, and write what the trainer reads."""
    if len(source) != len(root):
        raise InputError(
            "source_without_root",
            f"{len(source)} --source and {len(root)} --root.",
            "Give one --root for each --source.",
        )
    made = Studio().manifests.build_scenarios(
        list(zip(source, root, strict=True)),
        output,
        annotations=annotations,
        videos=videos,
        scenarios=scenarios,
        min_examples=min_examples,
        limit=limit,
        validation_ratio=validation_ratio,
        size=_size(resolution),
        seed=seed,
        trigger_token=trigger_token,
        report=_progress(json),
    )
    if json:
        print_json(made)
        return
    table([{"scenario": name, **one} for name, one in made["scenarios"].items()], ("scenario", "train", "validation"))
    say(
        f"{plural(made['clips'], 'clip')} of {plural(made['source_videos'], 'source video')}; {_counted(made['counts'])}"
    )
    _show_leaks(made["leaks"])
    for text in made["warnings"]:
        note(f"note: {text}")
    say(f"written: {made['metadata']}\n         {made['manifest']}")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):
        raise InputError("bad_resolution", f"--resolution: {text!r} is no size.", "Write 720x480.")
    return int(width), int(height)


def _progress(quiet: bool) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if not quiet and (done == total or done % 50 == 0):
            note(f"{done} of {plural(total, 'clip')}")

    return report


def summary(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")] = Path(SUMMARY),
    json: JsonFlag = False,
) -> None:
    """PROJECT_SUMMARY.json: hashes of every configuration, results of closed studies, videos, adapters, data sets."""
    studio = Studio()
    found = studio.manifests.summary()
    written = studio.manifests.write_summary(found, output)
    if json:
        print_json(found | {"written": str(written)})
        return
    say(f"written: {written}")
    held = found["artifacts"]
    say(", ".join(f"{count} {name}" for name, count in held.items()))
    table(found["metrics"]["studies"], ("title", "criterion", "topics", "no_rag", "rag_semantic", "gap"))
