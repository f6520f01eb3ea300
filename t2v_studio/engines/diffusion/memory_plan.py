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
    from t2v_studio.engines.diffusion.models import ModelEntry

GIB = 1024**3
RESERVE = 1.0 * GIB
"""Left free for the driver, the allocator's gaps and other programs, on a card as in main memory."""
DENOISE_BYTES_PER_TOKEN = 220_000
"""Activations of one forward, a token of the latent video: about ten tensors of 5120 numbers in bfloat16, two of the
feed-forward layer. Generous for smaller models."""
DECODE_BYTES_PER_PIXEL = 4 * 3 * 160
"""Peak of a float32 VAE decode, a pixel of one frame: about 160 channels at full size over a chunk of frames."""
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
                weigh[name] += BYTES[wanted] * count
                copied[name] += BYTES[wanted] * count if stored != wanted else 0
        return cls(**weigh, copied=copied)


@dataclass(frozen=True)
class Work:
    """What a clip needs beside the weights, in bytes."""

    denoise: float
    decode: float

    def smaller_than(self, other: Work) -> bool:
        """Less in one and no more in the other."""
        return self != other and self.denoise <= other.denoise and self.decode <= other.decode

    @classmethod
    def of(cls, frames: int, width: int, height: int) -> Work:
        tokens = ((frames - 1) // 4 + 1) * (height / 16) * (width / 16)
        return cls(tokens * DENOISE_BYTES_PER_TOKEN, width * height * DECODE_BYTES_PER_PIXEL)


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
        return f"tier {self.tier}: {what} ({self.needs / GIB:.1f} of {self.free / GIB:.1f} GiB)"

    def as_row(self) -> dict[str, Any]:
        row = asdict(self) | {"label": self.label}
        return row | {name: round(row[name] / GIB, 2) for name in ("needs", "free", "host")}


_WORDS: Mapping[str, str] = {
    "A": "everything stays on the card, and copies that LoRA changes start from",
    "B": "transformer and decoder stay on the card, the text encoder where there is room; LoRA copies in main memory",
    "C": "the transformer is stored in eight bits, the text encoder leaves the card after encoding",
    "D": "the transformer streams from main memory, the decoder works in tiles where the picture is large",
    "E": "the transformer streams in eight bits, the decoder works in tiles in sixteen bits (slow, experimental)",
    "cpu": "no card: everything in main memory",
    "cpu-lean": "no card: the text encoder is freed after encoding, the decoder works in tiles",
    "cpu-half": "no card and little main memory: weights in sixteen bits, the text encoder is freed after encoding, the decoder works in tiles",
}


def plan_of(tier: Tier, parts: PartBytes, work: Work, free: float) -> MemoryPlan:
    """The plan of a tier, with what it needs."""
    plan = _plan_of(tier, parts, work, free)
    loading = parts.copy_of("transformer") if plan.streamed else 0.0
    if plan.weights == "float8":
        loading = max(parts.copy_of("transformer"), parts.transformer / 2)
    parked = parts.text_encoder if plan.text_encoder == "host" else 0.0
    return replace(plan, host=max(parked + loading, parts.copy_of("text_encoder")))


def _plan_of(tier: Tier, parts: PartBytes, work: Work, free: float) -> MemoryPlan:
    peak = max(work.denoise, work.decode)
    weight, text, vae = parts.transformer, parts.text_encoder, parts.vae
    if tier == "A":
        return MemoryPlan("A", needs=2 * weight + text + vae + peak + RESERVE, free=free)
    if tier == "B":
        roomy = weight + text + vae + peak + RESERVE
        if roomy <= free:
            return MemoryPlan("B", pristine="host", needs=roomy, free=free)
        needs = max(weight + peak, min(text, weight)) + vae + RESERVE
        return MemoryPlan("B", pristine="host", text_encoder="host", needs=needs, free=free)
    if tier == "C":
        needs = weight / 2 + vae + peak + RESERVE
        return MemoryPlan("C", weights="float8", pristine="host", text_encoder="host", needs=needs, free=free)
    large = work.decode > 2 * GIB or tier == "E"
    decode = min(work.decode, 1.5 * GIB) if large else work.decode
    share = OFFLOADED_SHARE * (0.5 if tier == "E" else 1.0)
    return MemoryPlan(
        tier,
        weights="float8" if tier == "E" else "plain",
        streamed=True,
        text_encoder="freed",
        pristine="host",
        tiled_decode=large,
        narrow_decode=tier == "E",
        needs=weight * share + vae * (0.5 if tier == "E" else 1.0) + max(work.denoise, decode) + RESERVE,
        free=free,
    )


def choose(free: float, parts: PartBytes, work: Work, host: float = float("inf")) -> MemoryPlan:
    """The roomiest plan that fits into `free` bytes of a card and `host` bytes of main memory; where none does, the one
    that comes nearest to it.

    Two comforts are weighed here: a text encoder on the host costs a second a new prompt, copies on the host a
    second a change of LoRA; weights in eight bits and streaming cost quality and time, so they come last. A text encoder
    that main memory cannot hold is read from the disk for each new prompt.
    """
    fit = []
    for tier in TIERS:
        plan = plan_of(tier, parts, work, free)
        if plan.text_encoder == "host" and plan.host > host:
            held = max(plan.host - parts.text_encoder, parts.copy_of("text_encoder"))
            plan = replace(plan, text_encoder="freed", host=held)
        if plan.needs <= free:
            fit.append(plan)
            if plan.host <= host:
                return plan
    return min(fit, key=lambda plan: plan.host) if fit else plan_of("E", parts, work, free)


def on_cpu(parts: PartBytes, free: float = float("inf")) -> MemoryPlan:
    """The plan without a card; lean where the main memory would not hold all parts comfortably."""
    total = parts.transformer + parts.text_encoder + parts.vae
    plan = MemoryPlan("cpu", device="cpu", needs=total, free=free, host=sum(parts.copied.values()))
    return plan if total * 1.5 <= free else lean(plan, parts)


def lean(plan: MemoryPlan, parts: PartBytes) -> MemoryPlan:
    """A plan without a card in less memory: text encoder and transformer are never there together."""
    needs = 1.05 * max(parts.text_encoder, parts.transformer + parts.vae) + RESERVE
    host = max(parts.copy_of("text_encoder"), parts.copy_of("transformer") + parts.copy_of("vae"))
    return replace(
        plan, tier="cpu-lean", text_encoder="freed", pristine="host", tiled_decode=True, needs=needs, host=host
    )


def halved(parts: PartBytes, free: float) -> MemoryPlan:
    """The lean plan of parts that weigh sixteen bits a number: for a main memory too small for thirty-two."""
    return replace(lean(on_cpu(parts, free), parts), tier="cpu-half")


def roomier(plan: MemoryPlan, than: MemoryPlan) -> bool:
    """Whether a plan for the same weights in the same dtype is the faster one."""
    if than.tier == "cpu-half":
        return False
    return _ROOMY_FIRST.index((plan.tier, plan.text_encoder)) < _ROOMY_FIRST.index((than.tier, than.text_encoder))


_PLACES = ("resident", "host", "freed")
_ROOMY_FIRST = [(tier, place) for tier in (*TIERS, "cpu", "cpu-lean") for place in _PLACES]


def lower(plan: MemoryPlan, parts: PartBytes, work: Work) -> MemoryPlan | None:
    """The next tighter plan after out-of-memory; None at the end."""
    if plan.device == "cpu":
        return lean(plan, parts) if plan.tier == "cpu" else None
    if plan.tier == "B" and plan.text_encoder == "resident":
        return replace(plan_of("B", parts, work, 0.0), free=plan.free)
    at = TIERS.index(plan.tier)
    return plan_of(TIERS[at + 1], parts, work, plan.free) if at + 1 < len(TIERS) else None
