"""One scene of diffusion: denoised, decoded, judged, and tried again by its cause until it is good or given up."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from t2v_studio.engines.base import Provenance, SceneSettings, StepReport
from t2v_studio.engines.diffusion import ladder, latents, limits, load
from t2v_studio.engines.diffusion.decode import decode
from t2v_studio.engines.diffusion.denoise import Clip
from t2v_studio.engines.diffusion.families.loading import out_of_memory
from t2v_studio.engines.diffusion.session import Session
from t2v_studio.engines.diffusion.text import version
from t2v_studio.errors import LimitError, StudioError
from t2v_studio.video.quality import Judge

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

MEMORY = "less memory"
_WORDS = {
    "not_finite": "denoising gave values that are no numbers",
    "decode_not_finite": "decoding gave values that are no numbers",
    "black": "it is black",
    "underexposed": "it is almost black",
    "white": "it is white",
    "washed_out": "it is almost white",
    "noise": "it shows only noise",
    "frozen": "it stands still",
}


@dataclass
class _Try:
    """One try. cause "" is a good one; latents are kept for a second decode."""

    cause: str = ""
    frames: NDArray[np.uint8] | None = None
    latents: torch.Tensor | None = None
    measures: dict[str, float] = field(default_factory=dict)
    verdict: str = ""


@dataclass
class SceneDrawing:
    """Draws one scene of a session. Afterwards `provenance` tells how."""

    session: Session
    index: int
    report: StepReport
    provenance: Provenance = field(init=False)

    def __post_init__(self) -> None:
        self._forwards = self._calibration = 0
        self._spent: dict[str, float] = {"denoise": 0.0, "decode": 0.0}
        self._step_s: list[float] = []
        self._latents_key = ""
        self._numerics: dict[str, Any] = {}
        """Of the latents: memory may be tighter by the time they are decoded."""
        self._tries: list[dict[str, Any]] = []

    def frames(self) -> NDArray[np.uint8]:
        """Good frames (F, H, W, 3) without overlay. Raises StudioError scene_bad with all tries in its details,
        LimitError out_of_memory, CancelledError."""
        session, settings = self.session, self.session.canvas.settings_of(self.index)
        taken: list[str] = []
        held: torch.Tensor | None = None
        while True:
            tried = self._attempt(settings, held)
            if not tried.cause:
                break
            self._drop_latents(tried)
            if tried.cause == "out_of_memory" or (
                tried.cause == "decode_out_of_memory" and self._rung(tried.cause, settings, taken) is None
            ):
                held = tried.latents
                if not session.resident.step_down(session.work(settings.drop_leading)):
                    raise _no_memory(self.index, session, [*self._tries, _row(tried, settings, "given up")])
                self._note(tried, settings, f"{MEMORY}: {session.resident.plan.label}")
                continue
            rung = self._rung(tried.cause, settings, taken)
            self._note(tried, settings, rung.action if rung else "given up")
            if rung is None:
                raise _bad(self.index, tried.cause, self._tries)
            taken.append(rung.action)
            if rung.action == ladder.TILE and not settings.decode_dtype:
                session.resident.tile(session.work(settings.drop_leading))
            settings = rung.settings
            held = None if rung.denoise else tried.latents
        assert tried.frames is not None and tried.latents is not None
        beside, self._calibration = session.handed_over()
        self._spent |= {"text": 0.0} | beside
        self.provenance = self._provenance(settings, tried)
        return tried.frames

    def _rung(self, cause: str, settings: SceneSettings, taken: list[str]) -> ladder.Rung | None:
        return ladder.next_rung(cause, settings, taken, self.session.run(self.index), self.session.policy)  # type: ignore[arg-type]

    def _attempt(self, settings: SceneSettings, held: torch.Tensor | None) -> _Try:
        """One try; out-of-memory comes back as a cause once everything that the try held is let go."""

        made = held
        self._say("")
        try:
            clip = self.session.clip(self.index, settings)
            if made is None:
                made = self._latents(clip, settings)
            if made is None:
                return _Try("not_finite")
            return self._judged(clip, settings, made)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            # The traceback holds the tensors of every frame that it passed.
            log.warning("scene %s ran out of memory: %s", self.index + 1, str(error).splitlines()[0])
            error.__traceback__ = None
        load.empty_cache()
        return _Try("out_of_memory" if made is None else "decode_out_of_memory", latents=made)

    def _latents(self, clip: Clip, settings: SceneSettings) -> torch.Tensor | None:
        """Latents of a clip: those that an interrupted run left, or new ones; None where they are no numbers."""
        session = self.session
        session.apply(settings)
        self._numerics = session.numerics(settings)
        self._latents_key = self._key(clip, settings)
        kept = session.stores.latents.get(self._latents_key)
        session.kept_latents.add(self._latents_key)
        if kept is not None:
            return kept
        show = getattr(self.report, "show", None)
        preview = self._preview(clip) if show is not None else None
        made = session.denoise(
            self.index,
            clip,
            lambda done, total: self.report(done, total + 1),
            preview=preview,
            show=show,
        )
        self._forwards += made.forwards
        self._spent["denoise"] += made.seconds
        self._step_s += made.step_s
        if made.latents is not None:
            session.stores.latents.put(self._latents_key, made.latents)
        return made.latents

    def _judged(self, clip: Clip, settings: SceneSettings, made: torch.Tensor) -> _Try:
        session, plan = self.session, self.session.resident.plan
        self.report(clip.steps, clip.steps + 1)
        self._say("decoding")
        began = time.perf_counter()
        dtype = settings.decode_dtype if settings.decode_dtype != session.resident.vae_dtype else ""
        decoded = decode(
            session.family,
            session.resident.vae,
            made.to(session.resident.key.device),
            frames=clip.frames,
            width=clip.width,
            height=clip.height,
            seed=clip.seed,
            dtype=dtype,
            tiled=plan.tiled_decode if settings.tiled is None else settings.tiled,
        )
        self._spent["decode"] += time.perf_counter() - began
        self._say("")
        if not decoded.finite:
            return _Try("decode_not_finite", latents=made)
        frames = decoded.frames[-session.canvas.scene_frames[self.index] :]
        judge = Judge(clip.fps, len(session.plan.scenes[self.index].steps))
        for frame in frames:
            judge.see(frame)
        verdict = judge.verdict()
        cause = verdict.name if verdict.name in ladder.CAUSES else ""
        self.report(clip.steps + 1, clip.steps + 1)
        return _Try(cause, frames, made, verdict.measures, verdict.name)

    def _say(self, what: str) -> None:
        """A word on what is done now, for whoever watches."""
        said = getattr(self.report, "say", None)
        if said is not None:
            said(what)

    def _preview(self, clip: Clip) -> Any:
        from t2v_studio.engines.diffusion.preview import Projection

        shape = self.session.family.latent_shape(clip.frames, clip.width, clip.height)
        return Projection(self.session.resident.mixes, shape)

    # --- the record ----------------------------------------------------------------------------
    def _note(self, tried: _Try, settings: SceneSettings, action: str) -> None:
        row = _row(tried, settings, action)
        self._tries.append(row)
        log.warning("scene %s, try %s: %s; next: %s", self.index + 1, len(self._tries), tried.cause, action)

    def _drop_latents(self, tried: _Try) -> None:
        """Latents of a rejected try must not come back in a later run; those that will be decoded again may."""
        if tried.cause != "decode_out_of_memory":
            self.session.stores.latents.drop(self._latents_key)

    def _provenance(self, settings: SceneSettings, tried: _Try) -> Provenance:
        session, source = self.session, self.session.resident.source
        clip = session.clip(self.index, settings)
        return Provenance(
            engine="diffusion",
            model=source.repo_id or source.name,
            revision=source.revision,
            seed=clip.seed,
            retries=self._tries,
            settings=self._as_drawn(settings),
            details=self._details(settings, clip, tried),
        )

    def _as_drawn(self, settings: SceneSettings) -> dict[str, Any]:
        """The settings of the try that was kept, with what the plan of memory decided: enough to draw it again."""
        plan = self.session.resident.plan
        if plan.tiled_decode and settings.tiled is None:
            settings = settings.model_copy(update={"tiled": True})
        return settings.changes()

    def _details(self, settings: SceneSettings, clip: Clip, tried: _Try) -> dict[str, Any]:
        session = self.session
        prompt, applied = session.prompts[self.index], session.applied
        assert tried.latents is not None
        return {
            "numerics": self._numerics | {"vae_dtype": session.resident.vae_dtype},
            "sampling": {
                "steps": clip.steps,
                "guidance": clip.guidance,
                "frames": clip.frames,
                "scheduler": type(session.resident.pipe.scheduler).__name__,
            },
            "memory": {"tier": session.resident.plan.tier, "plan": session.resident.plan.label},
            "switches": dict(session.notes),
            "adapter": applied.as_details() if applied is not None and applied.id else None,
            "prompt": {"text": prompt.text, "negative": prompt.negative if clip.guidance > 1 else ""},
            "tokens": {
                "prompt": prompt.token_count,
                "negative": prompt.negative_token_count,
                "limit": prompt.limit,
                "dropped": list(prompt.dropped),
            },
            "forwards": self._forwards + self._calibration,
            "timings_s": {
                **{name: round(value, 3) for name, value in self._spent.items()},
                "step_median": round(median(self._step_s), 4) if self._step_s else 0.0,
            },
            "limit": self._limit(clip),
            "latents_sha256": latents.digest(tried.latents),
            "raw_verdict": {"name": tried.verdict, **tried.measures},
        }

    def _limit(self, clip: Clip) -> dict[str, Any]:
        """The share of the physical limit; a step cache leaves out an unknown part of the work."""
        session = self.session
        card = limits.card_name(session.resident.key.device)
        if self._numerics["step_cache"] != "off":
            return {"card": card, "share": None, "text": "unknown: the step cache left steps out"}
        config = session.resident.transformers[0].config
        passes = 2 if session.family.cfg_batched and clip.guidance > 1 else 1
        one = session.family.flops_per_step(config, clip.frames, clip.width, clip.height, cfg=False)
        return limits.achieved(one * passes * self._forwards, self._spent["denoise"], card)

    def _key(self, clip: Clip, settings: SceneSettings) -> str:
        session, prompt = self.session, self.session.prompts[self.index]
        source = session.resident.source
        return latents.latent_key(
            {
                "model": source.repo_id or source.name,
                "files": source.stamp,
                "clip": vars(clip),
                "text": [prompt.text, prompt.negative],
                "numerics": self._numerics,
                "adapter": [*session.worn.state.identity, session.scale(settings)] if session.worn else None,
                "versions": [version(name) for name in ("torch", "diffusers", "transformers")],
            }
        )


def _row(tried: _Try, settings: SceneSettings, action: str) -> dict[str, Any]:
    """A rejected try as the record keeps it: why, with what, and what came next."""
    return {
        "cause": tried.cause,
        "verdict": tried.verdict,
        "settings": settings.changes(),
        "next": action,
        "measures": tried.measures,
    }


def _bad(index: int, cause: str, tries: list[dict[str, Any]]) -> StudioError:
    return StudioError(
        "scene_bad",
        f"Scene {index + 1} stayed bad after {'1 try' if len(tries) == 1 else f'{len(tries)} tries'}: {_WORDS.get(cause, cause)}.",
        "Try another prompt, seed or model, more steps, or --attention native; or allow the local engine to draw it.",
        tries=tries,
    )


def _no_memory(index: int, session: Session, tries: list[dict[str, Any]]) -> LimitError:
    return LimitError(
        "out_of_memory",
        f"Scene {index + 1} does not fit into memory ({session.resident.plan.label}).",
        "Ask for fewer frames or a smaller picture, close other programs that use the card, or take a smaller model.",
        tries=tries,
    )
