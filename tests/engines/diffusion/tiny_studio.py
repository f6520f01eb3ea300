"""The diffusion engine over tiny models in a workspace of its own, and what happens inside it, counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from t2v_studio.engines.base import Canvas, Provenance
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.engines.diffusion.families import loading
from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.planning.planner import Planned
from t2v_studio.production.produce import produce
from t2v_studio.production.record import VideoRecord
from t2v_studio.production.request import VideoRequest

SIZES = {"tiny-wan": (48, 32), "tiny-cogvideox": (48, 32), "tiny-ltx": (64, 32)}
"""The smallest sizes that show anything; requests start at 128 pixels, canvases do not."""


def make_plan(scenes: int = 2, seed: int = 3) -> ScenePlan:
    made = [
        Scene(
            id=f"s{number}",
            title=f"Scene {number}",
            steps=[Step(say="We follow the slope."), Step(say="We stop at the minimum.")],
            prompt=f"Picture: a ball rolls down slope number {number}.",
            negative_prompt="blurry, noisy",
            seconds=2.0,
        )
        for number in range(1, scenes + 1)
    ]
    return ScenePlan(topic="gradient descent", template="gradient_descent", seed=seed, scenes=made)


def canvas(model: str = "tiny-wan", scenes: int = 2, frames: int = 5, seed: int = 3, **choices: Any) -> Canvas:
    own = {name: choices.pop(name) for name in ("scene_settings", "steps", "guidance") if name in choices}
    own = {"steps": 2, "guidance": 3.0} | own
    options = DiffusionOptions(**{"model_id": model, "text_overlay": False} | choices)
    return Canvas(*SIZES.get(model, SIZES["tiny-wan"]), 8.0, (frames,) * scenes, seed, options=options, **own)


def drawn(engine: DiffusionEngine, plan: ScenePlan, on: Canvas) -> tuple[list[Any], list[Provenance]]:
    """Frames (F, H, W, 3) and provenance of every scene, as production draws them."""
    import numpy as np

    frames, sources = [], []
    engine.prepare(plan, on, lambda *_: None)
    done = False
    try:
        for index in range(len(plan.scenes)):
            frames.append(np.stack(list(engine.render_scene(plan, index, on, lambda *_: None))))
            sources.append(engine.provenance(plan, index, on))
        done = True
    finally:
        engine.finish(done)
    return frames, sources


def video(engine: Any, workspace: Any, settings: Any, plan: ScenePlan | None = None, **fields: Any) -> VideoRecord:
    """A video at the smallest size that a request may ask for."""
    surroundings = {name: fields.pop(name) for name in ("report", "check_cancelled", "local") if name in fields}
    request = VideoRequest.model_validate(
        {
            "topic": "gradient descent",
            "engine": "diffusion",
            "model_id": "tiny-wan",
            "width": 128,
            "height": 128,
            "scene_frames": 5,
            "fps": 8,
            "steps": 2,
            "guidance": 3.0,
            "seed": 3,
            **fields,
        }
    )
    return produce(
        request,
        Planned(plan or make_plan()),
        workspace=workspace,
        settings=settings,
        engine=engine,
        **surroundings,
    )


class Counts(Counter[str]):
    """loads, encodes, decodes, forwards and moves (`.to()` that changes a device or dtype), as they happen."""

    def watch(self, monkeypatch: Any) -> Counts:
        import torch
        from diffusers import (
            AutoencoderKLCogVideoX,
            AutoencoderKLLTXVideo,
            AutoencoderKLWan,
            CogVideoXTransformer3DModel,
            LTXVideoTransformer3DModel,
            WanTransformer3DModel,
        )
        from transformers import T5EncoderModel, UMT5EncoderModel

        real = loading._from_pretrained

        def load(kind: Any, folder: Any, **arguments: Any) -> Any:
            self["loads"] += 1
            return real(kind, folder, **arguments)

        monkeypatch.setattr(loading, "_from_pretrained", load)
        for kind in (AutoencoderKLWan, AutoencoderKLCogVideoX, AutoencoderKLLTXVideo):
            self._count(monkeypatch, kind, "decode", "decodes")
        for kind in (WanTransformer3DModel, CogVideoXTransformer3DModel, LTXVideoTransformer3DModel):
            self._count(monkeypatch, kind, "forward", "forwards")
        for kind in (UMT5EncoderModel, T5EncoderModel):
            self._count(monkeypatch, kind, "forward", "encodes")
        self._count(monkeypatch, torch.nn.Module, "_apply", "moves")
        return self

    def _count(self, monkeypatch: Any, kind: Any, name: str, as_: str) -> None:
        real = getattr(kind, name)

        def counted(module: Any, *args: Any, **kwargs: Any) -> Any:
            self[as_] += 1
            return real(module, *args, **kwargs)

        monkeypatch.setattr(kind, name, counted)
