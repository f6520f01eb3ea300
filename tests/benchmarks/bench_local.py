"""Frames a second of the local engine: drawing, encoding, and both together, at 480p and 720p.

Run: python tests/benchmarks/bench_local.py [--repeats N]
The plan is a typical one: three template scenes (curves, a network, a graph) and one of steps, at 30 fps.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from t2v_studio.engines.base import Canvas
from t2v_studio.engines.local.engine import LocalEngine
from t2v_studio.engines.local.samples import sample_plans
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.timing import scene_frames
from t2v_studio.video.encode import Encoder

SIZES = ((832, 480), (1280, 720))
FPS = 30.0


def typical_plan() -> ScenePlan:
    """One scene each of four kinds, with its own reading time."""
    plans = sample_plans()
    chosen = [plans[kind].scenes[1] for kind in ("gradient_descent", "neural_net", "graph_search", "process")]
    scenes = [scene.model_copy(update={"id": f"s{n}"}) for n, scene in enumerate(chosen)]
    return plans["process"].model_copy(update={"scenes": scenes})


def draw(plan: ScenePlan, canvas: Canvas, take: Callable[..., object]) -> int:
    frames = 0
    for index in range(len(plan.scenes)):
        for frame in LocalEngine().render_scene(plan, index, canvas, lambda step, total: None):
            take(frame)
            frames += 1
    return frames


def timed(work: Callable[..., int], *arguments: object) -> tuple[float, float]:
    """Frames per second of wall clock, and per second of CPU of this process and its children."""
    before, start = os.times(), time.perf_counter()
    frames = work(*arguments)
    wall, after = time.perf_counter() - start, os.times()
    return frames / wall, frames / sum(after[i] - before[i] for i in range(4))


def only_draw(plan: ScenePlan, canvas: Canvas) -> int:
    return draw(plan, canvas, lambda frame: None)


def draw_and_encode(plan: ScenePlan, canvas: Canvas) -> int:
    with encoder(canvas) as sink:
        return draw(plan, canvas, sink.write)


def encode(canvas: Canvas, held: list[object]) -> int:
    with encoder(canvas) as sink:
        for frame in held:
            sink.write(frame)
    return len(held)


@contextmanager
def encoder(canvas: Canvas) -> Iterator[Encoder]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with Encoder(path, width=canvas.width, height=canvas.height, fps=canvas.fps) as sink:
            yield sink


def only_encode(plan: ScenePlan, canvas: Canvas) -> tuple[float, float]:
    """Encoding alone: the first ten seconds of each scene are drawn first, then written with the clock running."""
    frames, wall, cpu = 0, 0.0, 0.0
    for index in range(len(plan.scenes)):
        drawn = LocalEngine().render_scene(plan, index, canvas, lambda step, total: None)
        held = list(islice(drawn, 300))
        rate = timed(encode, canvas, held)
        frames, wall, cpu = frames + len(held), wall + len(held) / rate[0], cpu + len(held) / rate[1]
    return frames / wall, frames / cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    plan = typical_plan()
    counts, _ = scene_frames(plan, FPS)
    print(f"{len(plan.scenes)} scenes, {sum(counts)} frames ({sum(counts) / FPS:.0f} s), load {os.getloadavg()[0]:.1f}")
    print(f"{'size':>10} {'what':<8} {'frames/s wall':>14} {'frames/cpu s':>13}")
    for width, height in SIZES:
        canvas = Canvas(width, height, FPS, counts, plan.seed)
        for name, work in (("draw", only_draw), ("both", draw_and_encode)):
            show(width, height, name, [timed(work, plan, canvas) for _ in range(repeats)])
        show(width, height, "encode", [only_encode(plan, canvas)])


def show(width: int, height: int, name: str, rates: list[tuple[float, float]]) -> None:
    wall, cpu = (statistics.median(rate[i] for rate in rates) for i in range(2))
    print(f"{width:>5}x{height:<4} {name:<8} {wall:>14.0f} {cpu:>13.0f}", flush=True)


if __name__ == "__main__":
    main()
