"""The maths of a step: which noise level, which noise, and the loss. Sources: notes on trainers, section 2.

A family's own formulas (noising, target, forward call) stand in engines.diffusion.families.objective.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.engines.diffusion.families.base import Family
from training.video.buckets import Clip
from training.video.cache_text import EMPTY, caption_of
from training.video.data import Batch, numbers_for

if TYPE_CHECKING:
    import numpy as np
    import torch

_SIGMA, _NOISE, _PROMPT = 2, 3, 4


@dataclass(frozen=True)
class Maths:
    """What a family's objective and a recipe make together.

    shift: k of the noise levels, None where the family has none (CogVideoX: uniform timesteps).
    """

    recipe: Recipe
    family: Family
    scheduler_config: Mapping[str, Any]

    def objective(self, height: int) -> Any:
        """The family's objective at a height: Wan's shift grows with the picture."""
        return self.family.objective(self.scheduler_config, height=height)

    def shift(self, height: int) -> float | None:
        own = self.objective(height).shift
        return None if own is None else self.recipe.flow_shift or own

    def levels(self, u: torch.Tensor, height: int) -> torch.Tensor:
        """Noise levels at quantiles `u` of their distribution.

        Flow: sigma = sigmoid(N(ln k, s)), which is a logit-normal sigma (Esser et al. 2024, section 3.1)
        after the shift k sigma / (1 + (k - 1) sigma) of its section 5.3.2. CogVideoX: a uniform timestep.
        """
        shift = self.shift(height)
        if shift is None:
            return self.objective(height).levels(u)
        import torch

        normal = torch.special.ndtri(u.double())
        return torch.sigmoid(self.recipe.sigma_spread * normal + math.log(shift)).float()

    def loss(
        self, transformer: Any, batch: Batch, u: torch.Tensor, eps: torch.Tensor, *, each: bool = False
    ) -> torch.Tensor:
        """Mean squared error of the prediction, in float32, weight 1 (Wan: v = eps - z; CogVideoX: its scheduler's v).

        each: one value a clip instead of their mean. Tensors lie where the transformer does.
        """
        height = batch.clips[0].bucket[2]
        objective = self.objective(height)
        level = self.levels(u, height).to(eps.device)
        noisy = objective.noise(batch.latents, eps, level)
        prediction = objective.forward(transformer, noisy, level, batch.text, fps=batch.fps)
        error = (prediction.float() - objective.target(batch.latents, eps, level).float()).square()
        return error.flatten(1).mean(1) if each else error.mean()


def window_quantiles(recipe: Recipe, step: int, world: int) -> np.ndarray[Any, Any]:
    """u in (0, 1) for every clip of one optimiser step, shape (accumulation, world, batch_size).

    Stratified: one draw in each of n equal bins, in random order. The mean of the gradient is the same
    as that of plain draws, its variance smaller.
    """
    draws = numbers_for(recipe.seed, _SIGMA, step)
    count = recipe.accumulation * world * recipe.batch_size
    within = draws.random(count)
    places = (draws.permutation(count) + within) / count if recipe.stratified else within
    return places.clip(1e-6, 1 - 1e-6).reshape(recipe.accumulation, world, recipe.batch_size)


def prompts_for(recipe: Recipe, clips: Sequence[Clip], step: int, micro: int, rank: int) -> list[str]:
    """What each clip is trained with: one of its captions, or the empty prompt at the rate of prompt_dropout.

    Without empty prompts guidance would have nothing to compare with (Ho and Salimans 2022).
    """
    draws = numbers_for(recipe.seed, _PROMPT, step, micro, rank)
    empty, choices = draws.random(len(clips)) < recipe.prompt_dropout, draws.integers(2**31, size=len(clips))
    chosen = zip(clips, empty, choices, strict=True)
    return [EMPTY if out else caption_of(clip, recipe.trigger, int(choice)) for clip, out, choice in chosen]


def noise_like(latents: torch.Tensor, *place: int) -> torch.Tensor:
    """Gaussian noise of one place, drawn on the CPU in float32: the same on every device."""
    import torch

    seed = int(numbers_for(*place).integers(2**63 - 1))
    return torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def step_noise(recipe: Recipe, latents: torch.Tensor, step: int, micro: int, rank: int) -> torch.Tensor:
    """eps of one forward pass."""
    return noise_like(latents, recipe.seed, _NOISE, step, micro, rank)


def fixed_quantiles(count: int) -> list[float]:
    """Middles of `count` equal bins: where the loss on held-out clips is measured, at every check alike."""
    return [(index + 0.5) / count for index in range(count)]
