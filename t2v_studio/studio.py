"""The one facade that the interfaces call: the same verbs for the page and the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import InputError, LimitError, NotFoundError, UnavailableError
from t2v_studio.jobs.adapter_shelf import AdapterShelf
from t2v_studio.jobs.diffusion_desk import DiffusionDesk
from t2v_studio.jobs.executors import Executor, InlineExecutor
from t2v_studio.jobs.handlers import HANDLERS, LOADERS
from t2v_studio.jobs.manifest_desk import ManifestDesk
from t2v_studio.jobs.manim_desk import ManimDesk
from t2v_studio.jobs.model import Job, Lane
from t2v_studio.jobs.model_shelf import ModelShelf
from t2v_studio.jobs.pack_shelf import PackShelf
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import BREAKER_DEATHS, Roster
from t2v_studio.jobs.running import raise_error
from t2v_studio.jobs.supervisor import LANES, Supervisor, read_tail, reconcile, supervised
from t2v_studio.jobs.text_desk import TextDesk
from t2v_studio.jobs.worker import QUICK_KINDS
from t2v_studio.library.admission import check_words, checked_book
from t2v_studio.library.passages import Passage, SearchResult
from t2v_studio.planning.plan import Scene, ScenePlan
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings, load_settings
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    from t2v_studio.jobs.study_shelf import StudyShelf
    from t2v_studio.jobs.training_desk import TrainingDesk
    from t2v_studio.production.record import VideoRecord

OnProgress = Callable[[Job], None]
QUERIES_MAX = 10_000


class Studio:
    """One workspace and its queue.

    `submit_*` return a queued Job at once; `wait` follows it to its end and raises its error as a
    StudioError. With a running web app the job goes to its workers; without one, `wait` does the
    work in this process.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self.workspace = Workspace.at(self.settings.home)
        self._queue = Queue(self.workspace)
        self._roster = Roster(self._queue)
        self._inline = InlineExecutor(self.settings, self.workspace, HANDLERS, LOADERS)
        self._executor: Executor | None = None
        self.packs = PackShelf(self.settings, self.workspace, self._submit, lambda: self.jobs(active=True))
        self.manifests = ManifestDesk(self.settings, self.workspace, self._submit, lambda: self.jobs(active=True))
        self.text_sets = TextDesk(self.settings)
        self.diffusion = DiffusionDesk(self.settings, self.workspace)
        self.manim = ManimDesk(self.settings, self.workspace, self._submit)
        self.models = ModelShelf(self.settings, self.workspace, self._submit, self.jobs)
        self.adapters = AdapterShelf(self.settings, self.workspace, lambda: self.jobs(active=True, limit=200))

    # Imported when they are first used: together a fifth of the time that this module would take to import.
    @cached_property
    def studies(self) -> StudyShelf:
        from t2v_studio.jobs.study_shelf import StudyShelf

        return StudyShelf(self.settings, self.workspace, self._submit, lambda: self.jobs(active=True))

    @cached_property
    def training(self) -> TrainingDesk:
        from t2v_studio.jobs.training_desk import TrainingDesk

        return TrainingDesk(self.settings, self.workspace, self._submit, lambda: self.jobs(active=True, limit=200))

    # --- library -----------------------------------------------------------------------------
    def submit_book(
        self,
        path: Path,
        *,
        title: str = "",
        password: str = "",
        min_words: int | None = None,
        max_words: int | None = None,
        save_rejected: bool = True,
    ) -> Job:
        """Queue the ingest of a PDF, text or Markdown file. Result: book, title, pages, kept, rejected."""
        book = checked_book(path, self.settings.upload_max_mb)
        low = self.settings.min_words if min_words is None else min_words
        high = self.settings.max_words if max_words is None else max_words
        check_words(low, high)
        spec = {
            "path": str(book),
            "title": title.strip()[:300],
            "password": password,
            "min_words": min_words,
            "max_words": max_words,
            "save_rejected": save_rejected,
        }
        return self._submit("ingest", "library", spec, f"Add {book.name}")

    def books(self) -> list[dict[str, Any]]:
        """Rows: book, title, file_name, pages, kept, rejected, words, added_at."""
        from t2v_studio.library import store

        return [book.as_row() for book in store.books(self.workspace)]

    def book(self, book_id: str) -> dict[str, Any]:
        """One row of `books()` with reasons (counts of the rejected), sections, notices, and retrieval figures if measured."""
        from t2v_studio.library import store

        book = store.book(self.workspace, book_id)
        return book.as_row() | {
            "reasons": store.reasons(self.workspace, book_id),
            "sections": store.sections(self.workspace, book_id),
            "notices": book.details.get("notices", []),
            "retrieval": book.details.get("retrieval"),
        }

    def passages(
        self,
        book_id: str,
        *,
        state: str = "kept",
        reason: str = "",
        page: int | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> list[Passage]:
        """Passages in the order of the book; `reason` narrows the rejected ones, `page` to those that touch it."""
        from t2v_studio.library import store

        store.book(self.workspace, book_id)
        return store.passages(
            self.workspace, book_id, state=state, reason=reason, page=page, offset=offset, limit=limit
        )

    def page_picture(self, book_id: str, page: int, *, password: str = "") -> Path:
        """A PNG of a page, rendered once and cached. Raises NotFoundError where the book is not a PDF."""
        from t2v_studio.library import store
        from t2v_studio.library.pdf import page_picture

        pages = store.book(self.workspace, book_id).pages
        return page_picture(self.workspace, self.settings, book_id, page, pages=pages, password=password)

    def submit_search(self, queries: list[str], *, k: int = 10, book_ids: list[str] | None = None) -> Job:
        """Result: results[], one SearchResult (as JSON) a query."""
        asked = [query.strip() for query in queries]
        if not asked or not all(asked):
            raise InputError("empty_query", "query: there is nothing to look for.", "Type a few words.")
        if len(asked) > QUERIES_MAX:
            raise InputError(
                "too_many_queries",
                f"queries: {len(asked)} at once; at most {QUERIES_MAX} are taken.",
                "Split the file.",
            )
        if not 1 <= k <= 500:
            raise InputError("bad_k", f"k: {k} hits.", "Ask for 1 to 500 hits.")
        title = f'Search "{asked[0][:80]}"' if len(asked) == 1 else f"Search {len(asked)} queries"
        return self._submit("search", "library", {"queries": asked, "k": k, "book_ids": book_ids or []}, title)

    def search(self, query: str, *, k: int = 10, book_ids: list[str] | None = None) -> SearchResult:
        """`submit_search` for one query, waited for."""
        job = self.wait(self.submit_search([query], k=k, book_ids=book_ids).id)
        return SearchResult.model_validate(job.result["results"][0])

    def submit_evaluation(self, book_id: str) -> Job:
        """Measure search on the book's own index and outline. Result: as of `library.evaluate`."""
        return self._submit(
            "evaluate", "library", {"book": book_id}, f"Measure search in {self.book(book_id)['title']}"
        )

    def submit_removal(self, book_id: str) -> Job:
        """Erase a book. Result: book, title."""
        return self._submit("remove", "library", {"book": book_id}, f"Remove {self.book(book_id)['title']}")

    def export_book(self, book_id: str, folder: Path) -> list[Path]:
        """Writes book_chunks.jsonl and book_chunks.rejected.jsonl."""
        from t2v_studio.library.export import export_book

        return export_book(self.workspace, book_id, Path(folder).expanduser())

    # --- planning and production -------------------------------------------------------------
    def templates(self) -> list[dict[str, Any]]:
        """Rows: name, title, topic, audience, objective, scenes (how many)."""
        from t2v_studio.planning.templates import load_templates

        return [
            {
                "name": template.name,
                "title": template.title,
                "topic": template.topic,
                "audience": template.audience,
                "objective": template.objective,
                "scenes": len(template.scenes),
            }
            for template in load_templates().values()
        ]

    def submit_plan(self, request: VideoRequest) -> Job:
        """Result: plan, evidence (scene id to list), grounding, notices."""
        return self._submit("plan", "library", {"request": request.model_dump(mode="json")}, request.topic)

    def submit_video(self, request: VideoRequest, *, output: Path | None = None) -> Job:
        """Result: id, video, record, frames, fps, duration_s, verdict, notices."""
        _check_engine(request, self.settings, self.workspace)
        if output is not None:
            from t2v_studio.production.output import check_output

            check_output(Path(output).expanduser())
        spec = {"request": request.model_dump(mode="json"), "output": _checked_output(output)}
        return self._submit("video", "library" if request.use_rag else "studio", spec, request.topic)

    def submit_pair(self, request: VideoRequest, *, output: Path | None = None) -> Job:
        """Result: id, no_rag, rag_semantic (each as of a video), grounding."""
        _check_engine(request, self.settings, self.workspace)
        spec = {"request": request.model_dump(mode="json"), "output": _checked_output(output)}
        return self._submit("pair", "library", spec, f"Pair: {request.topic}")

    def submit_again(self, record: VideoRecord, *, output: Path | None = None) -> Job:
        """The video of a record once more: same plan, evidence and frames. Result: as of `submit_video`."""
        _check_recorded(record, self.settings, self.workspace)
        spec = {"record": record.model_dump(mode="json"), "output": _checked_output(output)}
        return self._submit("again", "studio", spec, record.plan.topic)

    def submit_redraw(
        self,
        video_id: str,
        scene: int,
        *,
        edited: Scene | None = None,
        seed: int | None = None,
        code: str | None = None,
        output: Path | None = None,
    ) -> Job:
        """Scene `scene` (from 1) of a video drawn again, the others taken over. Result: as of `submit_video`."""
        from t2v_studio.production.redraw import checked

        record = self.video(video_id)
        checked(record, scene, edited=edited, seed=seed, code=code)
        _check_recorded(record, self.settings, self.workspace)
        spec = {
            "video": record.id,
            "scene": scene,
            "edited": edited.model_dump(mode="json") if edited else None,
            "seed": seed,
            "code": code,
            "output": _checked_output(output),
        }
        return self._submit("redraw", "studio", spec, f"Scene {scene} of: {record.plan.topic}")

    def videos(self, *, limit: int = 60) -> list[dict[str, Any]]:
        """Rows, newest first: id, title, topic, engine, arm, pair_id, duration_s, verdict, created_at, poster, video."""
        from t2v_studio.production.records import video_rows

        return video_rows(self.workspace, limit)

    def video(self, video_id: str) -> VideoRecord:
        from t2v_studio.production.records import read_record

        return read_record(self.video_folder(video_id) / "record.json")

    def record_at(self, path: Path) -> VideoRecord:
        """The record in a record.json, or in the comment tag of a video of the studio."""
        from t2v_studio.production.records import read_any

        return read_any(Path(path).expanduser())

    def video_folder(self, video_id: str) -> Path:
        """Raises NotFoundError."""
        folder = self.workspace.video(video_id)
        if not folder.is_dir():
            raise NotFoundError("unknown_video", f"There is no video {video_id!r}.", "List them with: t2v videos list")
        return folder

    def pair(self, pair_id: str) -> dict[str, Any]:
        """Both records and the grounding report: no_rag, rag_semantic, grounding."""
        from t2v_studio.production.pairs import read_pair

        return read_pair(self.workspace, pair_id)

    def figure(self, plan: ScenePlan, scene: int, at: float, output: Path, **canvas: Any) -> Path:
        """One frame of a plan as SVG, PDF or PNG, by the suffix of `output`. scene counts from 1; at is 0 to 1."""
        from t2v_studio.production.figures import write_figure

        return write_figure(plan, scene, at, Path(output).expanduser(), **canvas)

    def engines(self) -> list[dict[str, Any]]:
        """Rows: name, ok, message, hint."""
        from t2v_studio.engines.registry import engine_rows

        return engine_rows(self.settings, self.workspace)

    # --- jobs --------------------------------------------------------------------------------
    def jobs(self, *, active: bool = False, limit: int = 50) -> list[Job]:
        """Newest first; searches are left out."""
        self._bury_the_dead()
        return self._queue.jobs(active=active, limit=limit, without=QUICK_KINDS)

    def job(self, job_id: str) -> Job:
        job = self._queue.get(job_id)
        if job.state in ("starting", "running"):
            self._bury_the_dead()
            job = self._queue.get(job_id)
        return job

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; a waiting one ends at once. An ended job stays as it is."""
        return self._queue.request_cancel(job_id)

    def log(self, job_id: str, lines: int = 200) -> str:
        """The last lines of a job's log; empty where it has written nothing."""
        return "\n".join(read_tail(self.workspace.job_log(self._queue.get(job_id).id), lines))

    def wait(self, job_id: str, on_progress: OnProgress | None = None, timeout_s: float | None = None) -> Job:
        """Follow a job to its end, or do it here where nobody else would.

        Raises the job's error; LimitError after `timeout_s` (the job goes on); BusyError where another
        process holds the library; UnavailableError where the workers of its lane keep dying.
        """
        until = time.monotonic() + timeout_s if timeout_s is not None else float("inf")
        version, looked_at, poll_s = -1, 0.0, 0.004
        while True:
            seen, now = self._queue.data_version(), time.monotonic()
            if seen != version or now - looked_at > 0.5:
                version, looked_at = seen, now
                job = self.job(job_id)
                if job.ended:
                    raise_error(job)
                    return job
                if job.state == "queued" and not self._somebody_takes(job):
                    self._inline.run(job_id, on_progress)
                    version = -1
                    continue
                if on_progress is not None:
                    on_progress(job)
            if now > until:
                raise LimitError(
                    "wait_timeout",
                    f"The job did not end within {timeout_s:g} s.",
                    "It goes on. Look at it with: t2v jobs list",
                )
            time.sleep(poll_s)
            poll_s = min(poll_s * 1.1, 0.05)

    def _somebody_takes(self, job: Job) -> bool:
        """Whether an app or a worker on this workspace will take the job."""
        lane = next(lane for lane in LANES if lane == job.lane)
        if self._roster.paused(lane) and not self._roster.alive(lane):
            raise UnavailableError(
                "workers_failing",
                f"The workers of the {lane} lane ended {BREAKER_DEATHS} times within ten minutes, so no more are started.",
                f"Read {self.workspace.run / f'worker-{lane}.log'}, run t2v doctor, then restart the app.",
            )
        return supervised(self.workspace) or self._roster.alive(lane)

    def _bury_the_dead(self) -> None:
        """Mark jobs of dead processes as lost, where no supervisor does it."""
        if self._queue.held() and not supervised(self.workspace):
            reconcile(self._queue, self._roster)

    # --- the running app ---------------------------------------------------------------------
    def start(self) -> None:
        """Look after this workspace's queue (the web app calls this): adopt running workers, start new ones on demand."""
        if self._executor is None:
            if self.settings.executor == "inline":
                self._executor = self._inline
            else:
                self._executor = Supervisor(self.settings, self.workspace, early=self._early_lanes)
            self._executor.start()

    def _early_lanes(self) -> list[Lane]:
        """A library with books is opened ahead of the first search: loading the model takes seconds."""
        return ["library"] if self.books() else []

    def stop(self, *, workers: bool = False) -> None:
        """Leave the queue; workers and their jobs go on unless `workers` is true."""
        if self._executor is not None:
            self._executor.stop(workers=workers)
            self._executor = None

    def health(self) -> dict[str, Any]:
        """supervised: whether an app looks after the queue. workers: rows lane, pid, state, job.
        paused: lanes whose workers died so often that none is started, with a hint each."""
        rows = [row for row in self._roster.present() if row.identity.alive()]
        return {
            "supervised": supervised(self.workspace),
            "workers": [
                {"lane": row.lane, "pid": row.identity.pid, "state": row.state, "job": row.details.get("job", "")}
                for row in rows
            ],
            "paused": {
                lane: f"Its workers ended {BREAKER_DEATHS} times within ten minutes. Run t2v doctor, then resume."
                for lane in LANES
                if self._roster.paused(lane)
            },
        }

    def resume(self) -> None:
        """Start workers again after they died too often."""
        self._roster.forgive()
        if self._executor is not None:
            self._executor.wake()

    def doctor(self) -> list[dict[str, Any]]:
        """Rows: name, state (ok, missing, warning), found, cost (what its absence costs), hint."""
        from t2v_studio.doctor import examine

        return examine(self.settings, self.workspace)

    def _submit(self, kind: str, lane: Lane, spec: dict[str, Any], title: str = "") -> Job:
        job = self._queue.submit(kind, lane, spec, title=title)
        if self._executor is not None:
            self._executor.wake()
        return job


def _check_engine(request: VideoRequest, settings: Settings, workspace: Workspace) -> None:
    """Refuse an engine, model or adapter that is not there now, not after the planning. The local one always is."""
    if request.engine == "local":
        return
    from t2v_studio.engines.registry import engine

    diffusion = request.diffusion() if request.engine == "diffusion" else None
    state = engine(request.engine, settings, workspace).availability(diffusion)
    if not state.ok:
        raise UnavailableError("engine_unavailable", state.message, state.hint)


def _check_recorded(record: VideoRecord, settings: Settings, workspace: Workspace) -> None:
    """Refuse what cannot be drawn as a record has it, before it is queued."""
    from t2v_studio.production.likeness import require_same_adapter

    _check_engine(record.request, settings, workspace)
    require_same_adapter(record, workspace)


def _checked_output(output: Path | None) -> str:
    """An output path as it travels in the row: absolute, since a worker runs elsewhere."""
    return str(Path(output).expanduser().absolute()) if output is not None else ""
