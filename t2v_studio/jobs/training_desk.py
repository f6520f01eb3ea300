"""Training runs, as the interfaces see them. `Studio.training` is one of these."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.adapters.ranking import standings
from t2v_studio.adapters.recipe import Kind, Recipe, parse_recipe, read_recipe, read_text_recipe, recipe_files
from t2v_studio.adapters.runs import (
    SIGNALS,
    Part,
    TrainingRun,
    all_runs,
    create_run,
    find_run,
    publish,
    publish_text,
    read_json,
    read_lines,
    step_name,
)
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import ConflictError, InputError, StudioError, unknown_name
from t2v_studio.jobs.locks import is_held
from t2v_studio.jobs.model import Job
from t2v_studio.jobs.text_training import TextTraining, text_metrics, text_table
from t2v_studio.jobs.trainer_process import ask, command
from t2v_studio.machine import cards
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

RUNS_MAX, POINTS_MAX = 60, 400
DRY_RUN_S, SMOKE_S = 300.0, 600.0
KINDS = ("train", "check_adapter")
STAGES = ("all", "latents", "text", "train")


class TrainingDesk(TextTraining):
    """Recipes, runs and what came of them, of video models and of language models. Rows are plain dicts, ready for JSON."""

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

    # --- before a run ------------------------------------------------------------------------
    def recipes(self, kind: Kind = "video") -> list[dict[str, Any]]:
        """Rows: name, kind, about, model, error, and recipe (its fields). One that cannot be read is a row with its error."""
        rows = []
        for name in recipe_files(kind):
            row: dict[str, Any] = {"name": name, "kind": kind, "about": "", "model": "", "error": "", "recipe": {}}
            try:
                recipe = read_text_recipe(name) if kind == "text" else read_recipe(name)
            except StudioError as error:
                rows.append(row | {"error": error.message})
                continue
            rows.append(row | {"about": recipe.about, "model": recipe.model, "recipe": recipe.model_dump(mode="json")})
        return rows

    def recipe(self, name_or_path: str, **changes: Any) -> Recipe:
        """A recipe by name or file, with fields changed. Raises InputError, NotFoundError."""
        return read_recipe(name_or_path, **changes)

    def parsed(self, fields: dict[str, Any]) -> Recipe:
        """A recipe from the fields of a form. Raises InputError that names the field."""
        return parse_recipe(fields)

    def dry_run(self, recipe: Recipe | TextRecipe, dataset: Path | str) -> dict[str, Any]:
        """What the training would need: clips, buckets, dropped, notices, parameters, steps, epochs, memory_gib, speed, disk.

        Of a language model: rows, findings, tokens, preview, targets, parameters, steps, epochs, memory_gib, disk, notices.
        Nothing is loaded but configs. Raises InputError, NotFoundError, UnavailableError.
        """
        return self._ask(
            f"training.{kind_of(recipe)}.estimate",
            "--recipe",
            "-",
            "--dataset",
            str(dataset_of(self._workspace, dataset, kind_of(recipe))),
            given=recipe.model_dump_json(),
            limit_s=DRY_RUN_S,
        )

    def smoke(self, name_or_path: str = "tiny_smoke") -> dict[str, Any]:
        """Two steps of a recipe on a tiny model: ok, model, losses, difference, seconds. Raises StudioError.

        Of a language model: ok, families[] (losses, reload_difference, merge_difference, gguf_bytes), seconds.
        """
        kind: Kind = "video"
        try:
            self.recipe(name_or_path)
        except InputError as error:
            if error.code != "wrong_recipe_kind":
                raise
            self.text_recipe(name_or_path)
            kind = "text"
        return self._ask(f"training.{kind}.smoke", "--recipe", str(name_or_path), limit_s=SMOKE_S)

    def _ask(self, module: str, *arguments: str, given: str = "", limit_s: float) -> dict[str, Any]:
        answer: dict[str, Any] = ask(
            module, *arguments, settings=self._settings, workspace=self._workspace, given=given, limit_s=limit_s
        )
        return answer

    # --- runs --------------------------------------------------------------------------------
    def submit_training(
        self,
        recipe: Recipe | TextRecipe,
        dataset: Path | str,
        *,
        title: str = "",
        scenarios: bool = False,
        stage: str = "all",
        npz: bool = False,
    ) -> Job:
        """Queue a new run. Result: run, results (one a part), adapter. Raises InputError, NotFoundError.

        stage: latents or text fills the cache alone. npz: write the cached latents as .npz, too.
        """
        if stage not in STAGES:
            raise unknown_name("stage", stage, list(STAGES))
        run = create_run(
            self._workspace,
            recipe,
            dataset_of(self._workspace, dataset, kind_of(recipe)),
            title=title.strip()[:120],
            scenarios=scenarios,
        )
        return self._queue(run, stage=stage, npz=npz)

    def resume(self, run_id: str) -> Job:
        """Go on with a run from its last checkpoint. Raises ConflictError where it runs, or has nothing left to do."""
        run = find_run(self._workspace, run_id)
        self._must_rest(run)
        if self._state(run) == "finished":
            raise ConflictError(
                "run_finished", f"{run_id} is finished.", "Start a new run; start_from takes its adapter over."
            )
        return self._queue(run)

    def submit_check(
        self,
        adapter_id: str,
        *,
        recipe: Recipe | None = None,
        dataset: Path | str | None = None,
        scale: float | None = None,
    ) -> Job:
        """Compare an adapter with its base. Result: run, ok, regressions, base, measured, samples.

        recipe, dataset: how and on what to measure; those of the adapter's own run where it has one. Raises
        InputError where the recipe's model is not known.
        """
        from t2v_studio.adapters.catalogue import find

        card = find(self._workspace, adapter_id)
        if card.is_text:
            raise InputError("text_adapter", f"{card.name} is of a language model.", "Use: t2v train evaluate")
        own = self._run_of(card.made_from)
        chosen = recipe or (own.recipe if own else None)
        if chosen is None:
            if not card.base_model:
                raise InputError(
                    "no_recipe",
                    f"{card.name}: nobody knows what it was trained on.",
                    "Name a recipe with its base model.",
                )
            chosen = Recipe(name="check", model=card.base_model, trigger=card.trigger)
        data: Path | str = dataset_of(self._workspace, dataset) if dataset else (own.info["dataset"] if own else "")
        strength = card.scale if scale is None else scale
        run = create_run(
            self._workspace, chosen, data, title=f"Check of {card.name}", adapter=card.id, scale=strength, kind="check"
        )
        title = f"Check of {card.name}"
        return self._submit("check_adapter", "training", {"run": run.id, "stage": "check"}, title)

    def _run_of(self, made_from: str) -> TrainingRun | None:
        try:
            return find_run(self._workspace, made_from.partition("/")[0])
        except StudioError:
            return None

    def _queue(self, run: TrainingRun, *, stage: str = "all", npz: bool = False) -> Job:
        return self._submit(
            "train", "training", {"run": run.id, "stage": stage, "npz": npz}, f"Training: {run.info['title']}"
        )

    def _must_rest(self, run: TrainingRun) -> None:
        job = self._job_of(run)
        if job is not None or is_held(run.lock):
            raise ConflictError("run_busy", f"{run.id} is being trained now.", "Wait for its end, or stop it.")

    def signal(self, run_id: str, name: str) -> dict[str, Any]:
        """Ask a running trainer for save_now, sample_now or stop, which it obeys after its step. Raises ConflictError."""
        if name not in SIGNALS:
            raise unknown_name("signal", name, list(SIGNALS))
        run = find_run(self._workspace, run_id)
        if not is_held(run.lock):
            raise ConflictError(
                "run_rests", f"{run_id} is not being trained now.", f"Go on with: t2v train resume {run_id}"
            )
        run.signal(next(one for one in SIGNALS if one == name))
        return {"run": run_id, "signal": name}

    # --- looking -----------------------------------------------------------------------------
    def runs(self) -> list[dict[str, Any]]:
        """Rows, newest first: run, kind, title, state, recipe, model, created_at, step, total, adapter, job, error."""
        return [self._row(run) for run in all_runs(self._workspace)[:RUNS_MAX] if run.info.get("kind") != "check"]

    def run(self, run_id: str) -> dict[str, Any]:
        """One run: its row, and dataset, scenarios, recipe, command, last (line of progress), parts.

        A part: name, log (thinned out), checks, table (a row an adapter), samples, base, result.
        """
        run = find_run(self._workspace, run_id)
        return self._row(run) | {
            "dataset": run.info.get("dataset", ""),
            "scenarios": bool(run.info.get("scenarios")),
            "recipe_fields": run.any_recipe.model_dump(mode="json"),
            "command": shlex.join(command(run.folder, cards=cards())),
            "parts": [self._part(part, run.trains) for part in run.parts],
        }

    def publish(self, run_id: str, part: str, step: int) -> dict[str, Any]:
        """Put the adapter of a step into the catalogue, kept or moved aside; its card. Raises NotFoundError."""
        run = find_run(self._workspace, run_id)
        found = next((one for one in run.parts if one.name == part), None)
        if found is None:
            raise unknown_name("part", part, [one.name for one in run.parts])
        if run.trains == "text":
            row = next((row for row in text_table(found) if row["step"] == step), {})
            return publish_text(self._workspace, found, step, metrics=text_metrics(row)).model_dump(mode="json")
        row = next((row for row in _table(found) if row["step"] == step), {})
        metrics = {
            name: row.get(name) for name in ("val_loss", "warp_error", "warp_score", "motion", "clip_text", "frozen")
        }
        return publish(self._workspace, found, step, metrics=metrics).model_dump(mode="json")

    def _row(self, run: TrainingRun) -> dict[str, Any]:
        info, last = run.info, last_line(run.progress)
        job = self._job_of(run)
        result = run.part().result
        return {
            "run": run.id,
            "kind": run.trains,
            "title": info.get("title", ""),
            "state": self._state(run),
            "recipe": _name_of(run),
            "created_at": info.get("created_at", ""),
            "last": last,
            "step": _last_step(run),
            "adapter": result.get("adapter", ""),
            "job": job.id if job else "",
            "error": last.get("error") if "error" in last and last.get("stage") == "failed" else None,
        }

    def _state(self, run: TrainingRun) -> str:
        """running, waiting, finished, failed, stopped (goes on from a checkpoint) or new."""
        job = self._job_of(run)
        if is_held(run.lock):
            return "running"
        if job is not None:
            return "waiting" if job.state == "queued" else "running"
        last = last_line(run.progress)
        if last.get("stage") == "done":
            return "finished"
        if last.get("stage") == "failed":
            return "failed"
        return "stopped" if last else "new"

    def _job_of(self, run: TrainingRun) -> Job | None:
        return next((job for job in self._active() if job.kind in KINDS and job.spec.get("run") == run.id), None)

    def _part(self, part: Part, kind: Kind) -> dict[str, Any]:
        log, _ = read_lines(part.log)
        checks, _ = read_lines(part.metrics)
        base = read_json(part.folder / "base.json")
        return {
            "name": part.name,
            "folder": str(part.folder),
            "log": thinned(one_a_step(log)),
            "checks": one_a_step(checks),
            "table": text_table(part) if kind == "text" else _table(part),
            "base": {name: value for name, value in base.items() if name != "settings"},
            "result": part.result,
        }


def _table(part: Part) -> list[dict[str, Any]]:
    """A row an adapter, oldest first: step, its measures, mean_rank, place, and kept, moved or gone with the reason."""
    checks, _ = read_lines(part.metrics)
    checks = one_a_step(checks)
    order = {one.step: (place, one) for place, one in enumerate(standings(checks), start=1)}
    chosen = part.result.get("step")
    rows = []
    for check in checks:
        step = int(check["step"])
        place, standing = order[step]
        reason = read_json(part.pruned / step_name(step) / "reason.json").get("reason", "")
        kept = (part.adapters / step_name(step)).is_dir()
        names = (
            "step",
            "epoch",
            "val_loss",
            "warp_error",
            "warp_score",
            "motion",
            "clip_text",
            "clip_note",
            "frozen",
            "bad",
        )
        rows.append(
            {name: check.get(name) for name in names}
            | {"mean_rank": standing.mean_rank, "place": place, "chosen": step == chosen}
            | {"state": "kept" if kept else "moved" if reason else "gone", "reason": reason}
        )
    return rows


def one_a_step(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last row of each step: a run that was killed writes the steps after its checkpoint again."""
    return [row for _, row in sorted({int(row["step"]): row for row in rows if "step" in row}.items())]


def thinned(rows: list[dict[str, Any]], most: int = POINTS_MAX) -> list[dict[str, Any]]:
    """Rows for a plot: all of them, or evenly spaced ones with the last."""
    if len(rows) <= most:
        return rows
    stride = len(rows) / most
    return [rows[int(index * stride)] for index in range(most - 1)] + [rows[-1]]


def last_line(path: Path) -> dict[str, Any]:
    """The last whole line of a JSON lines file."""
    try:
        size = path.stat().st_size
    except OSError:
        return {}
    rows, _ = read_lines(path, max(0, size - 20_000))
    return rows[-1] if rows else {}


def _last_step(run: TrainingRun) -> dict[str, Any]:
    """step, total, loss and seconds of the part that is trained now; empty before the first step."""
    parts = run.parts
    if not parts:
        return {}
    found = last_line(max(parts, key=lambda part: part.log.stat().st_mtime).log)
    return {name: found.get(name) for name in ("step", "total", "loss", "seconds", "memory_gib", "gpu_use")}


def _name_of(run: TrainingRun) -> str:
    try:
        return run.any_recipe.name
    except StudioError:
        return ""


def kind_of(recipe: Recipe | TextRecipe) -> Kind:
    return "text" if isinstance(recipe, TextRecipe) else "video"


def dataset_of(workspace: Workspace, named: Path | str, kind: Kind = "video") -> Path:
    """The data set that is named: the id of a saved manifest, or a path, made absolute since the trainer runs elsewhere.

    Raises InputError for one that is not there.
    """
    what, name_it, make_it = _DATASETS[kind]
    text = str(named).strip()
    if not text:
        raise InputError("no_dataset", f"{what}: nothing to train on is named.", name_it)
    if kind == "video" and text.startswith("set_") and workspace.manifest(text).is_dir():
        return workspace.manifest(text) / "manifest.jsonl"
    found = Path(text).expanduser().absolute()
    if not found.exists():
        raise InputError("no_such_dataset", f"{what}: there is no {found}.", make_it)
    return found


_DATASETS: dict[Kind, tuple[str, str, str]] = {
    "video": ("Clips", "Name a manifest or a folder of clips.", "Make a manifest with: t2v manifest build"),
    "text": ("Rows", "Name a folder with train.jsonl, or a file of rows.", "Make a set with: t2v dataset combine"),
}
"""What it is called, and the hints where none is named or it is not there."""
