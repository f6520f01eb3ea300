"""What a language model's training has beyond a video model's: its recipes, evaluation, exports, and the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.recipe import read_text_recipe
from t2v_studio.adapters.runs import Part, TrainingRun, create_run, find_run, read_json, read_lines, step_name
from t2v_studio.adapters.text_push import EXPORTS, plan_push, push
from t2v_studio.adapters.text_recipe import TextRecipe, parse_text_recipe
from t2v_studio.errors import InputError, unknown_name
from t2v_studio.jobs.model import Job
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    from t2v_studio.adapters.card import AdapterCard

TASKS = ("auto", "manim", "prompts", "chat")
EXPORT_TARGETS = ("gguf", "merged", "merged_gguf", "modelfile", "card")
MEASURES = ("val_loss", "val_accuracy")


class TextTraining:
    """Verbs of `Studio.training` for recipes of `kind: text`."""

    _settings: Settings
    _workspace: Workspace
    _submit: Callable[..., Job]
    _active: Callable[[], list[Job]]

    def text_recipe(self, name_or_path: str, **changes: Any) -> TextRecipe:
        """A text recipe by name or file, with fields changed. Raises InputError, NotFoundError."""
        return read_text_recipe(name_or_path, **changes)

    def text_parsed(self, fields: dict[str, Any]) -> TextRecipe:
        """A text recipe from the fields of a form. Raises InputError that names the field."""
        return parse_text_recipe(fields)

    # --- judging -----------------------------------------------------------------------------
    def submit_evaluation(
        self,
        run_or_adapter: str,
        *,
        task: str = "auto",
        rows: int = 8,
        tries: int = 3,
        render: bool = False,
        repairs: int = 0,
        baselines: bool = True,
        dataset: Path | str | None = None,
    ) -> Job:
        """Judge a run's adapters, or one adapter of the catalogue, on held-out rows. Result: run, and as `evaluation`.

        rows: prompts that are asked. tries: answers a prompt, for the best of k. render: draw what runs. repairs: times that
        an error is shown to the model. baselines: the base, and the base with retrieved examples. dataset: where the
        adapter's own run is gone. Raises InputError, NotFoundError.
        """
        if task not in TASKS:
            raise unknown_name("task", task, list(TASKS))
        for name, value, most in (("rows", rows, 500), ("tries", tries, 20), ("repairs", repairs, 5)):
            if not (0 if name == "repairs" else 1) <= value <= most:
                raise InputError("bad_number", f"{name}: {value} is not between 1 and {most}.", "Correct it.")
        run, card = self._judged(run_or_adapter)
        data = Path(dataset).expanduser().absolute() if dataset else (run.info.get("dataset") if run else "")
        if not data or not Path(data).exists():
            raise InputError(
                "no_dataset", f"Rows: there is nothing to ask at {data or 'any place'}.", "Name a set with --dataset."
            )
        wish = {
            "task": task,
            "rows": rows,
            "tries": tries,
            "render": render,
            "repairs": repairs,
            "baselines": baselines,
        }
        more: dict[str, Any] = (
            {"of": run.id} if card is None and run else {"adapter": card.id, "adapter_name": card.name} if card else {}
        )
        title = f"Evaluation of {card.name if card else run.info['title'] if run else ''}"
        made = create_run(
            self._workspace, self._recipe_of(run, card), data, title=title, kind="check", evaluate=wish, **more
        )
        return self._submit("check_adapter", "training", {"run": made.id, "stage": "evaluate"}, title)

    def evaluation(self, run_or_adapter: str) -> dict[str, Any]:
        """The newest evaluation: columns, rows, notes, samples, csv, json, made_at; {} where there is none yet."""
        run, card = self._judged(run_or_adapter)
        if card is None and run is not None:
            return read_json(run.folder / "evaluation.json")
        assert card is not None
        own = read_json(self._workspace.adapter(card.id) / "evaluation.json")
        return own or (read_json(run.folder / "evaluation.json") if run else {})

    def being_made(self, run_id: str) -> dict[str, Job]:
        """The jobs that make something of a run or of its adapter now, by what they do: evaluate, export."""
        own = find_run(self._workspace, run_id).part().result.get("adapter") or ""
        found = {}
        for job in self._active():
            stage = str(job.spec.get("stage", ""))
            if job.kind == "check_adapter" and stage in ("evaluate", "export"):
                info = find_run(self._workspace, str(job.spec["run"])).info
                if info.get("of") == run_id or (own and info.get("adapter") == own):
                    found[stage] = job
        return found

    def _judged(self, run_or_adapter: str) -> tuple[TrainingRun | None, AdapterCard | None]:
        """A run and no card, or an adapter's card and its run where that is still here."""
        from t2v_studio.adapters.catalogue import find
        from t2v_studio.adapters.text_card import run_of

        if run_or_adapter.startswith("run_"):
            run = find_run(self._workspace, run_or_adapter)
            if run.trains != "text":
                raise InputError("not_text", f"{run.id} trains a video model.", "Compare it with: t2v train validate")
            return run, None
        card = find(self._workspace, run_or_adapter)
        if not card.is_text:
            raise InputError("not_text", f"{card.name} is of a video model.", "Compare it with: t2v train validate")
        return run_of(self._workspace, card), card

    def _recipe_of(self, run: TrainingRun | None, card: AdapterCard | None) -> TextRecipe:
        from t2v_studio.adapters.text_card import recipe_of

        return run.text_recipe if run is not None else recipe_of(self._workspace, card)  # type: ignore[arg-type]

    # --- taking away -------------------------------------------------------------------------
    def submit_export(self, adapter: str, target: str, folder: Path | None = None, **options: Any) -> Job:
        """Write an adapter for other programs. Result: adapter, target, folder, files[] (path, bytes), notes[].

        target: one of EXPORT_TARGETS. folder: outputs/adapters/<id>/export where none is given. options: llama_cpp (checkout) and
        outtype for merged_gguf, base (what FROM names) for modelfile. Raises InputError, NotFoundError.
        """
        if target not in EXPORT_TARGETS:
            raise unknown_name("target", target, list(EXPORT_TARGETS))
        unknown = next((name for name in options if name not in ("llama_cpp", "outtype", "base")), None)
        if unknown:
            raise unknown_name("option", unknown, ["llama_cpp", "outtype", "base"])
        run, card = self._judged(adapter)
        if card is None:
            raise InputError("no_adapter", f"{adapter} is a run.", "Name its adapter: see t2v train show.")
        place = Path(folder).expanduser().absolute() if folder else self._workspace.adapter(card.id) / EXPORTS
        given = {name: str(value) for name, value in options.items() if value}
        wish = {"target": target, "folder": str(place), "options": given}
        title = f"Export of {card.name}: {target}"
        made = create_run(
            self._workspace, self._recipe_of(run, card), "", title=title, kind="check", adapter=card.id, export=wish
        )
        return self._submit("check_adapter", "training", {"run": made.id, "stage": "export"}, title)

    def plan_push(self, adapter: str, repo: str, *, private: bool = True) -> dict[str, Any]:
        """What `push` would send: repo, private, files (name to bytes) and card. Nothing leaves the machine."""
        return plan_push(self._workspace, adapter, repo, private=private).as_dict()

    def push(self, adapter: str, repo: str, *, private: bool = True) -> dict[str, Any]:
        """Send an adapter to the hub with the token in HF_TOKEN; repo, private, url. Ask first."""
        ready = plan_push(self._workspace, adapter, repo, private=private)
        return {"repo": repo, "private": private, "url": push(ready, os.environ.get("HF_TOKEN", ""))}


def text_table(part: Part) -> list[dict[str, Any]]:
    """A row an adapter, oldest first: step, epoch, val_loss, val_accuracy, chosen, place, state, reason."""
    checks, _ = read_lines(part.metrics)
    newest = {int(row["step"]): row for row in checks}
    order = sorted(
        (step for step in newest if newest[step].get("val_loss") is not None), key=lambda s: newest[s]["val_loss"]
    )
    chosen = part.result.get("step")
    return [
        {
            **{name: newest[step].get(name) for name in ("step", "epoch", *MEASURES)},
            "place": order.index(step) + 1 if step in order else None,
            "chosen": step == chosen,
            "state": "kept" if (part.adapters / step_name(step)).is_dir() else "gone",
            "reason": "",
        }
        for step in sorted(newest)
    ]


def text_metrics(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in MEASURES}
