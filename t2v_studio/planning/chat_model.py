"""A local chat model of transformers, for one plan: loaded from safetensors, asked greedily, given up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from t2v_studio.errors import InputError, StudioError, UnavailableError, unknown_name
from t2v_studio.settings import Settings
from t2v_studio.workspace import SHIPPED, Workspace

REGISTRY = SHIPPED / "planner_models.yaml"
MOST_TOKENS = 1536
LONGEST_S = 600.0


def chat_models() -> list[dict[str, Any]]:
    """The registered chat models: rows name, repo_id, revision, license, download_gb."""
    rows: list[dict[str, Any]] = yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))
    return rows


def chat_model_folder(name: str, settings: Settings) -> Path:
    """The folder of a registered model that was downloaded, or of a local one that is named by its path.

    Raises InputError for no name or an unknown one, UnavailableError where the files are not here.
    """
    if not name:
        raise InputError(
            "no_planner_model",
            "planner_model_id: --use-llm-planner needs a chat model.",
            "Name a folder with --planner-model-id, or set T2V_PLANNER_MODEL_ID.",
        )
    row = next((row for row in chat_models() if name in (row["name"], row["repo_id"])), None)
    if row is not None:
        return _downloaded(row, settings)
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder.resolve()
    if folder.is_absolute() or name.startswith((".", "~")):
        raise InputError(
            "no_planner_model",
            f"planner_model_id: {name} is no folder of a model (it has no config.json).",
            "Name the folder that holds config.json, the tokenizer and safetensors.",
        )
    raise unknown_name("planner_model_id", name, [row["name"] for row in chat_models()])


def _downloaded(row: dict[str, Any], settings: Settings) -> Path:
    """Its snapshot in the studio's own cache of models, or in the machine's Hugging Face cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    root = settings.cache_root.expanduser() if settings.cache_root else Workspace.at(settings.home).cache / "models"
    for cache in (root / "hub", None):
        try:
            found = snapshot_download(
                row["repo_id"], revision=row["revision"] or None, local_files_only=True, cache_dir=cache
            )
        except LocalEntryNotFoundError:
            continue
        return Path(found)
    raise UnavailableError(
        "model_missing",
        f"planner_model_id: {row['name']} is not on this machine ({row['download_gb']:g} GB).",
        f"Download it with: hf download {row['repo_id']}",
    )


class ChatModel:
    """Ask with `chat(messages)`; a context manager that frees the model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: tuple[Any, Any] | None = None

    def __enter__(self) -> ChatModel:
        self._loaded = _load(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._loaded = None
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __call__(self, messages: list[dict[str, str]]) -> str:
        """The model's answer: greedy, so the same every time. Raises StudioError where it cannot answer."""
        import torch

        assert self._loaded is not None, "enter it first"
        tokenizer, model = self._loaded
        try:
            asked = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True, enable_thinking=False
            ).to(model.device)
        except Exception as error:  # a template is a program: jinja raises what its author wrote
            raise StudioError("planner_failed", f"its chat template failed ({error})") from error
        length = asked["input_ids"].shape[1]
        room = int(getattr(model.config, "max_position_embeddings", 0) or MOST_TOKENS + length) - length
        if room < 64:
            raise StudioError("planner_failed", f"its window has no room for an answer after {length} tokens")
        try:
            with torch.inference_mode():
                out = model.generate(
                    **asked,
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    max_new_tokens=min(MOST_TOKENS, room),
                    max_time=LONGEST_S,
                    pad_token_id=_pad(tokenizer),
                )
        except (RuntimeError, ValueError) as error:
            raise StudioError("planner_failed", f"it failed while it wrote ({error})") from error
        return str(tokenizer.decode(out[0, length:], skip_special_tokens=True))


def _load(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model from local files alone, never with code of their own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        if json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auto_map"):
            raise InputError(
                "planner_model_code",
                f"planner_model_id: {folder.name} brings code of its own, which is never run.",
                "Take a model that transformers knows, such as Llama, Qwen3 or LFM2.",
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.bfloat16 if _device() == "cuda" else "auto",
        )
    except (OSError, ValueError, KeyError) as error:
        raise UnavailableError(
            "planner_model_broken",
            f"planner_model_id: {folder.name} cannot be loaded ({str(error).splitlines()[0][:200]}).",
            "Name a folder with config.json, tokenizer and safetensors of a chat model.",
        ) from error
    if not tokenizer.chat_template:
        raise InputError(
            "planner_no_chat",
            f"planner_model_id: {folder.name} has no chat template, so it is no chat model.",
            "Take its instruct or chat version.",
        )
    return tokenizer, _placed(model.eval())


def _placed(model: Any) -> Any:
    """On the card where there is room for it beside what is there, else on the CPU."""
    if _device() == "cpu":
        return model
    import torch

    free, _ = torch.cuda.mem_get_info()
    needs = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return model.to("cuda") if free > 1.3 * needs + 2**30 else model


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _pad(tokenizer: Any) -> int | None:
    pad = tokenizer.pad_token_id
    return pad if pad is not None else tokenizer.eos_token_id
