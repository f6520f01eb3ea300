"""The job kinds of lane "training": a trainer is started, followed and ended; this process loads no model."""

from __future__ import annotations

from typing import Any

from t2v_studio.adapters.runs import read_json
from t2v_studio.errors import CancelledError
from t2v_studio.jobs.card import card_for_training
from t2v_studio.jobs.model import Context, Job
from t2v_studio.jobs.trainer_process import TrainerProcess, command, environment
from t2v_studio.machine import cards

_HURRY_S = 20.0
"""For a person at the keyboard, or a supervisor that has lost patience."""


def train(context: Context, job: Job) -> dict[str, Any]:
    """Spec: run, stage, npz. Result: run, results (one a part: adapter, step, metrics, base), adapter (of the unified part)."""
    last = _followed(context, job)
    results = last.get("results") or []
    return {"run": job.spec["run"], "results": results, "adapter": results[0]["adapter"] if results else ""}


def check(context: Context, job: Job) -> dict[str, Any]:
    """Spec: run. Result: run, and what stands in check.json: of a check ok, regressions, base, measured, samples.

    Of a language model it is an evaluation (columns, rows, notes, samples) or an export (target, files, notes).
    """
    from t2v_studio.adapters.runs import find_run

    _followed(context, job)
    return {"run": job.spec["run"]} | read_json(find_run(context.workspace, job.spec["run"]).folder / "check.json")


def _followed(context: Context, job: Job) -> dict[str, Any]:
    from t2v_studio.adapters.runs import find_run

    run = find_run(context.workspace, job.spec["run"])
    count = cards()
    stage = job.spec.get("stage", "all")
    arguments = ["--stage", stage] + (["--export-npz"] if job.spec.get("npz") else [])
    argv = command(run.folder, *arguments, cards=count if stage in ("all", "latents", "text", "train") else 1)
    with card_for_training(context, count=count):
        context.report("starting the trainer")
        env = environment(context.settings, context.workspace, count, one_card=run.trains == "text")
        process = TrainerProcess(run, argv, env, context.workspace.job_log(job.id))
        try:
            return process.follow(
                lambda line: context.report(line["stage"], line["step"], line["total"], _words(line)),
                context.check_cancelled,
            )
        except CancelledError:
            # It gives up the pass it is in, saves the last whole step, and leaves.
            process.stop(context.settings.train_stop_seconds)
            raise
        except KeyboardInterrupt:
            process.stop(_HURRY_S)
            raise
        finally:
            process.kill()


def _words(line: dict[str, Any]) -> str:
    return str(line.get("message") or "")
