"""How long rows are in the tokens of the model that will read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from t2v_studio.datasets.text_pairs.rows import TextPair
from t2v_studio.errors import InputError, UnavailableError

BINS = (64, 128, 256, 512, 768, 1024, 1536, 2048, 4096)
Counter = Callable[[TextPair], int]


def counter(folder: Path) -> Counter:
    """Counts the tokens of a pair with a tokenizer's own chat template, or of its plain text where there is none.

    folder: of a model or tokenizer on this machine. Raises InputError, UnavailableError.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(
            "no_tokenizer", f"tokenizer: there is no folder {folder}.", "Name the folder that holds tokenizer.json."
        )
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise UnavailableError(
            "tokenizer_broken", f"tokenizer: {folder.name} cannot be loaded ({reason}).", "Name a tokenizer's folder."
        ) from error
    return lambda pair: _count(tokenizer, pair)


def _count(tokenizer: Any, pair: TextPair) -> int:
    turns = [*pair.prompt, *pair.completion]
    if not tokenizer.chat_template:
        return len(tokenizer("\n".join(turn.content for turn in turns))["input_ids"])
    try:
        ids = tokenizer.apply_chat_template([turn.model_dump() for turn in turns], return_dict=True)["input_ids"]
    except Exception as error:  # a template is a program: jinja raises what its author wrote
        raise InputError(
            "chat_template", f"tokenizer: its chat template refuses a row ({error}).", "Take another tokenizer."
        ) from error
    return len(ids)


def histogram(lengths: Sequence[int], max_length: int) -> dict[str, Any]:
    """rows, min, median, p90, max, truncated (rows above max_length), truncated_share, and bins[] {up_to, rows}."""
    from statistics import median

    ordered = sorted(lengths)
    if not ordered:
        return {"available": True, "rows": 0, "max_length": max_length, "truncated": 0, "bins": []}
    edges = sorted({*BINS, max_length})
    bins, low = [], 0
    for edge in [*edges, ordered[-1]] if ordered[-1] > edges[-1] else edges:
        bins.append({"up_to": edge, "rows": sum(low < length <= edge for length in ordered)})
        low = edge
    over = sum(length > max_length for length in ordered)
    return {
        "available": True,
        "rows": len(ordered),
        "min": ordered[0],
        "median": median(ordered),
        "p90": ordered[round(0.9 * (len(ordered) - 1))],
        "max": ordered[-1],
        "max_length": max_length,
        "truncated": over,
        "truncated_share": round(over / len(ordered), 4),
        "bins": [one for one in bins if one["rows"]],
    }
