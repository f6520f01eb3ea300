"""What is exported changes a model as the adapter itself does, also when diffusers alone loads it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_lora import latents, pipeline, tiny_wan, write_lora

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.catalogue import adopt, load_state
from t2v_studio.adapters.export import export
from t2v_studio.adapters.state import read_state
from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot
from t2v_studio.errors import ConflictError, InputError, LimitError
from t2v_studio.workspace import Workspace

ALL = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")


@pytest.fixture
def card(tmp_path: Path, workspace: Workspace) -> AdapterCard:
    path = write_lora(tmp_path / "trained", rank=4, alpha=8, targets=ALL, dtype=torch.bfloat16)
    return adopt(workspace, path, name="Course clips", trigger="acad_course_v1", base_model="wan2.1-14b")


def drawn(path: Path) -> torch.Tensor:
    """Latents at 0.7 through diffusers' own loader, which knows nothing of us."""
    pipe = pipeline(tiny_wan())
    pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name="other")
    pipe.set_adapters(["other"], [0.7])
    return latents(pipe)


@pytest.mark.parametrize("target", ["diffusers", "comfyui", "kohya"])
def test_diffusers_loads_every_export(card: AdapterCard, workspace: Workspace, tmp_path: Path, target: str) -> None:
    state = load_state(workspace, card.id)
    (path,) = export(state, card, target, tmp_path / "out")
    ours = pipeline(tiny_wan())
    AdapterSlot(ours.transformer).set(state, 0.7)
    torch.testing.assert_close(drawn(path), latents(ours), rtol=1e-3, atol=1e-4)
    back = read_state(path)
    assert back.rank == 4 and back.alpha == 8 and set(back.layers) == set(state.layers)
    assert path.name == ("pytorch_lora_weights.safetensors" if target == "diffusers" else "Course_clips.safetensors")


def test_an_export_comes_home_with_its_words(card: AdapterCard, workspace: Workspace, tmp_path: Path) -> None:
    (path,) = export(load_state(workspace, card.id), card, "comfyui", tmp_path / "a.safetensors")
    back = adopt(workspace, path)
    assert (back.format, back.alpha, back.trigger, back.base_model) == ("comfyui", 8, "acad_course_v1", "wan2.1-14b")
    (again,) = export(load_state(workspace, back.id), back, "diffusers", tmp_path / "b.safetensors")
    first, last = load_state(workspace, card.id), read_state(again)
    assert all(torch.equal(first.layers[name].up, last.layers[name].up) for name in first.layers)


def test_attention_alone_to_kohya(tmp_path: Path, workspace: Workspace) -> None:
    """diffusers' converter wants all layers of a kohya file; ours takes any."""
    card = adopt(workspace, write_lora(tmp_path / "trained"))
    state = load_state(workspace, card.id)
    (path,) = export(state, card, "kohya", tmp_path / "k.safetensors")
    assert set(read_state(path).layers) == set(state.layers)


def test_biases_travel_with_alpha_above_the_rank(tmp_path: Path, workspace: Workspace) -> None:
    tensors = {
        "diffusion_model.blocks.0.ffn.0.lora_down.weight": torch.randn(2, 24),
        "diffusion_model.blocks.0.ffn.0.lora_up.weight": torch.randn(64, 2),
        "diffusion_model.blocks.0.ffn.0.alpha": torch.tensor(8.0),
        "diffusion_model.blocks.0.ffn.0.diff_b": torch.randn(64),
        "diffusion_model.blocks.1.ffn.0.lora_down.weight": torch.randn(2, 24),
        "diffusion_model.blocks.1.ffn.0.lora_up.weight": torch.randn(64, 2),
        "diffusion_model.blocks.1.ffn.0.alpha": torch.tensor(2.0),
    }
    save_file(tensors, tmp_path / "biased.safetensors")
    card = adopt(workspace, tmp_path / "biased.safetensors")
    state = load_state(workspace, card.id)
    (path,) = export(state, card, "diffusers", tmp_path / "out")
    ours = pipeline(tiny_wan())
    AdapterSlot(ours.transformer).set(state, 0.7)
    torch.testing.assert_close(drawn(path), latents(ours), rtol=1e-3, atol=1e-4)


def test_two_experts_make_two_files(tmp_path: Path, workspace: Workspace) -> None:
    high, low = write_lora(tmp_path / "high", seed=1), write_lora(tmp_path / "low", seed=2)
    card = adopt(workspace, high, second=low, name="Pair")
    state = load_state(workspace, card.id)
    paths = export(state, card, "comfyui", tmp_path / "out")
    assert [path.name for path in paths] == ["Pair_high_noise.safetensors", "Pair_low_noise.safetensors"]
    back = adopt(workspace, paths[0], second=paths[1])
    assert back.experts == "pair" and back.id != card.id
    (whole,) = export(state, card, "diffusers", tmp_path / "out")
    both = read_state(whole)
    assert both.second is not None and both.experts == "pair"


@pytest.mark.parametrize("limit", [1024, 6000])
def test_a_full_disk_says_so_and_leaves_no_half_of_an_export(
    workspace: Workspace, tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]], limit: int
) -> None:
    """At the second limit the first expert's file has room, and the second one's has not."""
    high, low = write_lora(tmp_path / "high", seed=1), write_lora(tmp_path / "low", seed=2, targets=ALL)
    card = adopt(workspace, high, second=low, name="Pair")
    state = load_state(workspace, card.id)
    assert state.second is not None
    for target in ("comfyui", "diffusers"):
        with pytest.raises(LimitError) as caught, full_disk(limit):
            export(state, card, target, tmp_path / "out")
        assert caught.value.code == "disk_full" and ".safetensors could not be written" in caught.value.message
        assert list((tmp_path / "out").iterdir()) == []
    assert len(export(state, card, "comfyui", tmp_path / "out")) == 2


def test_a_folder_that_cannot_be_written_to_is_named(card: AdapterCard, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "x.safetensors", Path("/proc/x.safetensors")):
        with pytest.raises(InputError, match="cannot be written") as caught:
            export(load_state(workspace, card.id), card, "kohya", output)
        assert caught.value.code == "bad_output"


def test_nothing_is_written_over_and_formats_are_named(card: AdapterCard, workspace: Workspace, tmp_path: Path) -> None:
    state = load_state(workspace, card.id)
    export(state, card, "kohya", tmp_path / "x.safetensors")
    with pytest.raises(ConflictError, match="is there already"):
        export(state, card, "kohya", tmp_path / "x.safetensors")
    with pytest.raises(InputError) as refused:
        export(state, card, "comfy", tmp_path)
    assert 'Did you mean "comfyui"?' in refused.value.hint
