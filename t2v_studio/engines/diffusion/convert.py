"""A bf16 copy of a model that is published in fp32: half the disk, half the time to load, the same weights on a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from t2v_studio.disk import room_for
from t2v_studio.engines.diffusion.download import Report, require_room
from t2v_studio.engines.diffusion.families.loading import torch_dtype
from t2v_studio.engines.diffusion.models import BYTES, Bundle, ModelEntry, missing
from t2v_studio.engines.diffusion.store import COMPLETE, ModelStore, copy_is_complete
from t2v_studio.errors import InputError

PARTS = ("transformer", "transformer_2", "text_encoder")
"""What is converted. The VAE stays in float32, where its pictures are best."""
HINT = "Free some space, or set T2V_CACHE_ROOT to a folder on a larger disk, then start it again."


def convert(
    entry: ModelEntry, store: ModelStore, report: Report, dtype: str = "bfloat16", *, freeable: int = 0
) -> dict[str, Any]:
    """Write copies of the parts that are stored wider than `dtype`, file by file, never more than one in memory.

    Modules that the family keeps in float32 stay so. Returns model, dtype, parts, before, after (bytes)
    and free: bytes that would come free with the wider files. Raises UnavailableError where the model is
    not here, InputError for a dtype that is not narrower, LimitError for a full disk.
    """
    if dtype not in ("bfloat16", "float16"):
        raise InputError("bad_dtype", f"dtype: {dtype!r} is not a narrower format.", "Use bf16 or fp16.")
    if not entry.repo_id or store.source(entry) is None:
        raise missing(entry)
    work = [
        (bundle, part)
        for bundle in entry.bundles()
        for part in bundle.parts
        if part in PARTS and BYTES[bundle.parts[part].stored] > BYTES[dtype] and not _done(bundle, part, store, dtype)
    ]
    sources = {(bundle.repo_id, part): store.part_folder(bundle, part) for bundle, part in work}
    before = sum(store.size_of(folder) for folder in sources.values() if folder)
    require_room(store.root, before // 2, f"A {dtype} copy of {entry.title or entry.name}", freeable)
    done = 0
    for bundle, part in work:
        folder = sources[bundle.repo_id, part]
        target = store.converted_folder(bundle, part, dtype)
        assert folder is not None and target is not None
        with room_for(f"the {dtype} copy of {part}", target, hint=HINT):
            done = _convert_part(folder, target, entry.rules.keep_fp32, dtype, report, done, before)
    copies = [store.converted_folder(bundle, part, dtype) for bundle, part in work]
    return {
        "model": entry.name,
        "dtype": dtype,
        "parts": [part for _, part in work],
        "before": before,
        "after": sum(store.size_of(copy) for copy in copies if copy),
    }


def _done(bundle: Bundle, part: str, store: ModelStore, dtype: str) -> bool:
    folder = store.converted_folder(bundle, part, dtype)
    return folder is not None and copy_is_complete(folder, part)


def _convert_part(
    folder: Path, target: Path, keep: tuple[str, ...], dtype: str, report: Report, done: int, total: int
) -> int:
    """Copy one part with narrower weights; a copy that was interrupted starts again."""
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        report("converting", done, total, path.name)
        if path.suffix == ".safetensors":
            _narrow(path, target / path.name, keep, dtype)
        elif path.suffix == ".json":
            (target / path.name).write_bytes(path.read_bytes())
        done += path.stat().st_size
    for index in target.glob("*.safetensors.index.json"):
        data = json.loads(index.read_text("utf-8"))
        data.setdefault("metadata", {})["total_size"] = sum(
            file.stat().st_size for file in target.glob("*.safetensors")
        )
        index.write_text(json.dumps(data, indent=2), "utf-8")
    _mark_dtype(target / "config.json", dtype)
    (target / COMPLETE).write_text(dtype, "ascii")
    report("converting", done, total, "")
    return done


def _narrow(path: Path, target: Path, keep: tuple[str, ...], dtype: str) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    wanted = torch_dtype(dtype)
    with safe_open(str(path), framework="pt") as file:
        tensors = {}
        for name in file.keys():  # noqa: SIM118  (safe_open is not iterable)
            tensor = file.get_tensor(name)
            stays = not tensor.is_floating_point() or any(part in keep for part in name.split("."))
            tensors[name] = tensor if stays else tensor.to(wanted)
        save_file(tensors, str(target), metadata=file.metadata() or {"format": "pt"})


def _mark_dtype(config: Path, dtype: str) -> None:
    """transformers notes the number format of the files; diffusers does not."""
    data = json.loads(config.read_text("utf-8"))
    for key in ("dtype", "torch_dtype"):
        if key in data:
            data[key] = dtype
    config.write_text(json.dumps(data, indent=2), "utf-8")
