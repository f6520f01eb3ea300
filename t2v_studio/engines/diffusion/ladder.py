"""What to try next with a bad scene: its cause and what was tried decide, and nothing else.

The order of the rungs goes from cheap to dear: decode the same latents again, another attention kernel, a weaker LoRA,
more steps with the documents' guidance, frames in front that are thrown away, another seed. Pure: no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from t2v_studio.engines.base import SceneSettings
from t2v_studio.settings import Settings

Cause = Literal[
    "not_finite",
    "decode_not_finite",
    "black",
    "underexposed",
    "white",
    "washed_out",
    "noise",
    "frozen",
    "decode_out_of_memory",
]
CAUSES = frozenset(("black", "underexposed", "white", "washed_out", "noise", "frozen"))
"""Verdicts of `video.quality` for which a scene is tried again."""

MAX_DENOISES = 4
"""Times that a scene is denoised again before it counts as bad."""
MAX_STEPS = 200
SEED_STRIDE = 7919
"""Added to the seed for a new one: a prime, so that neighbouring scenes never meet."""


@dataclass(frozen=True)
class Rule:
    """Retry numbers of a cause: guidance at most, steps at least, and the share of the run's own steps at least."""

    guidance: float
    steps: int
    share: float


@dataclass(frozen=True)
class Policy:
    """When and how scenes are tried again, from the settings."""

    on_black: bool = True
    on_blank: bool = True
    black: Rule = Rule(4.8, 22, 0.75)
    white: Rule = Rule(4.8, 28, 0.9)
    washed: Rule = Rule(4.5, 26, 0.85)
    noise: Rule = Rule(4.2, 42, 1.25)

    @classmethod
    def of(cls, settings: Settings, *, retries: bool = True) -> Policy:
        """retries: the request's own switch; off, nothing but a decode that broke is tried again."""
        black = settings.retry_on_black
        blank = settings.retry_on_blank if settings.retry_on_blank is not None else black
        rules = {
            name: Rule(
                getattr(settings, f"{name}_retry_guidance"), getattr(settings, f"{name}_retry_steps"), default.share
            )
            for name, default in (
                ("black", cls.black),
                ("white", cls.white),
                ("washed", cls.washed),
                ("noise", cls.noise),
            )
        }
        return cls(on_black=black and retries, on_blank=blank and retries, **rules)

    def rule(self, cause: Cause) -> Rule:
        if cause in ("black", "underexposed"):
            return self.black
        return {"white": self.white, "washed_out": self.washed, "noise": self.noise}.get(cause, self.black)

    def allows(self, cause: Cause) -> bool:
        """Whether anything is tried; to decode the same latents in another way is no retry of the scene."""
        return cause in ("decode_not_finite", "decode_out_of_memory") or self.denoises(cause)

    def denoises(self, cause: Cause) -> bool:
        """Whether the scene may be drawn again."""
        if cause in ("decode_not_finite", "decode_out_of_memory"):
            return self.on_black
        return self.on_black if cause in ("black", "underexposed", "not_finite") else self.on_blank


@dataclass(frozen=True)
class Run:
    """What the scene is drawn with when nothing is changed."""

    seed: int
    steps: int
    guidance: float
    attention: str
    decode_dtype: str
    tiled: bool
    lora_scale: float | None = None
    step_cache: bool = False
    frame_stride: int = 4


@dataclass(frozen=True)
class Rung:
    """The next try. denoise: False where the latents that are there are decoded once more."""

    action: str
    settings: SceneSettings
    denoise: bool = True


def next_rung(cause: Cause, now: SceneSettings, taken: Iterable[str], run: Run, policy: Policy) -> Rung | None:
    """The next rung for `cause` after the actions `taken`, on top of the settings that were used last; None: give up.

    An action is taken once a scene, whatever the causes were; a new seed may come twice.
    """
    done = list(taken)
    if not policy.allows(cause):
        return None
    for action in _ORDER[cause]:
        if done.count(action) >= (2 if action == NEW_SEED else 1):
            continue
        settings = _ACTIONS[action](cause, now, run, policy)
        if settings is None or settings == now:
            continue
        denoise = action not in (REDECODE, TILE)
        if denoise and not policy.denoises(cause):
            continue
        if denoise and sum(one not in (REDECODE, TILE) for one in done) >= MAX_DENOISES:
            return None
        return Rung(action, settings, denoise)
    return None


REDECODE = "decode again in float32, untiled"
TILE = "decode in tiles"
NATIVE = "native attention"
NO_CACHE = "step cache off"
WEAKER = "LoRA at half its scale"
LORA_OFF = "LoRA off"
STEPS = "more steps, the cause's guidance"
LEADING = "leading frames thrown away"
NEW_SEED = "another seed"


def _redecode(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    dtype, tiled = now.decode_dtype or run.decode_dtype, run.tiled if now.tiled is None else now.tiled
    if dtype == "float32" and not tiled:
        return None
    return now.model_copy(update={"decode_dtype": "float32", "tiled": False})


def _tile(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    tiled = run.tiled if now.tiled is None else now.tiled
    return None if tiled else now.model_copy(update={"tiled": True})


def _native(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    return None if (now.attention or run.attention) == "native" else now.model_copy(update={"attention": "native"})


def _no_cache(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    on = run.step_cache if now.step_cache is None else now.step_cache
    return now.model_copy(update={"step_cache": False}) if on else None


def _scale(now: SceneSettings, run: Run) -> float:
    return (now.lora_scale if now.lora_scale is not None else run.lora_scale) or 0.0


def _weaker(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    scale = _scale(now, run)
    return now.model_copy(update={"lora_scale": round(scale / 2, 4)}) if scale else None


def _lora_off(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    return now.model_copy(update={"lora_scale": 0.0}) if _scale(now, run) else None


def _more_steps(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    """The rule's numbers; never fewer steps than before. Guidance 1 belongs to a distilled LoRA and stays while one is
    on; without one it is what is wrong, so the rule's guidance takes its place."""
    rule = policy.rule(cause)
    steps, guidance = now.steps or run.steps, run.guidance if now.guidance is None else now.guidance
    if guidance <= 1 and _scale(now, run):
        return now.model_copy(update={"steps": min(2 * steps, MAX_STEPS)})
    wanted = min(MAX_STEPS, max(steps, rule.steps, round(rule.share * steps)))
    return now.model_copy(
        update={"steps": wanted, "guidance": rule.guidance if guidance <= 1 else min(guidance, rule.guidance)}
    )


def _leading(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    return now.model_copy(update={"drop_leading": run.frame_stride})


def _new_seed(cause: Cause, now: SceneSettings, run: Run, policy: Policy) -> SceneSettings | None:
    seed = run.seed if now.seed is None else now.seed
    return now.model_copy(update={"seed": (seed + SEED_STRIDE) % 2**31})


_Action = Callable[[Cause, SceneSettings, Run, Policy], SceneSettings | None]
_ACTIONS: dict[str, _Action] = {
    REDECODE: _redecode,
    TILE: _tile,
    NATIVE: _native,
    NO_CACHE: _no_cache,
    WEAKER: _weaker,
    LORA_OFF: _lora_off,
    STEPS: _more_steps,
    LEADING: _leading,
    NEW_SEED: _new_seed,
}
_ORDER: dict[Cause, tuple[str, ...]] = {
    "not_finite": (NATIVE, NO_CACHE, LORA_OFF, NEW_SEED),
    "decode_not_finite": (REDECODE, NATIVE, LORA_OFF, NEW_SEED),
    "decode_out_of_memory": (TILE,),
    "black": (REDECODE, WEAKER, STEPS, NEW_SEED),
    "underexposed": (REDECODE, WEAKER, STEPS, LEADING, NEW_SEED),
    "white": (REDECODE, WEAKER, STEPS, LEADING, NEW_SEED),
    "washed_out": (WEAKER, STEPS, LEADING, NEW_SEED),
    "noise": (NATIVE, NO_CACHE, STEPS, WEAKER, NEW_SEED),
    "frozen": (NO_CACHE, NEW_SEED),
}
