"""A local chat model of transformers, with or without a LoRA: loaded from safetensors, asked, given up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from t2v_studio.errors import InputError, StudioError, UnavailableError, unknown_name
from t2v_studio.machine import free_memory
from t2v_studio.planning.tiny_chat import is_tiny, tiny_chat_folder
from t2v_studio.settings import Settings
from t2v_studio.whole_weights import load_whole
from t2v_studio.workspace import SHIPPED, Workspace

REGISTRY = SHIPPED / "planner_models.yaml"
MOST_TOKENS = 1536
LONGEST_S = 600.0
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")
"""As peft names it, and as the catalogue of adapters does."""


@dataclass(frozen=True)
class Use:
    """Who asks a chat model, and in whose words its errors speak.

    field: of the request that names the model. code: begins or ends the codes of its errors. hint: how to name one.
    most_tokens: of an answer; None takes MOST_TOKENS.
    """

    field: str
    code: str
    hint: str
    most_tokens: int | None = None


PLANNER = Use("planner_model_id", "planner", "Name a folder with --planner-model-id, or set T2V_PLANNER_MODEL_ID.")


def chat_models() -> list[dict[str, Any]]:
    """The registered chat models: rows name, repo_id, revision, license, download_gb."""
    rows: list[dict[str, Any]] = yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))
    return rows


def chat_model_folder(name: str, settings: Settings, use: Use = PLANNER) -> Path:
    """The folder of a registered model that was downloaded, of a local one that is named by its path, or of a tiny one.

    Raises InputError for no name or an unknown one, UnavailableError where the files are not here.
    """
    if not name:
        raise InputError(f"no_{use.code}_model", f"{use.field}: a chat model is needed, and none is named.", use.hint)
    if is_tiny(name):
        return tiny_chat_folder(name, Workspace.at(settings.home).cache / "models")
    row = next((row for row in chat_models() if name in (row["name"], row["repo_id"])), None)
    if row is not None:
        return _downloaded(row, settings, use)
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder.resolve()
    if folder.is_absolute() or name.startswith((".", "~")):
        raise InputError(
            f"no_{use.code}_model",
            f"{use.field}: {name} is no folder of a model (it has no config.json).",
            "Name the folder that holds config.json, the tokenizer and safetensors.",
        )
    raise unknown_name(use.field, name, [row["name"] for row in chat_models()])


def _downloaded(row: dict[str, Any], settings: Settings, use: Use) -> Path:
    """Its snapshot in the studio's own cache of models, or in the machine's Hugging Face cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    root = settings.cache_root.expanduser() if settings.cache_root else Workspace.at(settings.home).cache / "models"
    for cache in (root / "hub", None):
        try:
            found = snapshot_download(
                row["repo_id"],
                revision=row["revision"],
                local_files_only=True,
                cache_dir=cache,
            )
        except LocalEntryNotFoundError:
            continue
        return Path(found)
    raise UnavailableError(
        "model_missing",
        f"{use.field}: {row['name']} is not on this machine ({row['download_gb']:g} GB).",
        f"Fetch it with: t2v models download {row['name']}",
    )


_EAR: ContextVar[Callable[[int], None] | None] = ContextVar("ear", default=None)


@contextmanager
def listened(ear: Callable[[int], None]) -> Iterator[None]:
    """Within it, `ear` hears after each token of an answer how many there are; what it raises ends the answer.

    An answer takes minutes on a CPU: so a job shows that it is alive, and can be cancelled, whoever it is that asks.
    """
    before = _EAR.set(ear)
    try:
        yield
    finally:
        _EAR.reset(before)


class ChatModel:
    """Ask with `chat(messages)`; a context manager that frees the model.

    adapter: folder of a LoRA in peft's form (adapter_config.json and safetensors) that the model wears.
    """

    def __init__(self, folder: Path, *, adapter: Path | None = None, use: Use = PLANNER) -> None:
        self.folder, self.adapter, self.use = folder, adapter, use
        self._loaded: tuple[Any, Any] | None = None

    def __enter__(self) -> ChatModel:
        self._loaded = _load(self.folder, self.adapter, self.use)
        return self

    def __exit__(self, *_: object) -> None:
        self._loaded = None
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __call__(
        self,
        messages: list[dict[str, str]],
        *,
        temperature: float = 0.0,
        seed: int = 0,
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The model's answer. At temperature 0 it is greedy, so the same every time; else `seed` draws it.

        schema: of the JSON object that the answer is, or the beginning of it where its tokens do not suffice.
        Raises StudioError where it cannot answer.
        """
        import torch

        assert self._loaded is not None, "enter it first"
        tokenizer, model = self._loaded
        failed = f"{self.use.code}_failed"
        try:
            asked = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True, enable_thinking=False
            ).to(model.device)
        except Exception as error:  # a template is a program: jinja raises what its author wrote
            raise StudioError(failed, f"its chat template failed ({error})") from error
        most = self.use.most_tokens or MOST_TOKENS
        length = asked["input_ids"].shape[1]
        room = int(getattr(model.config, "max_position_embeddings", 0) or most + length) - length
        if room < 64:
            raise StudioError(failed, f"its window has no room for an answer after {length} tokens")
        drawn: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if temperature > 0:
            torch.manual_seed(seed)
            drawn = {"do_sample": True, "temperature": temperature, "top_p": 0.95, "top_k": 0}
        try:
            if schema is not None:
                from t2v_studio.planning.json_answers import held_to

                drawn["logits_processor"] = held_to(schema, tokenizer, model, length)
            with torch.inference_mode():
                out = model.generate(
                    **asked, **drawn, max_new_tokens=min(most, room), max_time=LONGEST_S, pad_token_id=_pad(tokenizer),
                    stopping_criteria=_heard(length),
                )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            raise StudioError(failed, f"it failed while it wrote ({error})") from error
        return str(tokenizer.decode(out[0, length:], skip_special_tokens=True))


def _load(folder: Path, adapter: Path | None, use: Use) -> tuple[Any, Any]:
    """Tokenizer and model from local files alone, never with code of their own."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = _device(folder)
    try:
        if json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auto_map"):
            raise InputError(
                f"{use.code}_model_code",
                f"{use.field}: {folder.name} brings code of its own, which is never run.",
                "Take a model that transformers knows, such as Llama, Qwen3 or LFM2.",
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = load_whole(AutoModelForCausalLM, folder, trust_remote_code=False, dtype=_precision(folder, device))
    except (OSError, ValueError, KeyError) as error:
        raise UnavailableError(
            f"{use.code}_model_broken",
            f"{use.field}: {folder.name} cannot be loaded ({str(error).splitlines()[0][:200]}).",
            "Name a folder with config.json, tokenizer and safetensors of a chat model.",
        ) from error
    if not tokenizer.chat_template:
        raise InputError(
            f"{use.code}_no_chat",
            f"{use.field}: {folder.name} has no chat template, so it is no chat model.",
            "Take its instruct or chat version.",
        )
    if adapter is not None:
        model = _worn(model, adapter, use)
    return tokenizer, model.eval().to(device)


def _worn(model: Any, adapter: Path, use: Use) -> Any:
    """The model with the LoRA of a folder. Only safetensors are read, and every weight must find its place."""
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    try:
        weights = next((adapter / name for name in ADAPTER_WEIGHTS if (adapter / name).is_file()), None)
        if weights is None:
            raise ValueError(f"it has no {ADAPTER_WEIGHTS[0]}")
        if json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("peft_type") != "LORA":
            raise ValueError(f"its {ADAPTER_CONFIG} is not that of a LoRA")
        worn = get_peft_model(model, LoraConfig.from_pretrained(str(adapter), inference_mode=True))
        found = set_peft_model_state_dict(worn, load_file(weights))
        lacking = [name for name in found.missing_keys if "lora_" in name]
        if found.unexpected_keys or lacking:
            raise ValueError(f"{[*found.unexpected_keys, *lacking][0]} has no counterpart")
        return worn
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UnavailableError(
            f"{use.code}_adapter_broken",
            f"{use.field}: the LoRA {adapter.name} does not fit its base model ({str(error).splitlines()[0][:200]}).",
            "Take the base model that it was trained on; see the adapter's card.",
        ) from error


def _device(folder: Path) -> str:
    """The card where there is room for the model beside what is there, else the CPU."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    free, _ = torch.cuda.mem_get_info()
    return "cuda" if free > 1.3 * _stored(folder) + 2**30 else "cpu"


def _stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _precision(folder: Path, device: str) -> Any:
    """bfloat16 on a card; on a CPU that has no instructions for it float32, where memory holds that.

    Emulated, bfloat16 runs at half the speed of float32 and less.
    """
    import torch

    if device == "cuda":
        return torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported()  # type: ignore[no-untyped-call]
    return "auto" if native or 2.5 * _stored(folder) > free_memory() else torch.float32


def _heard(asked: int) -> Any:
    """Stopping criteria that stop nothing, and tell who listens of each token after the `asked` ones."""
    from transformers import StoppingCriteria, StoppingCriteriaList

    ear = _EAR.get()

    class Heard(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            assert ear is not None
            ear(input_ids.shape[1] - asked)
            return input_ids.new_zeros(input_ids.shape[0], dtype=bool)

    return StoppingCriteriaList([Heard()] if ear else [])


def _pad(tokenizer: Any) -> int | None:
    pad = tokenizer.pad_token_id
    return pad if pad is not None else tokenizer.eos_token_id
