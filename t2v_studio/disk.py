"""Writing to a disk that may become full: it is said in words, and nothing half-written is left."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from t2v_studio.errors import LimitError

if TYPE_CHECKING:
    import torch

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""A disk without room, and a user's share of it that is used up."""
HINT = "Free some space."


def is_full(error: BaseException) -> bool:
    """Whether this is what a full disk does, to Python's own files or to those of safetensors and torch."""
    return _number(error) in FULL


def disk_full(what: str, hint: str = HINT) -> LimitError:
    return LimitError("disk_full", f"The disk is full: {what} could not be written.", hint)


@contextmanager
def room_for(what: str, *unfinished: Path, hint: str = HINT) -> Iterator[None]:
    """Write within it. Where that fails or is cancelled, the files and folders `unfinished` are removed.

    Raises LimitError disk_full, and OSError for what else the disk refuses, whoever writes.
    """
    try:
        yield
    except BaseException as error:
        for path in unfinished:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        number = _number(error)
        if number in FULL:
            raise disk_full(what, hint) from error
        if number is None or isinstance(error, OSError):
            raise
        raise OSError(number, os.strerror(number)) from error


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str], hint: str = HINT
) -> None:
    """A safetensors file, written to a temporary name, synced and renamed: what has its name is whole.

    Raises what `room_for` raises.
    """
    from safetensors.torch import save_file

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with room_for(path.name, part, hint=hint):
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part, dict(metadata) or None
        )
        sync(part)
        part.replace(path)


def sync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _number(error: BaseException) -> int | None:
    """The system's number of a failure. safetensors and torch raise errors outside of OSError, with words alone."""
    if isinstance(error, OSError):
        return error.errno
    said = str(error)
    if type(error).__name__ == "SafetensorError":
        found = re.search(r"\(os error (\d+)\)", said)
        return int(found[1]) if found else None
    # torch.save compares how much arrived with how much it wrote, and says no more than that.
    return errno.ENOSPC if "inline_container" in said and "unexpected pos" in said else None
