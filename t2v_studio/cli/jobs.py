"""`t2v jobs`: what runs, what ran, and how to stop it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, print_json, say, table
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio

app = typer.Typer(help="Jobs: list, show, cancel, logs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of a job, as `t2v jobs list` prints it.")]


def _row(job: Job) -> dict[str, Any]:
    return asdict(job) | {"progress": f"{job.step}/{job.total}" if job.total else ""}


@app.command("list")
def list_jobs(
    active: Annotated[bool, typer.Option("--active", help="Only those that wait or run.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10000)] = 50,
    json: JsonFlag = False,
) -> None:
    """Jobs, newest first."""
    rows = [_row(job) for job in Studio().jobs(active=active, limit=limit)]
    if json:
        print_json({"jobs": rows})
    elif not rows:
        say("No jobs.")
    else:
        table(rows, ("id", "kind", "state", "stage", "progress", "title", "created_at"))


@app.command("show")
def show(job_id: JobId, json: JsonFlag = False) -> None:
    """One job: state, progress, result or error."""
    job = Studio().job(job_id)
    if json:
        print_json(_row(job))
        return
    say(f"{job.id}  {job.kind}  {job.state}  {job.title}")
    if job.stage:
        say(f"{job.stage} {job.step}/{job.total} {job.message}".rstrip())
    if job.error:
        say(f"{job.error['message']} {job.error['hint']}".rstrip())


@app.command("cancel")
def cancel(job_id: JobId, json: JsonFlag = False) -> None:
    """Ask a job to stop at its next step."""
    job = Studio().cancel(job_id)
    if json:
        print_json(_row(job))
    else:
        say(f"{job.id} is {job.state}." if job.ended else f"{job.id} stops at its next step.")


@app.command("logs")
def logs(
    job_id: JobId, lines: Annotated[int, typer.Option("-n", "--lines", min=1)] = 200, json: JsonFlag = False
) -> None:
    """The last lines of a job's log."""
    text = Studio().log(job_id, lines)
    if json:
        print_json({"id": job_id, "log": text})
    else:
        say(text.rstrip() or "The log is empty.")
