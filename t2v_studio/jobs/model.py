"""A job as the rest of the studio sees it: the row, its states, and what a handler gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

State = Literal["queued", "starting", "running", "succeeded", "failed", "cancelled", "lost"]
ENDED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "lost"})
Lane = Literal["library", "studio", "training", "files"]
"""library: the one owner of Chroma and the embedder. studio: keeps the engine resident. files: downloads of models."""


@dataclass(frozen=True)
class Job:
    """One row of the queue."""

    id: str
    kind: str
    lane: str
    title: str
    spec: dict[str, Any]
    carry: dict[str, Any]
    state: str
    stage: str
    step: int
    total: int
    message: str
    preview: str
    cancel_requested: bool
    worker: str
    heartbeat: str | None
    created_at: str
    started_at: str | None
    stage_started_at: str | None
    ended_at: str | None
    error: dict[str, Any] | None
    log_path: str
    result: dict[str, Any] = field(default_factory=dict)
    stage_ends_at: str | None = None
    """When the stage should end by its pace; None while that is not known."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Context(Protocol):
    """What a handler gets: where it works, how it reports, and whether it should stop."""

    settings: Settings
    workspace: Workspace
    job_id: str

    def report(self, stage: str, step: int = 0, total: int = 0, message: str = "") -> None:
        """Write progress to the row (at most four times a second); raises CancelledError."""
        ...

    def check_cancelled(self) -> None: ...

    def preview(self, path: str) -> None:
        """Name a picture in outputs/ that shows the work so far."""
        ...

    def resident(self, key: str) -> Any:
        """The process's long-lived objects: "library" (index and embedder) or "engines"."""
        ...


@dataclass(frozen=True)
class Next:
    """Returned by a handler whose job goes on in another lane; `carry` travels in the row."""

    lane: Lane
    carry: dict[str, Any]
