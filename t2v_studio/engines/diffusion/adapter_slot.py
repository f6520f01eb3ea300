"""The one adapter that a resident model wears: put on, exchanged, taken off, without a reload or a new compilation."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.state import AdapterState, LoraLayer
from t2v_studio.engines.diffusion.adapter_hotswap import HotSwap
from t2v_studio.engines.diffusion.adapter_merge import Keep, MergedWeights, is_plain
from t2v_studio.engines.diffusion.matching import Match, match, shapes_of
from t2v_studio.errors import InputError

NAMED_MAX = 20
"""Unmatched layers that a record names; the rest is counted."""


@dataclass(frozen=True)
class Applied:
    """What the model wears. matched, unmatched: layers by diffusers' name, with "2:" before those of a second expert.

    way: merged, hotswap, or none where the base is bare. copies: where the weights lie that taking it off needs: device,
    host, or disk where no memory had room for them; empty where none are needed. seconds: what this change took.
    """

    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    rank: int = 0
    alpha: float = 0.0
    alpha_source: str = ""
    experts: str = ""
    sha256: str = ""
    scale: float = 0.0
    id: str = ""
    name: str = ""
    way: Literal["none", "merged", "hotswap"] = "none"
    copies: Keep | Literal[""] = ""
    ignored: int = 0
    seconds: float = 0.0

    def as_details(self) -> dict[str, Any]:
        """For a record: counts of the matched layers, names of the first unmatched."""
        row = asdict(self) | {"matched": len(self.matched), "unmatched": len(self.unmatched)}
        return row | {"unmatched_names": list(self.unmatched[:NAMED_MAX]), "seconds": round(self.seconds, 4)}


BARE = Applied()


class AdapterSlot:
    """One model's transformer, or two for a model of two experts.

    keep: where pristine copies of changed weights lie. folders: of the files that the transformers were loaded from, which
    serve where main memory has no room for copies. max_rank: of the PEFT slot, where weights are quantised.
    Call `open` before compiling; everything else may come before or after. One thread at a time.
    """

    def __init__(
        self,
        transformer: nn.Module,
        transformer_2: nn.Module | None = None,
        *,
        keep: Keep = "device",
        folders: Sequence[Path] = (),
        max_rank: int = 128,
        way: Literal["auto", "merged", "hotswap"] = "auto",
    ) -> None:
        parts = [transformer] if transformer_2 is None else [transformer, transformer_2]
        self._shapes = [shapes_of(part) for part in parts]
        merged = way == "merged" or (way == "auto" and all(is_plain(part) for part in parts))
        self._weights: list[MergedWeights | HotSwap] = [
            MergedWeights(part, keep, folder) if merged else HotSwap(part, max_rank)
            for part, folder in zip_longest(parts, folders)
        ]
        self._worn: list[Mapping[str, LoraLayer]] = [{} for _ in parts]
        self._key: tuple[object, ...] = ()
        self.current: Applied = BARE

    @property
    def way(self) -> Literal["merged", "hotswap"]:
        """How adapters are put on here."""
        return "merged" if isinstance(self._weights[0], MergedWeights) else "hotswap"

    def open(self) -> None:
        """Prepare for exchanges without recompiling: before `compile`, where weights are quantised."""
        for weights in self._weights:
            if isinstance(weights, HotSwap):
                weights.open()

    def set(
        self,
        state: AdapterState | None,
        scale: float = 1.0,
        *,
        card: AdapterCard | None = None,
        model: str = "",
        names: Iterable[str] = (),
    ) -> Applied:
        """Wear `state` at `scale`, or nothing. What was worn before leaves no trace; the same again costs nothing.

        model, names: the base's name and all its names, for the check of a card (see `matching.match`).
        Raises InputError adapter_wrong_base, adapter_no_match, adapter_scale. After any failure the old one is on.
        """
        if not math.isfinite(scale):
            raise InputError("adapter_scale", f"lora_scale: {scale} is not a number.", "Give a number such as 0.7.")
        matches = self._matches(state, card, model, names)
        if state is None or scale == 0:
            self._take_off()
            bare = self._applied(state, 0.0, matches, 0.0, "none") if state is not None else BARE
            self.current = bare
            return bare
        key = (*state.identity, scale)
        if key == self._key:
            return self.current
        began = time.perf_counter()
        wanted = [
            {name: state.for_expert(number)[name] for name in found.matched} for number, found in enumerate(matches, 1)
        ]
        self._write(wanted, scale)
        self._key = key
        self.current = self._applied(state, scale, matches, time.perf_counter() - began, self.way)
        return self.current

    def _take_off(self) -> None:
        if self._key:
            self._write([{} for _ in self._weights], 0.0)
            self._key = ()

    def keep_on(self, keep: Keep) -> None:
        """Move pristine copies to the host when the device is short of memory, or back."""
        for weights in self._weights:
            weights.keep_on(keep)

    def release(self) -> None:
        """Free the pristine copies of weights that are pristine themselves: all of them, where nothing is worn."""
        for weights in self._weights:
            weights.release()

    def kept_bytes(self) -> int:
        """Memory that this slot takes beside the model."""
        return sum(weights.kept_bytes() for weights in self._weights)

    def _copies(self) -> Keep:
        """The farthest place of pristine copies."""
        kept = [weights.keep for weights in self._weights if isinstance(weights, MergedWeights)]
        return max(kept, key=get_args(Keep).index)

    def _matches(
        self, state: AdapterState | None, card: AdapterCard | None, model: str, names: Iterable[str]
    ) -> list[Match]:
        if state is None:
            return [Match((), (), {}, {}, 0) for _ in self._shapes]
        known = tuple(names)
        return [
            match(state, shapes, expert=number, card=card, model=model, names=known)
            for number, shapes in enumerate(self._shapes, 1)
        ]

    def _write(self, wanted: Sequence[Mapping[str, LoraLayer]], scale: float) -> None:
        """All transformers or none: what was worn goes back on when one of them fails, and the error goes on."""
        try:
            for weights, layers in zip(self._weights, wanted, strict=True):
                weights.write(layers, scale)
        except BaseException:
            for weights, layers in zip(self._weights, self._worn, strict=True):
                weights.write(layers, self.current.scale)
            raise
        self._worn = list(wanted)

    def _applied(
        self,
        state: AdapterState,
        scale: float,
        matches: list[Match],
        seconds: float,
        way: Literal["none", "merged", "hotswap"],
    ) -> Applied:
        def named(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
            return tuple(name if i == 0 else f"2:{name}" for i, names in enumerate(lists) for name in names)

        return Applied(
            matched=named(found.matched for found in matches),
            unmatched=named(found.unmatched for found in matches),
            rank=state.rank,
            alpha=state.alpha,
            alpha_source=state.alpha_source,
            experts=state.experts,
            sha256=state.sha256,
            scale=scale,
            id=state.id,
            name=state.name,
            way=way,
            copies=self._copies() if way == "merged" else "",
            ignored=len(state.ignored),
            seconds=seconds,
        )
