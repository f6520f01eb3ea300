"""Is the text encoder alive? A loader that unties or zeroes its embeddings makes grey clips without an error.

transformers#43880: early v5 releases loaded UMT5 with untied embeddings, so every prompt encoded to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from t2v_studio.errors import StudioError

_HINT = (
    "Fetch the text encoder again (t2v models download NAME), and hold transformers to the version "
    "in requirements.txt. No retry helps: every clip would ignore its prompt."
)


def check_text_encoder(encoder: Any) -> None:
    """Input embeddings must be the shared table itself, finite and not zero. Raises `text_encoder_broken`."""
    import torch

    shared = getattr(encoder, "shared", None)
    used = encoder.get_input_embeddings().weight
    embed = getattr(getattr(encoder, "encoder", None), "embed_tokens", None)
    if shared is not None and embed is not None and embed.weight.data_ptr() != shared.weight.data_ptr():
        raise _broken("its token embeddings are not tied to the shared table, so prompts have no effect")
    sample = used[: min(4096, used.shape[0])].float()
    if not torch.isfinite(sample).all():
        raise _broken("its token embeddings hold values that are not numbers")
    if not sample.any():
        raise _broken("its token embeddings are all zero")


def check_encoded(tokenizer: Any, prompts: Sequence[str], embeds: Sequence[Any], tokens: int) -> None:
    """Encoded prompts must be finite, not zero, and differ where their tokens differ."""
    import torch

    seen: list[tuple[list[int], Any]] = []
    for prompt, tensor in zip(prompts, embeds, strict=True):
        if not torch.isfinite(tensor).all():
            raise _broken("it gives values that are not numbers")
        if not tensor.any():
            raise _broken("it gives zeros for every token")
        ids = list(tokenizer(prompt, truncation=True, max_length=tokens).input_ids)
        for other_ids, other in seen:
            if ids != other_ids and torch.equal(tensor, other):
                raise _broken("it gives the same embedding for different prompts")
        seen.append((ids, tensor))


def _broken(what: str) -> StudioError:
    return StudioError("text_encoder_broken", f"The text encoder is broken: {what}.", _HINT)
