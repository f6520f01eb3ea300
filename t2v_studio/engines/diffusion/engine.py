"""The diffusion engine: one model kept in memory between jobs, scenes drawn from their prompts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import util
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from t2v_studio.engines.base import Availability, Canvas, PrepareReport, Provenance, StepReport
from t2v_studio.engines.diffusion.families.base import Family, Source
from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.engines.diffusion.presets import preset
from t2v_studio.errors import InputError, StudioError
from t2v_studio.machine import cards
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    from t2v_studio.adapters.presets import AdapterPreset
    from t2v_studio.engines.diffusion.prompts import FinalPrompt
    from t2v_studio.engines.diffusion.resident import Resident
    from t2v_studio.engines.diffusion.session import Session, Worn

log = logging.getLogger(__name__)

NEEDS = ("torch", "diffusers", "transformers", "peft")


class DiffusionEngine:
    """Video diffusion through diffusers. Rules cost nothing; torch is imported when something is drawn.

    One job at a time; `release` may be called from another thread.
    """

    name = "diffusion"

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self._settings, self._workspace = settings, workspace
        self._lock = threading.RLock()
        self._idle: threading.Timer | None = None
        self._resident: Resident | None = None
        self._session: Session | None = None
        self._hold: Any = None
        """Lock that keeps the model's files from being pruned (`ModelStore.hold`)."""
        self._stores: Any = None
        self._tokenizers: dict[str, Any] = {}
        self._read: tuple[ScenePlan, Canvas, list[FinalPrompt]] | None = None
        self._made: dict[int, Provenance] = {}
        self._together: int | None = None
        """Videos finished so far within `together`; None outside of it."""
        self._done_with: set[str] = set()
        """Latents of videos that stand, by key."""

    # --- rules ---------------------------------------------------------------------------------
    def libraries(self) -> Availability:
        """Whether the libraries are there; which model is, is another question."""
        lacking = [name for name in NEEDS if util.find_spec(name) is None]
        if lacking:
            return Availability(
                False,
                f"Video diffusion needs {', '.join(lacking)}, which is not installed.",
                "Run: pip install -r requirements.txt",
            )
        return Availability(True)

    def availability(self, options: DiffusionOptions | None = None) -> Availability:
        """Whether libraries, the chosen model and the chosen adapter are there. Nothing is loaded or fetched."""
        state = self.libraries()
        if not state.ok:
            return state
        try:
            if self._entry(options).origin != "tiny":  # those are made on first use, which takes torch
                self._source(options)
            self._card(options or DiffusionOptions())
        except StudioError as error:
            return Availability(False, error.message, error.hint)
        return Availability(True)

    def default_canvas(self, options: DiffusionOptions | None = None) -> dict[str, Any]:
        profile = self._entry(options).profile(options.quality if options else None)
        return {
            "width": profile.width,
            "height": profile.height,
            "fps": float(profile.fps),
            "scene_frames": profile.frames,
            "steps": profile.steps,
            "guidance": profile.guidance,
        }

    def frame_rule(self, frames: int, options: DiffusionOptions | None = None) -> int:
        return self._family(options).frames(frames)

    def size_rule(self, width: int, height: int, options: DiffusionOptions | None = None) -> tuple[int, int]:
        return self._family(options).size(width, height)

    def notices(self, plan: ScenePlan, canvas: Canvas) -> list[str]:
        """What is outside the model's range, and what of the prompts it does not read."""
        found = self.range_notices(canvas)
        for prompt in self.final_prompts(plan, canvas):
            found += prompt.notices
        return list(dict.fromkeys(found))

    def passes(self, canvas: Canvas) -> int:
        """Passes of the model that a settled canvas takes, where no scene is tried again and no step is left out."""
        from t2v_studio.engines.diffusion.denoise import forwards

        assert canvas.options is not None and canvas.steps is not None and canvas.guidance is not None
        family, cutoff = self._family(canvas.options), canvas.options.cfg_cutoff
        return len(canvas.scene_frames) * forwards(family, canvas.steps, canvas.guidance, cutoff)

    def left_out(self, options: DiffusionOptions) -> dict[str, str]:
        """Choices that the model's family has no use for: field to a sentence. Raises InputError for too few steps."""
        family, found = self._family(options), {}
        if options.steps is not None and options.steps < family.fewest_steps:
            raise InputError(
                "too_few_steps",
                f"steps: {family.label} needs {family.fewest_steps} or more, not {options.steps}.",
                f"Give --steps {family.fewest_steps} or more.",
            )
        if options.cfg_cutoff is not None and family.cfg_batched:
            found["cfg_cutoff"] = f"{family.label} runs both passes of guidance as one: --cfg-cutoff is left out."
        if options.flow_shift is not None and not family.takes_flow_shift:
            found["flow_shift"] = f"{family.label} has no flow shift: --flow-shift is left out."
        return found

    def of_adapter(self, options: DiffusionOptions) -> tuple[dict[str, Any], AdapterPreset | None]:
        """What card and preset of the LoRA say where the options leave it open: fields of a request, and the preset.

        Scale, trigger and profile come from either; steps, guidance and shift from the preset alone, but where a quality
        was asked for. Raises InputError for a scale outside the limits.
        """
        card = self._card(options)
        if card is None:
            return {}, None
        from t2v_studio.adapters.presets import checked_scale, preset_for

        own = preset_for(card, self._workspace)
        sources = [own, card] if own else [card]
        found: dict[str, Any] = {"lora_scale": checked_scale(card, own, options.lora_scale)}
        if not options.lora_trigger:
            found["lora_trigger"] = next((one.trigger for one in sources if one.trigger), "")
        if options.lora_prompt_profile == "auto":
            named = (one.profile for one in sources if one.profile not in ("", "auto"))
            found["lora_prompt_profile"] = next(named, "academic_infographic")
        if own is not None and options.quality is None:
            names = [name for name in ("steps", "guidance", "flow_shift") if getattr(options, name) is None]
            found |= {name: value for name in names if (value := getattr(own, name)) is not None}
        return found, own

    def range_notices(self, canvas: Canvas) -> list[str]:
        """What is outside the model's range, by the family's rules alone: nothing is loaded."""
        family = self._family(canvas.options)
        found: list[str] = []
        name = canvas.options.preset if canvas.options else ""
        suits = preset(name).families if name else []
        if suits and family.name not in suits:
            found.append(f"Preset {name} is made for {', '.join(suits)}, and the model is {family.name}.")
        found += self._idle_notices(canvas, family)
        for frames in dict.fromkeys(canvas.scene_frames):
            found += family.notices(frames, canvas.width, canvas.height, canvas.fps)
        return list(dict.fromkeys(found))

    @cached_property
    def _has_card(self) -> bool:
        """Asked once: the driver's own tool answers, and a form asks at each change."""
        return cards() > 0

    def _idle_notices(self, canvas: Canvas, family: Family) -> list[str]:
        """Choices that the model takes and that will do nothing."""
        from t2v_studio.engines.diffusion import step_cache

        found, options = [], canvas.options
        if options is not None and options.step_cache != "off":
            steps = canvas.steps or options.steps or 0
            kind, why = step_cache.wanted(options.step_cache, steps, len(family.transformers))
            if kind == "off":
                found.append(f"--step-cache {options.step_cache} does nothing here: {why.removeprefix('off: ')}.")
        if self._settings.dtype and not self._has_card:
            found.append(
                f"T2V_DTYPE={self._settings.dtype} does nothing here: it is for a card, and this machine has none."
            )
        return found

    def final_prompts(self, plan: ScenePlan, canvas: Canvas) -> list[FinalPrompt]:
        """Every scene's prompt as the model's own tokenizer reads it. Loads a tokenizer and nothing else."""
        if self._read is not None and self._read[0] is plan and self._read[1] == canvas:
            return self._read[2]
        from t2v_studio.engines.diffusion.prompts import final_prompts

        options = canvas.options or DiffusionOptions()
        family, tokenizer = self._family(options), self._tokenizer(options)
        found = final_prompts(plan, options, tokenizer, family.text_tokens, **self._words(options))
        self._read = (plan, canvas, found)
        return found

    def untrimmed_prompts(self, plan: ScenePlan, canvas: Canvas) -> list[FinalPrompt]:
        """`final_prompts` for a model that is not on this disk: nothing is left out, as no token can be counted."""
        from t2v_studio.engines.diffusion.untrimmed import untrimmed_prompts

        options = canvas.options or DiffusionOptions()
        return untrimmed_prompts(plan, options, **self._words(options))

    def _words(self, options: DiffusionOptions) -> dict[str, str]:
        """Trigger and profile of the adapter's card, for options that leave them open.

        Options that say the scale are settled (`of_adapter`): an empty trigger in them is none, whatever the card says.
        """
        card = self._card(options) if options.lora_scale is None else None
        return {"trigger": card.trigger, "profile": card.profile} if card else {}

    # --- drawing -------------------------------------------------------------------------------
    def prepare(self, plan: ScenePlan, canvas: Canvas, report: PrepareReport) -> None:
        """Load the model where another one or none is loaded, encode the prompts of all scenes, set the switches."""
        from t2v_studio.engines.diffusion.ladder import Policy
        from t2v_studio.engines.diffusion.session import Session

        options = canvas.options or DiffusionOptions()
        with self._lock:
            self._awake()
            self._made = {}
            family, worn = self._family(options), self._worn(options)
            resident = self._fitting(family, self._source(options), canvas, options)
            session = Session(
                plan=plan,
                canvas=canvas,
                options=options,
                family=family,
                resident=resident,
                prompts=self.final_prompts(plan, canvas),
                stores=self._kept(),
                policy=Policy.of(self._settings, retries=options.retries),
                worn=worn,
            )
            session.stores.latents.sweep()
            self._session = session
            session.ready(report)

    def render_scene(
        self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport
    ) -> Iterator[NDArray[np.uint8]]:
        """Frames (height, width, 3) of a scene that passed its verdict, with the overlay drawn over them.

        Raises StudioError scene_bad, LimitError out_of_memory (both with their tries in details), CancelledError.
        """
        yield from self._drawn(plan, index, canvas, report)

    def _drawn(self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport) -> NDArray[np.uint8]:
        from t2v_studio.engines.diffusion.scene import SceneDrawing

        with self._lock:
            if self._session is None or self._session.plan is not plan or self._session.canvas != canvas:
                self.prepare(plan, canvas, lambda *_: None)
            assert self._session is not None
            drawing = SceneDrawing(self._session, index, report)
            frames = drawing.frames()
            self._made[index] = drawing.provenance
        if self._session.options.text_overlay:
            from t2v_studio.engines.diffusion.overlay import draw

            return draw(frames, plan, index, canvas)
        return frames

    def provenance(self, plan: ScenePlan, index: int, canvas: Canvas) -> Provenance:
        return self._made[index]

    def finish(self, done: bool = True) -> None:
        """After the last scene. done: the video stands; otherwise its latents stay a day, for another attempt."""
        with self._lock:
            if self._session is not None and done:
                self._done_with |= self._session.kept_latents
            self._session = None
            if self._together is None:
                self._drop_latents()
            else:
                self._together += 1
            self._doze()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Videos drawn within share their latents and their plan of memory: one that is drawn again denoises only the
        scenes that changed.

        Where it ends in an error the latents stay a day, for another attempt.
        """
        self._together = 0
        try:
            yield
            self._drop_latents()
        finally:
            self._together, self._done_with = None, set()

    def _drop_latents(self) -> None:
        for key in self._done_with:
            self._kept().latents.drop(key)
        self._done_with = set()

    # --- memory --------------------------------------------------------------------------------
    def release(self) -> bool:
        """Give the card back; False while a video is being drawn. The next job loads again."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._session is not None:
                return False
            self._awake()
            if self._resident is not None:
                log.info("the model leaves the memory")
                self._unload()
            return True
        finally:
            self._lock.release()

    def close(self) -> None:
        self._awake()

    def status(self) -> dict[str, Any]:
        """What is loaded now, for the page: model, plan of memory; empty where nothing is."""
        resident = self._resident
        if resident is None:
            return {}
        return {"model": resident.source.name or resident.source.repo_id, "memory": resident.plan.as_row()}

    def _awake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _doze(self) -> None:
        """Start the clock after which an unused model leaves the card."""
        self._awake()
        if self._resident is not None:
            self._idle = threading.Timer(self._settings.gpu_idle_minutes * 60, self.release)
            self._idle.daemon = True
            self._idle.start()

    def _fitting(self, family: Family, source: Source, canvas: Canvas, options: DiffusionOptions) -> Resident:
        """The loaded model where it is the right one, else a new one in its place, with a plan of memory.

        One whose plan is tighter than this job needs takes a roomier one; not between the videos of a pair, since weights
        in eight bits give other pictures.
        """
        from t2v_studio.engines.diffusion import load
        from t2v_studio.engines.diffusion.resident import Resident
        from t2v_studio.engines.diffusion.store import ModelStore

        device = load.device_here()
        asked = load.dtype_for(self._entry(options).compute_dtype, self._settings.dtype, device)
        work = load.work_of(family, canvas, asked, device)
        held = self._resident
        if held is not None and held.serves(source, asked, device):
            if not self._together:
                held.suit(work)
            return held
        self._unload()
        dtype, sizes, plan = load.planned(family, source, asked, device, work)
        key = load.LoadKey(
            dtype=dtype,
            device=device,
            weights=plan.weights,
            streamed=plan.streamed,
            asked_dtype=asked,
        )
        self._resident = Resident(family, source, key, plan, sizes)
        if source.repo_id:
            self._hold = ModelStore.of(self._settings, self._workspace).hold(source.name)
        log.info("memory: %s", plan.label)
        return self._resident

    def _unload(self) -> None:
        """Drop the loaded model, and let its files be pruned."""
        if self._resident is not None:
            self._resident.close()
            self._resident = None
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    # --- what options name ---------------------------------------------------------------------
    def _entry(self, options: DiffusionOptions | None) -> Any:
        from t2v_studio.engines.diffusion.models import model

        return model(options.model_id if options else "", self._settings, self._workspace)

    def _family(self, options: DiffusionOptions | None) -> Family:
        rules: Family = self._entry(options).rules
        return rules

    def _source(self, options: DiffusionOptions | None) -> Source:
        from t2v_studio.engines.diffusion.models import source

        return source(self._entry(options), self._settings, self._workspace)

    def _tokenizer(self, options: DiffusionOptions) -> Any:
        source = self._source(options)
        resident = self._resident
        if resident is not None and resident.source == source:
            return resident.tokenizer
        key = f"{source.folder} {source.stamp}"
        if key not in self._tokenizers:
            self._tokenizers[key] = self._family(options).load_part("tokenizer", source)
        return self._tokenizers[key]

    def _card(self, options: DiffusionOptions) -> Any:
        if not options.adapter:
            return None
        from t2v_studio.adapters.catalogue import find

        return find(self._workspace, options.adapter)

    def _worn(self, options: DiffusionOptions) -> Worn | None:
        """The adapter's weights and its scale: the settled one, whatever the card's limits are by now."""
        card = self._card(options)
        if card is None:
            return None
        from t2v_studio.adapters.catalogue import load_state
        from t2v_studio.adapters.presets import checked_scale, preset_for
        from t2v_studio.engines.diffusion.session import Worn

        scale = options.lora_scale
        if scale is None:
            scale = checked_scale(card, preset_for(card, self._workspace), None)
        return Worn(card, load_state(self._workspace, card.id), scale)

    def _kept(self) -> Any:
        from t2v_studio.engines.diffusion.session import Stores

        if self._stores is None:
            self._stores = Stores.at(self._workspace.cache / "diffusion")
        return self._stores
