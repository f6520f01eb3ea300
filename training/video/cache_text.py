"""Stage 2: every caption, the empty prompt and the validation prompts through the text encoder once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from training.video import cache
from training.video.buckets import Clip
from training.video.cache_latents import release
from training.video.session import Session

EMPTY = ""
"""What prompt dropout puts in, and what guidance compares with: the encoding of "", not zeros (notes 2.6)."""


def caption_of(clip: Clip, trigger: str, choice: int = 0) -> str:
    """The row's caption, or another one of the same clip, with the recipe's trigger before it, once.

    choice: counts on through the caption and its variants, over and over.
    """
    known = [clip.source.row.caption, *clip.source.row.variants]
    caption = known[choice % len(known)].strip()
    if not trigger or caption.lower().startswith(trigger.lower()):
        return caption
    return f"{trigger}, {caption}"


def captions(clips: Iterable[Clip], trigger: str) -> list[str]:
    """All captions of these clips, variants too."""
    return sorted(
        {caption_of(clip, trigger, choice) for clip in clips for choice in range(1 + len(clip.source.row.variants))}
    )


def cache_text(session: Session, prompts: Sequence[str]) -> dict[str, int]:
    """Encode what is missing of `prompts` and the empty one. Returns how many were made and how many were there.

    By the family's own pipeline, at its own length (Wan: 512; its function's default of 226 is a trap).
    """
    files = session.cache
    wanted = list(dict.fromkeys([EMPTY, *prompts]))
    missing = [text for text in wanted if not cache.is_right(files.text_file(text), files.text_header(text))]
    mine = session.share(missing)
    if mine:
        _encode(session, mine)
    session.accelerator.wait_for_everyone()
    return {"made": len(missing), "kept": len(wanted) - len(missing)}


def _encode(session: Session, texts: Sequence[str]) -> None:
    import torch

    family, source, device = session.family, session.base.source, str(session.device)
    kept = torch.bfloat16 if session.recipe.latents_dtype == "bf16" else torch.float32
    session.report("caching captions", 0, len(texts), "loading the text encoder")
    parts: dict[str, Any] = {
        "tokenizer": family.load_part("tokenizer", source),
        "text_encoder": family.load_part("text_encoder", source, dtype=session.dtype, device=device),
    }
    for number, text in enumerate(texts):
        session.check_stopped()
        session.report("caching captions", number, len(texts), text[:80])
        tensors, lengths = cache.trimmed(family.encode_text(parts, [text])[0])
        stored = {name: one.to(kept) if one.is_floating_point() else one for name, one in tensors.items()}
        cache.write(session.cache.text_file(text), stored, session.cache.text_header(text) | lengths)
    session.report("caching captions", len(texts), len(texts))
    parts.clear()
    release()
