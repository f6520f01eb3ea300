"""Where the parts of a model lie on a card, chosen from free memory and sizes: five tiers, from roomy to tight.

Sizes and tiers follow what the parts weigh in bfloat16 (Wan 2.1: transformer 28.6 or 2.84 GB, UMT5 11.4 GB), so one rule
serves every family. Pure functions: no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from t2v_studio.engines.diffusion.models import BYTES

if TYPE_CHECKING:
    from t2v_studio.engines.diffusion.families.base import Family
    from t2v_studio.engines.diffusion.models import ModelEntry

GIB = 1024**3
RESERVE = 1.0 * GIB
"""Left free for the driver, the allocator's gaps and other programs, on a card as in main memory."""
KEPT_WIDE = 0.2
"""Share of a T5 encoder's numbers that transformers keeps in thirty-two bits beside float16: its `wo` layers, 1.0 of 4.8
billion (1.0 of 5.7 in UMT5)."""
OFFLOADED_SHARE = 0.3
"""Of a transformer that streams from the host, this share lies on the card at its peak (diffusers reports 13 GB for 28.6)."""

Tier = Literal["A", "B", "C", "D", "E", "cpu", "cpu-lean", "cpu-half"]
TIERS: tuple[Tier, ...] = ("A", "B", "C", "D", "E")


@dataclass(frozen=True)
class PartBytes:
    """What the parts weigh in the dtype in which they are loaded; all transformers together.

    copied: bytes of a part that loading copies into main memory, by its name. What its files hold in that dtype is read
    where it lies on the disk, and can leave main memory again.
    """

    transformer: float
    text_encoder: float
    vae: float
    copied: Mapping[str, float] = field(default_factory=dict)

    def copy_of(self, part: str) -> float:
        return self.copied.get(part, 0.0)

    @classmethod
    def listed(cls, entry: ModelEntry) -> PartBytes:
        """From the list of models, for a model that may not be on this disk."""
        dtype = entry.compute_dtype
        files = ((part, listed.stored, listed.parameters) for part, listed in entry.all_parts().items())
        return cls.of(files, dtype, entry.rules.vae_dtype or dtype)

    @classmethod
    def of(cls, files: Iterable[tuple[str, str, int]], dtype: str, vae_dtype: str) -> PartBytes:
        """From what lies on the disk, as (part, dtype in which it is stored, count of its numbers)."""
        weigh = dict.fromkeys(("transformer", "text_encoder", "vae"), 0.0)
        copied = dict(weigh)
        for part, stored, count in files:
            name = "transformer" if part.startswith("transformer") else part
            if name in weigh:
                wanted = vae_dtype if part == "vae" else dtype
                wide = KEPT_WIDE * count if (part, wanted) == ("text_encoder", "float16") else 0.0
                weigh[name] += BYTES[wanted] * (count - wide) + 4 * wide
                copied[name] += BYTES[wanted] * (count - wide) if stored != wanted else 0
                copied[name] += 4 * wide if stored != "float32" else 0
        return cls(**weigh, copied=copied)


@dataclass(frozen=True)
class Work:
    """What a clip needs beside the weights, in bytes. tiled: decoding it in tiles."""

    denoise: float
    decode: float
    tiled: float

    def smaller_than(self, other: Work) -> bool:
        """Less in one and no more in the other."""
        return self != other and self.denoise <= other.denoise and self.decode <= other.decode

    @classmethod
    def of(cls, family: Family, frames: int, width: int, height: int, dtype: str, vae_dtype: str) -> Work:
        """dtype, vae_dtype: those in which transformer and decoder compute."""
        passes = 2 if family.cfg_batched else 1  # at once
        denoise = passes * family.tokens(frames, width, height) * family.denoise_bytes * BYTES[dtype] / 2
        decode, tiled = (
            family.decode_peak(frames, width, height, dtype=vae_dtype, tiled=tiled) for tiled in (False, True)
        )
        return cls(denoise, decode, min(decode, tiled))

    def peak(self, tiled: bool) -> float:
        return max(self.denoise, self.tiled if tiled else self.decode)


@dataclass(frozen=True)
class MemoryPlan:
    """How a model is held.

    weights: "plain", or "float8" where the transformer is stored in eight bits and computed in sixteen (this
    changes the pictures). text_encoder: "resident", "host" (on the card only while it encodes) or "freed".
    pristine: where the copies lie that taking a LoRA off needs. narrow_decode: the decoder in the transformer's dtype,
    though its family decodes in a wider one. streamed: the transformer's blocks come from the
    host one after another. needs: bytes at the peak, as reckoned, on the card or, without one, in main memory.
    host: bytes of main memory that cannot be done without.
    """

    tier: Tier
    device: str = "cuda"
    weights: Literal["plain", "float8"] = "plain"
    streamed: bool = False
    text_encoder: Literal["resident", "host", "freed"] = "resident"
    pristine: Literal["device", "host"] = "device"
    tiled_decode: bool = False
    narrow_decode: bool = False
    needs: float = 0.0
    free: float = 0.0
    host: float = 0.0

    @property
    def label(self) -> str:
        """One line for the page, the record and `t2v doctor`."""
        what = _WORDS[self.tier]
        if self.device == "cpu":
            return f"{self.tier}: {what}"
        tiles = ", the decoder works in tiles" if self.tiled_decode else ""
        return f"tier {self.tier}: {what}{tiles} ({self.needs / GIB:.1f} of {self.free / GIB:.1f} GiB)"

    def as_row(self) -> dict[str, Any]:
        row = asdict(self) | {"label": self.label}
        return row | {name: round(row[name] / GIB, 2) for name in ("needs", "free", "host")}


_WORDS: Mapping[str, str] = {
    "A": "everything stays on the card, and copies that LoRA changes start from",
    "B": "transformer and decoder stay on the card, the text encoder where there is room; LoRA copies in main memory",
    "C": "the transformer is stored in eight bits, the text encoder leaves the card after encoding",
    "D": "the transformer streams from main memory",
    "E": "the transformer streams in eight bits, the decoder computes in sixteen (slow, experimental)",
    "cpu": "no card: everything in main memory",
    "cpu-lean": "no card: the text encoder is freed after encoding, the decoder works in tiles",
    "cpu-half": "no card and little main memory: weights in sixteen bits, the text encoder is freed after encoding, the decoder works in tiles",
}


def plan_of(tier: Tier, parts: PartBytes, work: Work, free: float, *, tiled: bool = False) -> MemoryPlan:
    """The plan of a tier, with what it needs. tiled: the decoder works in tiles, as it always does on tier E."""
    plan = _plan_of(tier, parts, work, free, tiled or tier == "E")
    loading = parts.copy_of("transformer") if plan.streamed else 0.0
    if plan.weights == "float8":
        loading = max(parts.copy_of("transformer"), parts.transformer / 2)
    parked = parts.text_encoder if plan.text_encoder == "host" else 0.0
    return replace(plan, host=max(parked + loading, parts.copy_of("text_encoder")))


def _plan_of(tier: Tier, parts: PartBytes, work: Work, free: float, tiled: bool) -> MemoryPlan:
    peak = work.peak(tiled)
    weight, text, vae = parts.transformer, parts.text_encoder, parts.vae
    plan = MemoryPlan(tier, tiled_decode=tiled, free=free)
    if tier == "A":
        return replace(plan, needs=2 * weight + text + vae + peak + RESERVE)
    plan = replace(plan, pristine="host")
    if tier == "B":
        roomy = weight + text + vae + peak + RESERVE
        if roomy <= free:
            return replace(plan, needs=roomy)
        needs = max(weight + peak, min(text, weight)) + vae + RESERVE
        return replace(plan, text_encoder="host", needs=needs)
    if tier == "C":
        return replace(plan, weights="float8", text_encoder="host", needs=weight / 2 + vae + peak + RESERVE)
    plan = replace(plan, streamed=True, text_encoder="freed")
    if tier == "D":
        return replace(plan, needs=weight * OFFLOADED_SHARE + vae + peak + RESERVE)
    peak = max(work.denoise, work.tiled / 2)
    needs = weight * OFFLOADED_SHARE / 2 + vae / 2 + peak + RESERVE
    return replace(plan, weights="float8", narrow_decode=True, needs=needs)


_WAYS: tuple[tuple[Tier, bool], ...] = (
    ("A", False), ("B", False), ("B", True), ("C", False), ("C", True), ("D", False), ("D", True), ("E", True),
)  # fmt: skip
"""Tiers, and whether the decoder works in tiles: before weights get eight bits or stream, tiles are tried."""


def choose(free: float, parts: PartBytes, work: Work, host: float = float("inf")) -> MemoryPlan:
    """The roomiest plan that fits into `free` bytes of a card and `host` bytes of main memory; where none does, the one
    that comes nearest to it.

    Three comforts are weighed here: a text encoder on the host costs a second a new prompt, copies on the host a
    second a change of LoRA, tiles a little of decoding; weights in eight bits and streaming cost quality and time, so they
    come last. A text encoder that main memory cannot hold is read from the disk for each new prompt.
    """
    fit = []
    for tier, tiled in _WAYS:
        plan = plan_of(tier, parts, work, free, tiled=tiled)
        if plan.text_encoder == "host" and plan.host > host:
            held = max(plan.host - parts.text_encoder, parts.copy_of("text_encoder"))
            plan = replace(plan, text_encoder="freed", host=held)
        if plan.needs <= free:
            fit.append(plan)
            if plan.host <= host:
                return plan
    return min(fit, key=lambda plan: plan.host) if fit else plan_of("E", parts, work, free)


def on_cpu(parts: PartBytes, work: Work, free: float = float("inf")) -> MemoryPlan:
    """The plan without a card; lean where the main memory would not hold all parts and the work at once."""
    needs = parts.transformer + parts.text_encoder + parts.vae + work.peak(tiled=False) + RESERVE
    plan = MemoryPlan("cpu", device="cpu", needs=needs, free=free, host=sum(parts.copied.values()))
    return plan if needs <= free else lean(plan, parts, work)


def least(parts: PartBytes, peak: float = 0.0) -> float:
    """What weights, and work that takes `peak`, need without a card where text encoder and transformer are never there
    together."""
    return max(parts.text_encoder, parts.transformer + parts.vae + peak) + RESERVE


def lean(plan: MemoryPlan, parts: PartBytes, work: Work) -> MemoryPlan:
    """A plan without a card in less memory: text encoder and transformer are never there together."""
    needs = least(parts, work.peak(tiled=True))
    host = max(parts.copy_of("text_encoder"), parts.copy_of("transformer") + parts.copy_of("vae"))
    return replace(
        plan, tier="cpu-lean", text_encoder="freed", pristine="host", tiled_decode=True, needs=needs, host=host
    )


def halved(parts: PartBytes, work: Work, free: float) -> MemoryPlan:
    """The lean plan of parts that weigh sixteen bits a number: for a main memory too small for thirty-two."""
    return replace(lean(on_cpu(parts, work, free), parts, work), tier="cpu-half")


def roomier(plan: MemoryPlan, than: MemoryPlan) -> bool:
    """Whether a plan for the same weights in the same dtype is the faster one."""
    return than.tier != "cpu-half" and _tightness(plan) < _tightness(than)


def _tightness(plan: MemoryPlan) -> tuple[int, bool, int]:
    tiers = (*TIERS, "cpu", "cpu-lean", "cpu-half")
    return tiers.index(plan.tier), plan.tiled_decode, ("resident", "host", "freed").index(plan.text_encoder)


def lower(plan: MemoryPlan, parts: PartBytes, work: Work) -> MemoryPlan | None:
    """The next tighter plan after out-of-memory; None at the end. Tiles stay, and come where the tier needs them."""
    if plan.device == "cpu":
        return lean(plan, parts, work) if plan.tier == "cpu" else None
    if plan.tier == "B" and plan.text_encoder == "resident":
        return replace(plan_of("B", parts, work, 0.0, tiled=plan.tiled_decode), free=plan.free)
    at = TIERS.index(plan.tier) + 1
    if at == len(TIERS):
        return None
    untiled = plan_of(TIERS[at], parts, work, plan.free)
    roomy = not plan.tiled_decode and untiled.needs <= plan.free
    return untiled if roomy else plan_of(TIERS[at], parts, work, plan.free, tiled=True)
