"""Where the parts of a model lie on a card, chosen from free memory and sizes: five tiers, from roomy to tight.

Sizes and tiers follow what the parts weigh in bfloat16 (Wan 2.1: transformer 28.6 or 2.84 GB, UMT5 11.4 GB), so one rule
serves every family. Pure functions: no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from t2v_studio.engines.diffusion.models import ModelEntry

GIB = 1024**3
RESERVE = 1.0 * GIB
"""Left free for the driver, the allocator's gaps and other programs."""
DENOISE_BYTES_PER_TOKEN = 220_000
"""Activations of one forward, a token of the latent video: about ten tensors of 5120 numbers in bfloat16, two of the
feed-forward layer. Generous for smaller models."""
DECODE_BYTES_PER_PIXEL = 4 * 3 * 160
"""Peak of a float32 VAE decode, a pixel of one frame: about 160 channels at full size over a chunk of frames."""
OFFLOADED_SHARE = 0.3
"""Of a transformer that streams from the host, this share lies on the card at its peak (diffusers reports 13 GB for 28.6)."""

Tier = Literal["A", "B", "C", "D", "E", "cpu", "cpu-lean"]
TIERS: tuple[Tier, ...] = ("A", "B", "C", "D", "E")


@dataclass(frozen=True)
class PartBytes:
    """What the parts weigh in the dtype in which they are loaded; all transformers together."""

    transformer: float
    text_encoder: float
    vae: float

    @classmethod
    def listed(cls, entry: ModelEntry) -> PartBytes:
        """From the list of models, for a model that may not be on this disk."""
        parts, dtype = entry.all_parts(), entry.compute_dtype
        return cls(
            transformer=sum(part.bytes(dtype) for name, part in parts.items() if name.startswith("transformer")),
            text_encoder=sum(part.bytes(dtype) for name, part in parts.items() if name == "text_encoder"),
            vae=sum(part.bytes(entry.rules.vae_dtype or dtype) for name, part in parts.items() if name == "vae"),
        )


@dataclass(frozen=True)
class Work:
    """What a clip needs beside the weights, in bytes."""

    denoise: float
    decode: float

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
    host one after another. needs: bytes at the peak, as reckoned.
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

    @property
    def label(self) -> str:
        """One line for the page, the record and `t2v doctor`."""
        what = _WORDS[self.tier]
        if self.device == "cpu":
            return f"{self.tier}: {what}"
        return f"tier {self.tier}: {what} ({self.needs / GIB:.1f} of {self.free / GIB:.1f} GiB)"

    def as_row(self) -> dict[str, Any]:
        row = asdict(self) | {"label": self.label}
        return row | {name: round(row[name] / GIB, 2) for name in ("needs", "free")}


_WORDS: Mapping[str, str] = {
    "A": "everything stays on the card, and copies that LoRA changes start from",
    "B": "transformer and decoder stay on the card, the text encoder where there is room; LoRA copies in main memory",
    "C": "the transformer is stored in eight bits, the text encoder leaves the card after encoding",
    "D": "the transformer streams from main memory, the decoder works in tiles where the picture is large",
    "E": "the transformer streams in eight bits, the decoder works in tiles in sixteen bits (slow, experimental)",
    "cpu": "no card: everything in main memory",
    "cpu-lean": "no card: the text encoder is freed after encoding, the decoder works in tiles",
}


def plan_of(tier: Tier, parts: PartBytes, work: Work, free: float) -> MemoryPlan:
    """The plan of a tier, with what it needs."""
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


def choose(free: float, parts: PartBytes, work: Work) -> MemoryPlan:
    """The roomiest plan that fits into `free` bytes of a card; the tightest where none does.

    Two comforts are weighed here: a text encoder on the host costs a second a new prompt, copies on the host a
    second a change of LoRA; weights in eight bits and streaming cost quality and time, so they come last.
    """
    for tier in TIERS:
        plan = plan_of(tier, parts, work, free)
        if plan.needs <= free:
            return plan
    return plan_of("E", parts, work, free)


def on_cpu(parts: PartBytes, free: float = float("inf")) -> MemoryPlan:
    """The plan without a card; lean where the main memory would not hold all parts comfortably."""
    total = parts.transformer + parts.text_encoder + parts.vae
    return MemoryPlan("cpu", device="cpu") if total * 1.5 <= free else lean(MemoryPlan("cpu", device="cpu"))


def lean(plan: MemoryPlan) -> MemoryPlan:
    return replace(plan, tier="cpu-lean", text_encoder="freed", pristine="host", tiled_decode=True)


def lower(plan: MemoryPlan, parts: PartBytes, work: Work) -> MemoryPlan | None:
    """The next tighter plan after out-of-memory; None at the end."""
    if plan.device == "cpu":
        return lean(plan) if plan.tier == "cpu" else None
    if plan.tier == "B" and plan.text_encoder == "resident":
        return replace(plan_of("B", parts, work, 0.0), free=plan.free)
    at = TIERS.index(plan.tier)
    return plan_of(TIERS[at + 1], parts, work, plan.free) if at + 1 < len(TIERS) else None


def table(parts: PartBytes, work: Work) -> list[dict[str, Any]]:
    """A row a tier, for `t2v doctor` and the page: tier, what it does, GiB that it needs."""
    rows = []
    for tier in TIERS:
        plan = plan_of(tier, parts, work, 0.0)
        rows.append({"tier": tier, "means": _WORDS[tier], "needs_gib": round(plan.needs / GIB, 1)})
    return rows
