"""What a command prints: one JSON object on stdout with --json, else words for a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from t2v_studio.errors import StudioError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


def print_json(data: Any) -> None:
    json.dump(data, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")


def say(text: str = "") -> None:
    """A line for a person, on stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A line that is not the result: progress and notices, on stderr."""
    sys.stderr.write(text + "\n")


def table(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> None:
    """Rows as aligned columns."""
    cells = [[str(row.get(column, "") if row.get(column) is not None else "") for column in columns] for row in rows]
    widths = [min(max([len(column), *(len(line[i]) for line in cells)]), 60) for i, column in enumerate(columns)]
    for line in [[column.replace("_", " ") for column in columns], *cells]:
        say("  ".join(_clip(cell, width).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _clip(cell: str, width: int) -> str:
    cell = " ".join(cell.split())
    return cell if len(cell) <= width else cell[: width - 1] + "…"


def fail(error: StudioError, as_json: bool, exit_code: int | None = None) -> NoReturn:
    """Print the error in the form that was asked for and leave with a code that is not 0."""
    if as_json:
        print_json({"error": error.as_dict()})
    else:
        note(f"t2v: {error.message}")
        if error.hint:
            note(f"     {error.hint}")
    sys.exit(exit_code or error.exit_code or 1)


def confirm_sending(ready: dict[str, Any], repo: str, *, public: bool) -> None:
    """Show what would go to the hub, and ask. Raises typer.Abort for a no."""
    note(ready["card"])
    note(", ".join(f"{name} {size} bytes" for name, size in ready["files"].items()))
    who = "EVERYBODY can read it" if public else "private"
    if not typer.confirm(f"Send this to {repo} ({who})?", err=True):
        raise typer.Abort()


class Progress:
    """One line on stderr that is written over while a job runs; silent where stderr is no terminal."""

    def __init__(self, quiet: bool) -> None:
        self._live = sys.stderr.isatty() and not quiet
        self._width = 0

    def __call__(self, job: Job) -> None:
        if not self._live:
            return
        share = f" {job.step}/{job.total}" if job.total else ""
        line = f"{job.stage or job.state}{share} {job.message}".strip()
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def close(self) -> None:
        if self._live and self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")


def follow(studio: Studio, job: Job, quiet: bool) -> dict[str, Any]:
    """Wait for a job and give its result; Ctrl-C cancels it."""
    progress = Progress(quiet)
    try:
        return studio.wait(job.id, progress).result
    except KeyboardInterrupt:
        studio.cancel(job.id)
        raise
    finally:
        progress.close()
