"""What only a card can show: kernels, tiers, compilation, and memory that comes back. Run with: pytest -m gpu"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from t2v_studio.engines.base import Canvas
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.planning.plan import Scene, ScenePlan, Step

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card here"),
]

PLAN = ScenePlan(
    topic="slopes",
    scenes=[Scene(id="a", title="A ball", steps=[Step(say="It rolls.")], prompt="Picture: a ball rolls.")],
)


def canvas(seed: int = 1, **choices: Any) -> Canvas:
    options = DiffusionOptions(**{"model_id": "tiny-wan", "text_overlay": False, "compile_blocks": "off"} | choices)
    return Canvas(96, 64, 8.0, (9,), seed, steps=4, guidance=3.0, options=options)


def drawn(engine: DiffusionEngine, on: Canvas) -> tuple[Any, Any]:
    engine.prepare(PLAN, on, lambda *_: None)
    frames = np.stack(list(engine.render_scene(PLAN, 0, on, lambda *_: None)))
    source = engine.provenance(PLAN, 0, on)
    engine.finish()
    return frames, source


@pytest.fixture(params=["", "bf16"], ids=["float32", "bfloat16"])
def engine(request, settings, workspace) -> Any:
    """Tiny models are of float32 where nothing else is asked for."""
    made = DiffusionEngine(settings.model_copy(update={"dtype": request.param}), workspace)
    yield made
    made.release()


def test_one_seed_one_clip_and_memory_that_comes_back(engine) -> None:
    first, source = drawn(engine, canvas())
    again, _ = drawn(engine, canvas())
    assert np.array_equal(first, again)
    assert source.details["memory"]["tier"] == "A" and source.details["limit"]["card"]
    held = torch.cuda.memory_allocated()
    for seed in range(5):
        drawn(engine, canvas(seed))
    assert torch.cuda.memory_allocated() == held
    assert engine.release() and torch.cuda.memory_allocated() < held


@pytest.mark.parametrize("tier", ["B", "C", "D", "E"])
def test_every_tier_draws(engine, monkeypatch, tier: str) -> None:
    from t2v_studio.engines.diffusion import memory_plan

    monkeypatch.setattr(memory_plan, "choose", lambda free, parts, work: memory_plan.plan_of(tier, parts, work, free))
    frames, source = drawn(engine, canvas())
    assert source.details["memory"]["tier"] == tier
    assert frames.std() > 1 and source.retries == []


def test_the_chosen_kernel_agrees_with_the_plain_one(engine) -> None:
    plain, _ = drawn(engine, canvas(attention="native"))
    fast, source = drawn(engine, canvas(attention="auto"))
    assert source.details["numerics"]["attention"] in ("native", "cudnn", "flash3")
    assert np.abs(plain.astype(int) - fast.astype(int)).mean() < 3


def test_compiled_blocks_draw_the_same_picture(engine) -> None:
    plain, _ = drawn(engine, canvas())
    compiled, source = drawn(engine, canvas(compile_blocks="on"))
    assert source.details["numerics"]["compiled"] is True
    assert np.abs(plain.astype(int) - compiled.astype(int)).mean() < 3


def test_a_real_out_of_memory_is_survived(engine) -> None:
    drawn(engine, canvas())
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(max(0.001, (torch.cuda.memory_reserved() + 2**20) / total))
    try:
        big = canvas()
        wide = Canvas(960, 544, 8.0, (33,), 1, steps=2, guidance=3.0, options=big.options)
        with pytest.raises(Exception, match="memory"):
            drawn(engine, wide)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        engine.finish(False)
    frames, _ = drawn(engine, canvas())
    assert frames.shape[0] == 9
