"""The base model of a recipe: where it lies, its family, and how it is loaded on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2v_studio.adapters.card import TEXT_FAMILIES
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import InputError, UnavailableError
from t2v_studio.planning.chat_model import Use, chat_model_folder, chat_models
from t2v_studio.settings import Settings
from t2v_studio.whole_weights import load_whole

USE = Use("model", "training", "Name it in the recipe, or with --model.")


@dataclass(frozen=True)
class Base:
    """A base model on this disk. family: its model_type, one of TEXT_FAMILIES."""

    name: str
    repo_id: str
    folder: Path
    family: str
    config: dict[str, Any]
    license: str = ""

    @property
    def revision(self) -> str:
        """The commit of a downloaded snapshot, whose folder is named by it."""
        return self.folder.name if self.folder.parent.name == "snapshots" else ""

    @property
    def quantised(self) -> bool:
        """Whether the weights on disk are held in fewer than 16 bits."""
        return bool(self.config.get("quantization_config"))


def base_of(name: str, settings: Settings) -> Base:
    """The base of a name in a recipe. Raises InputError, UnavailableError."""
    folder = chat_model_folder(name, settings, USE)
    row = next((row for row in chat_models() if name in (row["name"], row["repo_id"])), {})
    config = _config(folder)
    family = str(config.get("model_type", ""))
    if family not in TEXT_FAMILIES:
        raise InputError(
            "unknown_family",
            f"model: {name} is a {family or 'nameless'} model.",
            f"Take one of: {', '.join(TEXT_FAMILIES)}.",
        )
    if config.get("auto_map"):
        raise InputError("training_model_code", f"model: {name} brings code of its own, which is never run.", USE.hint)
    return Base(name, row.get("repo_id", folder.name), folder, family, config, row.get("license", ""))


def _config(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnavailableError(
            "training_model_broken", f"model: {folder.name} has no readable config.json ({error}).", USE.hint
        ) from error
    return found


def load_tokenizer(base: Base) -> Any:
    """The tokenizer with a chat template and a token to pad with. Raises InputError, UnavailableError."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise UnavailableError("tokenizer_broken", f"model: its tokenizer cannot be loaded ({reason}).") from error
    if not tokenizer.chat_template:
        raise InputError(
            "no_chat_template",
            f"model: {base.name} has no chat template, so nothing says where an answer begins and ends.",
            "Take its instruct or chat version.",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@dataclass(frozen=True)
class Hold:
    """How the base is held and optimised on this machine; notices say what is not as the recipe asks."""

    quantised: str
    optimiser: str
    notices: tuple[str, ...] = ()


def hold(recipe: TextRecipe, *, cuda: bool) -> Hold:
    """What of the recipe's memory savers this machine can do: bitsandbytes needs CUDA for both."""
    if cuda:
        return Hold(recipe.base_quantised, recipe.optimiser)
    notices = []
    if recipe.base_quantised != "none":
        notices.append(f"base_quantised: {recipe.base_quantised} needs CUDA; the base is held as {recipe.dtype} here.")
    if recipe.optimiser != "adamw":
        notices.append(f"optimiser: {recipe.optimiser} needs CUDA; plain AdamW is used here.")
    return Hold("none", "adamw", tuple(notices))


def load_model(base: Base, recipe: TextRecipe, how: Hold) -> Any:
    """The frozen base as the recipe holds it, on the CPU or the card. Only safetensors are read."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if recipe.dtype == "bf16" else torch.float32
    more: dict[str, Any] = {}
    if how.quantised != "none":
        more = {"quantization_config": quantisation(how.quantised), "device_map": {"": 0}}
    try:
        return load_whole(AutoModelForCausalLM, base.folder, dtype=dtype, trust_remote_code=False, **more)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise UnavailableError(
            "training_model_broken", f"model: {base.name} cannot be loaded ({reason}).", USE.hint
        ) from error


def quantisation(how: str) -> Any:
    """NF4 with double quantisation and bf16 compute (QLoRA, Dettmers et al. 2023), or LLM.int8 (2022)."""
    import torch
    from transformers import BitsAndBytesConfig

    if how == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
