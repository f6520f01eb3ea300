"""The PEFT slot for quantised weights: every exchange equals a fresh load, and nothing compiles again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_lora import output, pipeline, tiny_wan, write_lora

from t2v_studio.adapters.state import read_state
from t2v_studio.engines.diffusion.adapter_merge import is_plain
from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot
from t2v_studio.engines.diffusion.matching import shapes_of
from t2v_studio.errors import InputError


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("first"), seed=3, rank=4, alpha=8)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other layers, another rank, alpha below the rank."""
    return write_lora(
        tmp_path_factory.mktemp("small"), seed=4, rank=2, alpha=1, targets=("to_q", "ffn.net.0.proj", "ffn.net.2")
    )


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer outside the blocks, and a rank above the slot's."""
    return write_lora(tmp_path_factory.mktemp("outer"), seed=5, rank=12, alpha=12, targets=("to_v", "proj_out"))


def fresh(path: Path, scale: float) -> torch.Tensor:
    """What diffusers alone makes of the file."""
    model = tiny_wan()
    pipeline(model).load_lora_weights(path.parent, adapter_name="style")
    model.set_adapters("style", scale)
    return output(model)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_exchanges_equal_fresh_loads(first: Path, small: Path) -> None:
    model = tiny_wan()
    plain = output(model)
    slot = AdapterSlot(model, way="hotswap", max_rank=8)
    slot.open()
    assert torch.equal(output(model), plain)
    for path, scale in ((first, 0.7), (small, 1.0), (first, 0.35), (small, 0.7)):
        applied = slot.set(read_state(path), scale)
        assert applied.way == "hotswap" and not applied.unmatched
        close(output(model), fresh(path, scale))
    slot.set(read_state(first), 0.0)
    assert torch.equal(output(model), plain)
    slot.set(read_state(first), 1.0)
    slot.set(None)
    assert torch.equal(output(model), plain) and slot.current.way == "none"


def test_the_slot_grows_for_a_larger_adapter(first: Path, outer: Path) -> None:
    model = tiny_wan()
    slot = AdapterSlot(model, way="hotswap", max_rank=8)
    slot.set(read_state(first), 0.7)
    slot.set(read_state(outer), 0.7)
    close(output(model), fresh(outer, 0.7))
    slot.set(read_state(first), 0.7)
    close(output(model), fresh(first, 0.7))


def test_no_recompilation(first: Path, small: Path) -> None:
    import torch._dynamo
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    model, counter = tiny_wan(), CompileCounter()
    slot = AdapterSlot(model, way="hotswap", max_rank=8)
    slot.open()
    model.compile_repeated_blocks(backend=counter, fullgraph=True)
    for scale in (0.9, 1.0):
        slot.set(read_state(first), scale)
        output(model)
    graphs = counter.frame_count
    assert graphs > 0
    for path, scale in ((small, 0.7), (first, 0.35), (small, 1.0), (first, 0.7)):
        slot.set(read_state(path), scale)
        close(output(model), fresh(path, scale))
    slot.set(None)
    close(output(model), output(tiny_wan()))
    assert counter.frame_count == graphs
    torch._dynamo.reset()


def test_a_failed_exchange_leaves_the_old_adapter(first: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers deletes the slot when an exchange fails; it is opened anew with what was worn."""
    from peft.utils import hotswap

    model = tiny_wan()
    slot = AdapterSlot(model, way="hotswap", max_rank=8)
    applied = slot.set(read_state(first), 0.7)
    worn, real, calls = output(model), hotswap.hotswap_adapter_from_state_dict, []

    def fails_once(*args: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("injected")
        return real(*args, **named)

    monkeypatch.setattr(hotswap, "hotswap_adapter_from_state_dict", fails_once)
    with pytest.raises(RuntimeError, match="injected"):
        slot.set(read_state(small), 0.5)
    assert torch.equal(output(model), worn) and slot.current == applied


def test_a_wrong_base_is_refused_before_anything_changes(first: Path, tmp_path: Path) -> None:
    model = tiny_wan()
    slot = AdapterSlot(model, way="hotswap", max_rank=8)
    slot.set(read_state(first), 0.7)
    worn = output(model)
    with pytest.raises(InputError) as refused:
        slot.set(read_state(write_lora(tmp_path, num_attention_heads=3)), 1.0)
    assert refused.value.code == "adapter_wrong_base" and torch.equal(output(model), worn)


def test_weights_of_eight_bits_take_the_slot(first: Path) -> None:
    model = tiny_wan().to(torch.bfloat16)
    assert is_plain(model) and AdapterSlot(model).way == "merged"
    model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    assert not is_plain(model)
    half = {
        "hidden_states": torch.randn(1, 16, 2, 4, 4).bfloat16(),
        "encoder_hidden_states": torch.randn(1, 7, 32).bfloat16(),
    }
    plain = output(model, **half)
    slot = AdapterSlot(model, max_rank=8)
    assert slot.way == "hotswap"
    applied = slot.set(read_state(first), 1.0)
    assert len(applied.matched) == 16 and (output(model, **half) - plain).abs().max() > 0
    slot.set(None)
    assert torch.equal(output(model, **half), plain)


def test_sizes_are_read_through_peft(first: Path) -> None:
    model = tiny_wan()
    before = shapes_of(model)
    AdapterSlot(model, way="hotswap", max_rank=8).set(read_state(first), 0.7)
    assert shapes_of(model) == before


def test_four_bit_weights(tmp_path: Path) -> None:
    """Equal to merging into the dequantised weights, which the slot never touches."""
    bnb = pytest.importorskip("bitsandbytes")
    size = {"num_attention_heads": 4, "attention_head_dim": 16}
    model, dense = tiny_wan(**size), tiny_wan(**size)
    for name, part in list(model.named_modules()):
        if isinstance(part, torch.nn.Linear) and name.startswith("blocks."):
            quantised = bnb.nn.Linear4bit(
                part.in_features, part.out_features, compute_dtype=torch.float32, quant_type="nf4"
            )
            quantised.weight = bnb.nn.Params4bit(part.weight.data.clone(), requires_grad=False, quant_type="nf4")
            quantised.bias = part.bias
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, quantised.to("cpu"))
            weight = quantised.weight
            dense.get_parameter(f"{name}.weight").data = bnb.functional.dequantize_4bit(weight.data, weight.quant_state)
    plain, state = output(model), read_state(write_lora(tmp_path, **size))
    slot = AdapterSlot(model, max_rank=8)
    assert slot.set(state, 0.7).way == "hotswap"
    AdapterSlot(dense).set(state, 0.7)
    close(output(model), output(dense))
    slot.set(None)
    assert torch.equal(output(model), plain)
