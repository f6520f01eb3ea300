"""Models from local safetensors files that hold all their weights: libraries draw those that are missing at random."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def load_whole(kind: Any, folder: Path, **arguments: Any) -> Any:
    """`kind.from_pretrained`, of diffusers or transformers, from safetensors files on this disk alone.

    A weight that is tied to one that was read is there. Raises ValueError where weights are missing, and what
    `from_pretrained` raises.
    """
    with without_bars():
        model, told = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True, **arguments
        )
    parameters = dict(model.named_parameters(remove_duplicate=False))
    read = {id(parameter) for name, parameter in parameters.items() if name not in told["missing_keys"]}
    lacking = sorted(name for name, parameter in parameters.items() if id(parameter) not in read)
    if lacking:
        raise ValueError(f"its files lack {len(lacking)} of its {len(parameters)} weights, {lacking[0]} among them")
    return model


@contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars of transformers: jobs report in their own way."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def file_is_whole(path: Path) -> bool:
    """Whether a safetensors file has a header that can be read, and as many bytes as it says. No weight is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np"):  # numpy: torch stays out of lists and of the page
            return True
    except (SafetensorError, OSError, ValueError):
        return False
