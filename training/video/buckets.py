"""Which frames of which clip are learned, at which size: buckets of (frames, width, height)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.errors import InputError
from training.video.rows import Source

Bucket = tuple[int, int, int]
"""Frames, width, height."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a source that is trained on.

    picks: indices of the frames within the file. fps: what the picked frames stand for.
    """

    source: Source
    bucket: Bucket
    picks: tuple[int, ...]
    fps: float

    @property
    def start(self) -> int:
        return self.picks[0]

    @property
    def key(self) -> str:
        """Tells clips of one set apart."""
        return f"{self.source.row.id}@{self.start}"


@dataclass(frozen=True)
class Dropped:
    """A clip that is left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """Clips by split, what was dropped, and what a person should know."""

    train: list[Clip]
    validation: list[Clip]
    dropped: list[Dropped]
    notices: list[str]

    @property
    def clips(self) -> list[Clip]:
        return [*self.train, *self.validation]


def select(sources: Iterable[Source], recipe: Recipe, family: Family) -> Selection:
    """Every source put into its bucket. Raises InputError where a bucket does not suit the family or nothing is left."""
    buckets, sizes, notices = frame_buckets(recipe, family), size_buckets(recipe, family), []
    fps = recipe.fps or family.trained_fps
    train: list[Clip] = []
    validation: list[Clip] = []
    dropped: list[Dropped] = []
    slow = 0
    for source in sources:
        row = source.row
        reason = _unwanted(source, recipe)
        size = nearest_size(row.width, row.height, sizes)
        picks = resampled(row.frames, row.fps, fps)
        length = max((count for count in buckets if count <= len(picks)), default=0)
        if not reason and not length:
            reason = f"{len(picks)} frames at {min(fps, row.fps):g} a second; the shortest bucket has {min(buckets)}"
        upscale = max(size[0] / row.width, size[1] / row.height)
        if not reason and upscale > recipe.max_upscale:
            reason = f"{row.width}x{row.height} would be enlarged {upscale:.1f} times"
        if reason:
            dropped.append(Dropped(row.id, reason))
            continue
        slow += row.fps < fps - 0.01
        made = [
            Clip(source, (length, *size), tuple(row.start_frame + pick for pick in some), min(fps, row.fps))
            for some in extract(picks, length, recipe.frame_extraction)
        ]
        if row.split == "train":
            train += made
        elif row.split == "val":
            validation += made[:1]
        else:
            dropped.append(Dropped(row.id, "belongs to the test split"))
    if slow:
        notices.append(f"{slow} clips have fewer than {fps:g} frames a second: their frames are used as they are.")
    if not train:
        first = f" The first reason: {dropped[0].reason}." if dropped else ""
        raise InputError("no_training_clips", f"dataset: no clip can be trained on.{first}", "See the dry run's list.")
    if not validation:
        notices.append("No clip is held out: the loss on held-out clips will be unavailable.")
    return Selection(train, validation[: recipe.validation_clips], dropped, notices)


def _unwanted(source: Source, recipe: Recipe) -> str:
    wanted = recipe.scenario_filter
    if wanted and source.group not in wanted and source.row.topic_tag not in wanted:
        return f"scenario {source.group} is not asked for"
    return "" if source.file.is_file() else "its file is gone"


def frame_buckets(recipe: Recipe, family: Family) -> list[int]:
    """The recipe's clip lengths; each must be one that the family can make."""
    for count in recipe.frame_buckets:
        if family.frames(count) != count:
            raise InputError(
                "bad_bucket",
                f"frame_buckets: {family.label} cannot make {count} frames.",
                f"Use {family.frames(count)}: {family.frame_stride}k+1.",
            )
    return sorted(set(recipe.frame_buckets))


def size_buckets(recipe: Recipe, family: Family) -> list[tuple[int, int]]:
    """The recipe's sizes; each must be one that the family can make."""
    for width, height in recipe.sizes:
        near = family.size(width, height)
        if near != (width, height):
            raise InputError(
                "bad_bucket",
                f"size_buckets: {family.label} cannot make {width}x{height}.",
                f"Use {near[0]}x{near[1]}: sides are multiples of {family.size_multiple}.",
            )
    return list(dict.fromkeys(recipe.sizes))


def nearest_size(width: int, height: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size whose shape is nearest; of equal shapes the largest that needs no enlarging, else the smallest."""
    ratio = math.log(width / height)

    def distance(size: tuple[int, int]) -> tuple[float, float]:
        enlarged = max(size[0] / width, size[1] / height)
        return (round(abs(math.log(size[0] / size[1]) - ratio), 3), enlarged if enlarged > 1 else -enlarged)

    return min(sizes, key=distance)


def resampled(frames: int, fps: float, wanted: float) -> list[int]:
    """Indices that thin a clip out to `wanted` frames a second; a slower clip keeps all of its frames.

    No frame is ever taken twice: doubled frames would teach the model to stutter.
    """
    if fps <= wanted + 0.01:
        return list(range(frames))
    count = int((frames - 1) * wanted / fps) + 1
    return [round(index * fps / wanted) for index in range(count)]


def extract(picks: Sequence[int], length: int, how: str) -> list[list[int]]:
    """The stretches of `length` frames that are trained on (see Recipe.frame_extraction)."""
    if how == "uniform":
        last = len(picks) - 1
        return [[picks[round(index * last / max(1, length - 1))] for index in range(length)]]
    if how == "chunk":
        return [list(picks[start : start + length]) for start in range(0, len(picks) - length + 1, length)]
    return [list(picks[:length])]


def counts(clips: Iterable[Clip]) -> dict[str, int]:
    """Clips in each bucket: "17x832x480" to how many."""
    found = Counter("x".join(map(str, clip.bucket)) for clip in clips)
    return dict(sorted(found.items()))
