"""Adapter files from outside: which one is meant, whether it may be read, and what its header says.

Only safetensors is read. A pickle (.bin, .pt, .ckpt) can run code when it is opened, so it never is.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from t2v_studio.disk import disk_full, is_full
from t2v_studio.errors import InputError, LimitError, NotFoundError

WEIGHTS = "pytorch_lora_weights.safetensors"
SECOND_WEIGHTS = "pytorch_lora_weights_2.safetensors"
"""The low-noise expert's weights, where they came as a file of their own."""
PEFT_CONFIG = "adapter_config.json"
MAX_BYTES = 4_000_000_000
TENSORS_MAX = 20_000
RANK_MAX = 1024
SIDE_MAX = 131_072
CONFIG_MAX_BYTES = 1_000_000
NUMBER_BYTES = 8
"""Of the widest number that is read."""
DTYPES = ("F64", "F32", "F16", "BF16")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


@dataclass(frozen=True)
class Header:
    """What a safetensors file says before any weight is read. tensors: name -> (dtype, shape)."""

    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    metadata: Mapping[str, str]


def find_weights(path: Path, weight_name: str = "") -> Path:
    """The safetensors file that `path` (a file, or a folder with `weight_name` or exactly one) means.

    Raises NotFoundError, or InputError that says why this file is not taken.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise NotFoundError("no_such_file", f"adapter: {path} is not there.", "Check the path.")
    if path.is_file():
        if weight_name and weight_name != path.name:
            raise InputError(
                "bad_weight_name",
                f"lora_weight_name: {weight_name} is asked for, but {path.name} is a file already.",
                "Give the folder, or leave the name out.",
            )
        return _of_known_kind(path)
    if not path.is_dir():
        raise InputError("not_a_file", f"adapter: {path} is neither a file nor a folder.", "Give the safetensors file.")
    if weight_name:
        return _named(path, weight_name)
    found = sorted(one for one in path.iterdir() if one.suffix == ".safetensors" and one.is_file())
    standard = [one for one in found if one.name in (WEIGHTS, "adapter_model.safetensors")]
    if len(found) != 1 and len(standard) == 1:
        found = standard
    if not found:
        pickled = next((one for one in sorted(path.iterdir()) if one.suffix in PICKLES), None)
        if pickled is not None:
            return _of_known_kind(pickled)
        raise NotFoundError("no_weights", f"adapter: {path} holds no safetensors file.", "Give the file itself.")
    if len(found) > 1:
        names = ", ".join(one.name for one in found[:6])
        raise InputError(
            "which_weights",
            f"adapter: {path} holds several files: {names}.",
            "Choose one with --weight-name (of t2v generate: --lora-weight-name).",
        )
    return found[0]


def _named(folder: Path, weight_name: str) -> Path:
    """`weight_name` is a name and no path: nothing outside the folder can be meant."""
    if weight_name in ("", ".", "..") or Path(weight_name).name != weight_name or "\\" in weight_name:
        raise InputError(
            "bad_weight_name",
            f"lora_weight_name: {weight_name!r} is not a file name.",
            "Give the name without folders.",
        )
    found = _of_known_kind(folder / weight_name)
    if not found.is_file():
        raise NotFoundError(
            "no_such_file", f"lora_weight_name: {folder} holds no {weight_name}.", "List the folder and check the name."
        )
    return found


def _of_known_kind(path: Path) -> Path:
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return path
    if suffix in PICKLES:
        raise InputError(
            "adapter_pickle",
            f"adapter: {path.name} is a pickle, which can run code when it is opened; it was not opened.",
            "Get the .safetensors version of it, or convert it on a machine that you can afford to lose.",
        )
    if suffix in ARCHIVES:
        raise InputError(
            "adapter_archive", f"adapter: {path.name} is an archive.", "Unpack it and give the .safetensors file."
        )
    raise InputError(
        "bad_adapter_type", f"adapter: {path.name} is not a safetensors file.", "Give a file that ends in .safetensors."
    )


def copy_checked(source: Path, target: Path, max_bytes: int = MAX_BYTES) -> tuple[str, int]:
    """Copy the content (links are followed, none is made) and give its SHA-256 and size.

    The size is counted while copying, so that a file that grows meanwhile is stopped too. Raises LimitError, InputError.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            while block := reader.read(1 << 20):
                size += len(block)
                if size > max_bytes:
                    raise LimitError(
                        "adapter_too_large",
                        f"adapter: {source.name} has more than {max_bytes / 1e6:,.0f} MB.",
                        "Raise T2V_ADAPTER_MAX_MB if it really is a LoRA and not a whole model.",
                    )
                digest.update(block)
                writer.write(block)
            writer.flush()
            os.fsync(writer.fileno())
    except OSError as error:
        if is_full(error):
            raise disk_full(f"the copy of {source.name}") from error
        raise InputError(
            "adapter_unreadable",
            f"adapter: {source.name} cannot be copied ({error.strerror}).",
            "Check its permissions.",
        ) from error
    return digest.hexdigest(), size


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_header(path: Path, name: str = "") -> Header:
    """Names, dtypes, shapes and metadata; no weight is read. Raises InputError where they are none of a LoRA.

    name: what the file is called in messages.
    """
    from safetensors import SafetensorError, safe_open

    name = name or path.name
    try:
        # The numpy framework, so that torch stays out of the page and of light commands.
        with safe_open(str(path), framework="np") as file:
            metadata = dict(file.metadata() or {})
            keys = list(file.keys())
            if not 0 < len(keys) <= TENSORS_MAX:
                raise _damaged(name, f"it holds {len(keys)} tensors")
            tensors = {key: _described(file, key) for key in keys}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(name, str(error)) from error
    for key, (dtype, shape) in tensors.items():
        if dtype not in DTYPES:
            raise InputError(
                "adapter_dtype",
                f"adapter: {name} holds {key} as {dtype}; a LoRA is read in {', '.join(DTYPES)}.",
                "Get the version in 16 or 32 bits.",
            )
        if any(not 0 < side <= SIDE_MAX for side in shape):
            raise _damaged(name, f"{key} has the shape {list(shape)}")
    return Header(tensors, metadata)


def read_scalars(path: Path, names: Iterable[str]) -> dict[str, float]:
    """Values of one-number tensors of a file whose header was read before (numpy cannot hold bfloat16)."""
    found: dict[str, float] = {}
    for name, dtype, blocks in raw_tensors(path, names, NUMBER_BYTES + 1):
        raw = next(blocks, b"")
        if dtype == "BF16":
            raw = b"\0\0" + raw
        code = {"F64": "<d", "F32": "<f", "F16": "<e", "BF16": "<f"}[dtype]
        if len(raw) != struct.calcsize(code):
            raise _damaged(path.name, f"{name} is not one number")
        found[name] = struct.unpack(code, raw)[0]
    return found


def raw_tensors(path: Path, names: Iterable[str], piece: int) -> Iterator[tuple[str, str, Iterator[bytes]]]:
    """Name, dtype and bytes, `piece` of them at a time, of tensors of a file whose header was read before.

    The bytes of one are to be read before the next is asked for.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        wanted = sorted(names, key=lambda name: header[name]["data_offsets"][0])
        for name in wanted:
            begin, end = header[name]["data_offsets"]
            file.seek(8 + length + begin)
            yield name, header[name]["dtype"], _pieces(file, end - begin, piece)


def _pieces(file: BinaryIO, size: int, piece: int) -> Iterator[bytes]:
    while size > 0 and (block := file.read(min(size, piece))):
        size -= len(block)
        yield block


def _described(file: object, key: str) -> tuple[str, tuple[int, ...]]:
    part = file.get_slice(key)  # type: ignore[attr-defined]
    return part.get_dtype(), tuple(part.get_shape())


def _damaged(name: str, why: str) -> InputError:
    return InputError(
        "adapter_damaged", f"adapter: {name} is not a sound LoRA file: {why}.", "Download or export it again."
    )
