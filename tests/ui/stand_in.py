"""A studio in memory with the facade's signatures: jobs that move when they are looked at, no workers, no models."""

from __future__ import annotations

import itertools
import json
import socket
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from t2v_studio.errors import InputError, NotFoundError
from t2v_studio.jobs.adapter_shelf import AdapterShelf
from t2v_studio.jobs.diffusion_desk import DiffusionDesk
from t2v_studio.jobs.manifest_desk import ManifestDesk
from t2v_studio.jobs.model import Job
from t2v_studio.jobs.model_shelf import ModelShelf
from t2v_studio.jobs.pack_shelf import PackShelf
from t2v_studio.jobs.training_desk import TrainingDesk
from t2v_studio.library.passages import Evidence, Outcome, Passage, SearchResult
from t2v_studio.planning.plan import Scene, ScenePlan, Source, Step
from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.studies.desk import StudyDesk
from t2v_studio.workspace import Workspace, new_id

BOOK = "0123456789abcdef"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


STAMP = "2026-11-01T10:00:00+00:00"


def passage(
    ordinal: int, state: str = "kept", text: str = "Gradient descent follows the negative slope of the loss."
) -> Passage:
    return Passage(
        id=f"{BOOK}-{ordinal}", book_id=BOOK, ordinal=ordinal, page=ordinal + 1, page_last=ordinal + 1, label=str(ordinal + 1),
        label_last=str(ordinal + 1), section="Chapter 1 > Optimisation", text=text, words=len(text.split()), state=state,
        reason="" if state == "kept" else "index", content_hash="0" * 64,
    )  # fmt: skip


def plan(topic: str = "Gradient descent", cited: bool = True) -> ScenePlan:
    source = Source(
        id="s1", book_id=BOOK, book="A Book", page=2, page_last=2, label="2", section="Optimisation", passage_id=f"{BOOK}-1",
        quote="Gradient descent follows the negative slope of the loss.", score=0.61,
    )  # fmt: skip
    scenes = [
        Scene(
            id=f"scene{number}", title=f"Scene {number}", seconds=2.0,
            steps=[Step(say=f"Step {step} of scene {number} on {topic}.", show=f"step {step}", cites=["s1"] if cited and step == 1 else []) for step in (1, 2)],
        )
        for number in (1, 2)
    ]  # fmt: skip
    return ScenePlan(topic=topic, scenes=scenes, sources=[source] if cited else [])


class StandIn:
    """The facade's verbs over plain lists."""

    def __init__(self, settings: Settings, films: Path | None = None) -> None:
        self.settings = settings
        self.workspace = Workspace.at(settings.home)
        self.studies = StudyDesk(settings, self.workspace)
        self.manifests = ManifestDesk(settings, self.workspace)
        self.adapters = AdapterShelf(settings, self.workspace, lambda: [])
        self.diffusion = DiffusionDesk(settings, self.workspace)
        self.models = ModelShelf(settings, self.workspace, lambda *_, **__: None, lambda **_: [])
        self.training = TrainingDesk(settings, self.workspace, lambda *_, **__: None, lambda: [])
        self.rows: dict[str, Job] = {}
        self.records: dict[str, VideoRecord] = {}
        self.shelf: list[dict[str, Any]] = []
        self.asked: list[VideoRequest] = []
        self.films = films
        self.clock = itertools.count()
        self.slow = 0
        self.packs = PackShelf(settings, self.workspace, self._queue_pack, lambda: self.jobs(active=True))

    # the running app
    def start(self) -> None: ...

    def stop(self, *, workers: bool = False) -> None: ...

    def doctor(self) -> list[dict[str, Any]]:
        return []

    def health(self) -> dict[str, Any]:
        return {"supervised": True, "workers": [], "paused": {}}

    def engines(self) -> list[dict[str, Any]]:
        return [
            {"name": "local", "ok": True, "message": "", "hint": ""},
            {
                "name": "diffusion",
                "ok": False,
                "message": "diffusers is not installed.",
                "hint": "pip install diffusers",
            },
        ]

    # jobs
    def queue(
        self,
        kind: str,
        title: str,
        result: dict[str, Any],
        error: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
    ) -> Job:
        job = Job(
            id=new_id("job"), kind=kind, lane="library", title=title, spec=spec or {}, carry={"result": result, "error": error}, state="queued",
            stage="", step=0, total=self.slow or 2, message="", preview="", cancel_requested=False, worker="", heartbeat=None, created_at=STAMP,
            started_at=None, stage_started_at=None, ended_at=None, error=None, log_path="",
        )  # fmt: skip
        self.rows[job.id] = job
        return job

    def job(self, job_id: str) -> Job:
        if job_id not in self.rows:
            raise NotFoundError("unknown_job", f"There is no job {job_id!r}.", "Copy the id from the list.")
        job = self.rows[job_id]
        if job.ended:
            return job
        if job.cancel_requested:
            job = replace(job, state="cancelled", ended_at=_now())
        elif job.step < job.total:
            job = replace(
                job,
                state="running",
                stage="drawing",
                step=job.step + 1,
                stage_started_at=job.stage_started_at or _now(),
            )
        elif job.carry["error"]:
            job = replace(job, state="failed", error=job.carry["error"], ended_at=_now())
        else:
            job = replace(job, state="succeeded", result=job.carry["result"], ended_at=_now())
        self.rows[job_id] = job
        return job

    def _queue_pack(self, kind: str, lane: str, spec: dict[str, Any], title: str) -> Job:
        return self.queue(kind, title, self.packs.pack_run(spec["run"]), spec=spec)

    def jobs(self, *, active: bool = False, limit: int = 50) -> list[Job]:
        found = [self.job(name) for name in reversed(self.rows)]
        return [job for job in found if not (active and job.ended)][:limit]

    def cancel(self, job_id: str) -> Job:
        self.rows[job_id] = replace(self.job(job_id), cancel_requested=True)
        return self.rows[job_id]

    def log(self, job_id: str, lines: int = 200) -> str:
        self.job(job_id)
        return "first line\nsecond line"

    def wait(self, job_id: str, on_progress: Any = None, timeout_s: float | None = None) -> Job:
        while not (job := self.job(job_id)).ended:
            pass
        return job

    # library
    def submit_book(self, path: Path, *, title: str = "", **options: Any) -> Job:
        name = title or path.stem
        row = {
            "book": BOOK,
            "title": name,
            "file_name": path.name,
            "pages": 12,
            "kept": 3,
            "rejected": 1,
            "words": 400,
            "added_at": STAMP,
        }
        self.shelf[:] = [row]
        return self.queue("book", f"Add {name}", row)

    def books(self) -> list[dict[str, Any]]:
        return list(self.shelf)

    def book(self, book_id: str) -> dict[str, Any]:
        row = next((row for row in self.shelf if row["book"] == book_id), None)
        if row is None:
            raise NotFoundError("unknown_book", f"There is no book {book_id!r}.", "List them with: t2v library list")
        return {**row, "reasons": {"index": 1}, "sections": ["Chapter 1"], "retrieval": None}

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
        self.book(book_id)
        found = [passage(n) for n in range(3)] if state == "kept" else [passage(3, "rejected", "algorithm, 12, 14, 19")]
        return found[offset : offset + limit]

    def page_picture(self, book_id: str, page: int) -> Path:
        self.book(book_id)
        from PIL import Image

        path = self.workspace.cache / f"page{page}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 80), "white").save(path)
        return path

    def submit_search(self, queries: list[str], *, k: int = 10, book_ids: list[str] | None = None) -> Job:
        outcome = Outcome.found if self.shelf else Outcome.no_book
        hits = [Evidence(passage=passage(1), book="A Book", page=2, label="2", score=0.61)] if self.shelf else []
        results = [
            SearchResult(query=query, outcome=outcome, hits=hits, message="").model_dump(mode="json")
            for query in queries
        ]
        return self.queue("search", f"Search {queries[0]}", {"results": results})

    def submit_evaluation(self, book_id: str) -> Job:
        return self.queue("evaluate", "Measure", {"recall_at_10": 0.7, "ndcg_at_10": 0.6, "queries": 40})

    def submit_removal(self, book_id: str) -> Job:
        self.shelf.clear()
        return self.queue("remove", "Remove", {"removed": book_id})

    def export_book(self, book_id: str, folder: Path) -> list[Path]:
        self.book(book_id)
        paths = [folder / "book_chunks.jsonl", folder / "book_chunks.rejected.jsonl"]
        for path in paths:
            path.write_text(json.dumps({"book": book_id}), encoding="utf-8")
        return paths

    # planning and production
    def templates(self) -> list[dict[str, Any]]:
        return [
            {
                "name": "gradient_descent",
                "title": "Gradient descent",
                "topic": "Gradient descent",
                "audience": "students",
                "objective": "see why steps shrink",
                "scenes": 2,
            }
        ]

    def submit_plan(self, request: VideoRequest) -> Job:
        self.asked.append(request)
        made = plan(request.topic, cited=request.use_rag).model_dump(mode="json")
        return self.queue(
            "plan",
            f"Plan {request.topic}",
            {"plan": made, "evidence": {}, "grounding": None, "notices": []},
            spec=_spec(request),
        )

    def submit_video(self, request: VideoRequest, *, output: Path | None = None) -> Job:
        self.asked.append(request)
        if request.topic == "fail":
            return self.queue(
                "video",
                request.topic,
                {},
                {"code": "broken", "message": "The engine stopped.", "hint": "Try the local engine."},
            )
        record = self.film(request)
        return self.queue(
            "video",
            f"Video {request.topic}",
            {"id": record.id, "video": "video.mp4", "record": "record.json"},
            spec=_spec(request),
        )

    def submit_pair(self, request: VideoRequest, *, output: Path | None = None) -> Job:
        self.asked.append(request)
        if request.plan is not None:
            raise InputError("pair_needs_topic", "plan: a pair plans both arms itself.", "Leave the plan out.")
        pair_id = new_id("pair")
        arms = {arm: self.film(request, arm, pair_id) for arm in ("no_rag", "rag_semantic")}
        return self.queue(
            "pair",
            f"Pair {request.topic}",
            {"id": pair_id, **{arm: {"id": one.id} for arm, one in arms.items()}, "grounding": {}},
            spec=_spec(request),
        )

    def film(self, request: VideoRequest, arm: str = "", pair_id: str = "") -> VideoRecord:
        made = request.plan or plan(request.topic, cited=request.use_rag or arm == "rag_semantic")
        video_id = new_id("vid")
        folder = self.workspace.video(video_id)
        folder.mkdir(parents=True)
        for name in ("video.mp4", "video.srt", "video.vtt", "poster.png", "record.json"):
            (folder / name).write_bytes(
                (self.films / name).read_bytes() if self.films and (self.films / name).is_file() else b""
            )
        record = VideoRecord(
            id=video_id, arm=arm, pair_id=pair_id, created_at=STAMP, request=request.model_copy(update={"plan": None}), plan=made,
            scenes=[SceneRecord(id=scene.id, engine="local", seed=1, frames=10, start_s=0, duration_s=1) for scene in made.scenes],
            width=320, height=180, fps=10, frames=20, duration_s=2, verdict="ok", versions={}, timings_s={},
            files={"video": "video.mp4", "poster": "poster.png", "srt": "video.srt", "vtt": "video.vtt", "record": "record.json"},
            video_sha256="0" * 64, frames_sha256="0" * 64,
        )  # fmt: skip
        self.records[video_id] = record
        return record

    def videos(self, *, limit: int = 60) -> list[dict[str, Any]]:
        return [
            {"id": one.id, "title": one.plan.topic, "topic": one.plan.topic, "engine": "local", "arm": one.arm, "pair_id": one.pair_id,
             "duration_s": one.duration_s, "verdict": one.verdict, "created_at": one.created_at, "poster": "poster.png", "video": "video.mp4"}
            for one in reversed(self.records.values())
        ][:limit]  # fmt: skip

    def video(self, video_id: str) -> VideoRecord:
        if video_id not in self.records:
            raise NotFoundError("unknown_video", f"There is no video {video_id!r}.", "Choose one from the gallery.")
        return self.records[video_id]

    def video_folder(self, video_id: str) -> Path:
        self.video(video_id)
        return self.workspace.video(video_id)

    def pair(self, pair_id: str) -> dict[str, Any]:
        arms = {one.arm: one for one in self.records.values() if one.pair_id == pair_id}
        if not arms:
            raise NotFoundError("unknown_pair", f"There is no pair {pair_id!r}.", "Choose one from the gallery.")
        return {
            **arms,
            "grounding": {
                "scenes": [
                    {
                        "id": "scene1",
                        "title": "Scene 1",
                        "step_words": ["negative", "slope"],
                        "cites": ["s1"],
                        "grounded": True,
                    }
                ],
                "grounded": ["scene1"],
                "words": 2,
            },
        }

    def figure(self, plan: ScenePlan, scene: int, at: float, output: Path, **canvas: Any) -> Path:
        from PIL import Image

        if output.suffix == ".png":
            Image.new("RGB", (320, 180), "white").save(output)
        else:
            output.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
        return output


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _spec(request: VideoRequest) -> dict[str, Any]:
    return {"request": request.model_dump(mode="json")}


def job(kind: str, state: str, result: dict[str, Any] | None = None, **more: Any) -> Job:
    """A row as the queue gives it out."""
    empty = {field.name: None for field in fields(Job)} | {"carry": {}, "spec": {}, "step": 0, "total": 0}
    named = {"id": "job_1", "kind": kind, "lane": "files", "title": "Clips", "stage": "", "message": ""}
    return Job(**(empty | named | {"state": state, "result": result or {}} | more))  # type: ignore[arg-type]
