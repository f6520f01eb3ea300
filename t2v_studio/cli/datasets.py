"""`t2v dataset`: text sets for small language models, from documentation, pairs and storyboards to checked rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, note, print_json, say, table
from t2v_studio.studio import Studio

app = typer.Typer(help="Text sets for small language models: extract, caption, combine, check.", no_args_is_help=True)

Sets = Annotated[list[Path], typer.Argument(help="Files (.jsonl, .json, .csv), or folders of them.")]
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
    say(f"{found['rows']} rows: {_counted(found['shapes'])}; splits: {_counted(found['splits'])}")
    say(f"licences: {_counted(found['licenses'])}")
    if found["code"]:
        say(f"code: {_counted(found['code'])}")
    _show_tokens(found["tokens"])
    for name, reason in found["unchecked"].items():
        note(f"not checked: {name.replace('_', ' ')}, {reason}")
    counts = found["counts"]
    say(f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes")


def _show_tokens(found: dict[str, Any]) -> None:
    if not found["available"] or not found["rows"]:
        return
    say(f"tokens: {found['min']} to {found['max']}, median {found['median']:g}, 90 % within {found['p90']}")
    say(f"cut off at {found['max_length']}: {found['truncated']} rows ({found['truncated_share']:.1%})")
    table(found["bins"], ("up_to", "rows"))
