"""What each speed switch of diffusion is worth on this machine, from the records of the videos that were made.

Only like is compared with like: scenes of one model, card, number format and shape that differ in the one switch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from statistics import median
from typing import Any

from t2v_studio.errors import plural
from t2v_studio.production.record import SceneRecord, VideoRecord

PLAIN: dict[str, Any] = {"attention": "native", "compile_blocks": "off", "step_cache": "off", "cfg_cutoff": "never"}
"""Each switch with the choice that the others are measured against."""
CHOICES = {
    "attention": ("cudnn", "flash3"),
    "compile_blocks": ("on",),
    "step_cache": ("first_block", "magcache"),
    "cfg_cutoff": (),
}
"""The other choices; a cut-off is any share of the steps."""
UNMEASURED = "not measured here yet"


@dataclass(frozen=True)
class Run:
    """One scene: seconds a step, its switches, and all else that decides how long a step takes."""

    seconds: float
    switches: tuple[tuple[str, str], ...]
    circumstances: tuple[Any, ...]
    card: str

    def but(self, switch: str) -> tuple[Any, ...]:
        """What two runs must share to be compared for a switch."""
        return self.circumstances, tuple(pair for pair in self.switches if pair[0] != switch)


@dataclass(frozen=True)
class Effect:
    """A choice of a switch against the plain one. ratio: of the times of a step; None where it was not measured."""

    switch: str
    choice: str
    card: str = ""
    ratio: float | None = None
    scenes: int = 0
    against: int = 0

    @property
    def text(self) -> str:
        if self.ratio is None:
            return UNMEASURED
        return f"{self.ratio:.2f}x the time of a step on {self.card} ({plural(self.scenes, 'scene')} against {self.against})"

    def as_row(self) -> dict[str, Any]:
        return {**vars(self), "text": self.text}


def runs(record: VideoRecord) -> list[Run]:
    """The scenes of a record that time a step fairly: drawn once, from noise, and not the one that compiled."""
    found = []
    for index, scene in enumerate(record.scenes):
        spent = scene.details.get("timings_s", {}).get("denoise", 0.0)
        numerics = scene.details.get("numerics")
        if not spent or not numerics or scene.retries or (index == 0 and numerics.get("compiled")):
            continue
        found.append(_run(record, scene, spent, numerics))
    return found


def _run(record: VideoRecord, scene: SceneRecord, spent: float, numerics: dict[str, Any]) -> Run:
    details = scene.details
    sampling, cutoff = details["sampling"], numerics.get("cfg_cutoff")
    guided = sampling["guidance"] > 1
    switches = {
        "attention": str(numerics.get("attention", "native")),
        "compile_blocks": "on" if numerics.get("compiled") else "off",
        "step_cache": str(numerics.get("step_cache", "off")),
        "cfg_cutoff": "never" if cutoff is None or not guided else f"{cutoff:g}",
    }
    card, tier, adapter = (details.get(name) or {} for name in ("limit", "memory", "adapter"))
    shape = (record.width, record.height, sampling["frames"], guided)
    held = (numerics.get("dtype"), numerics.get("weights"), tier.get("tier"), adapter.get("way"))
    circumstances = (card.get("card"), scene.model, scene.revision, *shape, *held)
    return Run(spent / sampling["steps"], tuple(switches.items()), circumstances, str(card.get("card", "")))


def effects(of: Iterable[Run]) -> list[Effect]:
    """Every choice of every switch, measured or not; a row a card where there were several.

    A ratio is the geometric mean, over all circumstances in which both choices were run, of the ratio of medians.
    """
    made = list(of)
    found: list[Effect] = []
    for switch, plain in PLAIN.items():
        measured = _measured(made, switch, plain)
        found += measured
        have = {effect.choice for effect in measured}
        found += [Effect(switch, choice) for choice in CHOICES[switch] if choice not in have]
        if not have and not CHOICES[switch]:
            found.append(Effect(switch, "any"))
    return found


def _measured(made: list[Run], switch: str, plain: str) -> list[Effect]:
    groups: dict[tuple[Any, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    cards = {}
    for run in made:
        groups[run.but(switch)][dict(run.switches)[switch]].append(run.seconds)
        cards[run.but(switch)] = run.card
    ratios: dict[tuple[str, str], list[tuple[float, int, int]]] = defaultdict(list)
    for alike, by_choice in groups.items():
        base = by_choice.pop(plain, [])
        for choice, seconds in by_choice.items() if base else ():
            ratios[choice, cards[alike]].append((median(seconds) / median(base), len(seconds), len(base)))
    return [
        Effect(switch, choice, card, prod(one[0] for one in rows) ** (1 / len(rows)), sum(one[1] for one in rows), sum(one[2] for one in rows))
        for (choice, card), rows in sorted(ratios.items())
    ]  # fmt: skip
