"""`t2v dataset`: text sets for small language models, from documentation, pairs and storyboards to checked rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, confirm_sending, note, print_json, say, table
from t2v_studio.errors import plural
from t2v_studio.studio import Studio

app = typer.Typer(help="Text sets for small language models: extract, caption, combine, check.", no_args_is_help=True)

Sets = Annotated[list[Path], typer.Argument(help="Files (.jsonl, .json, .csv), or folders of them.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="JSONL file to write.")]
NOT_AS_IT_SHOULD_BE = 1


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{name or '(none)'} {count}" for name, count in found.items()) or "none"


@app.command("validate")
def validate(
    paths: Sets,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of the model's tokenizer, for the histogram of lengths.")
    ] = None,
    max_length: Annotated[int, typer.Option(min=16, help="Tokens that training reads of a row.")] = 1024,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run Manim rows in the sandbox, without drawing (slow).")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Findings to print; 0 prints all. --json gives all.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Shapes, empty fields, duplicates across splits, secrets, encodings, code. Exit code 1 where there are errors."""
    found = Studio().text_sets.validate(paths, tokenizer=tokenizer, max_length=max_length, dry_run=dry_run)
    if json:
        print_json(found)
    else:
        _show_report(found, limit)
    if not found["ok"]:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


def _show_report(found: dict[str, Any], limit: int) -> None:
    shown = found["findings"][: limit or None]
    if shown:
        table(shown, ("severity", "row", "field", "reason", "fix"))
        if len(shown) < len(found["findings"]):
            note(f"and {len(found['findings']) - len(shown)} more (--limit 0 prints all)")
    say(f"{plural(found['rows'], 'row')}: {_counted(found['shapes'])}; splits: {_counted(found['splits'])}")
    say(f"licences: {_counted(found['licenses'])}")
    if found["code"]:
        say(f"code: {_counted(found['code'])}")
    _show_tokens(found["tokens"])
    for name, reason in found["unchecked"].items():
        note(f"not checked: {name.replace('_', ' ')}, {reason}")
    counts = found["counts"]
    say(f"{plural(counts['error'], 'error')}, {plural(counts['warning'], 'warning')}, {plural(counts['note'], 'note')}")


def _show_tokens(found: dict[str, Any]) -> None:
    if not found["available"] or not found["rows"]:
        return
    say(f"tokens: {found['min']} to {found['max']}, median {found['median']:g}, 90 % within {found['p90']}")
    say(f"cut off at {found['max_length']}: {plural(found['truncated'], 'row')} ({found['truncated_share']:.1%})")
    table(found["bins"], ("up_to", "rows"))


@app.command("extract-manim-docs")
def extract_manim_docs(
    path: Annotated[str, typer.Argument(help="Folder or file (.py, .rst, .html), or manim for the installed one.")],
    output: Output = Path("manim_docs_snippets.jsonl"),
    min_lines: Annotated[int, typer.Option(min=1, help="Fewest lines of a snippet.")] = 3,
    limit: Annotated[int, typer.Option(min=0, help="Most snippets; 0 takes all.")] = 0,
    include_non_manim: Annotated[bool, typer.Option("--include-non-manim", help="Keep code of other kinds.")] = False,
    license: Annotated[str, typer.Option(help="Licence of the documentation; manim's own is MIT.")] = "MIT",
    json: JsonFlag = False,
) -> None:
    """Code examples with up to 200 words before and after, from docstrings, .rst files or saved HTML."""
    made = Studio().text_sets.extract_manim_docs(
        path, output, min_lines=min_lines, limit=limit, include_non_manim=include_non_manim, license=license
    )
    _show_made(made, json, "Next: t2v dataset caption " + made["output"])


@app.command("extract-pairs")
def extract_pairs(
    paths: Sets,
    source: Annotated[str, typer.Option(help="Name of the set, for every row that names none.")],
    license: Annotated[str, typer.Option(help="Its licence, for every row that names none.")],
    output: Output = Path("pairs.jsonl"),
    json: JsonFlag = False,
) -> None:
    """Instruction and code from a CSV or JSONL; code that was flattened to one line is mended or rejected."""
    made = Studio().text_sets.extract_pairs(paths, output, source=source, license=license)
    _show_made(made, json, "Next: t2v dataset validate " + made["output"])


@app.command("caption")
def caption(
    path: Annotated[Path, typer.Argument(help="Snippets, as extract-manim-docs writes them.")],
    output: Output = Path("captioned.jsonl"),
    captioner: Annotated[str, typer.Option(help="rules (offline), local (a chat model here) or endpoint.")] = "rules",
    model: Annotated[str, typer.Option(help="local: folder or name of a chat model. endpoint: its model there.")] = "",
    json: JsonFlag = False,
) -> None:
    """An instruction of at most 60 words for each snippet. The endpoint and its key come from the environment."""

    def report(done: int) -> None:
        if not json and done % 50 == 0:
            note(f"{done} snippets")

    made = Studio().text_sets.caption(path, output, captioner=captioner, model=model, report=report)
    _show_made(made, json, "Next: t2v dataset combine " + made["output"])


@app.command("combine")
def combine(
    paths: Sets,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for train.jsonl and test.jsonl.")] = Path(
        "text_set"
    ),
    test_share: Annotated[float, typer.Option(help="Share of rows for the test.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Decides the order, and which group goes where.")] = 42,
    license: Annotated[str, typer.Option(help="For rows that name none.")] = "",
    source: Annotated[str, typer.Option(help="For rows that name none.")] = "",
    keep_unparsed: Annotated[bool, typer.Option("--keep-unparsed", help="Keep code that does not parse.")] = False,
    json: JsonFlag = False,
) -> None:
    """Sets as one: prompt and completion, no copies, and near-copies on one side of the split."""
    made = Studio().text_sets.combine(
        paths, output, test_share=test_share, seed=seed, license=license, source=source, keep_unparsed=keep_unparsed
    )
    if json:
        print_json(made)
        return
    say(f"read {made['read']}, kept {made['kept']}: {made['train']} train, {made['test']} test")
    say(f"groups of near-copies: {made['groups']}, the largest of {made['largest_group']}")
    for name in ("dropped", "sources", "licenses"):
        say(f"{name}: {_counted(made[name])}")
    say(f"written: {made['folder']}")
    note(f"Next: t2v dataset validate {made['folder']}/train.jsonl {made['folder']}/test.jsonl")


def _show_made(made: dict[str, Any], json: bool, following: str) -> None:
    if json:
        print_json(made)
        return
    say(_counted(made["counts"]))
    for name in ("rejected", "failed"):
        if made.get(name):
            say(f"{name}, with reasons: {made[name]}")
    say(f"written: {made['output']} ({plural(made['rows'], 'row')})")
    note(following)


@app.command("process-storyboards")
def process_storyboards(
    path: Annotated[Path, typer.Argument(help="Storyboard (.txt, .md, .json), or a folder of them.")],
    output: Output = Path("storyboards.jsonl"),
    augmentation_factor: Annotated[int, typer.Option(min=1, max=60, help="Most rows of a scene.")] = 20,
    style: Annotated[str, typer.Option(help="For scenes that name none.")] = "cinematic",
    ban: Annotated[list[str] | None, typer.Option("--ban", help="Word that no prompt may hold; several: any.")] = None,
    review: Annotated[int, typer.Option(min=0, help="Rows of the sample that a person reads.")] = 50,
    min_examples: Annotated[int, typer.Option(min=0, help="Scenes with fewer rows are named.")] = 15,
    license: Annotated[str, typer.Option(help="Licence of the storyboards.")] = "",
    source: Annotated[str, typer.Option(help="Name of the set; the file's name by default.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Decides which variants are taken.")] = 42,
    json: JsonFlag = False,
) -> None:
    """Style, prompt, negative prompt and tags from "Scene N" texts, several rows a scene, each through the gates."""
    made = Studio().text_sets.process_storyboards(
        path,
        output,
        augmentation=augmentation_factor,
        style=style,
        banned=ban or [],
        review=review,
        min_examples=min_examples,
        license=license,
        source=source,
        seed=seed,
    )
    if json:
        print_json(made)
        return
    counts = made["counts"]
    say(f"{plural(counts['scenes'], 'scene')}, {plural(counts['kept'], 'row')}; refused: {_counted(counts['refused'])}")
    for name in ("rejected", "review", "output"):
        if made[name]:
            say(f"{name}: {made[name]}")
    for text in made["warnings"]:
        note(f"few examples: {text}")
    note(f"Next: read {made['review'] or made['output']}, then t2v dataset combine {made['output']}")


@app.command("upload")
def upload(
    folder: Annotated[Path, typer.Argument(help="Folder that t2v dataset combine wrote.")],
    repo: Annotated[str, typer.Option(help="Where to: owner/name.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody to read; private by default.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send it without asking.")] = False,
    json: JsonFlag = False,
) -> None:
    """Send a set and its card to the hub, after asking. The token comes from HF_TOKEN in the environment."""
    desk = Studio().text_sets
    ready = desk.plan_upload(folder, repo, private=not public)
    if not yes:
        confirm_sending(ready, repo, public=public)
    made = desk.upload(folder, repo, private=not public)
    if json:
        print_json(made)
        return
    say(f"sent: {made['url']}")


@app.command("add")
def add_set(
    paths: Sets,
    name: Annotated[str, typer.Option("--name", help="Its name. Default: that of the first file or folder.")] = "",
    json: JsonFlag = False,
) -> None:
    """Copy a set into the workspace, so that the Train tab offers it."""
    row = Studio().text_sets.add(paths, name)
    if json:
        print_json(row)
    else:
        say(f"{row['name']}: {', '.join(row['files'])}\n{row['path']}")


@app.command("sets")
def list_sets(json: JsonFlag = False) -> None:
    """The sets of the workspace."""
    rows = Studio().text_sets.sets()
    if json:
        print_json({"sets": rows})
    elif not rows:
        say("No set yet. Make one with: t2v dataset combine, then: t2v dataset add FOLDER")
    else:
        table([row | {"files": ", ".join(row["files"])} for row in rows], ("name", "files", "bytes", "made_at"))
