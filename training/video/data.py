"""Which clips are in which batch: a pure function of seed and place, so that going on needs no state of the data."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from training.video.buckets import Bucket, Clip
from training.video.cache import Cache, read_latents, read_text

if TYPE_CHECKING:
    import torch


def numbers_for(*place: int) -> np.random.Generator:
    """The random numbers of one place, such as (seed, step, pass): the same wherever a run is taken up."""
    return np.random.default_rng(np.random.SeedSequence(list(place)))


class Order:
    """The batches of a run, numbered from 0 over all epochs. Clips of one batch share a bucket.

    A clip of weight w stands w times in an epoch, rounded, at least once.
    """

    def __init__(self, clips: Sequence[Clip], batch_size: int, seed: int) -> None:
        self._clips, self._size, self._seed = list(clips), batch_size, seed
        self._buckets: dict[Bucket, list[int]] = {}
        for number, clip in enumerate(self._clips):
            self._buckets.setdefault(clip.bucket, []).append(number)
        self._epoch = lru_cache(maxsize=2)(self._drawn)
        self.batches_an_epoch = len(self._epoch(0))

    def batch(self, number: int) -> list[Clip]:
        """Batch `number` of the run."""
        epoch, place = divmod(number, self.batches_an_epoch)
        return [self._clips[index] for index in self._epoch(epoch)[place]]

    def _drawn(self, epoch: int) -> list[list[int]]:
        draws = numbers_for(self._seed, 1, epoch)
        batches: list[list[int]] = []
        for members in self._buckets.values():
            repeated = [index for index in members for _ in range(max(1, round(self._clips[index].source.row.weight)))]
            order = [repeated[place] for place in draws.permutation(len(repeated))]
            batches += [order[start : start + self._size] for start in range(0, len(order), self._size)]
        return [batches[place] for place in draws.permutation(len(batches))]


KEPT_PROMPTS = 64
"""Of Wan's text, 4 MB each in bf16."""


@dataclass(frozen=True)
class Batch:
    """latents (B, ...) float32 as the VAE made them; text as the family's forward call takes it."""

    clips: list[Clip]
    latents: torch.Tensor
    text: dict[str, torch.Tensor]

    @property
    def fps(self) -> float:
        return self.clips[0].fps


class Loader:
    """Reads batches from the cache, some of them ahead of their use. Prompts read last are kept: an epoch repeats them."""

    def __init__(self, cache: Cache, workers: int) -> None:
        self._cache = cache
        self._read_text = lru_cache(KEPT_PROMPTS)(read_text)
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._ahead: dict[Any, Future[Batch]] = {}

    def expect(self, key: Any, clips: list[Clip], words: Sequence[str]) -> None:
        """Begin to read a batch that will be asked for under `key`."""
        if self._pool is not None and key not in self._ahead:
            self._ahead[key] = self._pool.submit(self.read, clips, words)

    def get(self, key: Any, clips: list[Clip], words: Sequence[str]) -> Batch:
        waiting = self._ahead.pop(key, None)
        return waiting.result() if waiting is not None else self.read(clips, words)

    def read(self, clips: list[Clip], words: Sequence[str]) -> Batch:
        """words: the prompt of each clip, as it was cached."""
        import torch

        latents = torch.cat([read_latents(self._cache.clip_file(clip)) for clip in clips]).float()
        return Batch(clips, latents, stacked([self._read_text(self._cache.text_file(text)) for text in words]))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._ahead.clear()


def stacked(prompts: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Prompts side by side as one batch; a single one as it is."""
    import torch

    if len(prompts) == 1:
        return prompts[0]
    return {name: torch.cat([one[name] for one in prompts]) for name in prompts[0]}
