"""What a child process is asked to draw, and what it answers: plain JSON, nothing of Manim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

REPORT = "report.json"
"""Name of the answer in the job's folder."""

CODE = "scene.py"
"""Name of a written scene's code in the job's folder."""


class HarnessJob(BaseModel):
    """One scene for one child: a written one (`code`), or a template (`plan`, `index`).

    scene: name of the class to draw; "" takes the only one, or the template of the plan's kind.
    frames: how many frames go to standard output; None draws none (a dry run: everything is executed,
    nothing painted). seconds: natural length of a written scene, by its dry run; it is played faster
    or slower, so that it fills `frames`. cage: rights are dropped before the code runs.
    """

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(description="Private, writable; holds the code and the answer.")
    code: str = ""
    scene: str = ""
    plan: dict[str, Any] | None = None
    index: int = 0
    width: int = 1280
    height: int = 720
    fps: float = 30.0
    frames: int | None = None
    seconds: float | None = None
    seed: int = 0
    theme: Literal["light", "dark", "contrast"] = "light"
    show_sources: bool = True
    cage: bool = False

    def write(self) -> Path:
        """The job as a file in its folder; the code beside it where there is some."""
        folder = Path(self.folder)
        if self.code:
            (folder / CODE).write_text(self.code, encoding="utf-8")
        path = folder / "job.json"
        path.write_text(self.model_dump_json(), encoding="utf-8")
        return path


class Fault(BaseModel):
    """Something on the picture that a viewer would trip over."""

    kind: Literal["overlap", "off_frame", "too_small"]
    names: list[str]
    at_seconds: float
    message: str


class CodeError(BaseModel):
    """Where and why a scene stopped; line counts from 1 in the scene's code, 0 where it is elsewhere."""

    type: str
    message: str
    line: int = 0
    text: str = ""

    def __str__(self) -> str:
        where = f" (line {self.line}: {self.text})" if self.line else ""
        return f"{self.type}: {self.message}{where}"


class HarnessReport(BaseModel):
    """The child's answer. duration_s: the scene's own length in seconds."""

    error: CodeError | None = None
    scene: str = ""
    duration_s: float = 0.0
    plays: int = 0
    frames: int = 0
    faults: list[Fault] = Field(default_factory=list)
    manim: str = ""
    held: str = Field("", description="By what the code was held; empty without a cage.")


def read_report(folder: Path) -> HarnessReport | None:
    """The answer of a finished child, or None where it left none that can be read."""
    path = folder / REPORT
    if path.is_symlink() or not path.is_file():  # a pipe in its place would hang whoever reads it
        return None
    try:
        return HarnessReport.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
