"""CPU seconds for a second of film, kind by kind: Manim's templates beside the local engine.

python tests/benchmarks/bench_manim.py [seconds of film a scene]
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from t2v_studio.engines.base import Canvas, Engine
from t2v_studio.engines.local.samples import sample_plans
from t2v_studio.engines.registry import engine
from t2v_studio.errors import UnavailableError
from t2v_studio.planning.plan import ScenePlan

FPS = 30.0


def cpu() -> float:
    """CPU seconds of this process and of its finished children."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def drawn(maker: Engine, plan: ScenePlan, frames: int) -> float:
    """CPU seconds for the first scene of a plan at 1280x720."""
    canvas = Canvas(1280, 720, FPS, (frames,) * len(plan.scenes), seed=1)
    before = cpu()
    for _ in maker.render_scene(plan, 0, canvas, lambda step, total: None):
        pass
    return cpu() - before


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 6.0
    try:
        manim = engine("manim")
    except UnavailableError as error:
        sys.stdout.write(f"skipped: {error.message}\n")
        return
    local = engine("local")
    sys.stdout.write(f"{'kind':<24}{'start, s':>10}{'manim, s/s':>12}{'local, s/s':>12}\n")
    for kind, plan in sample_plans().items():
        start = drawn(manim, plan, 1)
        whole = drawn(manim, plan, round(FPS * seconds))
        drawn(local, plan, 1)
        beside = drawn(local, plan, round(FPS * seconds)) / seconds
        sys.stdout.write(f"{kind:<24}{start:>10.1f}{(whole - start) / seconds:>12.2f}{beside:>12.3f}\n")


if __name__ == "__main__":
    main()
