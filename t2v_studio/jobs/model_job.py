"""The job kinds of lane "files": fetch a model, or write a narrower copy of one. No model is loaded."""

from __future__ import annotations

from typing import Any

from t2v_studio.jobs.model import Context, Job

_MEGABYTE = 1_000_000


def download(context: Context, job: Job) -> dict[str, Any]:
    """Spec: model, check. Result: model, revision, bytes, files."""
    from t2v_studio.engines.diffusion.chat_files import chat_entry
    from t2v_studio.engines.diffusion.download import download as fetch
    from t2v_studio.engines.diffusion.models import model
    from t2v_studio.engines.diffusion.store import ModelStore

    entry = chat_entry(job.spec["model"]) or model(job.spec["model"], context.settings, context.workspace)
    store = ModelStore.of(context.settings, context.workspace)
    report = _in_megabytes(context)
    return fetch(entry, store, report, freeable=job.spec.get("freeable", 0), check=job.spec.get("check", False))


def convert(context: Context, job: Job) -> dict[str, Any]:
    """Spec: model, dtype. Result: model, dtype, parts, before, after (bytes)."""
    from t2v_studio.engines.diffusion.convert import convert as narrow
    from t2v_studio.engines.diffusion.models import model
    from t2v_studio.engines.diffusion.store import ModelStore

    entry = model(job.spec["model"], context.settings, context.workspace)
    store = ModelStore.of(context.settings, context.workspace)
    return narrow(entry, store, _in_megabytes(context), job.spec["dtype"], freeable=job.spec.get("freeable", 0))


def _in_megabytes(context: Context) -> Any:
    def report(stage: str, done: int, total: int, file: str) -> None:
        context.report(stage, done // _MEGABYTE, -(-total // _MEGABYTE), file)

    return report
