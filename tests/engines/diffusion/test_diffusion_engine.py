"""The engine over tiny models: the same numbers as the raw pipelines, exact counts, and what stays loaded."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from tiny_studio import SIZES, Counts, canvas, drawn, make_plan

from t2v_studio.engines.base import SceneSettings
from t2v_studio.engines.diffusion import compile, limits, load, step_cache
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.engines.diffusion.families.registry import family
from t2v_studio.engines.diffusion.memory_plan import halved, least, on_cpu
from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.engines.diffusion.store import ModelStore
from t2v_studio.errors import CancelledError, InputError, LimitError, StudioError

FAMILIES = {"tiny-wan": "wan", "tiny-cogvideox": "cogvideox", "tiny-ltx": "ltx"}
FRAMES = {"tiny-wan": 5, "tiny-cogvideox": 9, "tiny-ltx": 9}


# --- the same numbers --------------------------------------------------------------------------
def raw(engine: DiffusionEngine, name: str, prompt: Any, seed: int, steps: int, guidance: float) -> Any:
    """One clip by diffusers alone: `from_pretrained`, texts as texts, its own decode."""
    rules = family(FAMILIES[name])
    folder = engine._source(DiffusionOptions(model_id=name)).folder
    pipe = getattr(diffusers, rules.pipeline).from_pretrained(str(folder), torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    width, height = SIZES[name]
    pipe.scheduler = rules.scheduler(dict(pipe.scheduler.config), height=height, width=width)
    shape = rules.call_kwargs(frames=FRAMES[name], width=width, height=height, steps=steps, guidance=guidance, fps=8.0)  # fmt: skip
    shape |= {"max_sequence_length": rules.text_tokens}
    torch.manual_seed(seed)  # LTX draws the noise that it decodes with from the global generator
    return pipe(
        prompt=prompt.text,
        negative_prompt=prompt.negative,
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="np",
        **shape,
    ).frames[0]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_frames_are_those_of_the_raw_pipeline(engine: DiffusionEngine, name: str, guidance: float) -> None:
    plan = make_plan(1)
    on = canvas(name, scenes=1, frames=FRAMES[name], guidance=guidance, seed=11)
    (frames,), _ = drawn(engine, plan, on)
    (prompt,) = engine.final_prompts(plan, on)
    expected = (raw(engine, name, prompt, 11, 2, guidance) * 255).round().astype(np.uint8)
    assert frames.shape == expected.shape
    assert np.array_equal(frames, expected)


def test_one_seed_one_video(engine: DiffusionEngine) -> None:
    plan = make_plan()
    first, sources = drawn(engine, plan, canvas(seed=5))
    again, _ = drawn(engine, plan, canvas(seed=5))
    other, _ = drawn(engine, plan, canvas(seed=6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert [source.seed for source in sources] == [5, 5]


# --- counts ------------------------------------------------------------------------------------
def test_a_second_job_loads_moves_and_encodes_nothing(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts().watch(monkeypatch)
    plan = make_plan()
    _, (first, second) = drawn(engine, plan, canvas())
    assert counts["loads"] == 4, "tokenizer, text encoder, transformer, VAE"
    assert counts["encodes"] == 3, "two prompts and the negative one that they share"
    assert first.details["timings_s"]["text"] > 0 == second.details["timings_s"]["text"], "told once"
    assert (counts["forwards"], counts["decodes"]) == (2 * 2 * 2, 2)
    counts.clear()
    drawn(engine, plan, canvas(seed=9))
    assert {name: counts[name] for name in ("loads", "moves", "encodes")} == {"loads": 0, "moves": 0, "encodes": 0}
    assert (counts["forwards"], counts["decodes"]) == (8, 2)


def test_a_new_engine_finds_the_prompts_on_disk(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan()
    first, _ = drawn(engine, plan, canvas())
    fresh = DiffusionEngine(engine._settings, engine._workspace)
    counts = Counts().watch(monkeypatch)
    again, _ = drawn(fresh, plan, canvas())
    assert counts["encodes"] == 0 and counts["loads"] == 3, "the text encoder is not even loaded"
    assert np.array_equal(first[0], again[0])


@pytest.mark.parametrize(
    ("choices", "forwards"),
    [
        ({"guidance": 1.0}, 4),
        ({"guidance": 3.0}, 8),
        ({"guidance": 3.0, "cfg_cutoff": 0.5}, 6),
        ({"guidance": 3.0, "cfg_cutoff": 1.0}, 8),
        ({"guidance": 3.0, "cfg_cutoff": 0.0}, 5),
        ({"model": "tiny-ltx", "frames": 9, "guidance": 3.0}, 4),
        ({"model": "tiny-cogvideox", "guidance": 3.0}, 4),
        ({"model": "tiny-wan22", "guidance": 3.0}, 8),
    ],
)
def test_forwards_are_steps_times_passes_and_told_before(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch, choices: dict[str, Any], forwards: int
) -> None:
    counts = Counts().watch(monkeypatch)
    on = canvas(scenes=1, steps=4, **choices)
    _, sources = drawn(engine, make_plan(1), on)
    assert counts["forwards"] == forwards == sources[0].details["forwards"] == engine.passes(on)


def test_guidance_1_encodes_no_negative_prompt(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts().watch(monkeypatch)
    drawn(engine, make_plan(), canvas(guidance=1.0))
    assert counts["encodes"] == 2


# --- stopping ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FAMILIES)
def test_cancel_at_a_step_leaves_a_clean_model(engine: DiffusionEngine, name: str) -> None:
    plan, on = make_plan(1), canvas(name, scenes=1, frames=FRAMES[name], steps=4)
    (expected,), _ = drawn(engine, plan, on)

    def stop(step: int, total: int) -> None:
        if step == 2:
            raise CancelledError()

    engine.prepare(plan, on, lambda *_: None)
    with pytest.raises(CancelledError):
        list(engine.render_scene(plan, 0, on, stop))
    engine.finish(False)
    (frames,), (source,) = drawn(engine, plan, on)
    assert np.array_equal(frames, expected)
    assert source.details["forwards"] == 4 * (2 if name == "tiny-wan" else 1), "nothing of the stopped clip was used"


def test_a_cancel_is_seen_between_the_two_passes_of_a_step(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, calls = Counts().watch(monkeypatch), []

    def stop(step: int, total: int) -> None:
        calls.append(step)
        if len(calls) == 2:
            raise CancelledError()

    plan, on = make_plan(1), canvas(scenes=1, steps=4)
    engine.prepare(plan, on, lambda *_: None)
    with pytest.raises(CancelledError):
        list(engine.render_scene(plan, 0, on, stop))
    engine.finish(False)
    assert counts["forwards"] == 1 and counts["decodes"] == 0


@pytest.mark.parametrize("kind", ["first_block", "magcache"])
def test_step_cache_leaves_no_trace_in_the_next_clip(engine: DiffusionEngine, kind: str) -> None:
    plan = make_plan(1)
    (plain,), _ = drawn(engine, plan, canvas(scenes=1, steps=20))
    (cached,), (source,) = drawn(engine, plan, canvas(scenes=1, steps=20, step_cache=kind))
    assert source.details["numerics"]["step_cache"] == kind
    assert source.details["limit"]["share"] is None
    on = canvas(scenes=1, steps=20, step_cache=kind)
    engine.prepare(plan, on, lambda *_: None)

    def stop(step: int, total: int) -> None:
        if step == 7:
            raise CancelledError()

    with pytest.raises(CancelledError):
        list(engine.render_scene(plan, 0, on, stop))
    engine.finish(False)
    (again,), _ = drawn(engine, plan, canvas(scenes=1, steps=20, step_cache=kind))
    assert np.array_equal(cached, again)
    (longer,), _ = drawn(engine, plan, canvas(scenes=1, frames=9, steps=20, step_cache=kind))
    assert longer.shape[0] == 9
    (back,), _ = drawn(engine, plan, canvas(scenes=1, steps=20))
    assert np.array_equal(plain, back)


def test_the_record_names_the_ratios_of_magcache_and_the_run_that_measured_them(engine: DiffusionEngine) -> None:
    plan, on = make_plan(2), canvas(steps=20, step_cache="magcache")
    _, (first, second) = drawn(engine, plan, on)
    assert first.details["forwards"] == 2 * second.details["forwards"] and first.details["timings_s"]["calibrate"] > 0
    assert "calibrate" not in second.details["timings_s"]
    path = engine._stores.ratios
    ((key, ratios),) = json.loads(path.read_text()).items()
    path.write_text(json.dumps({key: [0.97 * ratio for ratio in ratios]}))
    _, (other, _) = drawn(engine, plan, on)
    assert other.details["numerics"].pop("ratios") != first.details["numerics"].pop("ratios")
    assert other.details["numerics"] == first.details["numerics"]
    drawn(engine, plan, canvas(steps=20, step_cache="magcache", guidance=4.0))
    assert len(json.loads(path.read_text())) == 2, "another guidance has other ratios"


def test_passes_that_measured_the_step_cache_are_no_work_of_a_scene(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing could be measured, the scenes are drawn without it, and their share of the limit is told."""
    done: list[float] = []
    real = limits.achieved
    monkeypatch.setattr(limits, "achieved", lambda flops, *rest: done.append(flops) or real(flops, *rest))
    monkeypatch.setattr(step_cache, "measured", lambda transformer: [])
    _, (first, second) = drawn(engine, make_plan(2), canvas(steps=20, step_cache="magcache"))
    assert first.details["forwards"] == 2 * second.details["forwards"]
    assert done[0] == done[1]


def test_magcache_is_not_measured_in_vain_on_two_experts(engine: DiffusionEngine) -> None:
    on = canvas("tiny-wan22", scenes=1, steps=20, step_cache="magcache")
    stages: list[str] = []
    engine.prepare(make_plan(1), on, lambda stage, *_: stages.append(stage))
    _, (source,) = drawn(engine, make_plan(1), on)
    assert "calibrate" not in stages and source.details["numerics"]["step_cache"] == "off"
    assert source.details["switches"]["step_cache"] == "off: magcache measures one transformer, and this model has 2"


def test_few_steps_are_never_cached(engine: DiffusionEngine) -> None:
    _, (source,) = drawn(engine, make_plan(1), canvas(scenes=1, steps=19, step_cache="first_block"))
    assert source.details["numerics"]["step_cache"] == "off"
    assert "fewer than 20" in source.details["switches"]["step_cache"]


# --- compiled blocks ---------------------------------------------------------------------------
def graphs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are traced as for the card, and run as they are: no compiler is needed, and the numbers stay the same.
    Graphs are kept by class, so those of other tests are forgotten first."""
    torch.compiler.reset()
    monkeypatch.setattr(compile, "BACKEND", "eager")
    monkeypatch.setattr(compile, "why_not", lambda device, cache: "")


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", FAMILIES)
def test_compiled_blocks_are_traced_once_and_go_off_and_on_without_a_load(engine: DiffusionEngine, name: str) -> None:
    plan, frames = make_plan(1), FRAMES[name]
    (plain,), _ = drawn(engine, plan, canvas(name, scenes=1, frames=frames))
    loaded, before = list(engine._resident.loads), graphs()
    (first,), (source,) = drawn(engine, plan, canvas(name, scenes=1, frames=frames, compile_blocks="on"))
    assert source.details["numerics"]["compiled"] is True
    traced = graphs()
    assert traced > before
    drawn(engine, plan, canvas(name, scenes=1, frames=frames, compile_blocks="off"))
    (again,), (off,) = drawn(engine, plan, canvas(name, scenes=1, frames=frames))
    assert off.details["numerics"]["compiled"] is False
    drawn(engine, plan, canvas(name, scenes=1, frames=frames, compile_blocks="on"))
    assert graphs() == traced
    assert engine._resident.loads == loaded
    assert np.array_equal(plain, first) and np.array_equal(plain, again)


@pytest.mark.usefixtures("traced")
def test_a_step_cache_finds_plain_blocks_after_compiled_ones(engine: DiffusionEngine) -> None:
    plan = make_plan(1)
    cached = canvas(scenes=1, steps=20, step_cache="first_block", compile_blocks="on")
    (alone,), _ = drawn(engine, plan, cached)
    drawn(engine, plan, canvas(scenes=1, steps=20, compile_blocks="on"))
    before = graphs()
    (after,), (source,) = drawn(engine, plan, cached)
    assert source.details["numerics"] | {"compiled": False, "step_cache": "first_block"} == source.details["numerics"]
    assert "step cache" in source.details["switches"]["compile"]
    assert graphs() == before and np.array_equal(alone, after)


@pytest.mark.usefixtures("traced")
def test_many_shapes_and_models_are_no_error(engine: DiffusionEngine) -> None:
    for name in (*FAMILIES, *FAMILIES):
        for longer in (0, 8, 16):
            on = canvas(name, scenes=1, frames=FRAMES[name] + longer, compile_blocks="on")
            (frames,), _ = drawn(engine, make_plan(1), on)
            assert frames.shape[0] == FRAMES[name] + longer


def test_where_nothing_can_be_compiled_the_blocks_run_as_they_are(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "why_not", lambda device, cache: "there is no g++")
    before = graphs()
    _, (source,) = drawn(engine, make_plan(1), canvas(scenes=1, compile_blocks="on"))
    assert source.details["numerics"]["compiled"] is False
    assert source.details["switches"]["compile"] == "off: nothing can be compiled here (there is no g++)"
    assert graphs() == before


# --- memory ------------------------------------------------------------------------------------
def test_another_model_takes_the_place_of_the_first(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts().watch(monkeypatch)
    drawn(engine, make_plan(1), canvas(scenes=1))
    drawn(engine, make_plan(1), canvas("tiny-cogvideox", scenes=1))
    assert counts["loads"] == 8
    assert engine.status()["model"] == "tiny-cogvideox"


def test_release_frees_the_model_and_the_next_job_loads_it(engine: DiffusionEngine) -> None:
    plan = make_plan(1)
    (first,), _ = drawn(engine, plan, canvas(scenes=1))
    assert engine.status()["memory"]["tier"] in ("cpu", "cpu-lean")
    assert engine.release() is True
    assert engine.status() == {}
    (again,), _ = drawn(engine, plan, canvas(scenes=1))
    assert np.array_equal(first, again)


def test_little_main_memory_takes_sixteen_bits_and_too_little_is_refused(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model weighs 1 MB in thirty-two bits, half of it the text encoder."""
    free = {False: 1000.0, True: 1e9}
    monkeypatch.setattr(load, "free_memory", lambda swap=False: free[swap])
    source = engine._source(DiffusionOptions(model_id="tiny-wan"))
    wide = load.part_bytes(family("wan"), source, "float32", "cpu")
    assert wide.copied == {"transformer": 0, "text_encoder": 0, "vae": 0}, "read where it lies"
    narrow = load.part_bytes(family("wan"), source, "bfloat16", "cpu")
    assert narrow.transformer == wide.transformer / 2 == narrow.copied["transformer"] and narrow.vae == wide.vae
    plan = make_plan(1)
    (frames,), (source_of,) = drawn(engine, plan, canvas(scenes=1))
    assert (
        source_of.details["numerics"]["dtype"] == "bfloat16" and source_of.details["numerics"]["vae_dtype"] == "float32"
    )
    assert source_of.details["memory"]["tier"] == "cpu-half" and frames.std() > 0
    free |= {False: 1e12, True: 1e12}
    resident = engine._resident
    drawn(engine, plan, canvas(scenes=1))
    assert engine._resident is resident, "what is loaded stays, as long as nobody asks for other numbers"
    assert engine.release()
    monkeypatch.setattr(
        load, "on_cpu", lambda parts, work, free: replace(on_cpu(parts, work, free), needs=2e12, host=2e12)
    )
    monkeypatch.setattr(load, "halved", lambda parts, work, free: replace(halved(parts, work, free), host=2e12 + 1))
    with pytest.raises(
        LimitError, match=r"tiny-wan needs 1862.6 GiB of main memory to load, and 931.3 are free"
    ) as short:
        engine.prepare(plan, canvas(scenes=1), lambda *_: None)
    assert short.value.code == "main_memory" and short.value.hint == "Close other programs, or take a smaller model."
    assert engine.status() == {}


def test_a_lean_plan_does_not_count_what_loading_took_as_free(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on, free = canvas(scenes=1), [1e12]
    monkeypatch.setattr(load, "free_memory", lambda swap=False: free[0])
    source, rules = engine._source(DiffusionOptions(model_id="tiny-wan")), family("wan")
    sizes, work = load.part_bytes(rules, source, "float32", "cpu"), load.work_of(rules, on, "float32", "cpu")
    free[0] = on_cpu(sizes, work).needs - 1
    drawn(engine, make_plan(1), on)
    assert engine.status()["memory"]["tier"] == "cpu-lean"
    resident = engine._resident
    resident.plan = replace(resident.plan, host=1e9)  # as where loading copied the text encoder, which has left since
    _, (source_of,) = drawn(engine, make_plan(1), replace(on, seed=8))
    assert source_of.details["memory"]["tier"] == "cpu-lean" and engine._resident is resident
    free[0] += 1
    assert drawn(engine, make_plan(1), replace(on, seed=9))[1][0].details["memory"]["tier"] == "cpu"


def test_the_size_of_a_clip_does_not_decide_its_numbers(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, rules = engine._source(DiffusionOptions(model_id="tiny-wan")), family("wan")
    sizes = load.part_bytes(rules, source, "float32", "cpu")
    monkeypatch.setattr(load, "free_memory", lambda swap=False: least(sizes))
    for frames in (5, 81):
        work = load.work_of(rules, canvas(frames=frames), "float32", "cpu")
        dtype, _, plan = load.planned(rules, source, "float32", "cpu", work)
        assert (dtype, plan.tier) == ("float32", "cpu-lean")
    monkeypatch.setattr(load, "free_memory", lambda swap=False: least(sizes) - 1)
    assert load.planned(rules, source, "float32", "cpu", work)[0] == "bfloat16"


def test_a_fetched_model_is_held_while_it_is_loaded(
    engine: DiffusionEngine, settings: Any, with_tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a tiny one stands in for one of the hub."""
    store, own = ModelStore.of(settings, with_tiny), engine._source
    monkeypatch.setattr(engine, "_source", lambda options: replace(own(options), repo_id="someone/video"))
    drawn(engine, make_plan(1), canvas(scenes=1))
    assert store.held() == {"tiny-wan"}
    drawn(engine, make_plan(1), canvas("tiny-ltx", frames=9, scenes=1))
    assert store.held() == {"tiny-ltx"}
    assert engine.release() and store.held() == set()


def test_broken_files_say_how_they_are_mended(engine: DiffusionEngine) -> None:
    source = engine._source(DiffusionOptions(model_id="tiny-wan"))
    config = source.part("transformer") / "config.json"
    config.write_text("{")
    try:
        for found, words in (
            (source, "it is made again"),
            (replace(source, name="wan2.1-14b", repo_id="Wan-AI/x"), "t2v models download wan2.1-14b --check"),
        ):
            with pytest.raises(StudioError) as broken:
                family("wan").load_part("transformer", found)
            assert broken.value.code == "model_broken" and words in broken.value.hint
    finally:
        shutil.rmtree(config.parent)


def test_release_waits_for_nobody_who_draws(engine: DiffusionEngine) -> None:
    plan, on, released = make_plan(1), canvas(scenes=1), []

    def ask(step: int, total: int) -> None:
        asked = threading.Thread(target=lambda: released.append(engine.release()))
        asked.start()
        asked.join(5)

    engine.prepare(plan, on, lambda *_: None)
    released.append(engine.release())
    list(engine.render_scene(plan, 0, on, ask))
    engine.finish()
    assert set(released) == {False}


def test_an_idle_model_leaves(settings: Any, with_tiny: Any) -> None:
    gone = threading.Event()

    class Watched(DiffusionEngine):
        def release(self) -> bool:
            done = super().release()
            if done:
                gone.set()
            return done

    idle = Watched(settings.model_copy(update={"gpu_idle_minutes": 5e-3}), with_tiny)
    drawn(idle, make_plan(1), canvas(scenes=1))
    assert gone.wait(10)
    assert idle.status() == {}


# --- what it says ------------------------------------------------------------------------------
def test_the_record_of_a_scene(engine: DiffusionEngine) -> None:
    plan, on = make_plan(1), canvas(scenes=1)
    _, (source,) = drawn(engine, plan, on)
    details = source.details
    assert (source.engine, source.model, source.settings, source.retries) == ("diffusion", "tiny-wan", {}, [])
    assert source.revision
    assert details["numerics"]["attention"] == "native" and details["numerics"]["dtype"] == "float32"
    assert details["sampling"] == {"steps": 2, "guidance": 3.0, "frames": 5, "scheduler": "UniPCMultistepScheduler"}
    assert details["memory"]["plan"].startswith("cpu")
    assert details["tokens"]["prompt"] <= details["tokens"]["limit"] == 512
    assert details["limit"]["tflop"] > 0 and "unknown" in details["limit"]["text"]
    assert len(details["latents_sha256"]) == 64
    assert details["timings_s"]["denoise"] > 0


def test_the_rules_of_the_model_are_the_engines(engine: DiffusionEngine) -> None:
    options = DiffusionOptions(model_id="tiny-wan", quality="fast")
    usual = engine.default_canvas(options)
    assert (usual["width"], usual["scene_frames"], usual["steps"], usual["guidance"]) == (832, 25, 24, 4.5)
    small = engine.default_canvas(DiffusionOptions(model_id="tiny-wan"))
    assert (small["width"], small["height"], small["scene_frames"], small["steps"]) == (192, 128, 9, 2), "a first try"
    assert [engine.frame_rule(count, options) for count in (12, 16, 17)] == [13, 17, 17]
    assert engine.size_rule(500, 300, options) == (496, 304)
    assert engine.size_rule(500, 300, DiffusionOptions(model_id="tiny-ltx")) == (512, 288)


def test_what_is_not_there_is_said_before_anything_is_loaded(engine: DiffusionEngine) -> None:
    assert engine.availability(DiffusionOptions(model_id="tiny-wan")).ok
    missing = engine.availability(DiffusionOptions(model_id="wan2.1-1.3b"))
    assert not missing.ok and "t2v models download wan2.1-1.3b" in missing.hint
    unknown = engine.availability(DiffusionOptions(model_id="wan-9000"))
    assert not unknown.ok and "model_id" in unknown.message
    assert engine.status() == {}
    with pytest.raises(InputError):
        engine.default_canvas(DiffusionOptions(model_id="../../etc"))


def test_pictures_of_the_work(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("t2v_studio.engines.diffusion.preview.EVERY_S", 0.0)
    for name in FAMILIES:
        seen: list[Any] = []

        class Report:
            show = staticmethod(seen.append)

            def __call__(self, step: int, total: int) -> None:
                pass

        plan, on = make_plan(1), canvas(name, scenes=1, frames=FRAMES[name], steps=3)
        engine.prepare(plan, on, lambda *_: None)
        list(engine.render_scene(plan, 0, on, Report()))
        engine.finish()
        stride = family(FAMILIES[name]).vae_stride
        assert seen and all(one.dtype == np.uint8 for one in seen)
        assert seen[0].shape == (SIZES[name][1] // stride[1], SIZES[name][0] // stride[2], 3)


def test_settings_of_a_scene_are_its_start(engine: DiffusionEngine) -> None:
    plan = make_plan(1)
    start = SceneSettings(seed=77, steps=3, guidance=2.0, drop_leading=4, tiled=True)
    (frames,), (source,) = drawn(engine, plan, canvas(scenes=1, scene_settings=(start,)))
    assert frames.shape[0] == 5 and source.details["sampling"]["frames"] == 9
    assert source.settings == start.changes() and source.seed == 77
    (longer,), _ = drawn(engine, plan, canvas(scenes=1, frames=9, seed=77, steps=3, guidance=2.0))
    assert longer.shape[0] == 9
