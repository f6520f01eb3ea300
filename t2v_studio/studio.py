"""The one facade that the interfaces call: the same verbs for the page and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.jobs.model import Job
from t2v_studio.library.passages import Passage, SearchResult
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.production.record import VideoRecord
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings, load_settings
from t2v_studio.workspace import Workspace

OnProgress = Callable[[Job], None]


class Studio:
    """One workspace and its queue.

    `submit_*` return a queued Job at once; `wait` follows it to its end and raises its error as a
    StudioError. With a running web app the job goes to its workers; without one, `wait` does the
    work in this process.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self.workspace = Workspace.at(self.settings.home)

    # --- library -----------------------------------------------------------------------------
    def submit_book(self, path: Path, *, title: str = "", password: str = "", min_words: int | None = None,
                    max_words: int | None = None, save_rejected: bool = True) -> Job:
        """Queue the ingest of a PDF, text or Markdown file. Result: book, title, pages, kept, rejected."""
        raise NotImplementedError

    def books(self) -> list[dict[str, Any]]:
        """Rows: book, title, file_name, pages, kept, rejected, words, added_at."""
        raise NotImplementedError

    def book(self, book_id: str) -> dict[str, Any]:
        """One row of `books()` with counts by rejection reason, sections, and retrieval figures if measured."""
        raise NotImplementedError

    def passages(self, book_id: str, *, state: str = "kept", reason: str = "", offset: int = 0, limit: int = 100) -> list[Passage]:
        raise NotImplementedError

    def page_picture(self, book_id: str, page: int) -> Path:
        """A PNG of a page, rendered once and cached. Raises NotFoundError where the book is not a PDF."""
        raise NotImplementedError

    def submit_search(self, queries: list[str], *, k: int = 10, book_ids: list[str] | None = None) -> Job:
        """Result: results[], one SearchResult (as JSON) a query."""
        raise NotImplementedError

    def search(self, query: str, *, k: int = 10, book_ids: list[str] | None = None) -> SearchResult:
        """`submit_search` for one query, waited for."""
        raise NotImplementedError

    def submit_evaluation(self, book_id: str) -> Job:
        raise NotImplementedError

    def submit_removal(self, book_id: str) -> Job:
        raise NotImplementedError

    def export_book(self, book_id: str, folder: Path) -> list[Path]:
        """Writes book_chunks.jsonl and book_chunks.rejected.jsonl."""
        raise NotImplementedError

    # --- planning and production -------------------------------------------------------------
    def templates(self) -> list[dict[str, Any]]:
        """Rows: name, title, topic, audience, objective, scenes."""
        raise NotImplementedError

    def submit_plan(self, request: VideoRequest) -> Job:
        """Result: plan, evidence (scene id to list), grounding, notices."""
        raise NotImplementedError

    def submit_video(self, request: VideoRequest, *, output: Path | None = None) -> Job:
        """Result: id, video, record, frames, fps, duration_s, verdict, notices."""
        raise NotImplementedError

    def submit_pair(self, request: VideoRequest, *, output: Path | None = None) -> Job:
        """Result: id, no_rag, rag_semantic (each as of a video), grounding."""
        raise NotImplementedError

    def videos(self, *, limit: int = 60) -> list[dict[str, Any]]:
        """Rows, newest first: id, title, topic, engine, arm, pair_id, duration_s, verdict, created_at, poster, video."""
        raise NotImplementedError

    def video(self, video_id: str) -> VideoRecord:
        raise NotImplementedError

    def video_folder(self, video_id: str) -> Path:
        raise NotImplementedError

    def pair(self, pair_id: str) -> dict[str, Any]:
        """Both records and the grounding report: no_rag, rag_semantic, grounding."""
        raise NotImplementedError

    def figure(self, plan: ScenePlan, scene: int, at: float, output: Path, **canvas: Any) -> Path:
        """One frame of a plan as SVG, PDF or PNG, by the suffix of `output`. scene counts from 1; at is 0 to 1."""
        raise NotImplementedError

    def engines(self) -> list[dict[str, Any]]:
        """Rows: name, ok, message, hint."""
        raise NotImplementedError

    # --- jobs --------------------------------------------------------------------------------
    def jobs(self, *, active: bool = False, limit: int = 50) -> list[Job]:
        raise NotImplementedError

    def job(self, job_id: str) -> Job:
        raise NotImplementedError

    def cancel(self, job_id: str) -> Job:
        raise NotImplementedError

    def log(self, job_id: str, lines: int = 200) -> str:
        raise NotImplementedError

    def wait(self, job_id: str, on_progress: OnProgress | None = None, timeout_s: float | None = None) -> Job:
        raise NotImplementedError

    # --- the running app ---------------------------------------------------------------------
    def start(self) -> None:
        """Start the supervisor (in the web app's process); workers are started and adopted by it."""
        raise NotImplementedError

    def stop(self, *, workers: bool = False) -> None:
        raise NotImplementedError

    def doctor(self) -> list[dict[str, Any]]:
        """Rows: name, state (ok, missing, warning), found, cost (what its absence costs), hint."""
        raise NotImplementedError
