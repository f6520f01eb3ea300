"""Every `from_pretrained` call of the project: local files, safetensors, no remote code, a known class."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from t2v_studio.errors import StudioError
from t2v_studio.whole_weights import load_whole, without_bars


def load_model(class_name: str, folder: Path, *, dtype: Any, device: str) -> Any:
    """A diffusers model in eval mode. Modules that the class keeps in float32 stay so."""
    import diffusers

    _require_class(class_name, folder)
    return _from_pretrained(getattr(diffusers, class_name), folder, dtype=torch_dtype(dtype)).eval().to(device)


def load_text_encoder(class_name: str, folder: Path, *, dtype: Any, device: str) -> Any:
    """A transformers encoder in eval mode whose embeddings are tied and not zero."""
    import transformers

    from t2v_studio.engines.diffusion.families.text_checks import check_text_encoder

    encoder = _from_pretrained(getattr(transformers, class_name), folder, dtype=torch_dtype(dtype)).eval()
    check_text_encoder(encoder)
    return encoder.to(device)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder."""
    from transformers import AutoTokenizer

    return _from_pretrained(AutoTokenizer, folder)


def read_scheduler_config(folder: Path, allowed: Sequence[str]) -> dict[str, Any]:
    """The scheduler's config; its class must be one that the family knows."""
    path = folder / "scheduler_config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _broken(folder, error) from error
    if config.get("_class_name") not in allowed:
        raise StudioError(
            "model_broken",
            f"The scheduler {config.get('_class_name')!r} of this model is not one that the studio runs.",
            f"It should be one of: {', '.join(allowed)}.",
        )
    return dict(config)


def torch_dtype(dtype: Any) -> Any:
    """A torch dtype from itself, or from its name: float32, bfloat16, float16, fp32, bf16, fp16."""
    import torch

    if isinstance(dtype, torch.dtype):
        return dtype
    short = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    return getattr(torch, short.get(dtype, dtype))


@contextmanager
def widened(module: Any, dtype: Any) -> Iterator[None]:
    """Run `module` in a wider dtype and put it back; narrowing would lose weights and is refused."""
    import torch

    before = module.dtype
    wanted = before if dtype is None else torch_dtype(dtype)
    if wanted == before:
        yield
        return
    if wanted != torch.float32:
        raise ValueError(f"a {before} module cannot be narrowed to {wanted} and put back without loss")
    module.to(wanted)
    try:
        yield
    finally:
        module.to(before)


def count_parameters(class_name: str, config: Mapping[str, Any]) -> int:
    """Parameters of a model from its config, on the meta device."""
    import diffusers
    import torch
    import transformers

    with torch.device("meta"):
        if hasattr(diffusers, class_name):
            model = getattr(diffusers, class_name).from_config(dict(config))
        else:
            kind = getattr(transformers, class_name)
            model = kind(kind.config_class(**config))
    return sum(parameter.numel() for parameter in model.parameters())


def class_fault(wanted: str, folder: Path) -> str:
    """What is wrong with a part of another family, as diffusers' own configuration names it; "" where nothing is."""
    try:
        found = json.loads((folder / "config.json").read_text("utf-8")).get("_class_name", wanted)
    except (OSError, ValueError, AttributeError):
        return ""  # reading it says what is wrong
    return f"is a {found}, and this family needs a {wanted}" if found != wanted else ""


def _require_class(wanted: str, folder: Path) -> None:
    if fault := class_fault(wanted, folder):
        raise _broken(folder, ValueError(f"it {fault}"))


def _from_pretrained(kind: Any, folder: Path, **arguments: Any) -> Any:
    if not folder.is_dir():
        raise StudioError(
            "model_broken",
            f"The model folder has no part {folder.name!r}.",
            "Put the whole model there.",
        )
    try:
        if "dtype" in arguments:
            return load_whole(kind, folder, **arguments)
        with without_bars():
            return kind.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        if out_of_memory(error):
            raise
        raise _broken(folder, error) from error
    except Exception as error:  # safetensors has its own error class, outside the built-in ones
        if type(error).__name__ == "SafetensorError":
            raise _broken(folder, error) from error
        raise


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the card or the host; libraries on a card say it in errors of their own."""
    import torch

    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)
    )


_NO_MEMORY = ("out of memory", "not enough memory", "status_alloc_failed")


def _broken(folder: Path, error: Exception) -> StudioError:
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return StudioError(
        "model_broken",
        f"The part {folder.name!r} of the model cannot be read: {first}",
        "Put whole files there.",
    )
