"""A training run's folder: what was asked, how far it is, what came of it. The trainer writes it, the page reads it.

outputs/training/<run>/
    run.json, recipe.yaml          what was asked
    progress.jsonl                 stages, one line a report
    save_now, sample_now, stop     signals: the trainer takes the file away when it obeys
    unified/, <scenario>/          a part each: one adapter
        train.jsonl                a line an optimiser step
        validation_metrics.jsonl   a line a check
        checkpoints/, adapters/, pruned/, samples/, result.json
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.recipe import Kind, Recipe, read_recipe, read_text_recipe, write_recipe
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import ConflictError, NotFoundError
from t2v_studio.workspace import Workspace, new_id

Signal = Literal["save_now", "sample_now", "stop"]
SIGNALS: tuple[Signal, ...] = ("save_now", "sample_now", "stop")
UNIFIED = "unified"
COMFYUI = "comfyui_lora.safetensors"
CARD_FIELDS = "card_fields.json"
"""In a part: what the card of each of its adapters says, whatever the step."""


@dataclass(frozen=True)
class Part:
    """The folder of one adapter of a run."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / "train.jsonl"

    @property
    def metrics(self) -> Path:
        return self.folder / "validation_metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def adapters(self) -> Path:
        return self.folder / "adapters"

    @property
    def pruned(self) -> Path:
        return self.folder / "pruned"

    @property
    def samples(self) -> Path:
        return self.folder / "samples"

    @property
    def result(self) -> dict[str, Any]:
        """What came of it; empty until it has ended."""
        return read_json(self.folder / "result.json")


@dataclass(frozen=True)
class TrainingRun:
    """One run by its folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def info(self) -> dict[str, Any]:
        """id, title, trains, dataset, scenarios (bool), created_at; of a check, adapter and scale, too."""
        return read_json(self.folder / "run.json")

    @property
    def trains(self) -> Kind:
        """What kind of model: video, or text. Runs from before there was text name nothing."""
        return "text" if self.info.get("trains") == "text" else "video"

    @property
    def recipe(self) -> Recipe:
        """Of a run of a video model."""
        return read_recipe(self.folder / "recipe.yaml")

    @property
    def text_recipe(self) -> TextRecipe:
        """Of a run of a language model."""
        return read_text_recipe(self.folder / "recipe.yaml")

    @property
    def any_recipe(self) -> Recipe | TextRecipe:
        return self.text_recipe if self.trains == "text" else self.recipe

    @property
    def progress(self) -> Path:
        return self.folder / "progress.jsonl"

    @property
    def lock(self) -> Path:
        """Held (flock) by the trainer while it runs."""
        return self.folder / "lock"

    def part(self, name: str = UNIFIED) -> Part:
        return Part(self.folder / name)

    @property
    def parts(self) -> list[Part]:
        """The unified part first, then the scenarios' in the order in which they began."""
        found = [Part(path.parent) for path in self.folder.glob("*/train.jsonl")]
        return sorted(found, key=lambda part: (part.name != UNIFIED, part.log.stat().st_ctime, part.name))

    def signal(self, name: Signal) -> None:
        """Ask the trainer for something at its next step."""
        (self.folder / name).touch()

    def take(self, name: Signal) -> bool:
        """Whether somebody asked; asks only once."""
        try:
            (self.folder / name).unlink()
        except FileNotFoundError:
            return False
        return True


def create_run(
    workspace: Workspace,
    recipe: Recipe | TextRecipe,
    dataset: Path | str,
    *,
    title: str = "",
    scenarios: bool = False,
    **more: Any,
) -> TrainingRun:
    """A new run's folder with what was asked. more: further fields of run.json (adapter and scale, for a check)."""
    run = TrainingRun(workspace.training / new_id("run"))
    run.folder.mkdir(parents=True)
    write_recipe(recipe, run.folder / "recipe.yaml")
    info = {
        "id": run.id,
        "title": title or f"{recipe.name} on {recipe.model}",
        "trains": "text" if isinstance(recipe, TextRecipe) else "video",
        "dataset": str(dataset),
        "scenarios": scenarios,
        "created_at": now_text(),
        **more,
    }
    write_json(run.folder / "run.json", info)
    return run


def find_run(workspace: Workspace, run_id: str) -> TrainingRun:
    """Raises NotFoundError."""
    run = TrainingRun(workspace.training_run(run_id))
    if not (run.folder / "run.json").is_file():
        raise NotFoundError("unknown_run", f"There is no training run {run_id!r}.", "List them with: t2v train list")
    return run


def all_runs(workspace: Workspace) -> list[TrainingRun]:
    """Newest first."""
    return [TrainingRun(path.parent) for path in sorted(workspace.training.glob("run_*/run.json"), reverse=True)]


def step_name(step: int) -> str:
    return f"step_{step:08d}"


def publish(workspace: Workspace, part: Part, step: int, *, metrics: dict[str, Any], notes: str = "") -> AdapterCard:
    """Put the adapter of a step into the catalogue; the same one again gives the card that it has.

    metrics: figures for the card. Raises NotFoundError where the step has no adapter.
    """
    from t2v_studio.adapters.catalogue import adopt
    from t2v_studio.adapters.files import WEIGHTS

    folder = next(
        (root / step_name(step) for root in (part.adapters, part.pruned) if (root / step_name(step)).is_dir()), None
    )
    if folder is None:
        raise NotFoundError(
            "no_such_step", f"{part.name}: there is no adapter of step {step}.", "Each check writes one: see the table."
        )
    kept = {name: value for name, value in metrics.items() if isinstance(value, int | float | str)}
    card = adopt(
        workspace,
        folder,
        weight_name=WEIGHTS,
        metrics=kept | {"step": step},
        notes=notes,
        **read_json(part.folder / CARD_FIELDS),
    )
    beside = workspace.adapter(card.id) / COMFYUI
    if (folder / COMFYUI).is_file() and not beside.is_file():
        shutil.copyfile(folder / COMFYUI, beside)
    return card


def publish_text(workspace: Workspace, part: Part, step: int, *, metrics: dict[str, Any]) -> AdapterCard:
    """`publish` for a language model: PEFT's folder of a step. Raises NotFoundError."""
    from t2v_studio.adapters.text_adapters import adopt_text

    folder = part.adapters / step_name(step)
    if not folder.is_dir():
        raise NotFoundError(
            "no_such_step", f"{part.name}: there is no adapter of step {step}.", "Each check writes one: see the table."
        )
    known = ("name", "base_model", "base_revision", "license", "data_hash", "made_from")
    fields = read_json(part.folder / CARD_FIELDS)
    kept = {name: value for name, value in metrics.items() if isinstance(value, int | float | str)}
    return adopt_text(
        workspace,
        folder,
        fields["family"],
        metrics=kept | {"step": step},
        **{name: fields[name] for name in known if fields.get(name)},
    )


def now_text() -> str:
    """The present in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_lines(path: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Whole JSON lines of a file from byte `start` on, and the byte to go on from; a half-written line waits."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read()
    except OSError:
        return [], start
    end = data.rfind(b"\n") + 1
    return list(_parsed(data[:end])), start + end


def _parsed(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a line that a kill cut in two
        if isinstance(row, dict):
            yield row


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file. Raises ConflictError for a damaged one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConflictError("file_damaged", f"{path.name} of {path.parent.name} cannot be read: {error}.") from error
    return data if isinstance(data, dict) else {}


def write_json(path: Path, data: Any) -> None:
    """Written to a temporary name, then renamed: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    temporary.replace(path)
