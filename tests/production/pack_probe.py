"""A small pack with a stand-in library, and a process that runs it until it kills itself at a named point."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from rectangles import RectangleEngine

from t2v_studio.errors import StudioError
from t2v_studio.library.passages import Evidence, Outcome, Passage, Quote, SearchResult
from t2v_studio.production import packs_files, packs_make, pairs, records
from t2v_studio.production.packs import Pack, parse_pack
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

LINES = """
Gradient descent minimises a differentiable objective by moving against its gradient vector.
The loss surface of a neural network contains many saddle points and flat plateaus.
At every iteration the weights are updated by subtracting the learning rate times the derivative.
A learning rate above two divided by the largest curvature makes the iterates diverge.
Backpropagation sends the error signal backward through each layer by the chain rule.
Too small a learning rate wastes computation because progress towards the minimum is slow.
On narrow ellipses the descent path zigzags between the walls of the valley.
The forward pass of backpropagation stores every activation because the backward pass needs it.
The slope at the current point tells the direction of steepest increase of the loss.
Each weight moves against the product of its input activation and the error signal of its target.
""".strip().splitlines()
TOPICS = [
    {"slug": "descent", "topic": "gradient descent", "template": "gradient_descent", "seed": 5},
    {"slug": "backprop", "topic": "backpropagation", "template": "backpropagation", "seed": 6},
]
SMALL = {"width": 256, "height": 144, "fps": 8, "scene_frames": 4}


def small_pack(**fields: Any) -> Pack:
    return parse_pack({"name": "small", "title": "A small pack", "defaults": SMALL, "topics": TOPICS, **fields})


def ask(request: VideoRequest) -> Any:
    """The search of a library that speaks of descent and backpropagation, and says nothing where the topic is silence."""

    def search(query: str, k: int) -> SearchResult:
        hits = (
            [_hit(number, line) for number, line in enumerate(LINES, start=1)] if "silence" not in request.topic else []
        )
        return SearchResult(query=query, outcome=Outcome.found if hits else Outcome.no_book, hits=hits[:k])

    return search


def _hit(page: int, text: str) -> Evidence:
    passage = Passage(
        id=f"p{page}", book_id="0" * 16, ordinal=page, page=page, page_last=page, label="", label_last="",
        section="Optimisation", text=text, words=len(text.split()), content_hash=str(page),
    )  # fmt: skip
    quotes = [Quote(text=text, page=page, label="", passage_id=passage.id, score=0.6)]
    return Evidence(passage=passage, book="Notes", page=page, label="", score=0.6, quotes=quotes)


def run(home: Path, engine: RectangleEngine, pack: Pack | None = None, **options: Any) -> dict[str, Any]:
    settings = Settings(home=home, _env_file=None)
    return packs_make.run_pack(
        pack or small_pack(),
        workspace=Workspace.at(home),
        settings=settings,
        ask=options.pop("ask", ask),
        engines=lambda name: engine,
        **options,
    )


def _die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingEngine(RectangleEngine):
    """Dies in the third scene that it draws after `scenes`."""

    def __init__(self, scenes: int) -> None:
        super().__init__()
        self.scenes = scenes

    def render_scene(self, plan: Any, index: int, canvas: Any, report: Any) -> Any:
        for n, frame in enumerate(super().render_scene(plan, index, canvas, report)):
            if len(self.canvases) > self.scenes and n == 2:
                _die()
            yield frame


POINTS = {
    "planned": (packs_make, "draw_run"),
    "sealed": (records, "store_row"),
    "both arms": (pairs, "require_alike"),
    "pair": (packs_files, "write_topic"),
    "folder": (packs_files, "retrieval"),
    "tables": (packs_files, "write_tables"),
}


if __name__ == "__main__":
    home, point = Path(sys.argv[1]), sys.argv[2]
    engine = RectangleEngine()
    if point.startswith("scene "):
        engine = DyingEngine(int(point.split()[1]))
    else:
        where, name = POINTS[point]
        setattr(where, name, _die)
    try:
        run(home, engine)
    except StudioError as error:
        sys.exit(error.message)
