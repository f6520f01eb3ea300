"""The training itself, by TRL: its settings from the recipe, a smaller batch where memory runs out, the result."""

from __future__ import annotations

import gc
import importlib.util
import logging
import math
import os
from dataclasses import dataclass
from typing import Any

from t2v_studio.adapters.runs import Part, read_json, read_lines, write_json
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.disk import room_for
from t2v_studio.errors import CancelledError, StudioError, UnavailableError
from training.text.base import Hold, hold, load_model, load_tokenizer
from training.text.follow import Follower, last_checkpoint, measures
from training.text.rows import Encoded, TextSet, encode_all
from training.text.session import TextSession
from training.text.targets import matched
from training.video.checkpoints import HINT

log = logging.getLogger(__name__)
OPTIMISERS = {"adamw": "adamw_torch", "adamw8bit": "adamw_bnb_8bit", "paged_adamw8bit": "paged_adamw_8bit"}
FIT = "fit.json"
"""In a part: the batch that fitted into memory, where it is not the recipe's."""


@dataclass(frozen=True)
class Fit:
    """Rows in one pass and passes of one step; their product never changes within a run."""

    batch_size: int
    accumulation: int

    def smaller(self) -> Fit | None:
        """The next batch that divides the effective one; None where it is 1 already."""
        whole = self.batch_size * self.accumulation
        size = next((size for size in range(self.batch_size // 2, 0, -1) if whole % size == 0), 0)
        return Fit(size, whole // size) if size else None


def train(session: TextSession, data: TextSet) -> dict[str, Any]:
    """Train to the end, from the last checkpoint where there is one. Returns step, steps, base, notices.

    Raises CancelledError where it was asked to leave (with a checkpoint), StudioError out_of_memory where not even
    one row at a time fits.
    """
    part = session.run.part()
    part.folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(session.base)
    session.report("reading the rows", message=f"{len(data.train)} to learn from, {len(data.held_out)} held out")
    rows, cut, empty = encode_all(tokenizer, data.train, session.recipe.max_length)
    held_out, _, _ = encode_all(tokenizer, data.held_out, session.recipe.max_length)
    if not rows:
        raise StudioError(
            "no_train_rows", "In no row is room for an answer within max_length.", "Raise max_length in the recipe."
        )
    notices = [*data.notices]
    if cut:
        notices.append(f"{cut} rows are longer than {session.recipe.max_length} tokens and are cut at their end.")
    if empty:
        notices.append(f"{empty} rows are left out: their prompt alone fills max_length.")
    while True:
        fit = _fit(part, session.recipe)
        try:
            return _attempt(session, part, tokenizer, rows, held_out, fit, notices)
        except Exception as error:
            if not out_of_memory(error):
                raise
            _shrink(session, part, fit, error)
        _free()


def out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _shrink(session: TextSession, part: Part, fit: Fit, error: Exception) -> None:
    """Note the next smaller batch for the next attempt. Raises StudioError where there is none."""
    small = fit.smaller()
    if small is None:
        raise StudioError(
            "out_of_memory",
            "The training needed more memory than there is, with one row at a time.",
            "A smaller max_length or rank, checkpointing or base_quantised nf4 (CUDA) need less.",
        ) from error
    words = f"out of memory: {small.batch_size} rows a pass, {small.accumulation} passes a step from here on"
    write_json(part.folder / FIT, {"batch_size": small.batch_size, "accumulation": small.accumulation})
    session.report("making room", message=words, fit={"from": fit.batch_size, "to": small.batch_size})
    log.warning("%s", words)


def _fit(part: Part, recipe: TextRecipe) -> Fit:
    kept = read_json(part.folder / FIT)
    return Fit(kept["batch_size"], kept["accumulation"]) if kept else Fit(recipe.batch_size, recipe.accumulation)


def _attempt(
    session: TextSession,
    part: Part,
    tokenizer: Any,
    rows: list[Encoded],
    held_out: list[Encoded],
    fit: Fit,
    notices: list[str],
) -> dict[str, Any]:
    import torch

    how = hold(session.recipe, cuda=torch.cuda.is_available())
    session.report("loading the model", message=session.base.name)
    follower = Follower(session, part)
    trainer = build(session, part, tokenizer, rows, held_out, fit, how, follower)
    base_file = part.folder / "base.json"
    if held_out and not base_file.is_file():
        session.report("measuring the base")
        write_json(base_file, measures(trainer.evaluate()))
    session.check_stopped()
    checkpoint = last_checkpoint(part)
    try:
        with room_for("a checkpoint", hint=HINT):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        last_checkpoint(part)  # what a full disk left half-written takes room from what is to be written next
    if session.stop:
        raise CancelledError("The training was asked to leave.")
    if not held_out:
        follower.keep(trainer.state.global_step, trainer.state.epoch or 0.0, trainer.model, measures({}))
    said = [*notices, *how.notices, *([follower.stopped_early] if follower.stopped_early else [])]
    kept = read_json(part.folder / FIT)
    if kept:
        said.append(f"Memory allowed {kept['batch_size']} rows a pass, so a step takes {kept['accumulation']} passes.")
    return {
        "step": trainer.state.global_step,
        "steps": trainer.state.max_steps,
        "base": read_json(base_file),
        "notices": said,
    }


def build(
    session: TextSession,
    part: Part,
    tokenizer: Any,
    rows: list[Encoded],
    held_out: list[Encoded],
    fit: Fit,
    how: Hold,
    follower: Follower,
) -> Any:
    """TRL's trainer over rows that carry their labels already."""
    from peft import LoraConfig
    from trl import SFTTrainer

    recipe = session.recipe
    model = load_model(session.base, recipe, how)
    targets = matched(model, recipe)
    session.report("adapter", message=", ".join(f"{name} {count}" for name, count in targets.items()), targets=targets)
    adapter = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(targets),
        task_type="CAUSAL_LM",
        bias="none",
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments(recipe, part, len(rows), fit, how, checks=bool(held_out)),
        train_dataset=_dataset(rows),
        eval_dataset=_dataset(held_out) if held_out else None,
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[follower],
    )
    _speak_through_us(trainer)
    return trainer


def arguments(recipe: TextRecipe, part: Part, rows: int, fit: Fit, how: Hold, *, checks: bool) -> Any:
    """TRL's settings for a recipe: the one place where their names meet."""
    import torch
    from trl import SFTConfig

    cuda = torch.cuda.is_available()
    total, a_round = recipe.steps_for(rows), recipe.round_of(rows)
    every = min(recipe.validate_every or a_round, total)
    return SFTConfig(
        output_dir=str(part.checkpoints),
        run_name=part.folder.parent.name,
        max_steps=total,
        per_device_train_batch_size=fit.batch_size,
        per_device_eval_batch_size=fit.batch_size,
        gradient_accumulation_steps=fit.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule,
        warmup_steps=math.ceil(recipe.warmup_ratio * total),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip_norm,
        optim=OPTIMISERS[how.optimiser],
        seed=recipe.seed,
        data_seed=recipe.seed,
        gradient_checkpointing=recipe.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if recipe.checkpointing else None,
        bf16=recipe.dtype == "bf16" and cuda,
        fp16=False,
        use_cpu=not cuda,
        max_length=None,  # the rows are cut already
        packing=False,  # mixes rows without FlashAttention
        loss_type="nll",
        logging_steps=1,
        logging_first_step=True,
        disable_tqdm=True,
        report_to=reported_to(recipe),
        save_strategy="steps",
        save_steps=min(recipe.save_every or every, total),
        save_total_limit=recipe.keep_checkpoints,
        eval_strategy="steps" if checks else "no",
        eval_steps=every if checks else None,
        dataloader_pin_memory=cuda,
    )


def reported_to(recipe: TextRecipe) -> list[str]:
    """Second logs beside the JSON lines. Raises UnavailableError where the package is not installed."""
    if recipe.logger == "none":
        return []
    if importlib.util.find_spec(recipe.logger) is None:
        raise UnavailableError(
            "no_logger",
            f"logger: {recipe.logger} is not installed.",
            f"pip install {recipe.logger}, or set logger to none.",
        )
    for name in ("WANDB_PROJECT", "TRACKIO_PROJECT"):
        os.environ.setdefault(name, "t2v-studio")
    return [recipe.logger]


def _dataset(rows: list[Encoded]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]})


def _speak_through_us(trainer: Any) -> None:
    """No second progress on the terminal: ours stands in the run's folder."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.create_model_card = lambda *_, **__: None  # our own card is written at export


def best(part: Part) -> tuple[int, dict[str, Any]]:
    """Step and line of the check with the lowest held-out loss; the last one where nothing was held out."""
    checks, _ = read_lines(part.metrics)
    known = [row for row in checks if row.get("val_loss") is not None and math.isfinite(row["val_loss"])]
    chosen = min(known, key=lambda row: row["val_loss"]) if known else checks[-1]
    return int(chosen["step"]), chosen


def _free() -> None:
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
