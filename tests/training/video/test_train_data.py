"""Rows to clips to batches: buckets, frames, crops, order, and the cache's files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from small_clips import write_square

from t2v_studio.adapters.recipe import Recipe, parse_recipe
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.errors import InputError, LimitError, StudioError
from training.video import cache
from training.video.buckets import extract, nearest_size, resampled, select
from training.video.data import Order
from training.video.pixels import as_video, covered, read_frames
from training.video.rows import read_sources


def recipe(**fields: object) -> Recipe:
    return parse_recipe({"frame_buckets": [5, 9], "size_buckets": ["64x48", "48x64"], "max_upscale": 8, **fields})


def test_a_folder_of_captioned_clips_is_split_and_bucketed(clips: Path, wan: Family) -> None:
    found = select(read_sources(clips), recipe(), wan)
    assert len(found.train) == 5 and len(found.validation) == 1 and not found.dropped
    assert {clip.bucket for clip in found.clips} == {(9, 64, 48)}
    assert {clip.source.group for clip in found.clips} == {"descent", "search"}


def test_what_is_left_out_has_its_reason(clips: Path, tmp_path: Path, wan: Family) -> None:
    sources = read_sources(clips)
    only = select(sources, recipe(scenario_filter=["descent"]), wan)
    assert {row.reason for row in only.dropped} == {"scenario search is not asked for"}
    longer = select(sources, recipe(frame_buckets=[13]), wan)
    assert all("the shortest bucket has 13" in row.reason for row in longer.dropped) and len(longer.dropped) == 4
    with pytest.raises(InputError, match="enlarged 3"):
        select(sources, recipe(size_buckets=["208x160"], max_upscale=2), wan)
    sources[0].file.rename(tmp_path / "away.mp4")
    try:
        assert "its file is gone" in [row.reason for row in select(sources, recipe(), wan).dropped]
    finally:
        (tmp_path / "away.mp4").rename(sources[0].file)


def test_a_bucket_that_the_family_cannot_make_is_refused(clips: Path, wan: Family) -> None:
    for fields, word in (({"frame_buckets": [16]}, "4k"), ({"size_buckets": ["64x50"]}, "multiples of 16")):
        with pytest.raises(InputError) as caught:
            select(read_sources(clips), recipe(**fields), wan)
        assert word in caught.value.hint


def test_frames_are_thinned_out_and_never_doubled() -> None:
    assert resampled(30, 30, 16) == [round(index * 30 / 16) for index in range(16)]
    assert resampled(17, 10, 16) == list(range(17)), "a slow clip keeps its frames as they are"
    for fps in (16.5, 24, 29.97, 60):
        picks = resampled(100, fps, 16)
        assert len(set(picks)) == len(picks) and max(picks) < 100


def test_stretches_of_a_clip() -> None:
    picks = list(range(20))
    assert extract(picks, 5, "head") == [[0, 1, 2, 3, 4]]
    assert extract(picks, 9, "chunk") == [list(range(9)), list(range(9, 18))]
    assert extract(picks, 5, "uniform") == [[0, 5, 10, 14, 19]]


def test_the_nearest_shape_wins_and_a_picture_is_cropped_not_stretched() -> None:
    assert nearest_size(1920, 1080, [(832, 480), (480, 832), (640, 640)]) == (832, 480)
    assert nearest_size(700, 690, [(832, 480), (640, 640), (320, 320)]) == (640, 640)
    frame = np.zeros((100, 300, 3), np.uint8)
    frame[:, 100:200] = 255
    cut = covered(frame, 64, 64)
    assert cut.shape == (64, 64, 3) and cut.min() > 240, "the middle third of the width"


def test_pixels_are_minus_one_to_one_in_channels_first(clips: Path, wan: Family) -> None:
    clip = select(read_sources(clips), recipe(), wan).train[0]
    video = as_video(read_frames(clip))
    assert video.shape == (1, 3, 9, 48, 64) and video.dtype == torch.float32
    assert -1 <= float(video.min()) < -0.5 and 0.5 < float(video.max()) <= 1


def test_a_file_that_is_shorter_than_its_row_is_named(clips: Path, tmp_path: Path, wan: Family) -> None:
    clip = select(read_sources(clips), recipe(), wan).train[0]
    write_square(tmp_path / "short.mp4", frames=6)
    from dataclasses import replace

    spoilt = replace(clip, source=replace(clip.source, file=tmp_path / "short.mp4"))
    with pytest.raises(InputError, match="fewer frames than its row says"):
        read_frames(spoilt)


def test_the_order_is_a_function_of_seed_and_place(clips: Path, wan: Family) -> None:
    found = select(read_sources(clips), recipe(frame_buckets=[5, 9, 13]), wan).clips
    one, two = Order(found, 2, seed=7), Order(found, 2, seed=7)
    assert [one.batch(n) for n in (11, 3, 0, 7)] == [two.batch(n) for n in (11, 3, 0, 7)]
    epoch = [clip for n in range(one.batches_an_epoch) for clip in one.batch(n)]
    assert Counter(clip.key for clip in epoch) == Counter(clip.key for clip in found)
    assert all(len({clip.bucket for clip in one.batch(n)}) == 1 for n in range(20))
    orders = {tuple(clip.key for n in range(4) for clip in Order(found, 2, seed).batch(n)) for seed in range(8)}
    assert len(orders) > 4, "another seed is another order"


def test_a_metadata_file_is_read_and_its_trouble_is_named_by_line(tmp_path: Path) -> None:
    write_square(tmp_path / "a.mp4", frames=9)
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.mp4", "text": "a square"}) + "\n{}\n")
    with pytest.raises(InputError, match=r"metadata\.jsonl, line 2"):
        read_sources(tmp_path)
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.mp4", "text": "a square"}) + "\n")
    assert read_sources(tmp_path)[0].row.caption == "a square"
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "../a.mp4", "text": "a square"}) + "\n")
    with pytest.raises(InputError, match="leads out of the folder"):
        read_sources(tmp_path)


def test_a_cached_caption_loses_only_its_padding(tmp_path: Path) -> None:
    embeds = torch.zeros(1, 512, 32)
    embeds[:, :7] = torch.randn(1, 7, 32)
    mask = torch.cat([torch.ones(1, 7), torch.zeros(1, 505)], 1).bool()
    tensors, lengths = cache.trimmed({"embeds": embeds, "mask": mask})
    assert tensors["embeds"].shape == (1, 7, 32)
    cache.write(tmp_path / "a.safetensors", tensors, {"kind": "text", **lengths})
    again = cache.read_text(tmp_path / "a.safetensors")
    assert torch.equal(again["embeds"], embeds) and torch.equal(again["mask"], mask)
    assert (tmp_path / "a.safetensors").stat().st_size < 2000


def test_numbers_that_are_not_finite_are_never_cached(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="not finite"):
        cache.write(tmp_path / "a.safetensors", {"latents": torch.tensor([1.0, float("nan")])}, {"kind": "latents"})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_no_cached_file(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    cache.write(tmp_path / "a.safetensors", {"latents": torch.zeros(8)}, {"kind": "latents"})
    with pytest.raises(LimitError) as caught, full_disk(4096):
        cache.write(tmp_path / "b.safetensors", {"latents": torch.zeros(9000)}, {"kind": "latents"})
    assert caught.value.code == "disk_full" and "resume" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_header_that_promises_something_else_is_not_right(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    cache.write(path, {"latents": torch.zeros(2)}, {"kind": "latents", "frames": "9"})
    assert cache.is_right(path, {"frames": "9"}) and not cache.is_right(path, {"frames": "17"})
    path.write_bytes(path.read_bytes()[:20])
    assert not cache.is_right(path, {"frames": "9"}), "half a file is no file"
