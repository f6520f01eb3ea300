"""Tiny chat models of three families: real classes, random weights, a tokenizer that is trained on the spot.

They go through training, export and use in seconds on a CPU, for tests and for a first try without a download.
What they write means nothing; the same seed makes the same model.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.errors import unknown_name
from t2v_studio.whole_weights import without_bars

TINY_FAMILIES = ("llama", "qwen3", "lfm2")
PREFIX = "tiny-"
BOS, BEGIN, END, PAD = "<|startoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"
VOCABULARY = 420
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LESSON = (
    "from manim import *",
    "class Circles(Scene):",
    "    def construct(self):",
    "        circle = Circle(radius=1, color=BLUE)",
    "        self.play(Create(circle), run_time=2)",
    '        label = Text("gradient descent").next_to(circle, DOWN)',
    "        self.play(Write(label), FadeOut(circle))",
    "        self.wait(1)",
    "        square = Square().shift(LEFT).scale(2)",
    "        self.add(Dot(), Line(LEFT, RIGHT), Arrow(UP, DOWN), Axes(x_range=[0, 5]))",
    "Prompt: a clean diagram on a white background, the ball rolls down the curve in small steps",
    "Negative: blurry, noisy, text, watermark, low quality",
    "Draw a blue circle, write its name under it and fade both out.",
    "You write Manim Community code. You write prompts for a text-to-video model.",
)
"""What the tokenizer learns its merges from."""


def is_tiny(name: str) -> bool:
    return name.startswith(PREFIX) and name.removeprefix(PREFIX) in TINY_FAMILIES


def tiny_chat_folder(name: str, cache: Path) -> Path:
    """The folder of `tiny-llama`, `tiny-qwen3` or `tiny-lfm2` under `cache`, made where it is not there yet."""
    folder = cache / name
    if not (folder / "config.json").is_file():
        part = folder.with_name(f".{name}.part")
        shutil.rmtree(part, ignore_errors=True)
        make_tiny_chat(name.removeprefix(PREFIX), part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return folder


def make_tiny_chat(family: str, folder: Path, seed: int = 0) -> Path:
    """Write a tiny random model of `family` with its tokenizer into `folder`, and return the folder."""
    import torch

    if family not in TINY_FAMILIES:
        raise unknown_name("family", family, list(TINY_FAMILIES))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _MAKERS[family](
            {
                "vocab_size": len(tokenizer),
                "hidden_size": 64,
                "intermediate_size": 96,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "max_position_embeddings": 4096,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
                "tie_word_embeddings": family == "lfm2",
            }
        )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with without_bars():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    """Byte-level BPE, so that any text can be read and written back."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        LESSON,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[PAD, BOS, BEGIN, END],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[BEGIN],
        model_max_length=4096,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _llama(sizes: dict[str, Any]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**sizes))


def _qwen3(sizes: dict[str, Any]) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**sizes, head_dim=16))


def _lfm2(sizes: dict[str, Any]) -> Any:
    from transformers import Lfm2Config, Lfm2ForCausalLM

    return Lfm2ForCausalLM(Lfm2Config(**sizes, layer_types=["conv", "full_attention"]))


_MAKERS: dict[str, Callable[[dict[str, Any]], Any]] = {"llama": _llama, "qwen3": _qwen3, "lfm2": _lfm2}
