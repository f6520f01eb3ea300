"""What a trainer asks of a family: noise levels, noised latents, the target, and the forward call.

Flow matching (Wan, LTX): x = (1 - sigma) z + sigma eps, target eps - z, timestep 1000 sigma.
v-prediction (CogVideoX): the scheduler's own noise and velocity at an integer timestep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

Forward = Callable[..., Any]
"""forward(transformer, noisy, timestep, cond, fps=...) -> prediction, in the layout of `noisy`."""


class Objective(Protocol):
    """Maths of one training step. Shapes: `z`, `eps`, `noisy` as the family's latents; `level` (B,)."""

    @property
    def shift(self) -> float | None: ...

    def levels(self, u: torch.Tensor) -> torch.Tensor:
        """Noise levels from uniform draws in (0, 1): stratify `u` and the levels are stratified too."""
        ...

    def noise(self, z: torch.Tensor, eps: torch.Tensor, level: torch.Tensor) -> torch.Tensor: ...

    def target(self, z: torch.Tensor, eps: torch.Tensor, level: torch.Tensor) -> torch.Tensor: ...

    def timestep(self, level: torch.Tensor) -> torch.Tensor:
        """What the transformer takes as time."""
        ...

    def forward(self, transformer: Any, noisy: torch.Tensor, level: torch.Tensor, cond: Any, *, fps: float) -> Any:
        """The transformer's prediction, in the layout of `noisy`."""
        ...


@dataclass(frozen=True)
class FlowObjective:
    """Rectified flow with a logit-normal level: sigma = sigmoid(N(ln shift, 1)).

    That is the shift k s / (1 + (k - 1) s) of a logit-normal s (Esser et al. 2024, section 3.1 and 5.3.2).
    """

    call: Forward
    shift: float = 3.0

    def levels(self, u: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.sigmoid(torch.special.ndtri(u.double()) + math.log(self.shift)).to(torch.float32)

    def noise(self, z: torch.Tensor, eps: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        sigma = spread(level, z)
        return (1 - sigma) * z + sigma * eps

    def target(self, z: torch.Tensor, eps: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return eps - z

    def timestep(self, level: torch.Tensor) -> torch.Tensor:
        return level.float() * 1000.0

    def forward(self, transformer: Any, noisy: torch.Tensor, level: torch.Tensor, cond: Any, *, fps: float) -> Any:
        return self.call(transformer, noisy, self.timestep(level), cond, fps=fps)


@dataclass(frozen=True)
class VelocityObjective:
    """v-prediction on the model's own noise schedule; levels are integer timesteps, uniform."""

    call: Forward
    scheduler_config: Mapping[str, Any]
    shift: float | None = None
    _scheduler: list[Any] = field(default_factory=list, repr=False, compare=False)

    def levels(self, u: torch.Tensor) -> torch.Tensor:
        steps = int(self.scheduler_config.get("num_train_timesteps", 1000))
        return (u * steps).long().clamp(0, steps - 1)

    def noise(self, z: torch.Tensor, eps: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return self.scheduler.add_noise(z, eps, level)

    def target(self, z: torch.Tensor, eps: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return self.scheduler.get_velocity(z, eps, level)

    def timestep(self, level: torch.Tensor) -> torch.Tensor:
        return level

    def forward(self, transformer: Any, noisy: torch.Tensor, level: torch.Tensor, cond: Any, *, fps: float) -> Any:
        return self.call(transformer, noisy, level, cond, fps=fps)

    @property
    def scheduler(self) -> Any:
        """The noise schedule, built once."""
        import diffusers

        if not self._scheduler:
            self._scheduler.append(diffusers.CogVideoXDDIMScheduler.from_config(dict(self.scheduler_config)))
        return self._scheduler[0]


def spread(level: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`level` (B,) with trailing axes, so that it broadcasts over `like`."""
    return level.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))
