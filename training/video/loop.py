"""The training loop of one adapter: passes, optimiser steps, checkpoints, checks. Plain enough to read in one go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import Part, now_text
from t2v_studio.engines.diffusion import compile
from t2v_studio.errors import CancelledError, StudioError
from training.video import checkpoints, lora
from training.video.buckets import Clip
from training.video.data import Loader, Order, numbers_for
from training.video.hardware import Gauge
from training.video.loggers import Logger, open_logger
from training.video.objective import Maths, prompts_for, step_noise, window_quantiles
from training.video.session import Session, append_line

if TYPE_CHECKING:
    import torch

_FORWARD = 5
Check = Callable[["Trainer"], None]
"""Called at every check: validation and samples."""


@dataclass
class Trainer:
    """One adapter in training. `transformer` is the bare module; `model` is what accelerate made of it.

    step: optimiser steps done. passes: forward passes done, over all processes.
    """

    session: Session
    part: Part
    transformer: Any
    clips: Sequence[Clip]
    maths: Maths
    check: Check | None = None
    step: int = 0
    passes: int = 0
    seconds: float = 0.0
    total: int = 0
    model: Any = None
    optimiser: Any = None
    schedule: Any = None
    parameters: list[torch.nn.Parameter] = field(default_factory=list)

    @property
    def recipe(self) -> Recipe:
        return self.session.recipe

    # --- set up ------------------------------------------------------------------------------
    def prepare(self, start: dict[str, torch.Tensor] | None = None) -> None:
        """Adapter, optimiser and schedule; then the newest checkpoint of this part, if there is one.

        start: weights to begin with (a warm start), where there is no checkpoint.
        """
        from diffusers.optimization import get_scheduler

        recipe, accelerator = self.recipe, self.session.accelerator
        self.parameters = lora.add_adapter(self.transformer, recipe, self.session.family)
        if start is not None:
            lora.load_adapter_state(self.transformer, start)
        lora.checkpoint_blocks(self.transformer, recipe.checkpointing)
        self.order = Order(self.clips, recipe.batch_size, recipe.seed)
        self.loader = Loader(self.session.cache, recipe.workers)
        self.total = recipe.steps_for(self.order.batches_an_epoch, accelerator.num_processes)
        optimiser = lora.optimiser_for(self.parameters, recipe)
        self.schedule = get_scheduler(
            recipe.schedule, optimiser, num_warmup_steps=recipe.warmup_steps, num_training_steps=self.total
        )
        found = checkpoints.checkpoints(self.part)
        if found:
            kept = checkpoints.load(found[-1][1], self.transformer, optimiser, self.schedule, recipe)
            self.step, self.passes, self.seconds = kept["step"], kept["passes"], kept["seconds"]
        if recipe.compile_blocks:
            self._compile()
        self.model, self.optimiser = accelerator.prepare(self.transformer, optimiser)
        if self.model is not self.transformer:
            self.model.config = self.transformer.config  # families ask for it, and DDP hides it
        self.transformer.train()

    def _compile(self) -> None:
        """Blocks that are compiled for training, checks and samples; not where this machine cannot, which is said."""
        cache = self.session.workspace.cache / "training" / "inductor"
        lacking = compile.why_not(self.session.device.type, cache)
        if lacking:
            self.session.report("preparing", message=f"the blocks are not compiled here: {lacking}")
        else:
            compile.use([self.transformer], True, cache)

    @property
    def check_every(self) -> int:
        """Optimiser steps between checks: as given, or an epoch's."""
        passes = self.recipe.accumulation * self.session.accelerator.num_processes
        return self.recipe.validate_every or max(1, round(self.order.batches_an_epoch / passes))

    @property
    def epoch(self) -> float:
        return self.passes / self.order.batches_an_epoch

    # --- the loop ----------------------------------------------------------------------------
    def run(self) -> None:
        """Train to the last step. Raises CancelledError once it has been asked to leave and has saved."""
        gauge, logger = Gauge(), self._logger()
        if self.step == 0 and self.check is not None:
            self.check(self)
        try:
            while self.step < self.total:
                row = self._optimiser_step(gauge)
                self._tell(row, logger)
                self._obey()
        except CancelledError:
            self.save()
            raise
        finally:
            self.loader.close()
            logger.close()
        self.save()

    def _optimiser_step(self, gauge: Gauge) -> dict[str, Any]:
        """One window of passes and the step that follows it.

        Asked to leave in the middle, the window is given up: weights and counters stay at the last
        whole step, and going on repeats the window with the same clips and noise.
        """
        import torch

        accelerator, recipe = self.session.accelerator, self.recipe
        began = time.monotonic()
        quantiles = window_quantiles(recipe, self.step, accelerator.num_processes)
        losses: list[torch.Tensor] = []
        for micro in range(recipe.accumulation):
            if self._asked_to_leave():
                self.optimiser.zero_grad(set_to_none=True)
                raise CancelledError("The training was asked to leave.")
            last = micro == recipe.accumulation - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.model):
                loss = self._pass(micro, quantiles[micro, accelerator.process_index])
                accelerator.backward(loss / recipe.accumulation)
            losses.append(loss.detach())
        norm = self._gradient_norm()
        self.optimiser.step()
        rate = self.schedule.get_last_lr()[0]
        self.schedule.step()
        self.optimiser.zero_grad(set_to_none=True)
        mean = accelerator.reduce(torch.stack(losses).mean(), reduction="mean").item()
        self.step += 1
        self.passes += recipe.accumulation * accelerator.num_processes
        if mean != mean or norm != norm:
            raise StudioError(
                "not_finite",
                f"The loss is not a number any more at step {self.step}.",
                "Lower learning_rate, or raise dtype to fp32. The last checkpoint is from before it.",
            )
        seconds = time.monotonic() - began
        self.seconds += seconds
        return {"loss": mean, "lr": rate, "grad_norm": norm, "seconds": seconds, **gauge.read()}

    def _pass(self, micro: int, quantiles: Any) -> torch.Tensor:
        """The loss of one forward pass of this process."""
        import torch

        recipe, accelerator = self.recipe, self.session.accelerator
        rank = accelerator.process_index
        clips = self._batch(self.step, micro)
        batch = self.loader.get((self.step, micro), clips, self._words(self.step, micro, clips))
        self._read_ahead(micro)
        eps = step_noise(recipe, batch.latents, self.step, micro, rank)
        moved = to_device(batch, self.session)
        # What draws inside the forward pass (the adapter's dropout) is a function of the place, too.
        torch.manual_seed(int(numbers_for(recipe.seed, _FORWARD, self.step, micro, rank).integers(2**62)))
        u = torch.from_numpy(quantiles[: len(clips)])
        with accelerator.autocast():
            loss: torch.Tensor = self.maths.loss(self.model, moved, u, eps.to(self.session.device))
        return loss

    def _batch(self, step: int, micro: int) -> list[Clip]:
        accelerator = self.session.accelerator
        number = (step * self.recipe.accumulation + micro) * accelerator.num_processes + accelerator.process_index
        return self.order.batch(number)

    def _words(self, step: int, micro: int, clips: list[Clip]) -> list[str]:
        return prompts_for(self.recipe, clips, step, micro, self.session.accelerator.process_index)

    def _read_ahead(self, micro: int) -> None:
        for ahead in range(1, self.recipe.workers + 1):
            steps, later = divmod(micro + ahead, self.recipe.accumulation)
            if self.step + steps < self.total:
                clips = self._batch(self.step + steps, later)
                self.loader.expect((self.step + steps, later), clips, self._words(self.step + steps, later, clips))

    def _gradient_norm(self) -> float:
        """Norm of the whole window's gradient, clipped once, before the step (notes 2.14)."""
        limit = self.recipe.clip_norm or float("inf")
        return float(self.session.accelerator.clip_grad_norm_(self.parameters, limit))

    # --- beside the steps --------------------------------------------------------------------
    def _tell(self, row: dict[str, Any], logger: Logger) -> None:
        if not self.session.main:
            return
        line = {"step": self.step, "total": self.total, "epoch": round(self.epoch, 4), **row, "time": now_text()}
        append_line(self.part.log, line)
        logger.log(self.step, row)
        left = (self.total - self.step) * self.seconds / self.step
        message = f"loss {row['loss']:.4f} · {row['seconds']:.2f} s a step"
        self.session.report(f"training {self.part.name}", self.step, self.total, message, left_s=left)

    def _obey(self) -> None:
        """Checkpoints, checks and signals that are due after a step."""
        save, sample, stop = self._signals()
        if save or self.step % self.recipe.save_every == 0:
            self.save()
        if self.check is not None and (sample or self.step % self.check_every == 0 or self.step == self.total):
            self.check(self)
        if stop:
            raise CancelledError("The training was asked to stop after this step.")

    def _signals(self) -> tuple[bool, bool, bool]:
        """Signal files are taken by the main process; the others hear of them from it."""
        from accelerate.utils import broadcast_object_list

        run = self.session.run
        found = [run.take("save_now"), run.take("sample_now"), run.take("stop")] if self.session.main else [False] * 3
        if self.session.accelerator.num_processes > 1:
            broadcast_object_list(found)
        return found[0], found[1], found[2]

    def _asked_to_leave(self) -> bool:
        """Whether any process was asked to leave: all leave at the same pass, or none would come out of the next sync."""
        if self.session.accelerator.num_processes == 1:
            return bool(self.session.stop)
        import torch

        mine = torch.tensor(float(bool(self.session.stop)), device=self.session.device)
        return float(self.session.accelerator.reduce(mine, reduction="sum")) > 0

    def save(self) -> None:
        """A checkpoint of the last whole step."""
        accelerator = self.session.accelerator
        if self.session.main and self.step:
            counters = {"step": self.step, "passes": self.passes, "seconds": self.seconds, "epoch": self.epoch}
            bare = getattr(self.optimiser, "optimizer", self.optimiser)
            checkpoints.save(self.part, self.transformer, bare, self.schedule, counters, self.recipe)
            checkpoints.keep_newest(self.part, self.recipe.keep_checkpoints)
        accelerator.wait_for_everyone()

    def _logger(self) -> Logger:
        name = self.recipe.logger if self.session.main else "none"
        return open_logger(name, self.part, self.recipe, self.session.run.id)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[Any]:
        """The transformer for evaluation, without gradients; put back into training afterwards."""
        import torch

        self.transformer.eval()
        try:
            with torch.no_grad(), self.session.accelerator.autocast():
                yield self.transformer
        finally:
            self.transformer.train()


def to_device(batch: Any, session: Session) -> Any:
    """A batch on the device; text in the base's dtype, latents in float32, cast by autocast where it is on."""
    from dataclasses import replace

    device, dtype = session.device, session.dtype
    text = {
        name: one.to(device, dtype if one.is_floating_point() else None, non_blocking=True)
        for name, one in batch.text.items()
    }
    return replace(batch, latents=batch.latents.to(device, non_blocking=True), text=text)
