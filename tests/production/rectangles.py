"""A small deterministic engine and hand-made plans, so that these tests need neither skia nor a library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from t2v_studio.engines.base import Availability, Canvas, Frames, Provenance, StepReport, even_size
from t2v_studio.library.passages import Evidence, Passage, Quote
from t2v_studio.planning.plan import Retrieval, Scene, ScenePlan, Source, Step
from t2v_studio.planning.planner import Planned


class RectangleEngine:
    """Rectangles that move over a page; their place comes from seed, scene and frame."""

    def __init__(self, name: str = "local", rule: Callable[[int], int] = lambda count: count) -> None:
        self.name = name
        self.rule = rule
        self.ok = Availability(True)
        self.fail_at: tuple[int, int] | None = None
        self.canvases: list[Canvas] = []

    def availability(self, options: Any = None) -> Availability:
        return self.ok

    def default_canvas(self, options: Any = None) -> dict[str, Any]:
        return {"width": 256, "height": 144, "fps": 10.0}

    def frame_rule(self, frames: int, options: Any = None) -> int:
        return self.rule(frames)

    def size_rule(self, width: int, height: int, options: Any = None) -> tuple[int, int]:
        return even_size(width, height)

    def render_scene(self, plan: ScenePlan, index: int, canvas: Canvas, report: StepReport) -> Frames:
        self.canvases.append(canvas)
        rng = np.random.default_rng([canvas.seed, index])
        colour = rng.integers(0, 200, 3)
        top = int(rng.integers(10, canvas.height - 40))
        for n in range(canvas.scene_frames[index]):
            report(n, canvas.scene_frames[index])
            if self.fail_at == (index, n):
                raise RuntimeError("CUDA out of memory")
            frame = np.full((canvas.height, canvas.width, 4), 250, np.uint8)
            frame[top : top + 30, 5 + n : 45 + n, :3] = colour
            frame[4:8, 4 : 4 + len(plan.scenes[index].steps[0].say), :3] = 30
            yield frame

    def provenance(self, plan: ScenePlan, index: int, canvas: Canvas) -> Provenance:
        return Provenance(engine=self.name, model="rectangles", revision="1", seed=canvas.seed + index)


SAYINGS = {
    "start": ["We stand somewhere on the slope.", "The gradient says which way is up."],
    "descend": ["We step the other way.", "We repeat this until the ground is flat."],
}
BOOK = {
    "start": "Every optimiser begins at a random initialisation of the weights.",
    "descend": "Steepest descent subtracts the scaled derivative at each iteration.",
}


def make_plan(seed: int = 3) -> ScenePlan:
    scenes = [
        Scene(
            id=key,
            title=f"Scene: {key}",
            steps=[Step(say=say, show=say[:20]) for say in says],
            prompt=f"A diagram of {key}.",
            seconds=2.0,
        )
        for key, says in SAYINGS.items()
    ]
    return ScenePlan(topic="gradient descent", template="gradient_descent", seed=seed, scenes=scenes)


def make_treated(seed: int = 3, grounded: bool = True) -> Planned:
    """The same plan, saying in each scene what a passage says; ungrounded: the evidence is found but not said."""
    plan, evidence, sources, scenes = make_plan(seed), {}, [], []
    for number, scene in enumerate(plan.scenes, start=1):
        text = BOOK[scene.id]
        passage = Passage(
            id=f"p{number}", book_id="0" * 16, ordinal=number, page=40 + number, page_last=40 + number, label="",
            label_last="", section="Optimisation", text=text, words=len(text.split()), content_hash="h",
        )  # fmt: skip
        quote = Quote(text=text, page=passage.page, label="", passage_id=passage.id, score=0.7)
        evidence[scene.id] = [
            Evidence(passage=passage, book="Notes", page=passage.page, label="", score=0.7, quotes=[quote])
        ]
        source = Source(
            id=f"s{number}", book_id=passage.book_id, book="Notes", page=passage.page, page_last=passage.page,
            passage_id=passage.id, quote=text, score=0.7,
        )  # fmt: skip
        sources.append(source)
        if grounded:
            steps = [Step(say=text, show="From the book", cites=[source.id]), *scene.steps[1:]]
            scene = scene.model_copy(update={"steps": steps, "prompt": f"{scene.prompt} {text}", "query": "descent"})
        scenes.append(scene)
    retrieval = Retrieval(
        mode="semantic",
        book_ids=["0" * 16],
        queries={scene.id: "descent" for scene in scenes},
        outcomes={scene.id: "found" for scene in scenes},
    )
    plan = plan.model_copy(update={"scenes": scenes, "sources": sources, "retrieval": retrieval})
    return Planned(plan, evidence)
