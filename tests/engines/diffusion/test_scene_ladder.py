"""Faults put in on purpose come out as the ladder says, are recorded, and leave a model that works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from tiny_studio import Counts, canvas, drawn, make_plan

from t2v_studio.engines.base import SceneSettings
from t2v_studio.engines.diffusion import ladder
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.errors import LimitError, StudioError

PLAN = make_plan(1)


class Fault:
    """Replaces what a method of a model gives, for the calls that `when` names (counted from 1)."""

    def __init__(self, kind: Any, name: str, spoil: Callable[[Any], Any], when: Callable[[int], bool]) -> None:
        self.calls = 0
        real = getattr(kind, name)

        def faulty(module: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            found = real(module, *args, **kwargs)
            return spoil(found) if when(self.calls) else found

        self.install = lambda monkeypatch: monkeypatch.setattr(kind, name, faulty)


def nan(found: Any) -> Any:
    return tuple(torch.full_like(part, float("nan")) for part in found)


def black(found: Any) -> Any:
    return tuple(torch.full_like(part, -1.0) for part in found)


def grey(found: Any) -> Any:
    return tuple(torch.full_like(part, 0.9) for part in found)


def out_of_memory(found: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def forward(spoil: Any, *calls: int) -> Fault:
    return Fault(WanTransformer3DModel, "forward", spoil, lambda call: not calls or call in calls)


def decode(spoil: Any, *calls: int) -> Fault:
    return Fault(AutoencoderKLWan, "decode", spoil, lambda call: not calls or call in calls)


@pytest.fixture
def steady(settings: Any, with_tiny: Any) -> Any:
    """An engine whose retries take three steps, so that a whole ladder is quick."""
    few = {f"{cause}_retry_steps": 3 for cause in ("black", "white", "washed", "noise")}
    made = DiffusionEngine(settings.model_copy(update=few), with_tiny)
    yield made
    made.close()


def one(engine: DiffusionEngine, **choices: Any) -> tuple[Any, Any]:
    (frames,), (source,) = drawn(engine, PLAN, canvas(scenes=1, **choices))
    return frames, source


def test_broken_numbers_stop_at_once_and_get_another_seed(engine: DiffusionEngine, monkeypatch) -> None:
    fault = forward(nan, 1)
    fault.install(monkeypatch)
    frames, source = one(engine, steps=4)
    (row,) = source.retries
    assert (row["cause"], row["next"], row["settings"]) == ("not_finite", ladder.NEW_SEED, {})
    assert source.settings == {"seed": 3 + ladder.SEED_STRIDE} and source.seed == 3 + ladder.SEED_STRIDE
    assert fault.calls == 2 + 8, "the broken clip ended with its first step"
    fresh, _ = one(engine, steps=4, seed=3 + ladder.SEED_STRIDE)
    assert np.array_equal(frames, fresh)


def test_black_in_the_decoder_is_decoded_again_without_denoising(engine: DiffusionEngine, monkeypatch) -> None:
    plain, _ = one(engine)
    counts = Counts().watch(monkeypatch)
    decode(black, 1).install(monkeypatch)
    frames, source = one(engine, scene_settings=(SceneSettings(tiled=True),))
    (row,) = source.retries
    assert (row["cause"], row["verdict"], row["next"]) == ("black", "black", ladder.REDECODE)
    assert source.settings == {"decode_dtype": "float32", "tiled": False}
    assert (counts["forwards"], counts["decodes"]) == (4, 2)
    assert np.array_equal(frames, plain)


def test_broken_pixels_are_decoded_again(engine: DiffusionEngine, monkeypatch) -> None:
    decode(nan, 1).install(monkeypatch)
    _, source = one(engine, scene_settings=(SceneSettings(tiled=True),))
    assert [row["cause"] for row in source.retries] == ["decode_not_finite"]
    assert source.details["forwards"] == 4


def test_a_scene_that_stays_washed_out_is_given_up_with_all_tries(steady: DiffusionEngine, monkeypatch) -> None:
    decode(grey).install(monkeypatch)
    with pytest.raises(StudioError) as caught:
        one(steady)
    assert caught.value.code == "scene_bad" and "almost white" in caught.value.message
    tries = caught.value.details["tries"]
    assert [row["next"] for row in tries] == [
        ladder.STEPS,
        ladder.LEADING,
        ladder.NEW_SEED,
        ladder.NEW_SEED,
        "given up",
    ]
    assert {row["cause"] for row in tries} == {"washed_out"}
    assert tries[1]["settings"] == {"steps": 3, "guidance": 3.0}
    monkeypatch.undo()
    _, source = one(steady)
    assert source.retries == [], "the next job is not touched"


def test_without_retries_the_first_bad_try_is_the_last(steady: DiffusionEngine, monkeypatch) -> None:
    fault = decode(grey)
    fault.install(monkeypatch)
    with pytest.raises(StudioError):
        one(steady, retries=False)
    assert fault.calls == 1


def test_out_of_memory_in_a_step_goes_down_a_tier(engine: DiffusionEngine, monkeypatch) -> None:
    plain, _ = one(engine)
    counts = Counts().watch(monkeypatch)
    forward(out_of_memory, 3).install(monkeypatch)
    frames, source = one(engine)
    (row,) = source.retries
    assert row["cause"] == "out_of_memory" and row["next"].startswith("less memory: cpu-lean")
    assert source.details["memory"]["tier"] == "cpu-lean"
    assert source.settings == {"tiled": True}, "what the tier changes is kept with the scene"
    assert counts["loads"] == 0, "the pipeline survives"
    assert frames.shape == plain.shape
    assert engine.status()["memory"]["tier"] == "cpu-lean"


def test_out_of_memory_in_the_decoder_takes_tiles(engine: DiffusionEngine, monkeypatch) -> None:
    counts = Counts().watch(monkeypatch)
    decode(out_of_memory, 1).install(monkeypatch)
    _, source = one(engine)
    assert [(row["cause"], row["next"]) for row in source.retries] == [("decode_out_of_memory", ladder.TILE)]
    assert source.settings == {"tiled": True}
    assert counts["forwards"] == 4, "the latents were not lost"


def test_too_little_memory_is_said_and_the_next_job_runs(engine: DiffusionEngine, monkeypatch) -> None:
    forward(out_of_memory).install(monkeypatch)
    with pytest.raises(LimitError) as caught:
        one(engine)
    assert caught.value.code == "out_of_memory" and "fewer frames" in caught.value.hint
    assert [row["cause"] for row in caught.value.details["tries"]] == ["out_of_memory", "out_of_memory"]
    monkeypatch.undo()
    frames, _ = one(engine)
    assert frames.shape[0] == 5


def test_out_of_memory_while_loading_goes_down_a_tier(engine: DiffusionEngine, monkeypatch) -> None:
    from transformers import UMT5EncoderModel

    Fault(UMT5EncoderModel, "forward", out_of_memory, lambda call: call == 1).install(monkeypatch)
    _, source = one(engine)
    assert source.details["memory"]["tier"] == "cpu-lean"


def test_a_dead_text_encoder_aborts_with_what_to_do(engine: DiffusionEngine, monkeypatch) -> None:
    from transformers import UMT5EncoderModel

    def zero(found: Any) -> Any:
        found.last_hidden_state = torch.zeros_like(found.last_hidden_state)
        return found

    Fault(UMT5EncoderModel, "forward", zero, lambda call: True).install(monkeypatch)
    with pytest.raises(StudioError) as caught:
        one(engine)
    assert caught.value.code == "text_encoder_broken" and caught.value.hint


def test_kept_latents_are_found_by_the_run_after_a_kill(engine: DiffusionEngine, monkeypatch) -> None:
    plan, on = make_plan(2), canvas()
    expected, _ = drawn(engine, plan, on)
    engine.prepare(plan, on, lambda *_: None)
    list(engine.render_scene(plan, 0, on, lambda *_: None))
    # killed here: nothing is called any more
    fresh = DiffusionEngine(engine._settings, engine._workspace)
    counts = Counts().watch(monkeypatch)
    frames, sources = drawn(fresh, plan, on)
    assert counts["forwards"] == 4, "the second scene alone"
    assert [source.details["forwards"] for source in sources] == [0, 4]
    assert all(np.array_equal(a, b) for a, b in zip(frames, expected, strict=True))
    assert list((engine._workspace.cache / "diffusion" / "latents").iterdir()) == [], "gone with the finished video"


def test_a_damaged_kept_prompt_is_encoded_again(engine: DiffusionEngine, monkeypatch) -> None:
    first, _ = one(engine)
    for path in (engine._workspace.cache / "diffusion" / "text").iterdir():
        path.write_bytes(b"\0" * 64)
    fresh = DiffusionEngine(engine._settings, engine._workspace)
    counts = Counts().watch(monkeypatch)
    again, _ = one(fresh)
    assert counts["encodes"] == 2 and np.array_equal(first, again)


def test_whoever_watches_is_told_when_a_clip_is_decoded(steady: DiffusionEngine) -> None:
    told: list[Any] = []

    def report(step: int, total: int) -> None:
        told.append((step, total))

    report.say = told.append  # type: ignore[attr-defined]
    asked = canvas(scenes=1, steps=2)
    steady.prepare(PLAN, asked, lambda *_: None)
    list(steady.render_scene(PLAN, 0, asked, report))
    steady.finish()
    at = told.index("decoding")
    assert told[at - 1] == (2, 3), "all steps are done"
    assert told[at + 1 :] == ["", (3, 3)]
