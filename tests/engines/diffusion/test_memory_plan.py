"""Which tier a model gets on which card, and the way down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from t2v_studio.engines.diffusion.families.registry import family
from t2v_studio.engines.diffusion.limits import achieved, peak_tflops
from t2v_studio.engines.diffusion.memory_plan import (
    GIB,
    PartBytes,
    Work,
    choose,
    halved,
    lean,
    lower,
    on_cpu,
    plan_of,
    roomier,
)

WAN_14B = PartBytes(28.6e9, 11.4e9, 0.51e9)
WAN_1_3B = PartBytes(2.84e9, 11.4e9, 0.51e9)


def work(name: str = "wan", frames: int = 17, width: int = 832, height: int = 480) -> Work:
    rules = family(name)
    dtype = rules.default_dtype
    return Work.of(rules, frames, width, height, dtype, rules.vae_dtype or dtype)


CLIP = work()


@pytest.mark.parametrize(
    ("parts", "card_gib", "tier", "text_encoder"),
    [
        (WAN_14B, 79, "A", "resident"),
        (WAN_14B, 47, "B", "resident"),
        (WAN_14B, 39, "B", "host"),
        (WAN_14B, 23, "C", "host"),
        (WAN_14B, 15, "D", "freed"),
        (WAN_14B, 6, "E", "freed"),
        (WAN_1_3B, 79, "A", "resident"),
        (WAN_1_3B, 27, "A", "resident"),
        (WAN_1_3B, 23, "B", "resident"),
        (WAN_1_3B, 15, "B", "host"),
        (WAN_1_3B, 7.6, "B", "host"),
    ],
)
def test_the_tier_follows_the_card(parts: PartBytes, card_gib: float, tier: str, text_encoder: str) -> None:
    plan = choose(card_gib * GIB, parts, CLIP)
    assert (plan.tier, plan.text_encoder) == (tier, text_encoder)
    assert plan.needs <= card_gib * GIB or tier == "E"


def test_below_tier_b_the_text_encoder_is_never_beside_the_transformer() -> None:
    for tier in ("C", "D", "E"):
        assert plan_of(tier, WAN_14B, CLIP, 0.0).text_encoder != "resident"


def test_each_step_down_needs_less_until_the_last() -> None:
    plan, needs = choose(200 * GIB, WAN_14B, CLIP), []
    while plan is not None:
        needs.append(plan.needs)
        plan = lower(plan, WAN_14B, CLIP)
    assert len(needs) == 6, "A, B, B without the text encoder, C, D, E"
    assert needs == sorted(needs, reverse=True) and len(set(needs)) == 6


def test_roomier_is_every_plan_before_on_the_way_down() -> None:
    plan = choose(200 * GIB, WAN_14B, CLIP)
    while (tighter := lower(plan, WAN_14B, CLIP)) is not None:
        assert roomier(plan, tighter) and not roomier(tighter, plan) and not roomier(plan, plan)
        plan = tighter
    roomy = on_cpu(WAN_1_3B, CLIP)
    assert roomier(roomy, lean(roomy, WAN_1_3B, CLIP))
    assert not roomier(roomy, halved(WAN_1_3B, CLIP, 16e9)), "another dtype"
    assert roomier(plan_of("B", WAN_1_3B, CLIP, 0.0), plan_of("B", WAN_1_3B, CLIP, 0.0, tiled=True))


def test_less_work_is_less_in_one_and_no_more_in_the_other() -> None:
    assert work(frames=5).smaller_than(CLIP) and work(width=416, height=240).smaller_than(CLIP)
    assert not CLIP.smaller_than(CLIP) and not work(frames=81, width=416, height=240).smaller_than(work(frames=5))


def test_without_a_card_memory_is_saved_once() -> None:
    plan = on_cpu(WAN_1_3B, CLIP)
    assert plan.tier == "cpu" and plan.text_encoder == "resident" and not plan.tiled_decode
    lean = lower(plan, WAN_1_3B, CLIP)
    assert lean is not None and lean.tier == "cpu-lean" and lean.tiled_decode and lean.text_encoder == "freed"
    assert lower(lean, WAN_1_3B, CLIP) is None
    assert on_cpu(WAN_14B, CLIP, free=48e9).tier == "cpu-lean"


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "gib", "tiled"),
    [
        ("wan", (81, 832, 480), "float32", 7.6, None),
        ("wan", (81, 1280, 720), "float32", 17.6, 2.4),
        ("wan22-5b", (121, 1280, 704), "float32", 19.3, 2.3),
        ("cogvideox", (49, 720, 480), "float16", 14.7, 3.8),
        ("cogvideox", (49, 720, 480), "float32", 29.5, None),
        ("ltx", (33, 704, 480), "bfloat16", 1.1, None),
        ("ltx", (49, 1216, 704), "bfloat16", 4.0, None),
        ("ltx", (257, 704, 480), "bfloat16", 8.1, 5.9),
    ],
)
def test_decoding_is_reckoned_as_it_was_counted(
    name: str, shape: tuple[int, int, int], dtype: str, gib: float, tiled: float | None
) -> None:
    """GiB of live tensors in the full-size decoders (docs/lab_log.md, 2026-11-27)."""
    assert 1.0 <= family(name).decode_peak(*shape, dtype=dtype) / GIB / gib < 1.25
    if tiled is not None:
        assert 1.0 <= family(name).decode_peak(*shape, dtype=dtype, tiled=True) / GIB / tiled < 1.4


@pytest.mark.parametrize(
    ("name", "parts", "shape", "card_gib", "tier", "tiled"),
    [
        ("cogvideox", PartBytes(3.4e9, 11.5e9, 0.43e9), (33, 720, 480), 23.3, "B", False),
        ("cogvideox", PartBytes(3.4e9, 11.5e9, 0.43e9), (33, 720, 480), 15.5, "B", True),
        ("cogvideox-5b", PartBytes(11.1e9, 9.5e9, 0.43e9), (33, 720, 480), 23.3, "B", True),
        ("wan", WAN_1_3B, (33, 832, 480), 7.6, "B", True),
        ("wan", WAN_14B, (17, 832, 480), 20, "C", True),
        ("wan", WAN_14B, (49, 1280, 720), 20, "D", True),
        ("wan", WAN_14B, (49, 1280, 720), 79, "B", False),
    ],
)
def test_what_cannot_be_decoded_at_once_is_decoded_in_tiles(
    name: str, parts: PartBytes, shape: tuple[int, int, int], card_gib: float, tier: str, tiled: bool
) -> None:
    plan = choose(card_gib * GIB, parts, work(name, *shape))
    assert plan.tier == tier and plan.needs <= card_gib * GIB
    assert plan.tiled_decode is tiled and ("the decoder works in tiles" in plan.label) is tiled


@pytest.mark.parametrize(
    ("name", "shape", "tokens", "width", "hidden"),
    [
        ("wan", (81, 832, 480), 32_760, 5120, 13_824),
        ("wan", (81, 1280, 720), 75_600, 5120, 13_824),
        ("wan22-5b", (121, 1280, 704), 27_280, 3072, 14_336),
        ("cogvideox", (49, 720, 480), 17_550, 1920, 7680),
        ("cogvideox-5b", (49, 720, 480), 17_550, 3072, 12_288),
        ("ltx", (257, 704, 480), 10_890, 2048, 8192),
    ],
)
def test_denoising_is_reckoned_by_tokens_and_width_of_the_family(
    name: str, shape: tuple[int, int, int], tokens: int, width: int, hidden: int
) -> None:
    rules = family(name)
    assert rules.tokens(*shape) == tokens
    at_once = 2 if rules.cfg_batched else 1
    assert work(name, *shape).denoise == at_once * tokens * rules.denoise_bytes
    assert rules.denoise_bytes == pytest.approx(1.4 * 2 * (10 * width + 2 * hidden), rel=0.05)


def test_a_t5_encoder_in_float16_keeps_some_of_its_numbers_wide() -> None:
    files = [("text_encoder", "float16", 4_762_310_656), ("transformer", "float16", 1_693_889_280)]
    half = PartBytes.of(files, "float16", "float16")
    assert half.text_encoder == pytest.approx(11.5e9, rel=0.01) and half.transformer == pytest.approx(3.39e9, rel=0.01)
    assert half.copy_of("text_encoder") == pytest.approx(3.8e9, rel=0.01) and half.copy_of("transformer") == 0
    assert PartBytes.of(files, "bfloat16", "bfloat16").text_encoder == pytest.approx(9.52e9, rel=0.01)


def test_main_memory_decides_too() -> None:
    """The original Wan 14B lies in thirty-two bits on the disk, so loading it copies it; a copy in sixteen is mapped."""
    original = replace(WAN_14B, copied={"transformer": 28.6e9})
    roomy, tight, small = (choose(23 * GIB, original, CLIP, host) for host in (64e9, 32e9, 14e9))
    assert (roomy.tier, roomy.text_encoder) == ("C", "host") and roomy.host == pytest.approx(40e9)
    assert (tight.tier, tight.text_encoder) == ("C", "freed") and tight.host == pytest.approx(28.6e9)
    assert small.host > 14e9, "nothing fits, so loading is refused"
    narrow = choose(23 * GIB, WAN_14B, CLIP, 16e9)
    assert (narrow.tier, narrow.text_encoder) == ("C", "freed") and narrow.host == pytest.approx(14.3e9)
    assert choose(23 * GIB, WAN_14B, CLIP, 14e9).tier == "D", "it streams from the files, in sixteen bits"
    assert choose(79 * GIB, original, CLIP, 8e9).tier == "A", "straight to the card"


def test_without_a_card_sixteen_bits_halve_the_need() -> None:
    wide, narrow = PartBytes(5.7e9, 22.7e9, 0.5e9), PartBytes(2.84e9, 11.4e9, 0.5e9)
    assert on_cpu(wide, CLIP, 60e9).tier == "cpu" and on_cpu(wide, CLIP, 30e9).needs == pytest.approx(22.7e9 + GIB)
    half = halved(narrow, CLIP, 16e9)
    assert (half.tier, half.text_encoder) == ("cpu-half", "freed") and half.needs == pytest.approx(11.4e9 + GIB)
    assert lower(half, narrow, CLIP) is None and "sixteen bits" in half.label


def test_the_plan_says_itself_in_words() -> None:
    plan = choose(79 * GIB, WAN_14B, CLIP)
    assert plan.label.startswith("tier A: ") and "of 79.0 GiB" in plan.label
    assert plan.as_row()["free"] == 79.0


def test_the_share_of_the_limit() -> None:
    row = achieved(566e12 * 10, 10 * 566e12 / 395.6e12, "NVIDIA H100 80GB HBM3")
    assert row["share"] == 0.5 and row["limit_tflops"] == pytest.approx(791.2)
    assert "NVIDIA H100 80GB HBM3" in row["text"] and "50%" in row["text"]
    unknown = achieved(1e12, 1.0, "CPU")
    assert unknown["share"] is None and "unknown" in unknown["text"] and unknown["tflops"] == 1.0


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        ("NVIDIA H200", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-40GB", 312.0),
        ("NVIDIA GeForce RTX 4090", 165.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L40", 181.0),
        ("NVIDIA A40", 150.0),
        ("NVIDIA H200 NVL", 835.0),
        ("NVIDIA GH200 480GB", 989.0),
        ("NVIDIA RTX 6000 Ada Generation", 364.0),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 504.0),
        ("Tesla V100-SXM2-16GB", 125.0),
        ("Tesla T4", 65.0),
        ("NVIDIA RTX A4000", 77.0),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA T400 4GB", None),
        ("NVIDIA GeForce RTX 4070", 58.0),
        ("NVIDIA GeForce RTX 4070 SUPER", 71.0),
        ("NVIDIA GeForce RTX 4070 Ti", 80.0),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 88.0),
        ("NVIDIA GeForce RTX 3090 Ti", 80.0),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA A40-8Q", None),
        ("Quadro RTX 6000", None),
        ("Quadro P400", None),
    ],
)
def test_peaks_by_the_name_of_the_card(card: str, peak: float | None) -> None:
    assert peak_tflops(card) == peak


def test_doctor_says_how_the_chosen_model_would_lie(settings, workspace) -> None:
    from t2v_studio.doctor.diffusion import memory_plan

    card = "NVIDIA GeForce RTX 4090, 24564 MiB, 8.9, 580.1, 24000 MiB"
    assert memory_plan(card, settings, workspace).startswith("wan2.1-14b: tier C: ")
    assert memory_plan("a card of another kind", settings, workspace) == ""


def test_free_memory_is_no_more_than_this_processs_share(monkeypatch) -> None:
    import torch

    from t2v_studio.engines.diffusion.load import free_bytes

    share = [1.0]
    known = {
        "mem_get_info": (50 * GIB, 80 * GIB), "memory_reserved": 20 * GIB, "memory_allocated": 15 * GIB,
    }  # fmt: skip
    for name, value in known.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    # torch's own function stays: it refuses a device without a number, which the others take.
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch._C, "_cuda_getMemoryFraction", lambda index: share[0], raising=False)
    assert free_bytes("cuda") == 55 * GIB, "what nobody has, and what is reserved here without use"
    share[0] = 0.3
    assert free_bytes("cuda") == 9 * GIB
