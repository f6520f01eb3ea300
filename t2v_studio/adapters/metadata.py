"""Alpha and rank: y = Wx + scale * (alpha / rank) * B(Ax), so a lost alpha changes the strength.

Trainers write alpha in five places; where it stands in none, alpha = rank is assumed, and the card says so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from t2v_studio.errors import InputError

ASSUMED = "assumed alpha = rank: the file does not say"
GIVEN = "given by the user"
LORA_METADATA = "lora_adapter_metadata"
"""Key under which diffusers keeps a PEFT configuration in the header (diffusers PR 11324)."""


@dataclass(frozen=True)
class AlphaRule:
    """alpha of a layer, unless the file holds an `.alpha` tensor for it.

    default None: alpha = rank. patterns: name of a layer, or its end (as PEFT's alpha_pattern) -> alpha.
    root: PEFT's rank-stabilised LoRA, alpha / sqrt(rank).
    """

    source: str
    default: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    root: bool = False

    def alpha(self, module: str, rank: int) -> float:
        """The alpha that makes alpha / rank the factor of this layer."""
        value = next((one for key, one in self.patterns.items() if _fits(key, module)), self.default)
        if value is None:
            return float(rank)
        return value * math.sqrt(rank) if self.root else value


def alpha_rule(
    metadata: Mapping[str, str], config: Mapping[str, Any] | None, *, expert: int = 1, given: float | None = None
) -> AlphaRule:
    """Where alpha stands: said by a person, diffusers' metadata, adapter_config.json, finetrainers', kohya's, or nowhere.

    Raises InputError for an alpha that is no positive number, and for a PEFT configuration that is no plain LoRA.
    """
    if given is not None:
        return AlphaRule(GIVEN, _positive(given, "alpha"))
    packed = _json(metadata.get(LORA_METADATA, ""))
    if packed:
        prefix = "transformer." if expert == 1 else "transformer_2."
        own = {key.removeprefix(prefix): value for key, value in packed.items() if key.startswith(prefix)}
        return _from_peft(own or packed, f"the file's {LORA_METADATA}")
    if config:
        return _from_peft(config, "adapter_config.json")
    trained = _json(metadata.get("lora_config", ""))
    if trained and "lora_alpha" in trained:
        return _from_peft(trained, "the file's lora_config (finetrainers; diffusers alone would ignore it)")
    if metadata.get("ss_network_alpha"):
        return AlphaRule("the file's ss_network_alpha", _positive(metadata["ss_network_alpha"], "ss_network_alpha"))
    return AlphaRule(ASSUMED)


def peft_metadata(layers: Mapping[str, tuple[int, float]], *, bias: bool = False) -> dict[str, Any]:
    """A PEFT configuration for diffusers' metadata; layers: name -> (rank, alpha)."""
    ranks, alphas = [rank for rank, _ in layers.values()], [alpha for _, alpha in layers.values()]
    rank, alpha = max(set(ranks), key=ranks.count), max(set(alphas), key=alphas.count)
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": _whole(alpha),
        "target_modules": sorted(layers),
        "rank_pattern": {f"^{name}": one for name, (one, _) in layers.items() if one != rank},
        "alpha_pattern": {f"^{name}": _whole(one) for name, (_, one) in layers.items() if one != alpha},
        "lora_bias": bias,
    }


def _from_peft(config: Mapping[str, Any], source: str) -> AlphaRule:
    if config.get("use_dora"):
        raise unsupported("DoRA")
    if str(config.get("peft_type") or "LORA").rpartition(".")[2].upper() != "LORA":
        raise unsupported(str(config["peft_type"]))
    alpha = config.get("lora_alpha")
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, Mapping):
        raise InputError(
            "bad_alpha", f"adapter: alpha_pattern in {source} is not a table.", "Export the adapter again."
        )
    expression = next((key for key in patterns if re.search(r"[*+?|(){}\[\]]", str(key))), None)
    if expression is not None:
        raise InputError(
            "bad_alpha",
            f"adapter: alpha_pattern in {source} holds an expression, {expression!r}; names alone are read.",
            "Export the adapter again with the names of the layers, or say alpha with --alpha.",
        )
    return AlphaRule(
        source if alpha is not None else ASSUMED,
        _positive(alpha, source) if alpha is not None else None,
        {str(key): _positive(value, source) for key, value in patterns.items()},
        bool(config.get("use_rslora")),
    )


def unsupported(kind: str) -> InputError:
    """The error for an adapter that is no plain LoRA: applied as one it would do something else."""
    return InputError(
        "adapter_unsupported",
        f"adapter: this is {kind}, not a plain LoRA; dropping a part of it would change what it does.",
        "Merge or convert it to a LoRA with the tool that made it.",
    )


def _fits(key: str, module: str) -> bool:
    """As PEFT matches a literal key: the whole name, or its end at a dot; with ^ in front the whole name alone."""
    name = key.removesuffix("$").replace("\\.", ".")
    return module == name.removeprefix("^") or (not name.startswith("^") and module.endswith(f".{name}"))


def _positive(value: object, where: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError("bad_alpha", f"adapter: alpha in {where} is {value!r}.", "Give alpha as a positive number.")
    return number


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
