"""Tiny pipelines of every family: real classes, random weights, under 1 MB, loaded like the real ones.

They go through the whole diffusion path in seconds on a CPU, for tests and for a first try without a
download. The pictures mean nothing; the same seed makes the same model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.engines.diffusion.families.registry import family as family_of
from t2v_studio.errors import InputError
from t2v_studio.whole_weights import without_bars

SENTENCES = (
    "gradient descent follows the slope of the loss down to a minimum",
    "a neural network with layers of neurons, weights and activations",
    "backpropagation sends the error back through the network, layer by layer",
    "the attention of a query over keys and values, softmax and weights",
    "a star search expands the node with the lowest cost plus heuristic",
    "bias and variance of a model, training error and test error",
    "precision, recall and the confusion matrix of a classifier",
    "a clean academic diagram on a white background, arrows and labels",
    "a step by step explainer, smooth motion, flat colours, high contrast",
    "blurry, noisy, washed out, distorted text, watermark, low quality",
    "academic infographic, flat vector shapes with thin outlines, few muted colours, read from left to right",
    "one flat diagram on a plain empty ground, drawn with clean lines; its parts move and stay in the frame",
    "Textbook context: this is the set of all values that can be used for each example in the data",
    "the scene shows how it works, then what it is for, and why we need it when there are more than two of them",
    "a function of the parameters, its derivative, a matrix, a vector, a sum over all points, one after the other",
    "learning rate, update, path, cost, nodes, edges, probability, distribution, prediction, regression, input, output",
    "we say that this does not have to be so, but from here on they will, by these rules, be as they were before",
    "landscape, room, street, animals, everyday objects, camera movement, zoom, cuts between views",
)
"""What the tokenizer learns from: words of scene prompts, of textbooks, and the small words of English."""


def make_tiny(family: str, folder: Path, seed: int = 0) -> Path:
    """Write a tiny random pipeline of `family` into `folder` (new or empty) and return the folder.

    Saved with `save_pretrained`, so `Family.load_part` reads it like a downloaded model.
    """
    import torch

    kind = family_of(family)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        filled = any(folder.iterdir())
    except OSError as error:
        raise InputError(
            "folder_unwritable", f"DIR: {folder} cannot be made ({error.strerror}).", "Name another folder."
        ) from error
    if filled:
        raise InputError("folder_not_empty", f"The folder {folder} is not empty.", "Name a new folder.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = _tokenizer(kind)
        parts = {"tokenizer": tokenizer, "text_encoder": _text_encoder(kind, len(tokenizer)), **_MAKERS[kind.name]()}
        _soften(parts["vae"], 8.0 if kind.kind == "ltx" else 2.0)
        with without_bars():
            kind.pipeline_from(parts).save_pretrained(str(folder))
    return folder


def _soften(vae: Any, gain: float) -> None:
    """Make the random decoder's last layer smooth: random frames then look like soft blobs, not like noise.

    The kernel is averaged over its taps and over the pixels of a patch, then scaled by `gain`. A scene of pure noise would
    rightly be refused by the verdict on its frames.
    """
    import torch

    out = vae.decoder.conv_out
    weight = getattr(out, "conv", out).weight
    with torch.no_grad():
        colours = weight.reshape(3, -1, *weight.shape[1:])
        smooth = colours.mean(dim=(1, *range(3, colours.ndim)), keepdim=True).expand_as(colours)
        weight.copy_(gain * smooth.reshape(weight.shape))


def _tokenizer(kind: Family) -> Any:
    """A unigram tokenizer over the words and letters of `SENTENCES`, in the manner of SentencePiece.

    tokenizers' own trainer gives another vocabulary on each run, so the pieces are counted here.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "</s>", "<unk>"]
    scores = [(piece, 0.0) for piece in special] + _pieces()
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=special[0],
        eos_token=special[1],
        unk_token=special[2],
        model_max_length=kind.text_tokens,
    )


def _pieces() -> list[tuple[str, float]]:
    """Words, parts of words and single characters with the log of their share, most frequent first."""
    from math import log
    from string import ascii_letters, digits, punctuation

    words = [f"\u2581{word}" for sentence in SENTENCES for word in sentence.split()]
    parts = Counter(word[at : at + size] for word in words for size in (2, 3, 4) for at in range(len(word) - size + 1))
    frequent = {part: count for part, count in parts.items() if count >= 4}
    counts = (
        Counter(frequent) + Counter(words) + Counter("".join(words)) + Counter(ascii_letters + digits + punctuation)
    )
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(piece, round(log(count / total), 4)) for piece, count in ranked]


def _text_encoder(kind: Family, vocabulary: int) -> Any:
    import transformers

    encoder = getattr(transformers, kind.text_encoder)
    config = encoder.config_class(vocab_size=vocabulary, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return encoder(config).eval()


def _wan_transformer(channels: int = 16) -> Any:
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=channels,
        out_channels=channels,
        text_dim=32,
        freq_dim=64,
        ffn_dim=64,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=1024,  # 32 breaks from a width of 512 pixels on
    ).eval()


def _wan() -> dict[str, Any]:
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler

    vae = AutoencoderKLWan(
        base_dim=8,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    ).eval()
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )
    return {"vae": vae, "transformer": _wan_transformer(), "scheduler": scheduler}


def _wan22() -> dict[str, Any]:
    return {**_wan(), "transformer_2": _wan_transformer()}


def _wan22_5b() -> dict[str, Any]:
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        scale_factor_temporal=4,
    ).eval()
    return {**_wan(), "vae": vae}


def _cogvideox() -> dict[str, Any]:
    return _cogvideox_parts(rotary=False)


def _cogvideox_5b() -> dict[str, Any]:
    return _cogvideox_parts(rotary=True)


def _cogvideox_parts(*, rotary: bool) -> dict[str, Any]:
    import diffusers

    vae = diffusers.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2
    ).eval()
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=16,
        text_embed_dim=32,
        num_layers=2,
        use_rotary_positional_embeddings=rotary,
    ).eval()
    kind = diffusers.CogVideoXDPMScheduler if rotary else diffusers.CogVideoXDDIMScheduler
    scheduler = kind(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        set_alpha_to_one=True,
        snr_shift_scale=1.0 if rotary else 3.0,
        timestep_spacing="trailing",
    )
    return {"vae": vae, "transformer": transformer, "scheduler": scheduler}


def _ltx() -> dict[str, Any]:
    from diffusers import AutoencoderKLLTXVideo, FlowMatchEulerDiscreteScheduler, LTXVideoTransformer3DModel

    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, False),
        decoder_spatio_temporal_scaling=(True, True, True),
        decoder_inject_noise=(True, True, True, False),
        upsample_residual=(True, True, True),
        upsample_factor=(1, 1, 1),
        timestep_conditioning=True,
        decoder_causal=False,
    ).eval()
    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        num_layers=2,
        caption_channels=32,
    ).eval()
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1,
    )
    return {"vae": vae, "transformer": transformer, "scheduler": scheduler}


_MAKERS: dict[str, Callable[[], dict[str, Any]]] = {
    "wan": _wan,
    "wan22": _wan22,
    "wan22-5b": _wan22_5b,
    "cogvideox": _cogvideox,
    "cogvideox-5b": _cogvideox_5b,
    "ltx": _ltx,
}
