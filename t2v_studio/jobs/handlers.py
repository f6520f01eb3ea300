"""What each kind of job does: thin calls into the rooms, with JSON in and JSON out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import StudioError
from t2v_studio.jobs.context import Loader, Residents
from t2v_studio.jobs.model import Context, Job, Next
from t2v_studio.jobs.model_job import convert, download
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.residents import Engines, Library
from t2v_studio.jobs.running import Handler
from t2v_studio.jobs.written_job import write_scenes
from t2v_studio.library.passages import SearchResult
from t2v_studio.production.planned import planned_form, planned_from
from t2v_studio.production.request import VideoRequest, parse_request

if TYPE_CHECKING:
    from t2v_studio.planning.planner import Planned


# --- library -----------------------------------------------------------------------------------
def ingest(context: Context, job: Job) -> dict[str, Any]:
    """Spec: path, title, password, min_words, max_words, save_rejected. Result: book, title, pages, kept, rejected."""
    from t2v_studio.library.ingest import add_book

    library: Library = context.resident("library")
    return add_book(
        Path(job.spec["path"]),
        workspace=context.workspace,
        settings=context.settings,
        index=library.index,
        embedder=library.embedder,
        report=context.report,
        **{name: job.spec[name] for name in ("title", "password", "min_words", "max_words", "save_rejected")},
    )


def remove(context: Context, job: Job) -> dict[str, Any]:
    """Spec: book. Result: book, title, erased."""
    from t2v_studio.library.ingest import remove_book

    library: Library = context.resident("library")
    Queue(context.workspace).forget_quotes(job.spec["book"])
    return remove_book(job.spec["book"], workspace=context.workspace, index=library.index, report=context.report)


def search(context: Context, job: Job) -> dict[str, Any]:
    """Spec: queries, k, book_ids. Result: results."""
    library: Library = context.resident("library")
    queries = job.spec["queries"]
    results = []
    for number, query in enumerate(queries):
        if len(queries) > 1:
            context.report("searching", number, len(queries))
        results.append(library.search(query, job.spec["k"], job.spec["book_ids"]).model_dump(mode="json"))
    return {"results": results}


def evaluate(context: Context, job: Job) -> dict[str, Any]:
    """Spec: book. Result: message, sets (a row a kind of question and search system), and the figures as measured.

    The figures are kept with the book.
    """
    from t2v_studio.library import store
    from t2v_studio.library.evaluate import evaluate_book

    library: Library = context.resident("library")
    found = evaluate_book(
        job.spec["book"],
        workspace=context.workspace,
        index=library.index,
        embedder=library.embedder,
        report=lambda done, total: context.report("asking", done, total),
    )
    sets = [row for kind, name in _QUESTIONS.items() for row in _figure_rows(name, found[kind])]
    lacking = [found[kind]["message"] for kind in _QUESTIONS if found[kind]["message"]]
    queries = sum(found[kind]["queries"] for kind in _QUESTIONS if found[kind]["available"])
    kept = {"queries": queries} | {row["name"]: row for row in sets}
    store.update_details(context.workspace, job.spec["book"], retrieval=kept if sets else None)
    return found | {"message": " ".join(lacking), "sets": sets}


_QUESTIONS = {"index_terms": "index terms", "outline": "headings"}


def _figure_rows(name: str, measured: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a search system: name, queries, recall_at_10, ndcg_at_10, mrr_at_10."""
    return [
        {
            "name": f"{name}, {system}",
            "queries": figures["queries"],
            **{f"{measure}_at_10": figures[f"{measure}@10"]["mean"] for measure in ("recall", "ndcg", "mrr")},
        }
        for system, figures in measured.get("figures", {}).items()
    ]


# --- planning ----------------------------------------------------------------------------------
def plan(context: Context, job: Job) -> dict[str, Any]:
    """Spec: request. Result: plan, evidence, grounding, notices, ahead (what drawing it will come to), prompts
    (each scene's as the model's tokenizer reads it, or with trimmed False all of it; diffusion only)."""
    from t2v_studio.production.settle import seeded

    request = seeded(parse_request(job.spec["request"]))
    context.report("planning")
    planned = _written(context, request, _planned(context, request))
    ahead, prompts = _ahead(context, request, planned)
    return {**planned_form(planned), "ahead": ahead, "prompts": prompts}


def _written(context: Context, request: VideoRequest, planned: Planned) -> Planned:
    """With the prompts of a prompt writer, where the request names one: they can be read and edited before drawing."""
    if request.engine != "diffusion" or not request.prompt_writer:
        return planned
    from t2v_studio.production.writing import write_prompts

    return write_prompts(  # type: ignore[no-any-return]
        request,
        planned,
        context.resident("engines")("diffusion"),
        settings=context.settings,
        workspace=context.workspace,
        report=context.report,
    )


def _ahead(context: Context, request: VideoRequest, planned: Planned) -> tuple[list[str], list[dict[str, Any]]]:
    """A plan can be made where it cannot be drawn: why it cannot is one of the sentences."""
    from t2v_studio.production.foresight import prompts_ahead

    try:
        return prompts_ahead(request, planned.plan, context.resident("engines")(request.engine), context.settings)
    except StudioError as error:
        return [f"{error.message} {error.hint}".strip()], []


def _planned(context: Context, request: VideoRequest) -> Planned:
    """The plan of a request that has its seed. Only retrieval opens the library."""
    from t2v_studio.planning.planner import Planned, plan_topic
    from t2v_studio.production.settle import lesson

    if request.plan is not None:
        return Planned(request.plan)
    return plan_topic(lesson(request), context.settings, _asking(context, request) if request.use_rag else None)


def _asking(context: Context, request: VideoRequest, *, quiet: bool = False) -> Callable[[str, int], SearchResult]:
    """The search of a request's books. quiet: for a caller that reports in its own words."""
    library: Library = context.resident("library")

    def ask(query: str, k: int) -> SearchResult:
        if not quiet:
            context.report("searching", message=query)
        return library.search(query, k, request.book_ids)

    return ask


# --- production --------------------------------------------------------------------------------
def video(context: Context, job: Job) -> dict[str, Any] | Next:
    """Spec: request, output. With retrieval it is planned in the lane of the library and drawn in that of the studio."""
    if job.carry:
        return _drawn(context, job, parse_request(job.carry["request"]), planned_from(job.carry["planned"]))
    from t2v_studio.production.settle import seeded

    request = seeded(parse_request(job.spec["request"]))
    context.report("planning")
    planned = _planned(context, request)
    if job.lane == "studio":
        return _drawn(context, job, request, planned)
    return Next("studio", {"request": request.model_dump(mode="json"), "planned": planned_form(planned)})


def again(context: Context, job: Job) -> dict[str, Any]:
    """Spec: record, output. The same frames as those of the record."""
    from t2v_studio.production import again as once_more
    from t2v_studio.production.records import parse_record, video_json

    engines: Engines = context.resident("engines")
    old = parse_record(job.spec["record"])
    record = once_more.again(
        old,
        engine=engines(old.request.engine),
        local=lambda: engines("local"),
        output=_output(job),
        **_surroundings(context),
    )
    return video_json(record, context.workspace.video(record.id))


def redraw(context: Context, job: Job) -> dict[str, Any]:
    """Spec: video, scene (from 1), edited (a plan's scene or null), seed, code, output. Result: as of a video."""
    from t2v_studio.planning.plan import Scene
    from t2v_studio.production import redraw as one_scene
    from t2v_studio.production.records import RECORD, read_record, video_json

    engines: Engines = context.resident("engines")
    folder = context.workspace.video(job.spec["video"])
    old = read_record(folder / RECORD)
    record = one_scene.redraw(
        old,
        job.spec["scene"],
        folder,
        engine=engines(old.request.engine),
        scene=Scene.model_validate(job.spec["edited"]) if job.spec["edited"] else None,
        seed=job.spec["seed"],
        code=job.spec["code"],
        local=lambda: engines("local"),
        output=_output(job),
        **_surroundings(context),
    )
    return video_json(record, context.workspace.video(record.id))


def pair(context: Context, job: Job) -> dict[str, Any] | Next:
    """Spec: request, output. Both arms are planned, and proven to differ in retrieval, before anything is drawn."""
    from t2v_studio.production.pairs import PlannedPair, make_pair, plan_pair
    from t2v_studio.production.settle import seeded

    if not job.carry:
        request = seeded(parse_request(job.spec["request"]))
        context.report("planning")
        planned = plan_pair(request, context.settings, _asking(context, request))
        arms = {"no_rag": planned_form(planned.no_rag), "treated": planned_form(planned.treated)}
        return Next("studio", {"request": request.model_dump(mode="json"), **arms})
    request = parse_request(job.carry["request"])
    engines: Engines = context.resident("engines")
    return make_pair(
        request,
        PlannedPair(planned_from(job.carry["no_rag"]), planned_from(job.carry["treated"])),
        engine=engines(request.engine),
        local=lambda: engines("local"),
        output=_output(job),
        **_surroundings(context),
    )


def pack(context: Context, job: Job) -> dict[str, Any] | Next:
    """Spec: folder of the run. All of its topics are planned in the lane of the library, then drawn in that of the studio."""
    from t2v_studio.production.packs_make import draw_run, plan_run
    from t2v_studio.production.packs_run import read_run

    run = read_run(Path(job.spec["folder"]))
    if not job.carry:
        plan_run(run, settings=context.settings, ask=partial(_asking, context, quiet=True), report=context.report)
        return Next("studio", {"planned": True})
    # asked for once: a training that waits for the end of this job has the card locked, and the next topic would be refused
    engines = cache(context.resident("engines"))
    return draw_run(run, engines=engines, **_surroundings(context))


def _drawn(context: Context, job: Job, request: VideoRequest, planned: Planned) -> dict[str, Any]:
    from t2v_studio.production.produce import produce
    from t2v_studio.production.records import video_json

    engines: Engines = context.resident("engines")
    record = produce(
        request,
        planned,
        engine=engines(request.engine),
        local=lambda: engines("local"),
        output=_output(job),
        **_surroundings(context),
    )
    return video_json(record, context.workspace.video(record.id))


def _surroundings(context: Context) -> dict[str, Any]:
    return {
        "workspace": context.workspace,
        "settings": context.settings,
        "report": context.report,
        "preview": context.preview,
        "check_cancelled": context.check_cancelled,
    }


def _output(job: Job) -> Path | None:
    return Path(job.spec["output"]) if job.spec.get("output") else None


# --- studies -----------------------------------------------------------------------------------
def report(context: Context, job: Job) -> dict[str, Any]:
    """Spec: study, folder. The clips are measured first; what was measured before is kept. Result: study, folder, files."""
    from t2v_studio.studies.desk import StudyDesk

    desk = StudyDesk(context.settings, context.workspace)
    files = desk.report(job.spec["study"], Path(job.spec["folder"]), context.report)
    return {**job.spec, "files": [str(file) for file in files]}


# --- manifests ---------------------------------------------------------------------------------
def archive(context: Context, job: Job) -> dict[str, Any]:
    """Spec: manifest, layout. Result: as of `ManifestDesk.archive`."""
    from t2v_studio.jobs.manifest_desk import ManifestDesk

    desk = ManifestDesk(context.settings, context.workspace)
    return desk.archive(job.spec["manifest"], job.spec["layout"], context.report)


# --- training ----------------------------------------------------------------------------------
def train(context: Context, job: Job) -> dict[str, Any]:
    """As of `training_job.train`."""
    from t2v_studio.jobs import training_job

    return training_job.train(context, job)


def check_adapter(context: Context, job: Job) -> dict[str, Any]:
    """As of `training_job.check`."""
    from t2v_studio.jobs import training_job

    return training_job.check(context, job)


HANDLERS: dict[str, Handler] = {
    "ingest": ingest,
    "remove": remove,
    "evaluate": evaluate,
    "search": search,
    "plan": plan,
    "video": video,
    "again": again,
    "redraw": redraw,
    "pair": pair,
    "pack": pack,
    "report": report,
    "archive": archive,
    "train": train,
    "check_adapter": check_adapter,
    "download": download,
    "convert_model": convert,
    "write_scenes": write_scenes,
}
LOADERS: dict[str, Loader] = {"library": Library, "engines": Engines}
PREPARE: dict[str, Callable[[Residents], object]] = {"library": lambda residents: residents("library").index}
"""Before a lane takes jobs."""
WARM: dict[str, Callable[[Residents], object]] = {"library": lambda residents: residents("library").warm()}
"""Once a lane has nothing to do."""
