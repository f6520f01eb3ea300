"""The scale enters once, nothing is left behind, and a swap is a fresh start, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_lora import bits, latents, output, pipeline, tiny_wan, write_lora

from t2v_studio.adapters.state import AdapterState, read_state
from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot
from t2v_studio.errors import InputError

ALL_LINEARS = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2", "proj_out")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("first"), seed=3, rank=4, alpha=8)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("other"), seed=4, rank=6, alpha=3, targets=ALL_LINEARS)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("scale", [0, 0.35, 0.7, 1])
def test_the_scale_is_applied_exactly_once(first: Path, scale: float) -> None:
    model, tensors = tiny_wan(), load_file(first)
    before = bits(model)
    applied = AdapterSlot(model).set(read_state(first), scale)
    assert len(applied.matched) == 16 and not applied.unmatched
    for name in applied.matched:
        down, up = (tensors[f"transformer.{name}.lora_{side}.weight"] for side in "AB")
        expected = before[f"{name}.weight"] + scale * (8 / 4) * up @ down
        torch.testing.assert_close(model.get_parameter(f"{name}.weight"), expected, rtol=0, atol=2e-7)
    untouched = set(before) - {f"{name}.weight" for name in applied.matched}
    assert all(torch.equal(before[name], model.get_parameter(name)) for name in untouched)


def test_07_is_not_049(first: Path) -> None:
    model, state = tiny_wan(), read_state(first)
    name = next(iter(state.layers))
    before = model.get_parameter(f"{name}.weight").detach().clone()
    AdapterSlot(model).set(state, 0.7)
    layer = state.layers[name]
    whole = layer.alpha / layer.rank * layer.up @ layer.down
    moved = (model.get_parameter(f"{name}.weight") - before).norm() / whole.norm()
    assert moved.item() == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scale_zero_and_removal_give_the_base_bit_for_bit(first: Path, dtype: torch.dtype) -> None:
    model = tiny_wan().to(dtype)
    before, slot, state = bits(model), AdapterSlot(model), read_state(first)
    for off in (lambda: slot.set(state, 0), lambda: slot.set(None)):
        for _ in range(3):
            slot.set(state, 0.7)
            slot.set(state, 1.0)
        assert not same(before, bits(model))
        assert off().way == "none"
        assert same(before, bits(model))


@pytest.mark.parametrize("keep", ["device", "host"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_swap_equals_a_fresh_start(first: Path, other: Path, dtype: torch.dtype, keep: Any) -> None:
    swapped, fresh = tiny_wan().to(dtype), tiny_wan().to(dtype)
    slot = AdapterSlot(swapped, keep=keep)
    slot.set(read_state(first), 0.9)
    slot.set(read_state(other), 0.4)
    AdapterSlot(fresh).set(read_state(other), 0.4)
    assert same(bits(swapped), bits(fresh))
    slot.set(read_state(first), 0.9)
    AdapterSlot(model := tiny_wan().to(dtype)).set(read_state(first), 0.9)
    assert same(bits(swapped), bits(model))


def test_bfloat16_is_rounded_once(first: Path) -> None:
    model, state = tiny_wan().to(torch.bfloat16), read_state(first)
    before = bits(model)
    AdapterSlot(model).set(state, 0.7)
    for name, layer in state.layers.items():
        exact = torch.addmm(before[f"{name}.weight"].float(), layer.up, layer.down, alpha=0.7 * 2)
        assert torch.equal(model.get_parameter(f"{name}.weight"), exact.to(torch.bfloat16))


def test_the_merged_model_equals_diffusers_own_way(first: Path, tmp_path: Path) -> None:
    theirs, ours = pipeline(tiny_wan()), pipeline(tiny_wan())
    bare = latents(ours)
    theirs.load_lora_weights(first.parent, adapter_name="style")
    slot = AdapterSlot(ours.transformer)
    for scale in (0.7, 1.0, 0.35):
        theirs.set_adapters(["style"], [scale])
        slot.set(read_state(first), scale)
        expected, found = latents(theirs), latents(ours)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert (found - bare).abs().max() > 1e-3
    slot.set(None)
    assert torch.equal(latents(ours), bare)


def test_alpha_is_kept_at_rank_16_alpha_32(tmp_path: Path) -> None:
    path = write_lora(tmp_path, rank=16, alpha=32)
    state = read_state(path)
    assert (state.rank, state.alpha, state.layers["blocks.0.attn1.to_q"].factor) == (16, 32, 2.0)
    theirs, ours = pipeline(tiny_wan()), pipeline(tiny_wan())
    theirs.load_lora_weights(tmp_path, adapter_name="style")
    theirs.set_adapters(["style"], [0.7])
    AdapterSlot(ours.transformer).set(state, 0.7)
    torch.testing.assert_close(latents(ours), latents(theirs), rtol=1e-4, atol=1e-5)


def test_a_weight_in_pieces_is_the_whole_weight(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from t2v_studio.engines.diffusion import adapter_merge

    AdapterSlot(whole := tiny_wan()).set(read_state(first), 0.7)
    monkeypatch.setattr(adapter_merge, "CPU_NUMBERS", 7 * 24)
    AdapterSlot(pieces := tiny_wan()).set(read_state(first), 0.7)
    for name, part in whole.named_parameters():
        torch.testing.assert_close(pieces.get_parameter(name), part, rtol=0, atol=1e-6)


def test_a_failed_swap_leaves_the_old_adapter(first: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from t2v_studio.engines.diffusion import adapter_merge

    model = tiny_wan()
    slot = AdapterSlot(model)
    applied = slot.set(read_state(first), 0.8)
    worn, calls, real = bits(model), [], adapter_merge._merge

    def fails_in_the_middle(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 9:
            raise torch.OutOfMemoryError("injected")
        real(*args)

    monkeypatch.setattr(adapter_merge, "_merge", fails_in_the_middle)
    with pytest.raises(torch.OutOfMemoryError):
        slot.set(read_state(other), 0.5)
    assert same(worn, bits(model)) and slot.current == applied
    monkeypatch.undo()
    slot.set(None)
    assert same(bits(tiny_wan()), bits(model))


def test_a_refused_adapter_leaves_the_old_one(first: Path, tmp_path: Path) -> None:
    model = tiny_wan()
    slot = AdapterSlot(model)
    applied = slot.set(read_state(first), 0.8)
    worn = bits(model)
    wide = read_state(write_lora(tmp_path, num_attention_heads=3))
    with pytest.raises(InputError, match="made for a wan transformer of width 36"):
        slot.set(wide, 1.0)
    with pytest.raises(InputError, match="not a number"):
        slot.set(read_state(first), float("nan"))
    assert same(worn, bits(model)) and slot.current == applied


def test_the_same_again_costs_nothing(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = AdapterSlot(tiny_wan())
    applied = slot.set(read_state(first), 0.7)
    monkeypatch.setattr(slot, "_write", lambda *_: pytest.fail("wrote again"))
    assert slot.set(read_state(first), 0.7) is applied


def test_copies_move_to_the_host_and_are_freed(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_wan()
    slot = AdapterSlot(model)
    assert slot.kept_bytes() == 0
    slot.set(read_state(first), 0.7)
    assert slot.kept_bytes() == 16 * 24 * 24 * 4
    slot.keep_on("host")
    slot.release()
    assert slot.kept_bytes() == 16 * 24 * 24 * 4, "copies of changed weights are needed to take the adapter off"
    slot.set(None)
    slot.release()
    assert slot.kept_bytes() == 0 and same(bits(model), bits(tiny_wan()))


def test_a_full_device_sends_the_copies_to_the_host(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from t2v_studio.engines.diffusion import adapter_merge

    model, moved = tiny_wan(), []
    real = adapter_merge._on_host
    monkeypatch.setattr(adapter_merge, "_on_host", lambda one: moved.append(1) or real(one))

    def full(self: torch.Tensor, **_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("injected")

    with monkeypatch.context() as short:
        short.setattr(torch.Tensor, "clone", full)
        slot = AdapterSlot(model)
        slot.set(read_state(first), 0.7)
    assert len(moved) == 16
    slot.set(None)
    assert same(bits(model), bits(tiny_wan()))


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A main memory that holds no copies."""
    from t2v_studio.engines.diffusion import adapter_merge

    monkeypatch.setattr(adapter_merge, "free_memory", lambda: 2.0**30)


@pytest.mark.parametrize(("dtype", "keep"), [(torch.float32, "device"), (torch.bfloat16, "host")])
def test_what_memory_cannot_hold_is_read_from_the_disk(
    first: Path, other: Path, tmp_path: Path, no_room: None, dtype: torch.dtype, keep: Any
) -> None:
    tiny_wan().save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model = tiny_wan().to(dtype)
    base = bits(model)
    slot = AdapterSlot(model, keep=keep, folders=[tmp_path])
    for path, scale in ((first, 0.7), (first, 0.2), (other, 0.4), (first, 0.9)):
        assert slot.set(read_state(path), scale).copies == "disk"
        AdapterSlot(fresh := tiny_wan().to(dtype), keep="device").set(read_state(path), scale)
        assert same(bits(model), bits(fresh)) and slot.kept_bytes() == 0
    slot.set(None)
    assert same(bits(model), base)


def test_copies_leave_a_main_memory_that_has_no_room_for_them(first: Path, tmp_path: Path, request: Any) -> None:
    tiny_wan().save_pretrained(tmp_path)
    model = tiny_wan()
    slot = AdapterSlot(model, folders=[tmp_path])
    assert slot.set(read_state(first), 0.7).copies == "device" and slot.kept_bytes() > 0
    slot.keep_on("disk")
    assert slot.kept_bytes() == 0
    request.getfixturevalue("no_room")
    slot.set(read_state(first), 0.3)
    slot.set(None)
    assert same(bits(model), bits(tiny_wan()))


def test_files_that_are_gone_change_nothing(first: Path, other: Path, tmp_path: Path, no_room: None) -> None:
    tiny_wan().save_pretrained(tmp_path)
    model = tiny_wan()
    slot = AdapterSlot(model, folders=[tmp_path])
    applied = slot.set(read_state(first), 0.7)
    worn = bits(model)
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"cut short")
    for asked in (None, read_state(other)):
        with pytest.raises(InputError, match="cannot be read any more") as refused:
            slot.set(asked, 0.7)
        assert refused.value.code == "model_files_gone"
        assert same(worn, bits(model)) and slot.current == applied


def test_copies_stay_where_the_files_have_other_names(first: Path, tmp_path: Path, no_room: None) -> None:
    model = tiny_wan()
    slot = AdapterSlot(model, keep="host", folders=[tmp_path])
    assert slot.set(read_state(first), 0.7).copies == "host" and slot.kept_bytes() > 0
    slot.set(None)
    assert same(bits(model), bits(tiny_wan()))


def test_no_recompilation(first: Path, other: Path) -> None:
    import torch._dynamo
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    model, counter = tiny_wan(), CompileCounter()
    slot = AdapterSlot(model)
    plain = output(model)
    model.compile_repeated_blocks(backend=counter, fullgraph=True)
    torch.testing.assert_close(output(model), plain)
    graphs = counter.frame_count
    assert graphs > 0
    for path, scale in ((first, 0.7), (first, 1.0), (other, 0.4), (first, 0.2)):
        slot.set(read_state(path), scale)
        AdapterSlot(fresh := tiny_wan()).set(read_state(path), scale)
        torch.testing.assert_close(output(model), output(fresh))
    slot.set(None)
    torch.testing.assert_close(output(model), plain)
    assert counter.frame_count == graphs
    torch._dynamo.reset()


def test_a_slot_on_a_compiled_model_sees_the_plain_names(first: Path) -> None:
    model = tiny_wan()
    applied = AdapterSlot(torch.compile(model, backend="eager")).set(read_state(first), 0.5)
    assert len(applied.matched) == 16 and not same(bits(model), bits(tiny_wan()))


def test_two_experts(first: Path, other: Path) -> None:
    high, low = tiny_wan(0), tiny_wan(1)
    base = bits(high), bits(low)
    slot = AdapterSlot(high, low)
    applied = slot.set(read_state(first, experts="both"), 0.7)
    assert len(applied.matched) == 32 and sum(name.startswith("2:") for name in applied.matched) == 16
    slot.set(read_state(first, experts="high"), 0.7)
    assert not same(bits(high), base[0]) and same(bits(low), base[1])
    slot.set(read_state(first, experts="low"), 0.7)
    assert same(bits(high), base[0]) and not same(bits(low), base[1])
    slot.set(read_state(first, second=other), 0.7)
    AdapterSlot(alone_high := tiny_wan(0)).set(read_state(first), 0.7)
    AdapterSlot(alone_low := tiny_wan(1)).set(read_state(other), 0.7)
    assert same(bits(high), bits(alone_high)) and same(bits(low), bits(alone_low))
    slot.set(None)
    assert same(bits(high), base[0]) and same(bits(low), base[1])


def test_the_second_expert_fails_and_the_first_is_put_back(first: Path, tmp_path: Path) -> None:
    high, low = tiny_wan(0), tiny_wan(1)
    slot = AdapterSlot(high, low)
    slot.set(read_state(first), 0.7)
    worn = bits(high), bits(low)
    wide = read_state(write_lora(tmp_path, num_attention_heads=3))
    with pytest.raises(InputError):
        slot.set(replace(read_state(first), second=wide.layers), 0.7)
    assert same(bits(high), worn[0]) and same(bits(low), worn[1])


def test_biases_and_whole_differences(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = tiny_wan()
    base = bits(model)
    shape = model.proj_out.weight.shape
    whole, bias, ffn = torch.randn(shape), torch.randn(shape[0]), torch.randn(64)
    tensors = {
        "diffusion_model.head.head.diff": whole,
        "diffusion_model.head.head.diff_b": bias,
        "diffusion_model.blocks.0.ffn.0.lora_down.weight": torch.randn(2, 24),
        "diffusion_model.blocks.0.ffn.0.lora_up.weight": torch.randn(64, 2),
        "diffusion_model.blocks.0.ffn.0.diff_b": ffn,
        "diffusion_model.blocks.0.norm3.diff": torch.randn(24),
    }
    save_file(tensors, tmp_path / "distilled.safetensors")
    state: AdapterState = read_state(tmp_path / "distilled.safetensors")
    slot = AdapterSlot(model)
    applied = slot.set(state, 0.5)
    torch.testing.assert_close(model.proj_out.weight, base["proj_out.weight"] + 0.5 * whole)
    torch.testing.assert_close(model.proj_out.bias, base["proj_out.bias"] + 0.5 * bias)
    torch.testing.assert_close(model.blocks[0].ffn.net[0].proj.bias, base["blocks.0.ffn.net.0.proj.bias"] + 0.5 * ffn)
    assert applied.ignored == 1 and "norm" in next(iter(state.ignored.values()))
    worn = bits(model)
    slot.set(None)
    assert same(bits(model), base)
    slot.set(state, 0.5)
    assert same(bits(model), worn)


def test_group_offloading_keeps_the_merged_weights(first: Path) -> None:
    model, plain = tiny_wan(), tiny_wan()
    model.enable_group_offload(
        onload_device=torch.device("cpu"), offload_device=torch.device("cpu"), offload_type="leaf_level"
    )
    slot = AdapterSlot(model)
    output(model)
    slot.set(read_state(first), 0.7)
    AdapterSlot(plain).set(read_state(first), 0.7)
    for _ in range(2):
        assert torch.equal(output(model), output(plain))
