"""The measures on clips whose truth is known: pans, flicker, noise, cuts, stills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from t2v_studio.video import metrics
from t2v_studio.video.encode import Encoder
from t2v_studio.video.motion import flow, occlusion_mask, pair_motion

HEIGHT, WIDTH = 120, 208


def texture(seed: int = 0, width: int = WIDTH + 120) -> np.ndarray:
    """A smooth random picture that optical flow can follow."""
    import cv2

    rng = np.random.default_rng(seed)
    noise = rng.uniform(0, 255, (HEIGHT, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def pan(speed: int, count: int = 9) -> list[np.ndarray]:
    wide = texture()
    return [np.ascontiguousarray(wide[:, i * speed : i * speed + WIDTH]) for i in range(count)]


def collected(frames: list[np.ndarray], cuts: tuple[int, ...] = ()) -> dict[str, metrics.Measure]:
    collector = metrics.Collector(8, cuts)
    for frame in frames:
        collector.add(frame)
    return by_name(collector.measures())


def by_name(measures: list[metrics.Measure]) -> dict[str, metrics.Measure]:
    return {measure.name: measure for measure in measures}


@pytest.mark.parametrize("speed", [2, 5])
def test_flow_finds_a_known_shift(speed: int) -> None:
    first, second = pan(speed, 2)
    found = flow(first, second)[20:-20, 30:-30]
    assert np.median(found[..., 0]) == pytest.approx(-speed, abs=0.15)
    assert np.median(found[..., 1]) == pytest.approx(0, abs=0.15)


def test_a_pan_is_coherent_and_static_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    static = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(4)]
    smooth = collected(pan(2))
    noisy = collected(static)
    assert smooth["warp_error"].value < 1e-4
    assert noisy["warp_error"].value > 0.05
    assert "unreliable" in noisy["warp_error"].note


def test_brightness_flicker_raises_the_warp_error() -> None:
    shaken = [frame.astype(int) + (20 if i % 2 else -20) for i, frame in enumerate(pan(2))]
    flicker = [np.clip(frame, 0, 255).astype(np.uint8) for frame in shaken]
    calm = collected(pan(2))["warp_error"].value
    assert collected(flicker)["warp_error"].value > 100 * calm
    assert collected(flicker)["flicker"].value < 0.9


def test_a_frozen_clip_is_still_and_not_dynamic() -> None:
    frozen = [pan(0, 1)[0]] * 6
    motion, picture = collected(frozen), collected(frozen)
    assert motion["warp_error"].value == pytest.approx(0, abs=1e-9)
    assert motion["dynamic_degree"].value == 0
    assert picture["still_share"].value == 1
    assert collected(pan(6))["dynamic_degree"].value == 1


def test_the_mask_hides_what_leaves_the_frame() -> None:
    first, second = pan(10, 2)
    visible = occlusion_mask(flow(first, second), flow(second, first))
    assert not visible[:, :8].any(), "the left edge moves out of the picture"
    assert visible[:, 40:-40].mean() > 0.9
    assert 0 < pair_motion(first, second).masked_share < 0.5


def test_pairs_across_a_cut_are_left_out(tmp_path: Path) -> None:
    other = texture(5)[:, :WIDTH] // 4
    clip = [*pan(1, 6), *([other] * 6)]
    path = tmp_path / "cut.mp4"
    with Encoder(path, width=WIDTH, height=HEIGHT, fps=8) as encoder:
        for frame in clip:
            encoder.write(frame)
    cuts = metrics.scene_cuts(path, 8)
    assert cuts == [6]
    assert collected(clip, tuple(cuts))["warp_error"].value < 1e-4
    report = metrics.measure_clip(path)
    named = {measure["name"]: measure for measure in report["measures"]}
    assert named["cuts"]["value"] == 1
    assert named["spatial_information"]["value"] > 0
    assert (report["frames"], report["fps"]) == (12, 8)


def test_a_long_clip_is_measured_on_evenly_spaced_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_PAIRS", 5)
    frames = pan(2, 25)
    collector, whole = metrics.Collector(16, count=25), metrics.Collector(16)
    for frame in frames:
        collector.add(frame)
        whole.add(frame)
    some, every = by_name(collector.measures()), by_name(whole.measures())
    assert some["warp_error"].details["pairs"] == 5 and every["warp_error"].details["pairs"] == 24
    assert "5 of 24 pairs" in some["warp_error"].note and every["warp_error"].note == ""
    assert some["dynamic_degree"].details["pairs"] == 5 and every["dynamic_degree"].details["pairs"] == 12
    assert some["dynamic_degree"].details["top_radius_px"] == pytest.approx(4, abs=0.2)
    assert some["flicker"].value == every["flicker"].value, "cheap measures are taken of every frame"


def test_without_weights_clip_is_unavailable_not_zero() -> None:
    for measure in metrics.clip_measures(pan(1, 3), "gradient descent", None):
        assert (measure.status, measure.value) == ("unavailable", None)


def test_clip_with_a_tiny_model(tmp_path: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "<s>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<s>", 2), ("</s>", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    named_tokens = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named_tokens)
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = small | {"vocab_size": len(words), "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config=small | {"image_size": 32, "patch_size": 8}, projection_dim=16)
    CLIPModel(config).save_pretrained(tmp_path)
    size = {"height": 32, "width": 32}
    CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size), fast).save_pretrained(tmp_path)

    named = by_name(metrics.clip_measures(pan(3, 5), "a b c " * 40, tmp_path))
    assert -100 <= named["clip_text"].value <= 100
    assert named["clip_text"].details["tokens"] == 122
    assert "cut to 77" in named["clip_text"].note
    still = by_name(metrics.clip_measures([pan(0, 1)[0]] * 3, "a", tmp_path))
    assert still["clip_frames"].value == pytest.approx(100, abs=1e-3)
