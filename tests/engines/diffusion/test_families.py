"""Rules, schedulers, costs and text of the families, against tiny pipelines and the published tables."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from diffusers import FlowMatchEulerDiscreteScheduler

from t2v_studio.engines.diffusion.families.base import Family, Source
from t2v_studio.engines.diffusion.families.registry import FAMILIES, family
from t2v_studio.engines.diffusion.models import usual_models
from t2v_studio.errors import InputError, StudioError

torch = pytest.importorskip("torch")

WAN_CONFIG = {
    "patch_size": (1, 2, 2), "in_channels": 16, "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
    "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
}  # fmt: skip
SMALL = WAN_CONFIG | {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
LARGE = WAN_CONFIG | {"num_attention_heads": 40, "attention_head_dim": 128, "ffn_dim": 13824, "num_layers": 40}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a family's tiny pipeline, made once."""
    from t2v_studio.engines.diffusion.tiny import make_tiny

    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = make_tiny(name, tmp_path_factory.mktemp("tiny") / name)
        return made[name]

    return folder


def parts_of(rules: Family, folder: Path) -> dict[str, Any]:
    return {part: rules.load_part(part, folder, dtype="float32") for part in rules.part_names}


# --- rules -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "made"),
    [(1, 5), (4, 5), (12, 13), (13, 13), (14, 13), (15, 13), (16, 17), (17, 17), (24, 25), (81, 81), (100, 101)],
)
def test_frames_of_wan_are_4k_plus_1_as_diffusers_rounds(asked: int, made: int) -> None:
    assert family("wan").frames(asked) == made
    if asked >= 4:
        assert made == (asked if asked % 4 == 1 else asked // 4 * 4 + 1)


@pytest.mark.parametrize(("asked", "made"), [(1, 9), (13, 9), (14, 17), (17, 17), (24, 25), (48, 49), (49, 49)])
@pytest.mark.parametrize("name", ["cogvideox", "cogvideox-5b", "ltx"])
def test_frames_of_the_others_are_8k_plus_1(name: str, asked: int, made: int) -> None:
    assert family(name).frames(asked) == made


@pytest.mark.parametrize(
    ("name", "asked", "made"),
    [
        ("wan", (832, 480), (832, 480)),
        ("wan", (840, 481), (832, 480)),
        ("wan", (850, 490), (848, 496)),
        ("wan22-5b", (1280, 720), (1280, 704)),
        ("cogvideox", (720, 480), (720, 480)),
        ("ltx", (720, 480), (704, 480)),
        ("ltx", (10, 10), (32, 32)),
    ],
)
def test_sizes_go_to_the_nearest_that_can_be_made(name: str, asked: tuple[int, int], made: tuple[int, int]) -> None:
    assert family(name).size(*asked) == made


def test_what_is_rounded_is_said() -> None:
    said = family("wan").notices(16, 840, 480, 16)
    assert said[0].startswith("16 frames become 17") and "1.06 s" in said[0]
    assert said[1].startswith("840x480 becomes 832x480")
    assert "33 to 81" in said[2]
    assert family("wan").notices(33, 832, 480, 16) == []
    assert family("wan").notices(1, 832, 480, 16)[0].startswith("1 frame becomes 5: ")


@pytest.mark.parametrize(
    ("name", "size", "fps", "expected"),
    [
        ("wan2.1-1.3b", (832, 480), 16, []),
        ("wan2.1-1.3b", (480, 832), 15, []),
        ("wan2.1-1.3b", (848, 480), 16, []),
        ("wan2.1-1.3b", (1280, 720), 16, ["Wan 2.1 1.3B was trained at 832x480, not at 1280x720"]),
        ("wan2.1-14b", (1280, 720), 16, []),
        ("wan2.1-14b", (1280, 704), 16, []),
        (
            "wan2.1-14b",
            (720, 480),
            8,
            ["at 832x480 and 1280x720, not at 720x480", "at 16 fps: at 8, motion may look slower"],
        ),
        ("wan2.1-14b", (832, 480), 10, ["at 16 fps: at 10, motion may look slower"]),
        ("wan2.2-t2v-a14b", (1280, 720), 16, []),
        ("wan2.2-ti2v-5b", (832, 480), 24, ["at 1280x704, not at 832x480"]),
        ("cogvideox-2b", (832, 480), 8, ["at 720x480, not at 832x480"]),
        ("cogvideox-5b", (720, 480), 10, ["at 8 fps: at 10, motion may look faster"]),
        ("ltx-0.9.1", (704, 480), 16, []),
        ("ltx-0.9.1", (1536, 864), 24, ["at up to 1280x720, not at 1536x864"]),
        ("tiny-wan", (192, 128), 8, []),
        ("tiny-ltx", (1536, 864), 8, []),
    ],
)
def test_sizes_and_rates_that_a_model_was_not_trained_at_are_said(
    name: str, size: tuple[int, int], fps: float, expected: list[str]
) -> None:
    said = usual_models()[name].rules.notices(49, *size, fps)
    assert len(said) == len(expected) and all(words in line for words, line in zip(expected, said, strict=True)), said


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_balanced_quality_lies_within_what_it_knows(name: str) -> None:
    usual = family(name).profile("balanced")
    said = family(name).notices(family(name).trained_frames[0], usual.width, usual.height, usual.fps)
    assert family(name).trained_sizes and said == []


@pytest.mark.parametrize("rules", FAMILIES.values(), ids=list(FAMILIES))
def test_every_default_can_be_made_as_it_stands(rules: Family) -> None:
    for quality in ("fast", "balanced", "high"):
        profile = rules.profile(quality)
        assert rules.frames(profile.frames) == profile.frames
        assert rules.size(profile.width, profile.height) == (profile.width, profile.height)
    with pytest.raises(InputError, match="quality"):
        rules.profile("best")


def test_an_unknown_family_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        family("cogvideo")
    assert "cogvideox" in caught.value.hint


# --- schedulers --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "height", "width", "shift"),
    [
        ("wan", 480, 832, 3.0),
        ("wan", 720, 1280, 5.0),
        ("wan", 480, 1280, 5.0),
        ("wan22", 480, 832, 12.0),
        ("wan22-5b", 704, 1280, 5.0),
    ],
)
def test_the_flow_shift_follows_the_size(name: str, height: int, width: int, shift: float, tiny: Any) -> None:
    rules = family(name)
    config = rules.load_part("scheduler_config", tiny("wan"))
    assert rules.scheduler(config, height=height, width=width).config.flow_shift == shift
    assert rules.scheduler(config, height=height, width=width, flow_shift=8.0).config.flow_shift == 8.0
    distilled = rules.scheduler(config, height=height, width=width, distilled=True)
    assert isinstance(distilled, FlowMatchEulerDiscreteScheduler) and distilled.config.shift == shift
    assert rules.scheduler(config) is not rules.scheduler(config)


@pytest.mark.parametrize(
    ("steps", "levels"),
    [(4, [1, 0.9375, 0.8333, 0.625, 0]), (8, [1, 0.9722, 0.9375, 0.8929, 0.8333, 0.75, 0.625, 0.4167, 0])],
)
def test_a_distilled_adapter_gets_the_noise_levels_that_it_is_trained_for(
    steps: int, levels: list[float], tiny: Any
) -> None:
    """As the pipeline asks: even steps, then the shift. UniPC gives the same levels."""
    rules = family("wan")
    config = rules.load_part("scheduler_config", tiny("wan"))
    for distilled in (True, False):
        scheduler = rules.scheduler(config, flow_shift=5.0, distilled=distilled)
        scheduler.set_timesteps(steps, device="cpu")
        assert scheduler.sigmas.tolist() == pytest.approx(levels, abs=2e-3)
        assert scheduler.timesteps.tolist() == pytest.approx([1000 * level for level in levels[:-1]], abs=2)


def test_a_given_shift_of_ltx_replaces_the_one_of_the_tokens(tiny: Any) -> None:
    rules = family("ltx")
    scheduler = rules.scheduler(rules.load_part("scheduler_config", tiny("ltx")), flow_shift=3.0)
    scheduler.register_to_config(shift_terminal=None)
    scheduler.set_timesteps(sigmas=[1.0, 0.5], mu=scheduler.config.base_shift)
    assert scheduler.sigmas[1].item() == pytest.approx(3 * 0.5 / (1 + 2 * 0.5))


def test_a_scheduler_of_another_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text('{"_class_name": "os.system"}')
    with pytest.raises(StudioError) as caught:
        family("wan").load_part("scheduler_config", tmp_path)
    assert caught.value.code == "model_broken"


@pytest.mark.parametrize(
    ("part", "lost"),
    [
        ("transformer", "blocks.0.attn1.to_q.weight"),
        ("vae", "decoder.conv_out.bias"),
        ("text_encoder", "encoder.block.0.layer.0.SelfAttention.q.weight"),
    ],
)
def test_weights_that_the_files_lack_are_not_drawn_at_random(tiny: Any, tmp_path: Path, part: str, lost: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(tiny("wan"), folder)
    (path,) = (folder / part).glob("*.safetensors")
    weights = load_file(path)
    del weights[lost]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(StudioError, match=rf"lack 1 of its \d+ weights, {lost}") as caught:
        family("wan").load_part(part, folder)
    assert caught.value.code == "model_broken" and caught.value.hint


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_a_part_of_another_family_is_refused(tiny: Any, part: str) -> None:
    with pytest.raises(StudioError, match=r"it is a \w*LTX\w*, and this family needs a \w*Wan") as caught:
        family("wan").load_part(part, tiny("ltx"))
    assert caught.value.code == "model_broken"


# --- cost --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("config", "frames", "size", "teraflops"),
    [
        (SMALL, 13, (832, 480), 47),
        (SMALL, 17, (832, 480), 63),
        (SMALL, 33, (832, 480), 146),
        (SMALL, 81, (832, 480), 566),
        (SMALL, 17, (1280, 720), 213),
        (LARGE, 17, (832, 480), 484),
        (LARGE, 81, (832, 480), 3357),
        (LARGE, 81, (1280, 720), 13047),
    ],
)
def test_flops_of_wan_are_those_of_the_table(config: Any, frames: int, size: tuple[int, int], teraflops: int) -> None:
    assert round(family("wan").flops_per_step(config, frames, *size) / 1e12) == teraflops
    assert family("wan").flops_per_step(config, frames, *size, cfg=False) * 2 == family("wan").flops_per_step(
        config, frames, *size
    )


def test_parameters_are_counted_from_the_real_configs_without_memory() -> None:
    assert family("wan").parameters("transformer", SMALL) == 1_418_996_800
    assert family("wan").parameters("transformer", LARGE) == 14_288_491_584
    assert family("wan").parameters("vae", {}) == 126_892_531


@pytest.mark.parametrize("name", ["wan", "cogvideox", "ltx"])
def test_the_formula_counts_what_torch_counts(name: str, tiny: Any) -> None:
    """torch's own counter over one forward of the tiny transformer."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    rules = family(name)
    transformer = rules.load_part("transformer", tiny(name), dtype="float32")
    size = rules.size(256, 256)
    config = dict(transformer.config)
    noisy = torch.zeros(1, *_layout(rules, config, rules.latent_shape(17, *size)))
    cond = {"embeds": torch.zeros(1, rules.text_tokens, 32), "mask": torch.ones(1, rules.text_tokens, dtype=torch.bool)}
    objective = rules.objective(rules.load_part("scheduler_config", tiny(name)))
    # on a CPU the counter does not know the fused attention
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        objective.forward(transformer, noisy, objective.levels(torch.tensor([0.5])), cond, fps=8)
    assert rules.flops_per_step(config, 17, *size, cfg=False) == pytest.approx(counter.get_total_flops(), rel=0.02)


def _layout(rules: Family, config: dict[str, Any], latent: tuple[int, int, int]) -> tuple[int, ...]:
    channels = config["in_channels"]
    return (latent[0], channels, *latent[1:]) if rules.kind == "cogvideox" else (channels, *latent)


# --- tiny pipelines ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_tiny_pipeline_is_small_and_the_whole_path_is_the_pipelines_own(name: str, tiny: Any) -> None:
    """Text, noise, denoising and decode through the family's functions give the pipeline's own frames, bit for bit."""
    folder, rules = tiny(name), family(name)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_000_000
    parts = parts_of(rules, folder)
    pipe = rules.pipeline_from(parts)
    size = rules.size(64, 64)
    clip = rules.call_kwargs(frames=9, width=size[0], height=size[1], steps=2, guidance=4.0, fps=8)
    torch.manual_seed(3)  # the VAE of LTX draws noise from the global state
    whole = pipe(
        prompt="gradient descent", negative_prompt="noise", generator=_seed(3), output_type="np", **clip
    ).frames[0]

    cond, uncond = rules.encode_text(parts, ["gradient descent", "noise"])
    generator = _seed(3)
    latents = pipe(**rules.call_embeds(cond, uncond), generator=generator, output_type="latent", **clip).frames
    shape = {"frames": 9, "width": size[0], "height": size[1]}
    pixels = rules.latents_to_pixels(parts["vae"], latents, generator=generator, **shape)
    assert pixels.shape == (9, 3, size[1], size[0]) and pixels.min() >= 0 and pixels.max() <= 1
    assert (pixels.permute(0, 2, 3, 1).float().numpy() == whole).all()

    stored = rules.latents_to_pixels(parts["vae"], latents, generator=rules.decode_generator(3, latents), **shape)
    assert torch.equal(stored, pixels)


def _seed(number: int) -> Any:
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("name", ["wan", "wan22-5b", "cogvideox", "ltx"])
def test_encoded_pixels_decode_like_the_vae_itself(name: str, tiny: Any) -> None:
    rules = family(name)
    vae = rules.load_part("vae", tiny(name), dtype="float32")
    size = rules.size(64, 64)
    video = torch.rand(1, 3, 9, size[1], size[0], generator=_seed(1)) * 2 - 1
    latents = rules.pixels_to_latents(vae, video)
    decoded = rules.latents_to_pixels(vae, latents, frames=9, width=size[0], height=size[1], generator=_seed(1))
    with torch.no_grad():
        mode = vae.encode(video).latent_dist.mode()
        if name == "ltx":
            noise = torch.randn(mode.shape, generator=_seed(1))
            torch.manual_seed(1)
            plain = vae.decode((1 - 0.025) * mode + 0.025 * noise, torch.tensor([0.05]), return_dict=False)[0]
        else:
            plain = vae.decode(mode, return_dict=False)[0]
    assert torch.allclose(decoded, (plain[0].permute(1, 0, 2, 3) * 0.5 + 0.5).clamp(0, 1), atol=1e-4)
    assert not torch.equal(rules.pixels_to_latents(vae, video, sample=True), latents)


def test_a_wider_decode_puts_the_vae_back(tiny: Any) -> None:
    rules = family("wan")
    vae = rules.load_part("vae", tiny("wan"), dtype="bfloat16")
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    latents = torch.randn(1, 16, 2, 4, 4, generator=_seed(0))
    wide = rules.latents_to_pixels(vae, latents, dtype="float32")
    assert wide.dtype == torch.float32 and vae.dtype == torch.bfloat16
    assert all(torch.equal(before[name], tensor) for name, tensor in vae.state_dict().items())
    with pytest.raises(ValueError, match="narrowed"):
        rules.latents_to_pixels(rules.load_part("vae", tiny("wan")), latents, dtype="bfloat16")


def test_modules_that_must_stay_wide_do(tiny: Any) -> None:
    transformer = family("wan").load_part("transformer", tiny("wan"), dtype="bfloat16")
    assert transformer.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16
    assert transformer.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32
    assert tuple(type(transformer)._keep_in_fp32_modules) == family("wan").keep_fp32


def test_the_same_seed_makes_the_same_tiny_model(tiny: Any, tmp_path: Path) -> None:
    from t2v_studio.engines.diffusion.tiny import make_tiny

    again = make_tiny("wan", tmp_path / "again")
    for path in sorted(tiny("wan").rglob("*")):
        if path.is_file():
            assert (again / path.relative_to(tiny("wan"))).read_bytes() == path.read_bytes(), path.name
    with pytest.raises(InputError, match="not empty"):
        make_tiny("wan", again)


def test_the_tiny_tokenizer_reads_plain_english(tiny: Any) -> None:
    tokenizer = family("wan").load_part("tokenizer", tiny("wan"))
    text = "Zebras quickly jump over 13 lazy dogs; (p = 0.5), isn't it?"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


# --- text encoders -----------------------------------------------------------------------------
def test_an_encoder_with_zeroed_embeddings_is_refused(tiny: Any, tmp_path: Path) -> None:
    from transformers import UMT5EncoderModel

    encoder = UMT5EncoderModel.from_pretrained(tiny("wan") / "text_encoder")
    torch.nn.init.zeros_(encoder.shared.weight)
    encoder.save_pretrained(tmp_path / "text_encoder")
    with pytest.raises(StudioError) as caught:
        family("wan").load_part("text_encoder", tmp_path)
    assert caught.value.code == "text_encoder_broken" and "zero" in caught.value.message


def test_an_encoder_with_untied_embeddings_is_refused(tiny: Any) -> None:
    from t2v_studio.engines.diffusion.families.text_checks import check_text_encoder

    encoder = family("wan").load_part("text_encoder", tiny("wan"), dtype="float32")
    check_text_encoder(encoder)
    encoder.encoder.embed_tokens.weight = torch.nn.Parameter(torch.randn_like(encoder.shared.weight))
    with pytest.raises(StudioError) as caught:
        check_text_encoder(encoder)
    assert caught.value.code == "text_encoder_broken" and "not tied" in caught.value.message


@pytest.mark.parametrize(("fill", "word"), [(0.0, "zeros"), (math.nan, "not numbers"), (1.0, "same embedding")])
def test_dead_embeddings_stop_the_run(fill: float, word: str, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = family("wan")
    parts = parts_of(rules, tiny("wan"))
    monkeypatch.setattr(type(rules), "_encode_one", lambda *_: {"embeds": torch.full((1, 512, 32), fill)})
    with pytest.raises(StudioError, match=word):
        rules.encode_text(parts, ["one thing", "another"])


def test_text_is_encoded_like_the_pipeline_does_it(tiny: Any) -> None:
    for name in ("wan", "cogvideox", "ltx"):
        rules = family(name)
        parts = parts_of(rules, tiny(name))
        pipe = rules.pipeline_from(parts)
        with torch.no_grad():
            own = pipe.encode_prompt("a neural network", "noise", True, max_sequence_length=rules.text_tokens)
        cond, uncond = rules.encode_text(pipe, ["a neural network", "noise"])
        masked = name == "ltx"
        assert torch.equal(cond["embeds"], own[0]) and torch.equal(uncond["embeds"], own[2 if masked else 1])
        assert cond["embeds"].shape[1] == rules.text_tokens
        if masked:
            assert torch.equal(cond["mask"], own[1]) and torch.equal(uncond["mask"], own[3])


def test_a_sentencepiece_file_alone_is_a_tokenizer(tmp_path: Path) -> None:
    """CogVideoX and LTX publish their tokenizer so."""
    sentencepiece = pytest.importorskip("sentencepiece")
    from t2v_studio.engines.diffusion.tiny import SENTENCES

    folder = tmp_path / "tokenizer"
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_prefix=str(folder / "spiece"), vocab_size=120, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}')
    tokenizer = family("cogvideox").load_part("tokenizer", Source.of(tmp_path))
    ids = tokenizer("gradient descent").input_ids
    assert ids[-1] == 1 and tokenizer.decode(ids, skip_special_tokens=True) == "gradient descent"


# --- training ----------------------------------------------------------------------------------
def test_flow_matching_is_the_papers() -> None:
    objective = family("wan").objective({}, height=480)
    z, eps = torch.randn(2, 16, 2, 4, 4), torch.randn(2, 16, 2, 4, 4)
    level = objective.levels(torch.tensor([0.5, 0.9]))
    assert level[0].item() == pytest.approx(3 / 4)  # sigmoid(ln 3): the median
    noisy = objective.noise(z, eps, level)
    sigma = level.reshape(2, 1, 1, 1, 1)
    assert torch.allclose(noisy - sigma * objective.target(z, eps, level), z, atol=1e-5)
    assert torch.equal(objective.timestep(level), level * 1000)
    assert family("wan").objective({}, height=720).shift == 5.0


def test_v_prediction_is_the_schedulers_own(tiny: Any) -> None:
    config = family("cogvideox").load_part("scheduler_config", tiny("cogvideox"))
    objective = family("cogvideox").objective(config)
    z, eps = torch.randn(2, 3, 4, 2, 2), torch.randn(2, 3, 4, 2, 2)
    level = objective.levels(torch.tensor([0.25, 0.999]))
    assert level.tolist() == [250, 999]
    share = objective.scheduler.alphas_cumprod[level].float().reshape(2, 1, 1, 1, 1)
    noisy, v = objective.noise(z, eps, level), objective.target(z, eps, level)
    assert torch.allclose(share.sqrt() * noisy - (1 - share).sqrt() * v, z, atol=1e-4)


@pytest.mark.parametrize("name", ["wan", "wan22-5b", "cogvideox", "cogvideox-5b", "ltx"])
def test_the_trainers_forward_gives_a_prediction_of_the_latents_shape(name: str, tiny: Any) -> None:
    rules = family(name)
    parts = parts_of(rules, tiny(name))
    size = rules.size(64, 64)
    z = rules.pixels_to_latents(parts["vae"], torch.zeros(1, 3, 9, size[1], size[0]))
    objective = rules.objective(parts["scheduler_config"], height=size[1])
    level = objective.levels(torch.tensor([0.4]))
    cond = rules.encode_text(parts, ["a diagram"])[0]
    with torch.no_grad():
        prediction = objective.forward(
            parts["transformer"], objective.noise(z, torch.randn_like(z), level), level, cond, fps=8
        )
    assert prediction.shape == z.shape and torch.isfinite(prediction).all()
