"""Whether a LoRA file fits a model: its layers beside those of the base, by shape or by name, without reading a weight."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import InputError

if TYPE_CHECKING:
    from t2v_studio.adapters.card import AdapterCard
    from t2v_studio.adapters.layers import FilePlan, Outline


@dataclass(frozen=True)
class LoraFile:
    """The weights of an adapter: one file, or one for each of two experts, as their headers tell."""

    first: Path
    plan: FilePlan
    second: Path | None
    second_plan: FilePlan | None
    experts: str

    @classmethod
    def read(
        cls, first: Path, second: Path | None = None, *, alpha: float | None = None, experts: str = ""
    ) -> LoraFile:
        """experts: as a person or a card says; else by layers and name. Raises InputError for a file that is no LoRA."""
        from t2v_studio.adapters.catalogue import experts_of
        from t2v_studio.adapters.layers import read_plan

        plan = read_plan(first, alpha=alpha)
        other = read_plan(second, alpha=alpha) if second is not None else None
        return cls(first, plan, second, other, experts or experts_of(plan, first, second))

    def outline(self, title: str, card: AdapterCard | None) -> Outline:
        from t2v_studio.adapters.layers import Outline

        base = card.base_model if card else ""
        return Outline.of(self.plan, self.second_plan, self.experts, name=title, base_model=base)

    def require_usable(self) -> None:
        """Refuse numbers that cannot be used, as adding it would."""
        from t2v_studio.adapters.numbers import require_usable

        require_usable(self.first, self.plan)
        if self.second is not None and self.second_plan is not None:
            require_usable(self.second, self.second_plan)


def experts(outline: Outline) -> tuple[int, ...]:
    """Numbers of the experts that have layers of their own."""
    return (1, 2) if outline.second is not None else (2,) if outline.experts == "low" else (1,)


def by_shapes(outline: Outline, shapes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """depth, matched[], unmatched[], wrong_shape{} beside the layers of a model that is here."""
    from t2v_studio.engines.diffusion.matching import compare

    rows = [compare(outline.for_expert(number), shapes).as_row() for number in experts(outline)]
    joined = {key: [name for row in rows for name in row[key]] for key in ("matched", "unmatched")}
    return {
        "depth": "layers",
        **joined,
        "wrong_shape": {key: why for row in rows for key, why in row["wrong_shape"].items()},
    }


def by_names(outline: Outline, known: Collection[str]) -> dict[str, Any]:
    """The same beside names alone. known: empty where nothing is known of the base's layers."""
    if not known:
        return {"depth": "sizes", "matched": [], "unmatched": [], "wrong_shape": {}}
    layers = [name for number in experts(outline) for name in outline.for_expert(number)]
    matched = [name for name in layers if name in known]
    return {
        "depth": "names",
        "matched": matched,
        "unmatched": [name for name in layers if name not in known],
        "wrong_shape": {},
    }


def require_size(plan: FilePlan, base: str, name: str, family: str, row: dict[str, Any]) -> None:
    """Refuse what is ruled out without the base's shapes: another family, another width, more blocks than it has, or no
    layer that it has. row: of the comparison, whose numbers are said."""
    from t2v_studio.adapters.layers import BASES

    wrong = bool(plan.families) and family not in plan.families
    if base in BASES:
        known = BASES[base]
        wrong |= plan.blocks > known.blocks or plan.width not in (0, known.width)
    every = len(row["matched"]) + len(row["unmatched"]) + len(row["wrong_shape"])
    there = "are there by name" if row["depth"] == "names" else "match"
    counts = f" {len(row['matched'])} of its {every} layers {there}." if every else ""
    hint = "Name the model that it was made for, or choose another adapter."
    if wrong:
        raise InputError(
            "adapter_wrong_base",
            f"adapter: {name} was made for {plan.made_for or 'another model'}, not for {base}.{counts}",
            hint,
            **row,
        )
    if row["depth"] == "names" and every and not row["matched"]:
        raise InputError(
            "adapter_no_match",
            f"adapter: none of the {every} layers of {name} is in {base}.",
            f"It names, for example: {', '.join(row['unmatched'][:3])}. {hint}",
            **row,
        )


def partly(row: dict[str, Any], base: str) -> list[str]:
    """A sentence where some of an adapter's layers are not in its base."""
    missing, found = row["unmatched"], len(row["matched"])
    if not missing or not found:
        return []
    every = found + len(missing)
    return [f"{found} of its {every} layers match {base}, which has no {missing[0]}: its effect may be weak."]
