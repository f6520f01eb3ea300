"""A full disk in words, whoever wrote: Python, safetensors or torch."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from t2v_studio import disk
from t2v_studio.disk import is_full, room_for, save_tensors
from t2v_studio.errors import CancelledError, LimitError

torch = pytest.importorskip("torch")
from safetensors import SafetensorError  # noqa: E402

NUMBERS = torch.arange(50_000, dtype=torch.float32)
FULL = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (FULL, True),
        (SafetensorError('I/O error: Permission denied (os error 13) at path "/x (os error 28)/.tmp"'), False),
        (SafetensorError("Error while deserializing header: header too small"), False),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), True),
        (RuntimeError("CUDA error: no space left on device"), False),
    ],
)
def test_a_full_disk_is_known_by_what_each_library_says(error: Exception, full: bool) -> None:
    assert is_full(error) == full


def test_it_is_said_in_words_and_what_is_unfinished_goes(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "half").touch()
    (tmp_path / "file").touch()
    with (
        pytest.raises(LimitError) as caught,
        room_for("the copy", tmp_path / "folder", tmp_path / "file", tmp_path / "never", hint="Delete films."),
    ):
        raise FULL
    error = caught.value
    assert (error.code, error.hint, error.exit_code) == ("disk_full", "Delete films.", 6)
    assert error.message == "The disk is full: the copy could not be written." and error.__cause__ is FULL
    assert list(tmp_path.iterdir()) == []


def test_other_failures_come_as_they_are_or_as_pythons_own(tmp_path: Path) -> None:
    for raised in (ValueError("x"), CancelledError(), PermissionError(errno.EACCES, "no"), SafetensorError("header")):
        with pytest.raises(type(raised)) as caught, room_for("the copy"):
            raise raised
        assert caught.value is raised
    with pytest.raises(FileNotFoundError, match="No such file"):
        save_tensors(tmp_path / "nowhere" / "x.safetensors", {"a": NUMBERS}, {})


def test_a_file_is_there_whole_or_as_it_was(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    from safetensors import safe_open

    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": NUMBERS[:10]}, {"made": "first"})
    before = path.read_bytes()
    with pytest.raises(LimitError, match=r"x\.safetensors could not be written"), full_disk(16_384):
        save_tensors(path, {"a": NUMBERS}, {"made": "second"})
    assert [one.name for one in tmp_path.iterdir()] == ["x.safetensors"] and path.read_bytes() == before
    save_tensors(path, {"a": NUMBERS.reshape(2, -1).T}, {"made": "third"})
    with safe_open(str(path), framework="pt") as file:
        assert file.metadata() == {"made": "third"} and torch.equal(file.get_tensor("a"), NUMBERS.reshape(2, -1).T)
    assert {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} == disk.FULL, "the fixture stands for a disk, and takes it back"
