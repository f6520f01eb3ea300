"""An adapter merged into its base: only into the 16-bit weights, and compared before it counts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from t2v_studio.disk import room_for
from t2v_studio.errors import InputError, StudioError, UnavailableError
from t2v_studio.whole_weights import load_whole
from training.text.base import Base, load_tokenizer

PROBE = "from manim import *\n\nPrompt: a ball rolls down a curve."
MOST_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
"""Of the logits of the probe, in the merged model's number format: rounding of the weights, no more."""


def merge(base: Base, adapter: Path, folder: Path) -> dict[str, Any]:
    """Write base + adapter as one model into `folder`: difference (of logits), dtype, bytes.

    adapter: PEFT's folder. Raises InputError merge_quantised for a base that is held in fewer than 16 bits:
    what it lost in rounding would be baked in.
    """
    import torch

    refuse_quantised(base)
    tokenizer = load_tokenizer(base)
    model, dtype = _loaded(base.folder), ""
    ids = tokenizer(PROBE, return_tensors="pt")
    worn = _worn(model, adapter)
    with torch.no_grad():
        before = worn(**ids).logits.float()
        merged = worn.merge_and_unload(safe_merge=True)
    dtype = str(merged.dtype).removeprefix("torch.")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with room_for(f"the merged model {folder.name}", part):
        merged.save_pretrained(part, safe_serialization=True)
        tokenizer.save_pretrained(part)
    del model, worn, merged
    with torch.no_grad():
        after = _loaded(part)(**ids).logits.float()
    difference = float((before - after).abs().max())
    if not difference <= MOST_DIFFERENCE.get(dtype, 1e-3) * max(1.0, float(before.abs().max())):
        shutil.rmtree(part, ignore_errors=True)
        raise StudioError(
            "merge_differs",
            f"The merged model answers otherwise than base and adapter together (logits differ by {difference:g}).",
            "This is a defect of the merge, or of the installed peft.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"difference": difference, "dtype": dtype, "bytes": size}


def refuse_quantised(base: Base) -> None:
    """Raises InputError where the weights on disk have fewer than 16 bits."""
    if base.quantised:
        raise InputError(
            "merge_quantised",
            f"merge: {base.name} is held in fewer than 16 bits; what that rounded away would be baked in.",
            "Name the 16-bit model that it was made from: the adapter fits it as well.",
        )


def _loaded(folder: Path) -> Any:
    """In the number format that it is stored in, on the CPU."""
    from transformers import AutoModelForCausalLM

    try:
        return load_whole(AutoModelForCausalLM, folder, dtype="auto", trust_remote_code=False).eval()
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise UnavailableError("training_model_broken", f"merge: {folder.name} cannot be loaded ({reason}).") from error


def _worn(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=False, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise InputError(
            "adapter_wrong_base", f"merge: the adapter does not fit this base ({reason}).", "See its card for its base."
        ) from error
