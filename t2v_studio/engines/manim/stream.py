"""Manim's Cairo renderer, with a pipe for a film: frames go out as they are drawn, none where the run is dry."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from manim import CairoRenderer

from t2v_studio.engines.manim import layout
from t2v_studio.engines.manim.harness import HEADER
from t2v_studio.engines.manim.job import Fault, HarnessJob


class StreamRenderer(CairoRenderer):
    """Sends at most `job.frames` frames; `close` repeats the last one where there were fewer."""

    def __init__(self, job: HarnessJob, sink: IO[bytes], most_faults: int) -> None:
        super().__init__(skip_animations=job.frames is None)
        self.job, self.sink, self.most_faults = job, sink, most_faults
        self.dry = job.frames is None
        self.sent = 0
        self.faults: list[Fault] = []

    def play(self, scene: Any, *args: Any, **kwargs: Any) -> None:
        super().play(scene, *args, **kwargs)
        self.check(scene)

    def check(self, scene: Any) -> None:
        """Lint what is shown now."""
        if len(self.faults) < self.most_faults:
            self.faults += layout.fresh(self.faults, layout.lint(scene))[: self.most_faults - len(self.faults)]

    def update_frame(self, scene: Any, mobjects: Any = None, *args: Any, **kwargs: Any) -> None:
        if not self.dry:
            super().update_frame(scene, mobjects, *args, **kwargs)

    def add_frame(self, frame: Any, num_frames: int = 1) -> None:
        if self.skip_animations or self.dry:
            return
        self.time += num_frames / self.camera.frame_rate
        self._send(frame, num_frames)

    def _send(self, frame: Any, count: int) -> None:
        count = min(count, (self.job.frames or 0) - self.sent)
        if count > 0:
            self.sink.write(HEADER.pack(count))
            view = np.ascontiguousarray(frame, dtype=np.uint8).data.cast("B")
            while view:
                view = view[self.sink.write(view) or 0 :]
            self.sent += count

    def close(self, scene: Any) -> None:
        """The frames that are still owed: the last picture stays."""
        if not self.num_plays:
            self.check(scene)
        if not self.dry and self.sent < (self.job.frames or 0):
            self.static_image = None
            self.update_frame(scene)
            self._send(self.get_frame(), (self.job.frames or 0) - self.sent)
