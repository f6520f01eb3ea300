"""One folder an adapter, named by its content; cards that say what is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from lora_files import peft_header, tensors, write
from safetensors.torch import save_file

from t2v_studio.adapters.catalogue import adapter, adopt, catalogue, edit, find, load_state, remove
from t2v_studio.errors import ConflictError, InputError, LimitError, NotFoundError
from t2v_studio.workspace import Workspace


def test_a_file_is_adopted_once(tmp_path: Path, workspace: Workspace) -> None:
    path = write(tmp_path / "Course LoRA.safetensors", metadata=peft_header(8))
    card = adopt(workspace, path, trigger="acad_course_v1", base_model="wan2.1-14b", scale=0.7)
    (tmp_path / "elsewhere").mkdir()
    again = adopt(workspace, path.rename(tmp_path / "elsewhere" / "other name.safetensors"))
    assert again == card and catalogue(workspace) == [card]
    assert card.id == f"lora_{card.sha256[:16]}"
    assert (card.name, card.rank, card.alpha, card.format, card.family) == ("Course LoRA", 4, 8.0, "peft", "wan")
    assert card.made_for == "a wan transformer of width 24" and card.modules == 17
    assert card.targets == [
        "attn1.to_out.0", "attn1.to_q", "attn2.to_v", "condition_embedder.time_proj", "ffn.net.0.proj", "ffn.net.2", "proj_out",
    ]  # fmt: skip
    folder = workspace.adapter(card.id)
    assert sorted(one.name for one in folder.iterdir()) == ["card.json", "pytorch_lora_weights.safetensors"]


def test_an_adapter_that_finds_no_room_is_not_half_there(
    tmp_path: Path, workspace: Workspace, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = write(tmp_path / "lora.safetensors")
    with pytest.raises(LimitError, match=r"copy of lora\.safetensors could not be written") as caught, full_disk(1024):
        adopt(workspace, path)
    assert caught.value.code == "disk_full" and list(workspace.adapters.iterdir()) == []


def test_the_stored_weights_are_the_files_own_bytes(tmp_path: Path, workspace: Workspace) -> None:
    path = write(tmp_path / "lora.safetensors", "kohya", 8.0)
    card = adopt(workspace, path)
    stored = workspace.adapter(card.id) / "pytorch_lora_weights.safetensors"
    assert stored.read_bytes() == path.read_bytes()
    state = load_state(workspace, card.id)
    assert (state.id, state.sha256, state.alpha, state.rank) == (card.id, card.sha256, 8.0, 4)


def test_a_folder_of_peft_keeps_its_alpha(tmp_path: Path, workspace: Workspace) -> None:
    config = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": 16,
        "base_model_name_or_path": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    }
    (tmp_path / "run7").mkdir()
    (tmp_path / "run7" / "adapter_config.json").write_text(json.dumps(config))
    write(tmp_path / "run7" / "adapter_model.safetensors", "peft")
    card = adopt(workspace, tmp_path / "run7")
    assert (card.name, card.alpha, card.base_model) == ("run7", 16, "Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    assert load_state(workspace, card.id).layers["proj_out"].factor == 4.0


def test_an_alpha_said_by_a_person_is_kept(tmp_path: Path, workspace: Workspace) -> None:
    card = adopt(workspace, write(tmp_path / "lora.safetensors"), alpha=12)
    assert card.alpha_given and load_state(workspace, card.id).layers["proj_out"].factor == 3.0


def test_two_files_for_two_experts(tmp_path: Path, workspace: Workspace) -> None:
    high = write(tmp_path / "high.safetensors", "comfyui", 4.0, seed=1)
    low = write(tmp_path / "low.safetensors", "comfyui", 8.0, seed=2)
    card = adopt(workspace, high, second=low, name="Pair")
    assert card.experts == "pair" and card.second_sha256
    state = load_state(workspace, card.id)
    assert state.second is not None
    assert (state.layers["proj_out"].factor, state.second["proj_out"].factor) == (1.0, 2.0)
    assert state.for_expert(2) is state.second
    wide = write(tmp_path / "wide.safetensors", width=32)
    with pytest.raises(InputError) as refused:
        adopt(workspace, high, second=wide)
    assert refused.value.code == "adapter_pair"


def test_one_file_of_a_pair_is_known_by_its_name(tmp_path: Path, workspace: Workspace) -> None:
    assert adopt(workspace, write(tmp_path / "x_high_noise.safetensors", seed=1)).experts == "high"
    card = adopt(workspace, write(tmp_path / "x_low_noise.safetensors", seed=2))
    assert card.experts == "low"
    state = load_state(workspace, card.id)
    assert not state.for_expert(1) and state.for_expert(2) == state.layers


def test_both_experts_in_one_file(tmp_path: Path, workspace: Workspace) -> None:
    found = tensors("diffusers", seed=1)
    found |= {
        name.replace("transformer.", "transformer_2."): value for name, value in tensors("diffusers", seed=2).items()
    }
    save_file(found, tmp_path / "both.safetensors")
    card = adopt(workspace, tmp_path / "both.safetensors")
    state = load_state(workspace, card.id)
    assert card.experts == "pair" and card.modules == 34 and state.second is not None


def test_editing_and_removing(tmp_path: Path, workspace: Workspace) -> None:
    card = adopt(workspace, write(tmp_path / "lora.safetensors"))
    assert edit(workspace, card.id, name="Course").name == "Course"
    assert edit(workspace, card.id, scale=0.5, scale_max=0.9).scale_max == 0.9
    with pytest.raises(InputError, match=r"scale 1\.2 is not between 0 and 0.9"):
        edit(workspace, card.id, scale=1.2)
    with pytest.raises(InputError, match='"trigegr" is not known') as refused:
        edit(workspace, card.id, trigegr="x")
    assert 'Did you mean "trigger"?' in refused.value.hint
    with pytest.raises(InputError):
        edit(workspace, card.id, sha256="0")
    assert find(workspace, "Course").id == find(workspace, card.id).id == card.id
    with pytest.raises(NotFoundError, match='"Corse" is not known') as missing:
        find(workspace, "Corse")
    assert 'Did you mean "Course"?' in missing.value.hint
    assert remove(workspace, card.id) == "Course" and catalogue(workspace) == []
    assert list(workspace.adapters.iterdir()) == []
    with pytest.raises(NotFoundError):
        adapter(workspace, card.id)


def test_two_of_one_name_are_told_apart_by_id(tmp_path: Path, workspace: Workspace) -> None:
    for seed in (1, 2):
        adopt(workspace, write(tmp_path / f"{seed}.safetensors", seed=seed), name="Same")
    with pytest.raises(InputError, match="several have the name Same"):
        find(workspace, "Same")


def test_changed_weights_are_noticed(tmp_path: Path, workspace: Workspace) -> None:
    card = adopt(workspace, write(tmp_path / "lora.safetensors", seed=1))
    write(workspace.adapter(card.id) / "pytorch_lora_weights.safetensors", seed=2)
    with pytest.raises(ConflictError) as refused:
        load_state(workspace, card.id)
    assert refused.value.code == "adapter_changed"


def test_a_damaged_card_is_said_and_can_be_mended_by_adding_again(tmp_path: Path, workspace: Workspace) -> None:
    path = write(tmp_path / "lora.safetensors")
    card = adopt(workspace, path)
    (workspace.adapter(card.id) / "card.json").write_text("{")
    with pytest.raises(ConflictError, match="cannot be read"):
        adapter(workspace, card.id)
    remove(workspace, card.id)
    assert adopt(workspace, path).id == card.id


def test_a_scale_beyond_the_usual_limits_widens_its_own(tmp_path: Path, workspace: Workspace) -> None:
    assert adopt(workspace, write(tmp_path / "lora.safetensors"), scale=2.0).scale_max == 2.0


def test_words_of_the_header(tmp_path: Path, workspace: Workspace) -> None:
    header = {"modelspec.trigger_phrase": "acad_infov1", "modelspec.license": "Apache-2.0", "base_model": "wan2.1-14b"}
    card = adopt(workspace, write(tmp_path / "lora.safetensors", metadata=header), trigger="mine")
    assert (card.trigger, card.license, card.base_model) == ("mine", "Apache-2.0", "wan2.1-14b")
