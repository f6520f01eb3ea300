"""How close a run came to what the card can do: achieved operations a second over the reachable peak."""

from __future__ import annotations

import re
from typing import Any

REACHABLE = 0.8
"""Share of the data sheet's dense peak that the best matrix kernels reach in practice (790 of 989 TFLOP/s on an H100)."""

PEAK_TFLOPS: tuple[tuple[str, float], ...] = (
    ("B300", 2250.0),
    ("B200", 2250.0),
    ("GH200", 989.0),
    ("H200 NVL", 835.0),
    ("H200", 989.0),
    ("H100 PCIE", 756.0),
    ("H100 NVL", 835.0),
    ("H100", 989.0),
    ("H800 PCIE", 756.0),
    ("H800", 989.0),
    ("H20", 148.0),
    ("A100", 312.0),
    ("A800", 312.0),
    ("A30", 165.0),
    ("L40S", 362.0),
    ("L40", 181.0),
    ("L4", 121.0),
    ("A40", 150.0),
    ("A10G", 70.0),
    ("A10", 125.0),
    ("RTX PRO 6000", 504.0),
    ("RTX 6000 ADA", 364.0),
    ("RTX A6000", 155.0),
    ("RTX A5000", 111.0),
    ("RTX A4000", 77.0),
    ("RTX 5090", 209.0),
    ("RTX 5080", 113.0),
    ("RTX 5070 TI", 88.0),
    ("RTX 5070", 62.0),
    ("RTX 4090", 165.0),
    ("RTX 4080 SUPER", 104.0),
    ("RTX 4080", 97.0),
    ("RTX 4070 TI SUPER", 88.0),
    ("RTX 4070 TI", 80.0),
    ("RTX 4070 SUPER", 71.0),
    ("RTX 4070", 58.0),
    ("RTX 4060 TI", 44.0),
    ("RTX 4060", 30.0),
    ("RTX 3090 TI", 80.0),
    ("RTX 3090", 71.0),
    ("RTX 3080 TI", 68.0),
    ("RTX 3080", 59.0),
    ("V100 PCIE", 112.0),
    ("V100", 125.0),
    ("T4", 65.0),
)
"""Dense bfloat16 peak (float16 on cards before Ampere) with float32 accumulation, in TFLOP/s, from NVIDIA's data
sheets and white papers; of a GeForce 40 or 50, whose page says tera-operations with sparsity, an eighth of the eight-bit
or a sixteenth of the four-bit ones. The first name that fits a card's own counts (`is_named`)."""

VARIANTS = frozenset(("TI", "SUPER", "D", "LAPTOP", "MAX", "MOBILE", "MIG", "GRID"))
"""Words that make another card of a name, or a part of one."""
VIRTUAL = re.compile(r"\d+[ABCQ]")
"""How the name of a virtual card ends: A40-8Q is a slice."""


def is_named(card: str, name: str) -> bool:
    """Whether a card's own name holds every word of `name`, and none that makes it another card."""
    words, wanted = _words(card), _words(name)
    return wanted <= words and not words & VARIANTS - wanted and not any(map(VIRTUAL.fullmatch, words))


def peak_tflops(card: str) -> float | None:
    """The data sheet's peak of a card by its name; None for one that is not in the table."""
    return next((peak for name, peak in PEAK_TFLOPS if is_named(card, name)), None)


def _words(name: str) -> set[str]:
    return set(re.findall(r"[A-Z0-9]+", name.upper()))


def achieved(flops: float, seconds: float, card: str) -> dict[str, Any]:
    """What a run reached: tflops, and share of the reachable peak where the card is known.

    flops: operations that were really done (skipped ones left out). seconds: time of the denoising alone.
    """
    rate = flops / seconds / 1e12 if seconds > 0 else 0.0
    peak = peak_tflops(card)
    row: dict[str, Any] = {"card": card, "tflop": round(flops / 1e12, 6), "tflops": round(rate, 6)}
    if peak is None:
        return row | {
            "share": None,
            "limit_tflops": None,
            "text": f"{rate:.1f} TFLOP/s; the limit of {card} is unknown",
        }
    limit = peak * REACHABLE
    share = rate / limit
    text = f"{rate:.0f} of {limit:.0f} TFLOP/s that {card} can reach ({share:.0%})"
    return row | {"share": round(share, 4), "limit_tflops": limit, "text": text}


def card_name(device: str) -> str:
    """The card's own name, or "CPU"."""
    if not device.startswith("cuda"):
        return "CPU"
    import torch

    return str(torch.cuda.get_device_name(device))
