"""Packs and their runs, as the interfaces see them. `Studio.packs` is one of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.errors import ConflictError, StudioError
from t2v_studio.jobs.model import Job
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

RUNS_MAX = 60


class PackShelf:
    """The pack files and the runs of one workspace. Rows are plain dicts, ready for JSON."""

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        submit: Callable[..., Job],
        active: Callable[[], list[Job]],
    ) -> None:
        """submit: queues (kind, lane, spec, title). active: the jobs that have not ended."""
        self._settings = settings
        self._workspace = workspace
        self._submit = submit
        self._active = active

    def packs(self) -> list[dict[str, Any]]:
        """Rows: name, title, description, path, engine, variants, topics[] (slug, topic, template, seed), error.

        A file that cannot be used is a row with its error and no topics.
        """
        from t2v_studio.production.packs import pack_files, read_pack

        rows = []
        for name, path in pack_files(self._workspace).items():
            row: dict[str, Any] = {"name": name, "path": str(path), "error": "", "topics": []}
            try:
                pack = read_pack(path)
            except StudioError as error:
                rows.append(row | {"title": name, "description": "", "variants": [], "error": error.message})
                continue
            topics = [topic.model_dump(include={"slug", "topic", "template", "seed"}) for topic in pack.topics]
            words = {"title": pack.title, "description": pack.description, "variants": list(pack.variants)}
            rows.append(row | words | {"topics": topics})
        return rows

    def submit_pack(
        self,
        name_or_path: str,
        *,
        engine: str = "",
        seed_offset: int = 0,
        strict: bool = False,
        tag: str = "",
        resume: bool = True,
        overrides: dict[str, Any] | None = None,
        output: Path | None = None,
    ) -> Job:
        """Queue a run, or go on with an unfinished one of the same pack and settings. Result: as of `pack_run`.

        engine: "" leaves it to the pack. overrides: VideoRequest fields for this run alone. output: the
        folder in which the run's folder lies, outputs/packs by default. The spec names the run. Raises
        InputError, ConflictError (pack_running, tag_taken), UnavailableError for an engine that is not there.
        """
        from t2v_studio.engines.registry import engine as find_engine
        from t2v_studio.production.packs import find_pack, topic_request
        from t2v_studio.production.packs_run import open_run

        pack = find_pack(name_or_path, self._workspace)
        given = {name: value for name, value in (overrides or {}).items() if value is not None and name != "engine"}
        for topic in pack.topics:
            # Refused now, not after the planning.
            find_engine(topic_request(pack, topic, engine=engine, seed_offset=seed_offset, overrides=given).engine)
        root = Path(output).expanduser().absolute() if output is not None else None
        run = open_run(
            pack,
            workspace=self._workspace,
            engine=engine,
            seed_offset=seed_offset,
            strict=strict,
            overrides=given,
            tag=tag,
            resume=resume,
            root=root,
        )
        folder = str(run.folder)
        busy = next((job for job in self._active() if job.kind == "pack" and job.spec["folder"] == folder), None)
        if busy is not None:
            raise ConflictError(
                "pack_running",
                f"{run.id} is being made now ({busy.id}).",
                "Wait for it or cancel it, or choose another tag or seed offset.",
                job=busy.id,
            )
        return self._submit("pack", "library", {"run": run.id, "folder": folder}, f"Pack: {pack.title}")

    def pack_runs(self) -> list[dict[str, Any]]:
        """Rows of outputs/packs, newest first: as `pack_run` without rows. state: running, unfinished or finished."""
        from t2v_studio.production.packs_run import runs_in

        active = self._folders()
        return [self._row(run, active, rows=False) for run in runs_in(self._workspace.packs)[:RUNS_MAX]]

    def pack_run(self, run_id: str) -> dict[str, Any]:
        """One run by its id or folder: run, pack, title, tag, state, engine, seed_offset, strict, folder, summary, results,
        ok, counts, pair_ids, and rows as in summary.csv. Raises NotFoundError."""
        from t2v_studio.production.packs_run import find_run

        return self._row(find_run(self._workspace, run_id), self._folders(), rows=True)

    def compare(
        self,
        base: str,
        adapter: str,
        report: Callable[..., None] = lambda *_: None,
        *,
        clip_weights: Path | None = None,
    ) -> dict[str, Any]:
        """Two runs of one pack, the second with an adapter: see `base_and_adapter.compare_runs`. Raises NotFoundError, InputError."""
        from t2v_studio.datasets.base_and_adapter import compare_runs
        from t2v_studio.production.packs_run import find_run

        weights = clip_weights or self._settings.clip_weights
        first, second = find_run(self._workspace, base), find_run(self._workspace, adapter)
        return compare_runs(first, second, self._workspace, weights=weights, report=report)

    def _row(self, run: Any, active: set[str], *, rows: bool) -> dict[str, Any]:
        from t2v_studio.production.packs_make import run_json

        form = run_json(run, self._workspace, rows=rows)
        if form["state"] != "finished":
            form["state"] = "running" if str(run.folder) in active else "unfinished"
        return form

    def _folders(self) -> set[str]:
        return {job.spec["folder"] for job in self._active() if job.kind == "pack"}
