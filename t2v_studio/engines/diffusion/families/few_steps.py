"""The scheduler of distilled models. diffusers is imported here."""

from __future__ import annotations

from typing import Any

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler


class FewStepEuler(FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]
    """Euler over even steps of the noise level, shifted afterwards: 1, 0.938, 0.833, 0.625 for four steps at shift 5,
    the levels that few-step adapters of Wan are trained on (lightx2v: 1000, 750, 500, 250 of 1000, before the shift).

    Its parent starts from a range that is shifted already, shifts it again, and would spend the last step on almost nothing.
    """

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, **given: Any) -> None:
        if num_inference_steps is not None and not given:
            given = {"sigmas": np.linspace(1.0, 1.0 / num_inference_steps, num_inference_steps).tolist()}
        super().set_timesteps(num_inference_steps, device=device, **given)
