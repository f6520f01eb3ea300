"""The engine's paths on a card, over a pretended one (`pretend_cuda` says what that shows): tiers, memory, hooks, dtypes."""

from __future__ import annotations

import copy
import gc
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_studio
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.hooks.first_block_cache import FBCHeadBlockHook
from diffusers.hooks.mag_cache import MagCacheHeadHook
from diffusers.models import attention_dispatch
from diffusers.models.modeling_utils import ModelMixin
from pretend_cuda import GIB, Card, pretended
from tiny_lora import bits, write_lora
from tiny_studio import canvas, drawn, make_plan
from torch import nn
from transformers import T5EncoderModel, UMT5EncoderModel

from t2v_studio.adapters.catalogue import adopt
from t2v_studio.engines.base import Provenance
from t2v_studio.engines.diffusion import attention, load, memory_plan, preview, step_cache
from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.engines.diffusion.families.registry import family
from t2v_studio.engines.diffusion.models import ModelEntry
from t2v_studio.workspace import Workspace

FAMILIES = ("tiny-wan", "tiny-cogvideox", "tiny-ltx")


@pytest.fixture(scope="module", autouse=True)
def quick_collection() -> Iterator[None]:
    """Each tier's way down collects garbage, which takes half a second over the libraries that are loaded by now."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def card(with_tiny: Workspace) -> Iterator[Card]:
    found = Card()
    with pretended(found):
        yield found


OnTier = Callable[..., DiffusionEngine]


@pytest.fixture
def on_tier(settings: Any, with_tiny: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnTier]:
    """Gives an engine whose model starts on a tier; it finds nothing that an earlier one kept."""
    made: list[DiffusionEngine] = []

    def make(tier: memory_plan.Tier, dtype: str = "bf16") -> DiffusionEngine:
        def plan(free: float, parts: Any, work: Any, host: float) -> memory_plan.MemoryPlan:
            return memory_plan.plan_of(tier, parts, work, free)

        monkeypatch.setattr(load, "choose", plan)
        shutil.rmtree(with_tiny.cache / "diffusion", ignore_errors=True)
        made.append(DiffusionEngine(settings.model_copy(update={"dtype": dtype}), with_tiny))
        return made[-1]

    yield make
    for engine in made:
        engine.finish(False)
        assert engine.release()


def one(engine: DiffusionEngine, model: str = "tiny-wan", **choices: Any) -> tuple[Any, Provenance]:
    """Frames and record of one scene. Compilation is nothing that can be pretended."""
    choices = {"frames": 5 if "wan" in model else 9, "compile_blocks": "off"} | choices
    (frames,), (source,) = drawn(engine, make_plan(1), canvas(model, scenes=1, **choices))
    return frames, source


def places(engine: DiffusionEngine) -> dict[str, set[str]]:
    """Where the weights of each loaded part lie now."""
    parts = engine._resident._parts.items()
    return {
        name: {weight.device.type for weight in part.parameters()}
        for name, part in parts
        if isinstance(part, nn.Module)
    }


def spied(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, see: Callable[..., None]) -> None:
    """Call `see` with the arguments of each call of a method, before it runs."""
    real = getattr(kind, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        see(self, *args, **kwargs)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(kind, name, method)


# --- the pretence itself -----------------------------------------------------------------------
def test_what_lies_in_two_places_is_refused(card: Card) -> None:
    here, there = torch.ones(2, 3), torch.ones(2, 3, device="cuda")
    assert (here.device.type, there.device, there.is_cuda) == ("cpu", torch.device("cuda:0"), True)
    for mixed in (
        lambda: here + there,
        lambda: nn.Linear(3, 3)(there),
        lambda: torch.cat([here, there]),
        lambda: here.mul_(there),
        lambda: here * torch.tensor(2.0, device="cuda"),
        lambda: torch.tensor(1.0).add_(torch.tensor(2.0, device="cuda")),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            mixed()
    with pytest.raises(RuntimeError, match="indices"):
        here[torch.tensor([0], device="cuda")]
    with pytest.raises(TypeError, match="numpy"):
        np.asarray(there)
    with pytest.raises(RuntimeError, match="pin"):
        there.pin_memory()
    with pytest.raises(RuntimeError, match="record_stream"):
        here.record_stream(torch.cuda.current_stream())
    assert (there * torch.tensor(2.0))[torch.tensor([1])].is_cuda, "a number of the host, and an index from there"


def test_tensors_are_where_they_were_made_or_moved(card: Card) -> None:
    here = torch.ones(2, 3)
    there = here.to("cuda", torch.bfloat16)
    for tensor in (there[0], there.float(), there.T, there.data, torch.zeros_like(there), there.new_ones(4), here.to(there)):  # fmt: skip
        assert tensor.is_cuda
    for tensor in (here, there.cpu(), torch.zeros_like(there, device="cpu"), here.copy_(there), there.to("cpu").view(6)):  # fmt: skip
        assert not tensor.is_cuda
    assert here.to("cuda").data_ptr() != here.data_ptr(), "a copy"
    layer = nn.Linear(3, 3).to("cuda")
    weight = layer.weight
    assert copy.deepcopy(layer).weight.is_cuda and layer(there.float()).is_cuda
    layer.cpu()
    assert layer.weight is weight and not weight.is_cuda


def test_nothing_of_it_stays(settings: Any) -> None:
    before = {name: vars(torch.cuda)[name] for name in ("is_available", "Stream", "mem_get_info", "_lazy_init")}
    with pretended(Card()):
        left = torch.ones(2, device="cuda")
        assert torch.cuda.is_available() and load.device_here() == "cuda"
    assert {name: vars(torch.cuda)[name] for name in before} == before
    assert "record_stream" not in vars(torch.Tensor)
    assert left.device.type == "cpu" and (left + torch.ones(2)).tolist() == [2, 2]


# --- tiers -------------------------------------------------------------------------------------
HELD = {
    "A": {"text_encoder": {"cuda"}, "transformer": {"cuda"}, "vae": {"cuda"}},
    "B": {"text_encoder": {"cuda"}, "transformer": {"cuda"}, "vae": {"cuda"}},
    "C": {"text_encoder": {"cpu"}, "transformer": {"cuda"}, "vae": {"cuda"}},
    "D": {"transformer": {"cpu"}, "vae": {"cuda"}},
    "E": {"transformer": {"cpu"}, "vae": {"cuda"}},
}
"""Where the parts lie after a job. What streams lies on the card only while it computes."""


@pytest.mark.parametrize("model", [*FAMILIES, "tiny-wan22"])
def test_every_tier_draws(card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setitem(tiny_studio.SIZES, "tiny-wan22", (48, 32))
    latents = {}
    for tier in memory_plan.TIERS:
        engine = on_tier(tier)
        frames, source = one(engine, model)
        numerics = source.details["numerics"]
        assert (source.details["memory"]["tier"], numerics["device"], numerics["dtype"]) == (tier, "cuda", "bfloat16")
        assert frames.std() > 1 and source.retries == []
        held = places(engine)
        if model == "tiny-wan22":
            assert held.pop("transformer_2") == held["transformer"], tier
        assert held == HELD[tier], tier
        latents[tier] = source.details["latents_sha256"]
    assert latents["A"] == latents["B"] == latents["D"], "where weights lie changes no number"
    assert latents["C"] == latents["E"] != latents["A"], "weights in eight bits do"


@pytest.mark.parametrize("model", FAMILIES)
def test_the_picture_is_the_one_without_a_card(on_tier: OnTier, model: str) -> None:
    """In float32, which tiny models are of where nothing else is asked for."""
    expected, source = one(on_tier("A", ""), model)
    assert source.details["numerics"]["device"] == "cpu"
    with pretended(Card()):
        for tier in ("A", "D"):
            frames, source = one(on_tier(tier, ""), model)
            assert source.details["numerics"]["dtype"] == "float32"
            assert np.array_equal(frames, expected), tier


class Shown(list[Any]):
    """Pictures of the work, and no interest in its steps."""

    show = list.append

    def __call__(self, step: int, total: int) -> None:
        pass


@pytest.mark.parametrize("model", FAMILIES)
def test_pictures_of_the_work_come_from_the_card(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(preview, "EVERY_S", 0.0)
    engine, shown = on_tier("D"), Shown()
    plan, on = make_plan(1), canvas(model, scenes=1, frames=9, steps=4, compile_blocks="off")
    engine.prepare(plan, on, lambda *_: None)
    list(engine.render_scene(plan, 0, on, shown))
    assert shown and all(picture.dtype == np.uint8 and picture.std() > 1 for picture in shown)


@pytest.mark.parametrize("tier", ["A", "E"])
@pytest.mark.parametrize("model", FAMILIES)
def test_a_card_before_ampere_meets_no_bfloat16(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch, model: str, tier: str
) -> None:
    card.name, card.capability = "Tesla T4", (7, 5)
    monkeypatch.setattr(ModelEntry, "compute_dtype", property(lambda entry: entry.rules.default_dtype))
    engine = on_tier(tier, "")
    seen: set[torch.dtype] = set()
    for kind in (UMT5EncoderModel, T5EncoderModel):  # on tier E it is gone afterwards
        spied(monkeypatch, kind, "forward", lambda encoder, *args, **kwargs: seen.update(dtypes(encoder)))
    frames, source = one(engine, model)
    for part in engine._resident._parts.values():
        if isinstance(part, nn.Module):
            seen |= dtypes(part)
    assert source.details["numerics"]["dtype"] == "float16" and torch.float16 in seen
    assert torch.bfloat16 not in seen
    assert frames.std() > 1 and source.retries == []


def dtypes(module: nn.Module) -> set[torch.dtype]:
    return {tensor.dtype for tensor in (*module.parameters(), *module.buffers())}


# --- memory ------------------------------------------------------------------------------------
def test_free_memory_is_read_from_torch(card: Card) -> None:
    assert load.free_bytes("cuda") == 80 * GIB
    card.free = 30 * GIB
    assert load.free_bytes("cuda") == 30 * GIB
    card.share = 0.25
    assert load.free_bytes("cuda") == 20 * GIB


SAID: list[tuple[type[RuntimeError], str]] = [
    (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB"),
    (RuntimeError, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    (torch.AcceleratorError, "CUDA error: out of memory"),
]
"""How a card says that it has no memory: the allocator, a library, and what was reported late or not by the allocator."""


@pytest.mark.parametrize(("kind", "words"), SAID, ids=[kind.__name__ for kind, _ in SAID])
def test_out_of_memory_goes_down_until_it_fits(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch, kind: type[RuntimeError], words: str
) -> None:
    _, expected = one(on_tier("D"))
    engine = on_tier("A")
    plans: list[memory_plan.MemoryPlan] = []

    def full(*_: Any, **__: Any) -> None:
        plans.append(engine._resident.plan)
        if plans[-1].tier < "D":
            raise kind(words)

    spied(monkeypatch, WanTransformer3DModel, "forward", full)
    frames, source = one(engine)
    failed = [plan for plan in plans if plan.tier < "D"]
    assert [plan.tier for plan in failed] == ["A", "B", "C"]
    # Without a LoRA there are no pristine copies, and to move them would free nothing.
    placed = [replace(plan, tier="A", pristine="device", needs=0.0, free=0.0) for plan in failed]
    assert len(set(placed)) == 3, "each places something differently"
    assert [retry["cause"] for retry in source.retries] == ["out_of_memory"] * 3
    assert source.details["memory"]["tier"] == "D" and frames.std() > 1
    assert source.details["latents_sha256"] == expected.details["latents_sha256"]
    assert places(engine) == HELD["D"]


def fails_to_decode(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Decoding runs out of memory: `times` times; or always when it is not done in tiles, for 0."""
    left = [times]

    def full(vae: Any, *_: Any, **__: Any) -> None:
        left[0] -= 1
        if left[0] >= 0 or (times == 0 and not vae.use_tiling):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    spied(monkeypatch, AutoencoderKLWan, "decode", full)


def test_what_was_decoded_in_tiles_once_is_decoded_so_from_then_on(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_to_decode(monkeypatch, 0)
    engine, plan = on_tier("B"), make_plan(3)
    for seed in (3, 4):
        _, sources = drawn(engine, plan, canvas(scenes=3, seed=seed, compile_blocks="off"))
        assert [len(source.retries) for source in sources] == ([1, 0, 0] if seed == 3 else [0, 0, 0])
        assert [source.settings for source in sources] == [{"tiled": True}] * 3
        assert all("the decoder works in tiles" in source.details["memory"]["plan"] for source in sources[1:])


def test_a_roomier_plan_that_does_not_fit_after_all_is_given_up(
    lora: Path, card: Card, on_tier: OnTier, with_tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = adopt(with_tiny, lora, name="ink").id
    engine = on_tier("B")
    one(engine, adapter=name, lora_scale=0.7)
    on_tier("A")  # from now on, every plan that is made is this one
    real = AdapterSlot.keep_on

    def full(slot: Any, keep: Any) -> None:
        if keep == "device":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        real(slot, keep)

    monkeypatch.setattr(AdapterSlot, "keep_on", full)
    _, source = one(engine, adapter=name, lora_scale=0.7, seed=4)
    assert source.details["memory"]["tier"] == "B"


def test_a_larger_job_is_decoded_in_tiles_before_it_fails(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, seen = on_tier("B"), []
    spied(monkeypatch, AutoencoderKLWan, "decode", lambda vae, *_, **__: seen.append(vae.use_tiling))

    def plan(free: float, parts: Any, work: Any, host: float) -> memory_plan.MemoryPlan:
        return memory_plan.plan_of("B", parts, work, free, tiled=work.decode > limit)

    limit = load.work_of(family("wan"), canvas(frames=5), "bfloat16", "cuda").decode
    monkeypatch.setattr(load, "choose", plan)
    for size, tiled in ((1, False), (2, True), (1, False)):
        on = canvas(scenes=1, compile_blocks="off")
        _, (source,) = drawn(engine, make_plan(1), replace(on, width=size * on.width))
        assert seen.pop() is tiled and source.retries == [] and source.details["memory"]["tier"] == "B"
        assert source.settings == ({"tiled": True} if tiled else {})


def test_latents_keep_the_numbers_with_which_they_were_made(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out while they are decoded, in tiles too, so that the model goes on in eight bits."""
    _, expected = one(on_tier("B"))
    fails_to_decode(monkeypatch, 3)
    engine = on_tier("B")
    _, source = one(engine)
    assert source.details["memory"]["tier"] == "C" and len(source.retries) == 3
    assert source.details["latents_sha256"] == expected.details["latents_sha256"]
    assert source.details["numerics"] == expected.details["numerics"]
    assert source.details["numerics"]["weights"] == "plain"
    _, after = one(engine, seed=9)
    assert after.details["numerics"]["weights"] == "float8"


def test_a_later_job_takes_a_roomier_plan_where_it_asks_for_less_or_more_is_free(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = on_tier("A")
    _, expected = one(engine, frames=5)
    tried: list[str] = []

    def full(model: Any, hidden_states: Any, *_: Any, **__: Any) -> None:
        tried.append(engine._resident.plan.tier)
        if hidden_states.shape[2] > 2 and card.free < 100 * GIB and tried[-1] < "D":
            raise torch.OutOfMemoryError("CUDA out of memory.")

    spied(monkeypatch, WanTransformer3DModel, "forward", full)
    _, large = one(engine, frames=9)
    assert large.details["memory"]["tier"] == "D"
    loads, tried[:] = len(engine._resident.loads), []
    one(engine, frames=9, seed=4)
    assert set(tried) == {"D"} and len(engine._resident.loads) == loads, "what did not fit is not tried again"
    _, small = one(engine, frames=5)
    assert small.details["memory"]["tier"] == "A" and places(engine)["transformer"] == {"cuda"}
    assert small.details["latents_sha256"] == expected.details["latents_sha256"]
    one(engine, frames=9, seed=5)
    card.free, card.total = 120 * GIB, 141 * GIB
    tried[:] = []
    _, roomy = one(engine, frames=9, seed=6)
    assert set(tried) == {"A"} == {roomy.details["memory"]["tier"]}


def test_the_second_video_of_a_pair_keeps_the_plan_of_the_first(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = on_tier("E")
    one(engine)
    on_a = on_tier("A")  # from now on, every plan that is made is this one
    assert on_a._resident is None
    with engine.together():
        assert one(engine, seed=4)[1].details["memory"]["tier"] == "A", "before the first video"
        monkeypatch.setattr(engine._resident, "plan", replace(engine._resident.plan, tier="B"))
        assert one(engine, seed=5)[1].details["memory"]["tier"] == "B"
    assert one(engine, seed=6)[1].details["memory"]["tier"] == "A"


def test_a_model_that_is_too_large_to_load_goes_down(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(module: nn.Module, device: Any = None, **_: Any) -> None:
        if isinstance(module, WanTransformer3DModel) and str(device).startswith("cuda"):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    spied(monkeypatch, nn.Module, "to", full)
    _, source = one(on_tier("A"))
    assert source.details["memory"]["tier"] == "D"


def test_other_errors_of_a_card_are_no_lack_of_memory(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    engine = on_tier("A")
    spied(monkeypatch, WanTransformer3DModel, "forward", broken)
    with pytest.raises(torch.AcceleratorError, match="illegal"):
        one(engine)
    assert engine._resident.plan.tier == "A"


@pytest.mark.parametrize(
    ("model", "tier", "loads"), [("tiny-wan", "B", 1), ("tiny-wan", "C", 1), ("tiny-ltx", "D", 2), ("tiny-ltx", "E", 2)]
)
def test_a_text_encoder_without_room_streams_over_the_card(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch, model: str, tier: str, loads: int
) -> None:
    card.free = 0
    computed: list[str] = []
    for kind in (UMT5EncoderModel, T5EncoderModel):
        spied(monkeypatch, kind, "forward", lambda encoder, ids, *args, **kwargs: computed.append(ids.device.type))
    engine = on_tier(tier)
    for seed in range(2):
        plan, on = make_plan(1), canvas(model, scenes=1, frames=9, seed=seed, compile_blocks="off")
        plan.scenes[0].prompt = f"Picture: {('a ball', 'a wheel')[seed]} rolls down the slope."
        computed.clear()
        drawn(engine, plan, on)
        assert computed and set(computed) == {"cuda"}
        engine.prepare(plan, on, lambda *_: None)
        encoded = engine._session.encoded
        engine.finish()
        source, rules = engine._resident.source, engine._resident.family
        host = {name: rules.load_part(name, source, dtype="bfloat16") for name in ("tokenizer", "text_encoder")}
        for text, expected in zip(encoded, rules.encode_text(host, list(encoded)), strict=True):
            assert encoded[text].keys() == expected.keys()
            assert all(torch.equal(encoded[text][name], expected[name]) for name in expected)
    assert engine._resident.loads.count("text_encoder") == loads
    assert places(engine).get("text_encoder", {"cpu"}) == {"cpu"}


# --- hooks and kernels -------------------------------------------------------------------------
@pytest.mark.parametrize("tier", ["D", "E"])
@pytest.mark.parametrize(("kind", "calls"), [("first_block", [6, 6, 0]), ("magcache", [12, 6, 0])])
def test_step_caches_hear_of_every_step(
    card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch, kind: str, calls: list[int], tier: str
) -> None:
    monkeypatch.setattr(step_cache, "FEWEST_STEPS", 6)
    heard: list[Any] = []
    head = FBCHeadBlockHook if kind == "first_block" else MagCacheHeadHook
    spied(monkeypatch, head, "new_forward", lambda hook, *_, **__: heard.append(hook))
    engine, found = on_tier(tier), []
    for seed, asked in enumerate((kind, kind, "off")):
        heard.clear()
        _, source = one(engine, seed=seed, steps=6, guidance=1.0, step_cache=asked)
        assert source.details["numerics"]["step_cache"] == asked
        found.append(len(heard))
    assert found == calls, "MagCache measures its ratios in a run of their own"
    if kind == "magcache":
        (ratios,) = json.loads(engine._stores.ratios.read_text()).values()
        assert len(ratios) == 6


def test_a_kernel_ends_with_its_model(card: Card, on_tier: OnTier, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers gives a new model the kernel that was set last, on whichever model."""
    registry = attention_dispatch._AttentionBackendRegistry
    monkeypatch.setattr(registry, "_active_backend", registry._active_backend)  # goes back after the test
    monkeypatch.setattr(attention, "why_not", lambda *_: "")
    monkeypatch.setitem(attention.BACKENDS, "cudnn", "_native_math")  # a CPU has that one
    given: list[tuple[str, str]] = []
    spied(monkeypatch, ModelMixin, "set_attention_backend", lambda model, name: given.append((type(model).__name__, name)))  # fmt: skip
    engine = on_tier("A")
    one(engine, "tiny-wan", attention="cudnn")
    for seed in range(2):
        one(engine, "tiny-ltx", attention="native", seed=seed)
    assert given == [("WanTransformer3DModel", "_native_math"), ("LTXVideoTransformer3DModel", "native")]
    blocks = engine._resident.transformers[0].transformer_blocks
    assert {str(block.attn1.processor._attention_backend.value) for block in blocks} == {"native"}


# --- LoRA --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("lora"))


@pytest.mark.parametrize("tier", memory_plan.TIERS)
def test_a_lora_goes_on_and_off(lora: Path, card: Card, on_tier: OnTier, with_tiny: Workspace, tier: str) -> None:
    name = adopt(with_tiny, lora, name="ink", trigger="ink").id
    engine, latents, weights = on_tier(tier), [], []
    for scale in (None, 0.7, 0.3, 0.7, None):
        worn = {} if scale is None else {"adapter": name, "lora_scale": scale}
        _, source = one(engine, lora_prompt_profile="none", **worn)
        latents.append(source.details["latents_sha256"])
        weights.append(bits(engine._resident.transformers[0]))
        if scale is not None:
            adapter = source.details["adapter"]
            assert (adapter["scale"], adapter["matched"]) == (scale, 16)
            assert adapter["way"] == ("hotswap" if tier in "CE" else "merged")
    bare, worn_7, worn_3, again, off = latents
    assert len({bare, worn_7, worn_3}) == 3
    assert (again, off) == (worn_7, bare)
    assert all(torch.equal(weights[0][name], weights[-1][name]) for name in weights[0])
    assert places(engine)["transformer"] == HELD[tier]["transformer"]
