"""One model that stays loaded between jobs: its parts, its plan of memory, the adapter that it wears."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from t2v_studio.engines.diffusion import compile, load
from t2v_studio.engines.diffusion.families.base import Family, Parts, Source
from t2v_studio.engines.diffusion.families.loading import out_of_memory
from t2v_studio.engines.diffusion.memory_plan import MemoryPlan, PartBytes, Work, lower, roomier
from t2v_studio.engines.diffusion.offloading import stream, streams
from t2v_studio.machine import free_memory

_PLACES = ("weights", "streamed", "text_encoder", "tiled_decode", "narrow_decode")
MORE = 1.1
"""Room that counts as more than there was: a tenth; free memory is never quite the same."""
log = logging.getLogger(__name__)


class Resident:
    """Loaded parts of one model. Nothing is loaded before it is asked for.

    loads: parts that were read from disk, since the model was made resident. One thread at a time.
    """

    def __init__(self, family: Family, source: Source, key: load.LoadKey, plan: MemoryPlan, sizes: PartBytes) -> None:
        self.family, self.source, self.key, self.plan, self.sizes = family, source, key, plan, sizes
        self.loads: list[str] = []
        self.scheduler_config: dict[str, Any] = {}
        self.vae_dtype = ""
        self._parts: Parts = {}
        self._pipe: Any = None
        self._slot: Any = None
        self._mixes: Any = None
        self._ran_out: tuple[Work, float] | None = None
        """What the last work that did not fit was, and how much room there was."""

    def serves(self, source: Source, dtype: str, device: str) -> bool:
        """Whether this is the model that a job asks for, from the files as they are now. dtype: as asked, whatever main
        memory made of it."""
        return (self.source, self.key.asked_dtype, self.key.device) == (source, dtype, device)

    # --- text ----------------------------------------------------------------------------------
    @property
    def tokenizer(self) -> Any:
        if "tokenizer" not in self._parts:
            self._parts["tokenizer"] = self._load("tokenizer")
        return self._parts["tokenizer"]

    def encoder(self) -> Parts:
        """Tokenizer and text encoder, on the card where there is room for it beside what lies there.

        Where there is none, it streams through the card for good: on the host, a prompt would take minutes.
        """
        device = self._encoder_device()
        if "text_encoder" not in self._parts:
            self._parts["text_encoder"] = self._load("text_encoder", dtype=self.key.dtype, device=device)
        part = self._parts["text_encoder"]
        if not streams(part) and device != self.plan.device:
            part.to("cpu")
            stream(part, self.plan.device, ahead=False)
        self._move("text_encoder", device)
        return {"tokenizer": self.tokenizer, "text_encoder": part}

    def park_encoder(self) -> None:
        """Leave the text encoder where the plan has it while clips are denoised."""
        if "text_encoder" not in self._parts or self.plan.text_encoder == "resident":
            return
        if self.plan.text_encoder == "host":
            self._move("text_encoder", "cpu")
        else:
            del self._parts["text_encoder"]
        load.empty_cache()

    def _encoder_device(self) -> str:
        device = self.plan.device
        if device == "cpu" or self.plan.text_encoder == "resident":
            return device
        return device if load.free_bytes(device) > 1.1 * self.sizes.text_encoder else "cpu"

    # --- denoising and decoding ----------------------------------------------------------------
    @property
    def pipe(self) -> Any:
        """The diffusers pipeline without its text encoder: where that one lies is no business of a denoising."""
        if self._pipe is None:
            self.scheduler_config = self._load("scheduler_config")
            parts = load.load_transformers(self.family, self.source, self.plan, self.key.dtype)
            self.loads += parts
            parts["vae"] = load.load_vae(self.family, self.source, self.plan, self.key.dtype)
            self.loads.append("vae")
            self.vae_dtype = str(parts["vae"].dtype).removeprefix("torch.")
            self._parts |= parts
            self._pipe = self.family.pipeline_from({**parts, "scheduler_config": self.scheduler_config})
        return self._pipe

    @property
    def vae(self) -> Any:
        return self.pipe.vae

    @property
    def transformers(self) -> list[Any]:
        pipe = self.pipe
        return [
            part
            for part in (getattr(pipe, name, None) for name in ("transformer", "transformer_2"))
            if part is not None
        ]

    @property
    def slot(self) -> Any:
        """The place of the adapter (`adapter_slot.AdapterSlot`)."""
        if self._slot is None:
            from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot

            folders = [self.source.part(name) for name in self.family.transformers]
            self._slot = AdapterSlot(*self.transformers, keep=self.plan.pristine, folders=folders)
        return self._slot

    @property
    def has_slot(self) -> bool:
        return self._slot is not None

    def mixes(self) -> Any:
        """What `preview.Projection` mixes from the latents; found at the first use."""
        if self._mixes is None:
            from t2v_studio.engines.diffusion.preview import find_mixes

            self._mixes = find_mixes(self.family, self.vae, int(self.transformers[0].config.in_channels))
        return self._mixes

    # --- memory --------------------------------------------------------------------------------
    def step_down(self, work: Work) -> bool:
        """Go to the next tighter plan that frees something. Only where weights lie differently are they loaded again.

        False at the tightest plan.
        """
        plan = lower(self.plan, self.sizes, work)
        while plan is not None and not self._frees(plan):
            plan = lower(plan, self.sizes, work)
        if plan is None:
            return False
        log.warning("out of memory: from %s to %s", self.plan.label, plan.label)
        load.empty_cache()
        self._ran_out = work, self._room()
        self._take(plan)
        return True

    def tile(self, work: Work) -> None:
        """Decode in tiles from now on: `work` did not fit at once."""
        self._ran_out = work, self._room()
        self.plan = replace(self.plan, tiled_decode=True)

    def suit(self, work: Work) -> None:
        """Before a job: take the plan that fits `work` now, where that is roomier than the one that is held (another
        program has left, or the job asks for less), and decode in tiles where it would not fit at once.

        Work that ran out of memory stays where it stepped down to, unless there is more by now. A tighter place for
        weights is left to `step_down`: what is loaded may fit after all.
        """
        if self._ran_out is not None:
            work_then, room_then = self._ran_out
            if not (work.smaller_than(work_then) or self._room() > MORE * room_then):
                return
        plan = load.plan_for(self.sizes, work, self.plan.device, self._room(), self._host_room())
        if roomier(plan, self.plan):
            log.info("memory: from %s to %s", self.plan.label, plan.label)
            self._ran_out = None
            encoder = self._parts.get("text_encoder")
            if encoder is not None and streams(encoder):  # it would go on streaming where there is room for it now
                del self._parts["text_encoder"]
            try:
                self._take(plan)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                error.__traceback__ = None
                self.step_down(work)
        elif plan.tiled_decode and plan.device != "cpu":
            self.plan = replace(self.plan, tiled_decode=True)

    def _room(self) -> float:
        """Bytes that this model may take where its plan puts it: those that are free, and on a card those that it has.
        Main memory that its files are mapped into counts as free already."""
        device = self.plan.device
        if device == "cpu":
            return load.free_bytes(device)
        copies = self._slot.kept_bytes() if self._slot is not None and self.plan.pristine == "device" else 0
        return load.free_bytes(device) + sum(map(self._held, self._parts)) + copies

    def _held(self, name: str) -> float:
        """Bytes of a part that lie on the plan's device."""
        part, place = self._parts[name], self.plan.device.split(":")[0]
        weights = part.parameters() if hasattr(part, "parameters") else ()
        return float(sum(one.nbytes for one in weights if one.device.type == place))

    def _host_room(self) -> float:
        """Bytes of main memory that may be taken beside a card: free ones, and those of the text encoder parked there."""
        parked = self.plan.text_encoder == "host" and "text_encoder" in self._parts
        return free_memory() + (self.sizes.text_encoder - self._held("text_encoder") if parked else 0.0)

    def _take(self, plan: MemoryPlan) -> None:
        same = (plan.weights, plan.streamed) == (self.plan.weights, self.plan.streamed)
        self.plan = plan
        self.key = replace(self.key, weights=plan.weights, streamed=plan.streamed)
        if not same:
            self._drop_weights()
        elif self._slot is not None:
            self._slot.keep_on(plan.pristine)
        self.park_encoder()
        load.empty_cache()

    def _frees(self, plan: MemoryPlan) -> bool:
        """Whether anything lies differently in a plan: copies for a LoRA count where there are some."""
        now, copies = self.plan, self._slot is not None and self._slot.kept_bytes() > 0
        return any(getattr(plan, name) != getattr(now, name) for name in _PLACES) or (
            copies and plan.pristine != now.pristine
        )

    def close(self) -> None:
        """Give all memory back."""
        self._drop_weights()
        self._parts = {}
        load.empty_cache()

    def _drop_weights(self) -> None:
        if self._pipe is not None:
            compile.forget(self.transformers)
        self._pipe = self._slot = self._mixes = None
        self._parts = {name: part for name, part in self._parts.items() if name in ("tokenizer", "text_encoder")}

    def _load(self, part: str, **arguments: Any) -> Any:
        self.loads.append(part)
        return self.family.load_part(part, self.source, **arguments)

    def _move(self, name: str, device: str) -> None:
        part = self._parts[name]
        if not streams(part) and part.device.type != device.split(":")[0]:
            part.to(device)
