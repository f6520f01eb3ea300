"""What happens beside the steps of TRL: the log, the checks, signals of the page, the early stop."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from t2v_studio.adapters.runs import Part, now_text, read_lines, step_name
from t2v_studio.disk import room_for
from training.text.base import Base
from training.text.session import TextSession
from training.video.checkpoints import HINT
from training.video.hardware import Gauge
from training.video.session import append_line

RECENT = 20
"""Steps whose mean tells how long the rest will take."""
WHOLE = "whole"
"""A file in a checkpoint that was written to its end; one without it was cut short by a kill."""


class Follower(TrainerCallback):
    """Writes train.jsonl and validation_metrics.jsonl, and obeys save_now, sample_now and stop."""

    def __init__(self, session: TextSession, part: Part) -> None:
        self.session, self.part = session, part
        self.gauge, self.began = Gauge(), time.monotonic()
        self.spent: deque[float] = deque(maxlen=RECENT)
        self.stopped_early = ""

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.began = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        run = self.session.run
        if run.take("sample_now"):
            control.should_evaluate = True
        if run.take("save_now"):
            control.should_save = True
        if run.take("stop"):
            self.session.stop.asked = True
        if self.session.stop:
            control.should_save = control.should_training_stop = True
        elif state.global_step >= state.max_steps:
            control.should_save = True
            control.should_evaluate = True
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        self.spent.append(time.monotonic() - self.began)
        row = {
            "time": now_text(),
            "step": state.global_step,
            "total": state.max_steps,
            "epoch": round(float(logs.get("epoch") or 0), 4),
            "loss": float(logs["loss"]),
            "lr": float(logs.get("learning_rate") or 0),
            "grad_norm": float(logs.get("grad_norm") or 0),
            "token_accuracy": logs.get("mean_token_accuracy"),
            "tokens": logs.get("num_tokens"),
            "seconds": round(self.spent[-1], 4),
            **self.gauge.read(),
        }
        append_line(self.part.log, row)
        said = f"loss {row['loss']:.4f}" if math.isfinite(row["loss"]) else "the loss is no number"
        left = (state.max_steps - state.global_step) * statistics.mean(self.spent)
        self.session.report("training", state.global_step, state.max_steps, said, left_s=left)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        if state.global_step == 0:
            return  # the base, measured before the first step
        found = metrics or {}
        self.keep(state.global_step, state.epoch or 0.0, model, measures(found))
        patience = self.session.recipe.early_stop_patience
        checks, _rest = read_lines(self.part.metrics)
        if patience and waited(checks, self.session.recipe.early_stop_threshold) >= patience:
            self.stopped_early = f"Stopped early: {patience} checks without a better held-out loss."
            control.should_save = control.should_training_stop = True

    def keep(self, step: int, epoch: float, model: Any, measured: dict[str, Any]) -> None:
        """The adapter of a step, and its line in the checks."""
        save_adapter(model, self.session.base, self.part.adapters / step_name(step))
        row = {"time": now_text(), "step": step, "epoch": round(epoch, 4), **measured}
        append_line(self.part.metrics, row)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / WHOLE).touch()


def measures(found: dict[str, Any]) -> dict[str, Any]:
    """Held-out loss and share of right next tokens of an evaluation of TRL."""
    return {"val_loss": found.get("eval_loss"), "val_accuracy": found.get("eval_mean_token_accuracy")}


def waited(checks: Sequence[dict[str, Any]], threshold: float) -> int:
    """How many checks have passed since the held-out loss last fell by more than `threshold`."""
    best, since, seen = math.inf, 0, set()
    for row in checks:
        if row["step"] in seen or row.get("val_loss") is None:
            continue  # measured again after a resume
        seen.add(row["step"])
        if row["val_loss"] < best - threshold:
            best, since = row["val_loss"], 0
        else:
            since += 1
    return since


def last_checkpoint(part: Part) -> Path | None:
    """The newest checkpoint that was written to its end; those that were not are removed."""
    found = []
    for path in part.checkpoints.glob("checkpoint-*"):
        if (path / WHOLE).is_file():
            found.append((int(path.name.rpartition("-")[2]), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(found)[1] if found else None


def save_adapter(model: Any, base: Base, folder: Path) -> Path:
    """The adapter as PEFT's folder, written aside and renamed. It names the base, not where it lay on this disk."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with room_for(f"the adapter {folder.name}", part, hint=HINT):
        model.save_pretrained(part, safe_serialization=True)
        (part / "README.md").unlink(missing_ok=True)
        config = part / "adapter_config.json"
        fields = json.loads(config.read_text(encoding="utf-8"))
        fields |= {"base_model_name_or_path": base.repo_id, "revision": base.revision or None}
        config.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder
