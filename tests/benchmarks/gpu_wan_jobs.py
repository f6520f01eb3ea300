"""Whole videos through the studio's own engine, on a full-size random model that lies on the disk: a part of `gpu_wan.py`.

What a person waits for: the first step of a second video, eight scenes with their files, a card of 8 to 48 GB, and what
twenty videos leave in memory. Random weights draw noise, so no scene is judged here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from wan_random import Figures, write_model

from t2v_studio.engines.diffusion import ladder, load, models
from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.engines.diffusion.memory_plan import GIB
from t2v_studio.errors import LimitError
from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.planning.planner import Planned
from t2v_studio.production.produce import produce
from t2v_studio.production.record import VideoRecord
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

CARDS_GIB = (8, 12, 16, 24, 48)
TINY_CAPS_GIB = (1e-6, 48)
"""Of main memory, on a CPU: one that asks for the lean plan, and one with room."""


class Jobs:
    """One model in a workspace of its own, and the engine that keeps it loaded."""

    def __init__(self, name: str, home: Path, device: str, text_encoder: Path | None = None) -> None:
        self.device, self.tiny = device, name == "tiny"
        self.settings = Settings(home=home, _env_file=None)  # type: ignore[call-arg]
        self.workspace = Workspace.at(home)
        self.folder = write_model(name, home / "models" / name, device, text_encoder)
        self.model = f"random-{name}"
        models.register(self.workspace, self.model, "wan", self.folder)
        self.engine = DiffusionEngine(self.settings, self.workspace)
        self.figures = Figures(name)

    @property
    def transformer(self) -> Any:
        assert self.engine._resident is not None
        return self.engine._resident.transformers[0]

    def video(self, scenes: int, steps: int, *, words: str = "", **choices: Any) -> VideoRecord:
        """A video of 17 frames a scene at 480p, or the smallest that a request may ask for."""
        size = {"width": 128, "height": 128, "scene_frames": 5} if self.tiny else {"width": 832, "height": 480, "scene_frames": 17}  # fmt: skip
        request = VideoRequest.model_validate(
            {"topic": "slopes", "engine": "diffusion", "model_id": self.model, "fps": 16, "steps": steps, "guidance": 5.0,
             "seed": 1, "fallback_local_on_fail": False, **size, **choices}
        )  # fmt: skip
        plan = ScenePlan(topic="slopes", scenes=[_scene(number, words) for number in range(scenes)])
        with mock.patch.object(ladder, "CAUSES", frozenset()):
            return produce(request, Planned(plan), workspace=self.workspace, settings=self.settings, engine=self.engine)

    # --- what is measured ----------------------------------------------------------------------
    def second_video(self) -> None:
        """From the request to the first pass of the transformer, with the model loaded: known prompt, then a new one."""
        assert self.engine._resident is not None
        loaded = len(self.engine._resident.loads)
        lie = [parameter.data_ptr() for parameter in self.transformer.parameters()]
        for way, words, goal in (("known prompt", "", 50), ("new prompt", "in the rain", 150)):
            self.figures.row("second video, to its first step", self._first_step_ms(words), "ms", way=way, goal_ms=goal)
        moved = lie != [parameter.data_ptr() for parameter in self.transformer.parameters()]
        again = len(self.engine._resident.loads) - loaded
        self.figures.row("second video, parts loaded or moved", float(again + moved), "parts", goal=0)

    def _first_step_ms(self, words: str) -> float:
        seen: list[float] = []
        handle = self.transformer.register_forward_pre_hook(lambda *_: seen.append(time.perf_counter()))
        began = time.perf_counter()
        try:
            self.video(1, 1, words=words)
        finally:
            handle.remove()
        return (seen[0] - began) * 1000

    def eight_scenes(self, steps: int) -> None:
        """The whole job against its steps and decodes: encoding, files and the record should hide behind them."""
        record = self.video(8, steps)
        spent = [scene.details["timings_s"] for scene in record.scenes]
        drawn = sum(one["denoise"] + one["decode"] for one in spent)
        total = record.timings_s["total"]
        share = record.scenes[-1].details["limit"]
        self.figures.row("8 scenes, job over steps and decodes", total / drawn, "times", total_s=total, goal=1.15, limit=share)  # fmt: skip

    def twenty_videos(self, count: int) -> None:
        held = self._held()
        for number in range(count):
            self.video(1, 1, words=f"number {number}")
        self.figures.row("memory kept after more videos", (self._held() - held) / 2**20, "MiB", videos=count, goal=0)

    def tiers(self) -> None:
        """A card of each size, as a cap on this process: capacity is emulated, not the bandwidth of such a card."""
        for cap in TINY_CAPS_GIB if self.device == "cpu" else CARDS_GIB:
            self.engine.release()
            with _capped(self.device, cap):
                self._tier(cap)
        self.engine.release()

    def _tier(self, cap: float) -> None:
        if self.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        try:
            record = self.video(1, 4, compile_blocks="off")
        except LimitError as error:
            self.figures.row("step under a cap of memory", None, "ms", card_gib=cap, tier=error.message)
            return
        scene = record.scenes[0]
        peak = torch.cuda.max_memory_reserved() / GIB if self.device != "cpu" else 0.0
        self.figures.row(
            "step under a cap of memory",
            scene.details["timings_s"]["step_median"] * 1000,
            "ms",
            card_gib=cap,
            tier=scene.details["memory"]["tier"],
            peak_gib=round(peak, 2),
            stepped_down=any("memory" in row["cause"] for row in scene.retries),
            limit=scene.details["limit"],
        )

    def _held(self) -> int:
        return torch.cuda.memory_allocated() if self.device != "cpu" else 0


@contextmanager
def _capped(device: str, gib: float) -> Iterator[None]:
    """No more memory than this for this process; on a CPU the plan alone is told so."""
    if device == "cpu":
        with mock.patch.object(load, "free_memory", lambda swap=False: gib * GIB):
            yield
        return
    load.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * GIB / total))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def _scene(number: int, words: str) -> Scene:
    prompt = f"Picture: ball number {number} rolls down a slope {words}".rstrip()
    return Scene(id=f"s{number}", title=f"Ball {number}", steps=[Step(say="It rolls.")], prompt=prompt)


def measure_jobs(
    name: str, device: str, steps: int, home: Path, text_encoder: Path | None = None, *, parts: Sequence[str]
) -> Jobs:
    """Figures of one model, in `.figures`. parts: "jobs" for whole videos, "caps" for cards of several sizes."""
    jobs = Jobs(name, home, device, text_encoder)
    try:
        if "jobs" in parts:
            jobs.video(1, 1)
            jobs.second_video()
            jobs.eight_scenes(steps)
            jobs.twenty_videos(1 if jobs.tiny else 20)
        if "caps" in parts:
            jobs.tiers()
    finally:
        jobs.engine.close()
    return jobs
