"""Files from outside: never a pickle, never a path that leads elsewhere, nothing left behind after a refusal."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from lora_files import tensors, write
from safetensors.torch import save_file

from t2v_studio.adapters.catalogue import adopt, catalogue
from t2v_studio.adapters.files import copy_checked, find_weights, read_header
from t2v_studio.errors import InputError, LimitError, NotFoundError, StudioError
from t2v_studio.workspace import Workspace


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(Path(__file__).with_name("exploded")),))


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt"])
def test_a_pickle_is_refused_unopened(tmp_path: Path, workspace: Workspace, suffix: str) -> None:
    bad = tmp_path / f"lora{suffix}"
    bad.write_bytes(pickle.dumps(Bomb()))
    for path in (bad, tmp_path):
        with pytest.raises(InputError) as refused:
            adopt(workspace, path)
        assert refused.value.code == "adapter_pickle" and ".safetensors" in refused.value.hint
    renamed = bad.rename(tmp_path / "lora.safetensors")
    with pytest.raises(InputError, match="not a sound LoRA file"):
        adopt(workspace, renamed)
    assert not Path(__file__).with_name("exploded").exists()
    assert not list(workspace.adapters.iterdir())


@pytest.mark.parametrize(
    "name", ["../lora.safetensors", "/etc/passwd", "a/b.safetensors", "..", "..\\x.safetensors", "."]
)
def test_a_weight_name_is_no_path(tmp_path: Path, name: str) -> None:
    write(tmp_path / "lora.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="is not a file name"):
        find_weights(tmp_path / "folder", name)


def test_archives_are_not_unpacked(tmp_path: Path, workspace: Workspace) -> None:
    with zipfile.ZipFile(tmp_path / "lora.zip", "w") as archive:
        archive.writestr("../../escaped.safetensors", b"x")
    with pytest.raises(InputError) as refused:
        adopt(workspace, tmp_path / "lora.zip")
    assert refused.value.code == "adapter_archive"


def test_which_file_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no safetensors file"):
        find_weights(tmp_path)
    one = write(tmp_path / "a.safetensors")
    assert find_weights(tmp_path) == one
    write(tmp_path / "b.safetensors")
    with pytest.raises(InputError, match=r"a\.safetensors, b\.safetensors"):
        find_weights(tmp_path)
    assert find_weights(tmp_path, "b.safetensors").name == "b.safetensors"
    standard = write(tmp_path / "pytorch_lora_weights.safetensors")
    assert find_weights(tmp_path) == standard
    with pytest.raises(NotFoundError):
        find_weights(tmp_path, "c.safetensors")
    with pytest.raises(NotFoundError):
        find_weights(tmp_path / "absent")
    with pytest.raises(InputError, match="is not a safetensors file"):
        find_weights(Path(__file__))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08\0\0\0\0\0\0\0{}      ",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
        struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,999999]}}    ',
        b"PK\x03\x04 not a safetensors file at all",
    ],
    ids=["empty", "no tensors", "endless header", "offsets past the end", "a zip"],
)
def test_damaged_files(tmp_path: Path, workspace: Workspace, content: bytes) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        adopt(workspace, path)
    assert refused.value.code == "adapter_damaged" and not catalogue(workspace)
    assert not list(workspace.adapters.iterdir()), "a refused file leaves nothing behind"


def test_dtypes_shapes_and_ranks(tmp_path: Path) -> None:
    for name, extra, code in (
        ("ints", {"transformer.proj_out.lora_A.weight": torch.ones(2, 24, dtype=torch.int8)}, "adapter_dtype"),
        ("fp8", {"transformer.proj_out.lora_A.weight": torch.ones(2, 24).to(torch.float8_e4m3fn)}, "adapter_dtype"),
        ("ragged", {"transformer.proj_out.lora_A.weight": torch.ones(3, 24)}, "adapter_shape"),
        ("huge", {"transformer.proj_out.lora_A.weight": torch.ones(2000, 1), "transformer.proj_out.lora_B.weight": torch.ones(1, 2000)}, "adapter_rank"),
    ):  # fmt: skip
        save_file(tensors("diffusers") | extra, tmp_path / f"{name}.safetensors")
        from t2v_studio.adapters.layers import read_plan

        with pytest.raises(InputError) as refused:
            read_plan(tmp_path / f"{name}.safetensors")
        assert refused.value.code == code, name


def test_a_whole_model_is_no_lora(tmp_path: Path, workspace: Workspace) -> None:
    save_file({"blocks.0.attn1.to_q.weight": torch.ones(4, 4)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="holds no LoRA layer"):
        adopt(workspace, tmp_path / "model.safetensors")


def test_half_a_pair_is_named(tmp_path: Path) -> None:
    from t2v_studio.adapters.layers import read_plan

    found = tensors("diffusers")
    del found["transformer.proj_out.lora_B.weight"]
    save_file(found, tmp_path / "half.safetensors")
    ignored = read_plan(tmp_path / "half.safetensors").ignored
    assert ignored == {"transformer.proj_out.lora_A.weight": "only one of the two factors is there"}


def test_numbers_that_are_not_finite(tmp_path: Path, workspace: Workspace) -> None:
    from t2v_studio.adapters.state import read_state

    found = tensors("diffusers")
    found["transformer.proj_out.lora_B.weight"][0, 0] = float("nan")
    save_file(found, tmp_path / "nan.safetensors")
    for refuse in (lambda path: adopt(workspace, path), read_state):
        with pytest.raises(InputError, match=r"proj_out\.lora_B") as refused:
            refuse(tmp_path / "nan.safetensors")
        assert refused.value.code == "adapter_not_finite"
    assert not list(workspace.adapters.iterdir())


def test_every_piece_of_a_large_tensor_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from t2v_studio.adapters import numbers

    monkeypatch.setattr(numbers, "PIECE_BYTES", 64)
    values = torch.linspace(-1, 1, 1000).reshape(10, 100)
    values[7, 3] = -9.0
    save_file({"a": values, "b": values.to(torch.bfloat16), "c": values.half(), "d": values.double()}, tmp_path / "x")
    assert numbers.largest(tmp_path / "x", "abcd") == dict.fromkeys("abcd", 9.0)
    values[9, 99] = float("nan")
    save_file({"a": values}, tmp_path / "x")
    assert numbers.largest(tmp_path / "x", "a")["a"] != numbers.largest(tmp_path / "x", "a")["a"]


def test_too_large_is_stopped_while_copying(tmp_path: Path, workspace: Workspace) -> None:
    path = write(tmp_path / "lora.safetensors")
    with pytest.raises(LimitError) as refused:
        adopt(workspace, path, max_bytes=1000)
    assert refused.value.code == "adapter_too_large" and "T2V_ADAPTER_MAX_MB" in refused.value.hint
    assert not list(workspace.adapters.iterdir())


def test_links_are_followed_once_and_never_kept(tmp_path: Path, workspace: Workspace) -> None:
    """A hub snapshot is made of links, so they are read through; the catalogue holds files of its own."""
    (tmp_path / "snapshot").mkdir()
    blob = write(tmp_path / "blobs" / "lora.safetensors")
    (tmp_path / "snapshot" / "lora.safetensors").symlink_to(blob)
    card = adopt(workspace, tmp_path / "snapshot")
    weights = workspace.adapter(card.id) / "pytorch_lora_weights.safetensors"
    assert weights.is_file() and not weights.is_symlink()


def test_a_link_planted_in_the_catalogue_is_not_followed(tmp_path: Path, workspace: Workspace) -> None:
    from t2v_studio.adapters.catalogue import adapter, damaged, remove

    card = adopt(workspace, write(tmp_path / "lora.safetensors"))
    folder = workspace.adapter(card.id)
    secret = write(tmp_path / "secret.safetensors")
    (folder / "pytorch_lora_weights.safetensors").unlink()
    (folder / "pytorch_lora_weights.safetensors").symlink_to(secret)
    with pytest.raises(StudioError, match="of its own"):
        adapter(workspace, card.id)
    assert catalogue(workspace) == [] and list(damaged(workspace)) == [card.id]
    (workspace.adapters / "lora_abcdef0123456789").symlink_to(tmp_path)
    with pytest.raises(NotFoundError):
        remove(workspace, "lora_abcdef0123456789")
    remove(workspace, card.id)
    assert secret.is_file() and (tmp_path / "lora.safetensors").is_file()


@pytest.mark.parametrize("adapter_id", ["../videos", "lora_../../x", "", "/etc", "lora_ABCDEF"])
def test_an_id_is_no_path(workspace: Workspace, adapter_id: str) -> None:
    from t2v_studio.adapters.catalogue import adapter, remove

    for call in (adapter, remove):
        with pytest.raises(NotFoundError):
            call(workspace, adapter_id)


def test_a_header_is_read_without_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = write(tmp_path / "lora.safetensors", "kohya", 8.0, dtype=torch.bfloat16)
    code = (
        "import sys; from pathlib import Path; from t2v_studio.adapters.layers import read_plan;"
        f"plan = read_plan(Path({str(path)!r})); print(plan.rank, plan.alpha, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["4", "8.0", "False"]


def test_copying_does_not_write_over_anything(tmp_path: Path) -> None:
    source, target = write(tmp_path / "a.safetensors"), tmp_path / "b.safetensors"
    target.write_text("precious")
    with pytest.raises(InputError):
        copy_checked(source, target)
    assert target.read_text() == "precious"


def test_headers_are_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", metadata={"trigger": "acad"})
    header = read_header(path)
    assert header.metadata == {"trigger": "acad"} and len(header.tensors) == 34
    assert json.loads(json.dumps(header.tensors["transformer.proj_out.lora_A.weight"])) == ["F32", [4, 24]]
