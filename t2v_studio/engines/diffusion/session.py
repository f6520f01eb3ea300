"""What is ready for one plan on one canvas: the model, its texts, its adapter, and the switches that are set."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2v_studio.engines.base import Canvas, PrepareReport, SceneSettings
from t2v_studio.engines.diffusion import attention, compile, load, step_cache
from t2v_studio.engines.diffusion.denoise import Clip, Denoised, denoise
from t2v_studio.engines.diffusion.families.base import Encoded, Family
from t2v_studio.engines.diffusion.families.loading import out_of_memory
from t2v_studio.engines.diffusion.kept_json import key_of
from t2v_studio.engines.diffusion.ladder import Policy, Run
from t2v_studio.engines.diffusion.latents import LatentStore
from t2v_studio.engines.diffusion.memory_plan import Work
from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.engines.diffusion.prompts import FinalPrompt
from t2v_studio.engines.diffusion.resident import Resident
from t2v_studio.engines.diffusion.text import PromptStore, encode_all
from t2v_studio.errors import LimitError
from t2v_studio.planning.plan import ScenePlan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stores:
    """What a machine keeps between runs, in the workspace's cache."""

    root: Path
    prompts: PromptStore
    latents: LatentStore

    @classmethod
    def at(cls, root: Path) -> Stores:
        return cls(root, PromptStore(root / "text"), LatentStore(root / "latents"))

    @property
    def attention(self) -> Path:
        return self.root / "attention.json"

    @property
    def inductor(self) -> Path:
        return self.root / "inductor"

    @property
    def ratios(self) -> Path:
        return self.root / "magcache.json"


@dataclass(frozen=True)
class Worn:
    """The adapter that a plan asks for: its card, its weights, its scale."""

    card: Any
    state: Any
    scale: float


@dataclass
class Session:
    """A plan that is ready to be drawn. One at a time; `apply` sets the switches that a try of a scene asks for."""

    plan: ScenePlan
    canvas: Canvas
    options: DiffusionOptions
    family: Family
    resident: Resident
    prompts: list[FinalPrompt]
    stores: Stores
    policy: Policy
    worn: Worn | None
    encoded: dict[str, Encoded] = field(default_factory=dict)
    attention: str = "native"
    compiled: bool = False
    notes: dict[str, str] = field(default_factory=dict)
    """Why a switch is on or off, in words."""
    ratios: list[float] | None = None
    applied: Any = None
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of text and calibration that no scene has in its record yet (`handed_over`)."""
    calibration: int = 0
    """Passes of the model that measured the step cache, likewise."""
    kept_latents: set[str] = field(default_factory=set)
    _cache_on: str = "off"
    _switched_for: Any = None

    # --- numbers -------------------------------------------------------------------------------
    @property
    def steps(self) -> int:
        return self.canvas.steps or self.options.steps or self._profile.steps

    @property
    def guidance(self) -> float:
        for value in (self.canvas.guidance, self.options.guidance):
            if value is not None:
                return value
        return float(self._profile.guidance)

    @property
    def _profile(self) -> Any:
        return self.family.profile(self.options.quality or "balanced")

    def work(self, extra_frames: int = 0) -> Work:
        key = self.resident.key
        return load.work_of(self.family, self.canvas, key.dtype, key.device, extra_frames)

    def run(self, index: int) -> Run:
        """What scene `index` is drawn with when nothing is changed."""
        plan = self.resident.plan
        return Run(
            seed=self.canvas.seed,
            steps=self.steps,
            guidance=self.guidance,
            attention=self.attention,
            decode_dtype=self.resident.vae_dtype,
            tiled=plan.tiled_decode,
            lora_scale=self.worn.scale if self.worn else None,
            step_cache=self._cache_for(self.options.step_cache, self.steps)[0] != "off",
            frame_stride=self.family.frame_stride,
        )

    def clip(self, index: int, settings: SceneSettings) -> Clip:
        guidance = self.guidance if settings.guidance is None else settings.guidance
        scale = self.scale(settings)
        return Clip(
            frames=self.family.frames(self.canvas.scene_frames[index] + settings.drop_leading),
            width=self.canvas.width,
            height=self.canvas.height,
            fps=self.canvas.fps,
            steps=settings.steps or self.steps,
            guidance=guidance,
            seed=self.canvas.seed if settings.seed is None else settings.seed,
            flow_shift=self.options.flow_shift,
            distilled=guidance <= 1 and bool(scale),
            cfg_cutoff=self.options.cfg_cutoff,
        )

    def scale(self, settings: SceneSettings) -> float | None:
        """The LoRA's scale of a try; None without a LoRA."""
        if self.worn is None:
            return None
        return self.worn.scale if settings.lora_scale is None else settings.lora_scale

    def ready(self, report: PrepareReport) -> None:
        """Encode the prompts, load the model and set its switches; with less memory where it does not fit as planned.

        Raises LimitError out_of_memory.
        """
        while True:
            try:
                self.encode(report)
                source = self.resident.source
                report("load", 0, 0, f"model {source.name or source.repo_id}")
                self.resident.pipe  # noqa: B018  (loads)
                self.switch_on()
                self.measure_ratios(report)
                return
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                error.__traceback__ = None
            if not self.resident.step_down(self.work()):
                raise LimitError(
                    "out_of_memory",
                    f"The model does not fit into memory ({self.resident.plan.label}).",
                    "Close other programs that use the card, or take a smaller model.",
                )

    # --- text ----------------------------------------------------------------------------------
    def encode(self, report: PrepareReport) -> None:
        """Every text that the scenes need, all at once; then the text encoder leaves, as the plan of memory has it."""
        texts = [prompt.text for prompt in self.prompts]
        if self.guidance > 1 or any(s and (s.guidance or 0) > 1 for s in self.canvas.scene_settings):
            texts += [prompt.negative for prompt in self.prompts]
        self._encode(texts, lambda done, total: report("text", done, total, "reading the prompts"))

    def _encode(self, texts: list[str], report: Any) -> None:
        resident, began = self.resident, time.perf_counter()
        self.encoded |= encode_all(
            self.family,
            resident.source,
            [text for text in texts if text not in self.encoded],
            store=self.stores.prompts,
            dtype=resident.key.dtype,
            encoder=resident.encoder,
            report=report,
        )
        resident.park_encoder()
        self.spent["text"] += time.perf_counter() - began

    def texts(self, index: int, clip: Clip) -> tuple[Encoded, Encoded | None]:
        """Embeddings of a scene; the negative ones only where guidance is on (a retry may have turned it on)."""
        prompt = self.prompts[index]
        wanted = [prompt.text, prompt.negative] if clip.guidance > 1 else [prompt.text]
        if any(text not in self.encoded for text in wanted):
            self._encode(wanted, lambda done, total: None)
        return self.encoded[prompt.text], self.encoded[prompt.negative] if clip.guidance > 1 else None

    # --- switches ------------------------------------------------------------------------------
    def switch_on(self) -> None:
        """Choose attention, compilation and step cache for the loaded model, as far as the options leave it open."""
        resident, options = self.resident, self.options
        self._switched_for = resident.plan
        device, dtype = resident.key.device, resident.key.dtype
        family = self.family
        self.attention = attention.choose(
            options.attention, device, dtype, self.stores.attention, kernels=family.kernels, masked=family.masks_text
        )
        self.notes["attention"] = f"{self.attention} ({'asked for' if options.attention != 'auto' else 'chosen'})"
        kind, self.notes["step_cache"] = self._cache_for(options.step_cache, self.steps)
        self.compiled, self.notes["compile"] = compile.wanted(options.compile_blocks, resident.plan, step_cache=kind)
        if self.compiled and (lacking := compile.why_not(device, self.stores.inductor)):
            self.compiled, self.notes["compile"] = False, f"off: nothing can be compiled here ({lacking})"
        if resident.has_slot or self.worn is not None:
            self._wear(self.worn.scale if self.worn else None)

    def _cache_for(self, asked: str, steps: int) -> tuple[str, str]:
        return step_cache.wanted(asked, steps, len(self.family.transformers))

    def apply(self, settings: SceneSettings) -> None:
        """Set the model's switches for one try; what is set already costs nothing."""
        if self._switched_for is not self.resident.plan:
            self.switch_on()  # less memory since: weights may be other objects by now
        transformers = self.resident.transformers
        attention.use(transformers, settings.attention or self.attention)
        if self.resident.has_slot or self.worn is not None:
            self._wear(self.scale(settings))
        asked = "off" if settings.step_cache is False else self.options.step_cache
        kind = self._cache_for(asked, settings.steps or self.steps)[0]
        if kind == "magcache" and self.ratios is None:
            kind = "off"
        compile.use(transformers, self.compiled and kind == "off", self.stores.inductor)
        if kind != "off" or any(transformer.is_cache_enabled for transformer in transformers):
            step_cache.switch(transformers, kind, settings.steps or self.steps, self.ratios)
        self._cache_on = kind

    def _wear(self, scale: float | None) -> None:
        worn, source = self.worn, self.resident.source
        if worn is None:
            self.applied = self.resident.slot.set(None)
            return
        names = [name for name in (source.name, source.repo_id) if name]
        self.applied = self.resident.slot.set(
            worn.state, scale or 0.0, card=worn.card, model=source.name or source.repo_id, names=names
        )

    def measure_ratios(self, report: PrepareReport) -> None:
        """MagCache's ratios for this model, number of steps and shift: measured once, on the first scene."""
        if self._cache_for(self.options.step_cache, self.steps)[0] != "magcache":
            return
        clip = self.clip(0, SceneSettings())
        key = self._ratios_key(clip)
        self.ratios = step_cache.kept_ratios(self.stores.ratios, key, clip.steps)
        if self.ratios is not None:
            return
        found: list[float] = []

        def read(pipe: Any, step: int) -> None:
            if step + 1 == clip.steps:
                found.extend(step_cache.measured(pipe.transformer))

        transformers = self.resident.transformers
        self.apply(SceneSettings(step_cache=False))
        step_cache.switch(transformers, "calibrate", clip.steps)
        try:
            made = self.denoise(
                0, clip, lambda done, total: report("calibrate", done, total, "measuring the step cache"), read
            )
            self.spent["calibrate"] += made.seconds
            self.calibration += made.forwards
        finally:
            step_cache.switch(transformers, "off", clip.steps)
        if len(found) != clip.steps:
            self.notes["step_cache"] = "off: the model's ratios could not be measured"
            return
        self.ratios = found
        step_cache.keep_ratios(self.stores.ratios, key, found)

    def _ratios_key(self, clip: Clip) -> str:
        """All that decides the ratios but the words and the seed, which the cache's authors found to matter little."""
        source, numerics = self.resident.source, self.numerics(SceneSettings())
        own = {name: value for name, value in numerics.items() if name not in ("compiled", "step_cache", "ratios")}
        worn = [*self.worn.state.identity, self.worn.scale] if self.worn else []
        shape = {name: value for name, value in vars(clip).items() if name != "seed"}
        return key_of([source.stamp, shape, own, worn])[:16]

    def denoise(
        self, index: int, clip: Clip, report: Any, watch: Any = None, preview: Any = None, show: Any = None
    ) -> Denoised:
        pipe = self.resident.pipe
        cond, uncond = self.texts(index, clip)
        return denoise(
            self.family,
            pipe,
            self.resident.scheduler_config,
            cond,
            uncond,
            clip,
            device=self.resident.key.device,
            report=report,
            watch=watch,
            preview=preview,
            show=show,
        )

    def handed_over(self) -> tuple[dict[str, float], int]:
        """Seconds and passes that belong to no scene, for the record of the one that asks first."""
        taken = dict(self.spent), self.calibration
        self.spent.clear()
        self.calibration = 0
        return taken

    def numerics(self, settings: SceneSettings) -> dict[str, Any]:
        """All that decides pixels beside the plan and the scene's settings: alike in both arms of a pair."""
        key = self.resident.key
        measured = {"ratios": key_of(self.ratios)[:16]} if self._cache_on == "magcache" else {}
        return {
            "device": key.device,
            "dtype": key.dtype,
            "weights": key.weights,
            "attention": settings.attention or self.attention,
            "compiled": self.compiled and self._cache_on == "off",
            "step_cache": self._cache_on,
            **measured,
            "cfg_cutoff": self.options.cfg_cutoff,
            "flow_shift": self.options.flow_shift or self.family.flow_shift(self.canvas.height, self.canvas.width),
            "vae_dtype": self.resident.vae_dtype,
        }
