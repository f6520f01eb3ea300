"""Leaving out denoising steps that change little: worth it from 20 steps on, harmful below."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from t2v_studio.engines.diffusion import kept_json
from t2v_studio.engines.diffusion.offloading import lifted
from t2v_studio.errors import plural

log = logging.getLogger(__name__)

FEWEST_STEPS = 20
FIRST_BLOCK_THRESHOLD = 0.05
MAG_THRESHOLD = 0.06


def wanted(asked: str, steps: int, experts: int = 1) -> tuple[str, str]:
    """off, first_block or magcache for a run of so many steps, and why in words. experts: transformers that share them."""
    if asked == "off":
        return "off", "switched off"
    if asked == "magcache" and experts > 1:
        return "off", f"off: magcache measures one transformer, and this model has {experts}"
    if steps < FEWEST_STEPS:
        return "off", f"off: {plural(steps, 'step')} {'is' if steps == 1 else 'are'} fewer than {FEWEST_STEPS}"
    return asked, f"{asked}: steps that change little are left out"


def switch(transformers: list[Any], kind: str, steps: int, ratios: list[float] | None = None) -> None:
    """Set or take off the cache hooks of models; "calibrate" measures MagCache's ratios and leaves no step out."""
    from diffusers.hooks import FirstBlockCacheConfig, MagCacheConfig

    for transformer in transformers:
        with lifted(transformer):
            if transformer.is_cache_enabled:
                transformer.disable_cache()
                _forget_children(transformer)
            if kind == "first_block":
                transformer.enable_cache(FirstBlockCacheConfig(threshold=FIRST_BLOCK_THRESHOLD))
            elif kind == "magcache":
                transformer.enable_cache(
                    MagCacheConfig(threshold=MAG_THRESHOLD, num_inference_steps=steps, mag_ratios=ratios)
                )
            elif kind == "calibrate":
                # One step more than will run: at its last step the hook would print its figures and forget them.
                transformer.enable_cache(MagCacheConfig(calibrate=True, num_inference_steps=steps + 1))
            _forget_children(transformer)


def measured(transformer: Any) -> list[float]:
    """The ratios that a run with "calibrate" measured, one a step, of the pass with the prompt."""
    for module in transformer.modules():
        for hook in getattr(getattr(module, "_diffusers_hook", None), "hooks", {}).values():
            states = getattr(getattr(hook, "state_manager", None), "_state_cache", {})
            for state in states.values():
                ratios = getattr(state, "calibration_ratios", None)
                if ratios:
                    return [round(float(ratio), 5) for ratio in ratios]
    return []


def kept_ratios(path: Path, key: str, steps: int) -> list[float] | None:
    """Ratios that were measured earlier under a key (model, steps, shift), one a step."""
    found = kept_json.kept(path).get(key)
    return [float(ratio) for ratio in found] if isinstance(found, list) and len(found) == steps else None


def keep_ratios(path: Path, key: str, ratios: list[float]) -> None:
    kept_json.amend(path, lambda known: known | {key: ratios}, "the step cache's ratios")


def _forget_children(transformer: Any) -> None:
    """Hooks that come or go behind a list of hooked children that was made before are never told of a step."""
    from diffusers.hooks import HookRegistry

    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    registry._child_registries_cache = None
