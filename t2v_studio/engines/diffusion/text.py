"""Prompt embeddings: encoded once, kept in memory and on disk, so that a text encoder is seldom needed at all.

Only the family's own `encode_text` makes them, and it refuses embeddings that are zero, not finite or alike for
different prompts.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from t2v_studio.engines.diffusion.families.base import Encoded, Family, Source
from t2v_studio.engines.diffusion.kept_json import key_of
from t2v_studio.engines.diffusion.kept_tensors import keep, on_host
from t2v_studio.engines.diffusion.model_files import stamp

log = logging.getLogger(__name__)

MEMORY_BYTES = 128 * 2**20
"""About thirty prompts of Wan (4.2 MB each)."""
DISK_BYTES = 2**30


class PromptStore:
    """Encoded prompts by key, on the host. The least recently used leave, in memory and on disk."""

    def __init__(self, folder: Path, *, memory_bytes: int = MEMORY_BYTES, disk_bytes: int = DISK_BYTES) -> None:
        self._folder, self._memory_bytes, self._disk_bytes = folder, memory_bytes, disk_bytes
        self._held: OrderedDict[str, Encoded] = OrderedDict()

    def get(self, key: str) -> Encoded | None:
        """What was kept under a key; None where there is nothing, or where its file is damaged."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        path = self._path(key)
        if not path.is_file():
            return None
        from safetensors.torch import load_file

        try:
            found: Encoded = load_file(str(path))
            if not found["embeds"].isfinite().all() or not found["embeds"].any():
                raise ValueError("its numbers are not an embedding")
        except Exception as error:  # safetensors has its own error class
            log.warning("the kept prompt %s is damaged and is encoded again: %s", key[:12], error)
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):  # another process may have pruned it since
            os.utime(path)
        self._remember(key, found)
        return found

    def put(self, key: str, encoded: Encoded) -> Encoded:
        """Keep a prompt; returns it as it lies on the host."""
        kept = on_host(encoded)
        self._remember(key, kept)
        keep(self._path(key), kept, "an encoded prompt")
        self._prune()
        return kept

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"

    def _remember(self, key: str, encoded: Encoded) -> None:
        self._held[key] = encoded
        self._held.move_to_end(key)
        total = sum(tensor.nbytes for one in self._held.values() for tensor in one.values())
        while total > self._memory_bytes and len(self._held) > 1:
            _, gone = self._held.popitem(last=False)
            total -= sum(tensor.nbytes for tensor in gone.values())

    def _prune(self) -> None:
        files = []
        for path in self._folder.glob("*.safetensors"):
            with suppress(OSError):  # another process may prune at the same time
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files)[:-1]:
            if total <= self._disk_bytes:
                return
            total -= size
            with suppress(OSError):
                path.unlink()


def prompt_key(source: Source, prompt: str, max_tokens: int, dtype: str) -> str:
    """Everything that decides an embedding: the encoder's files, its dtype, the cleaned prompt, the token limit.

    Models that share a text encoder share what it made.
    """
    parts = {
        "encoder": stamp(source.part(part) for part in ("tokenizer", "text_encoder")),
        "transformers": version("transformers"),
        "prompt": clean(prompt),
        "max_tokens": max_tokens,
        "dtype": dtype,
    }
    return key_of(parts)


def encode_all(
    family: Family,
    source: Source,
    prompts: Sequence[str],
    *,
    store: PromptStore,
    dtype: str,
    encoder: Callable[[], dict[str, Any]],
    report: Callable[[int, int], None],
) -> dict[str, Encoded]:
    """Every prompt encoded, on the host. `encoder` gives tokenizer and text encoder, and is called only where one is new.

    Raises StudioError text_encoder_broken.
    """
    keys = {prompt: prompt_key(source, prompt, family.text_tokens, dtype) for prompt in dict.fromkeys(prompts)}
    found = {prompt: store.get(key) for prompt, key in keys.items()}
    new = [prompt for prompt, encoded in found.items() if encoded is None]
    if new:
        # All at once: the check for encoders that ignore their prompt compares them with each other.
        report(0, len(new))
        fresh = family.encode_text(encoder(), new, max_tokens=family.text_tokens)
        for prompt, encoded in zip(new, fresh, strict=True):
            found[prompt] = store.put(keys[prompt], encoded)
        report(len(new), len(new))
    return {prompt: encoded for prompt, encoded in found.items() if encoded is not None}


@cache
def version(package: str) -> str:
    """A package's version; reading it takes a millisecond."""
    return metadata.version(package)


def clean(prompt: str) -> str:
    """The prompt as diffusers cleans it, near enough to tell two prompts apart: white space does not count."""
    return " ".join(prompt.split())
