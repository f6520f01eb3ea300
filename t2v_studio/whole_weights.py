"""Whether a model found all its weights in its files: libraries draw those that are missing at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def require_whole(model: Any, told: Mapping[str, Any]) -> None:
    """Refuse a model whose files lack weights. told: what `from_pretrained(output_loading_info=True)` tells beside it.

    A weight that is tied to one that was read is there. Raises ValueError.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    read = {id(parameter) for name, parameter in parameters.items() if name not in told["missing_keys"]}
    lacking = sorted(name for name, parameter in parameters.items() if id(parameter) not in read)
    if lacking:
        raise ValueError(f"its files lack {len(lacking)} of its {len(parameters)} weights, {lacking[0]} among them")
