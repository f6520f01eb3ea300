"""Makes the videos of a run: all topics are planned first, then drawn pair by pair, through the code of `t2v pair`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.engines.base import Engine
from t2v_studio.errors import BusyError, CancelledError, StudioError
from t2v_studio.planning.planner import Planned, Search, plan_topic
from t2v_studio.production import packs_files, records
from t2v_studio.production.packs import Pack, PackTopic
from t2v_studio.production.packs_progress import PackProgress, TopicLog
from t2v_studio.production.packs_run import PackRun, RunTopic, open_run, write_whole
from t2v_studio.production.pairs import (
    CONTROL,
    TREATED,
    PlannedPair,
    make_pair,
    plan_pair,
    read_pair,
    without_retrieval,
)
from t2v_studio.production.planned import planned_form, planned_from
from t2v_studio.production.produce import Report, nothing, produce
from t2v_studio.production.request import VideoRequest
from t2v_studio.production.settle import lesson, settled
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace, new_id

log = logging.getLogger(__name__)

Ask = Callable[[VideoRequest], Search]
"""Gives the search of a request's books."""
Engines = Callable[[str], Engine]


def run_pack(
    pack: Pack,
    *,
    workspace: Workspace,
    settings: Settings,
    ask: Ask,
    engines: Engines,
    engine: str = "",
    seed_offset: int = 0,
    strict: bool = False,
    overrides: dict[str, Any] | None = None,
    tag: str = "",
    resume: bool = True,
    root: Path | None = None,
    report: Report = nothing,
    preview: Callable[[str], None] = nothing,
    check_cancelled: Callable[[], None] = nothing,
) -> dict[str, Any]:
    """Plan and draw a pack in one process; the arguments are those of `open_run`, the result that of `draw_run`."""
    run = open_run(
        pack,
        workspace=workspace,
        engine=engine,
        seed_offset=seed_offset,
        strict=strict,
        overrides=overrides,
        tag=tag,
        resume=resume,
        root=root,
    )
    plan_run(run, settings=settings, ask=ask, report=report)
    return draw_run(
        run,
        workspace=workspace,
        settings=settings,
        engines=engines,
        report=report,
        preview=preview,
        check_cancelled=check_cancelled,
    )


def plan_run(run: PackRun, *, settings: Settings, ask: Ask, report: Report = nothing) -> None:
    """Plan every topic that has no plan yet, each in a file of the run's folder.

    A pair whose treated arm would not hold retrieved content is refused, any other failure of one topic is
    noted, and the rest goes on. Raises BusyError and CancelledError.
    """
    run.begin()
    todo = [(topic, state) for topic, state in run.topics() if state.status == "waiting"]
    for number, (topic, state) in enumerate(todo):
        report("planning", number, len(todo), topic.topic)
        with _Outcome(run, state):
            request = run.request(topic)
            plans = _plans(run.pack, request, settings, ask)
            forms = {name: planned_form(planned) for name, planned in plans.items()}
            write_whole(run.plan_file(topic.slug), json.dumps(forms, ensure_ascii=False) + "\n")
            state.status = "planned"
        run.save()


def draw_run(
    run: PackRun,
    *,
    workspace: Workspace,
    settings: Settings,
    engines: Engines,
    report: Report = nothing,
    preview: Callable[[str], None] = nothing,
    check_cancelled: Callable[[], None] = nothing,
) -> dict[str, Any]:
    """Draw every planned topic, and write its folder and the tables. What is there already is not drawn again.

    Returns `run_json`. A topic that fails is a row with its reason, and the rest goes on. Raises CancelledError;
    the run can go on then.
    """
    surroundings = {"workspace": workspace, "settings": settings, "preview": preview}
    surroundings["check_cancelled"] = check_cancelled
    progress = PackProgress(report, run, _frames(run, engines))
    try:
        for topic, state in run.topics():
            if state.status not in ("planned", "drawing"):
                continue
            with _Outcome(run, state), TopicLog(run, topic) as written:
                _reserve(run, state)
                reported = written.watch(progress.of(topic))
                _draw(run, topic, state, engines, reported, surroundings)
                packs_files.write_topic(run, topic, workspace)
                state.status = "ok"
            progress.finish(topic)
            run.save()
            packs_files.write_tables(run, workspace)
        run.state.state = "finished"
    except CancelledError:
        run.state.state = "cancelled"
        raise
    finally:
        if run.state.state != "running":
            run.moment("ended_at")
            run.save()
            packs_files.write_tables(run, workspace)
    return run_json(run, workspace)


def run_json(run: PackRun, workspace: Workspace, *, rows: bool = True) -> dict[str, Any]:
    """A run for lists, pages and `--json`: paths are absolute, `rows` as in summary.csv, `pair_ids` those that are whole."""
    state, number = run.state, packs_files.counts(run)
    made = [topic.pair_id for topic in state.topics if topic.status == "ok" and topic.pair_id]
    return {
        "run": run.id,
        "pack": run.pack.name,
        "title": run.pack.title,
        "tag": state.tag,
        "state": state.state,
        "engine": state.engine,
        "seed_offset": state.seed_offset,
        "strict": state.strict,
        "created_at": state.created_at,
        "ended_at": state.ended_at,
        "folder": str(run.folder),
        "summary": str(run.folder / packs_files.SUMMARY),
        "results": str(run.folder / packs_files.RESULTS),
        "ok": number["ok"] == number["topics"],
        "counts": number,
        "pair_ids": made,
    } | ({"rows": packs_files.rows(run, workspace)} if rows else {})


class _Outcome:
    """Turns what one topic raises into its status and reason, so that the pack goes on.

    A cancellation, a lock held elsewhere and the end of the process go through.
    """

    def __init__(self, run: PackRun, state: RunTopic) -> None:
        self._run, self._state = run, state

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        if isinstance(error, CancelledError | BusyError) or not isinstance(error, Exception):
            return False
        refused = isinstance(error, StudioError) and error.code == "pair_not_grounded"
        if refused:
            log.warning("%s: %s is refused: %s", self._run.id, self._state.slug, error)
        else:
            log.error("%s: %s could not be made", self._run.id, self._state.slug, exc_info=error)
        self._state.status = "refused" if refused else "failed"
        if isinstance(error, StudioError):
            self._state.reason = f"{error.message} {error.hint}".strip()
        else:
            self._state.reason = f"{type(error).__name__}: {error}"
        return True


def _plans(pack: Pack, request: VideoRequest, settings: Settings, ask: Ask) -> dict[str, Planned]:
    """Plans by variant. The treated one is always proven against its control, even where the control is not drawn."""
    if TREATED not in pack.variants:
        return {CONTROL: plan_topic(lesson(without_retrieval(request)), settings, None)}
    pair = plan_pair(request, settings, ask(request))
    both = {CONTROL: pair.no_rag, TREATED: pair.treated}
    return {variant: both[variant] for variant in pack.variants}


def _frames(run: PackRun, engines: Engines) -> dict[str, int]:
    """Frames of both arms of each topic that is still to be drawn, by slug."""
    found = {}
    for topic, state in run.topics():
        if state.status not in ("planned", "drawing"):
            continue
        request = run.request(topic)
        plans = _read_plans(run, topic)
        drawn = settled(request, next(iter(plans.values())).plan, engines(request.engine))[2]
        found[topic.slug] = sum(drawn.scene_frames) * len(plans)
    return found


def _read_plans(run: PackRun, topic: PackTopic) -> dict[str, Planned]:
    forms = json.loads(run.plan_file(topic.slug).read_text(encoding="utf-8"))
    return {variant: planned_from(form) for variant, form in forms.items()}


def _reserve(run: PackRun, state: RunTopic) -> None:
    """Choose the ids before drawing and keep them: after a kill they tell what is there."""
    if not state.videos:
        state.pair_id = new_id("pair") if run.pack.is_pair else ""
        state.videos = {variant: new_id("vid") for variant in run.pack.variants}
    state.status = "drawing"
    run.save()


def _draw(
    run: PackRun, topic: PackTopic, state: RunTopic, engines: Engines, report: Report, surroundings: dict[str, Any]
) -> None:
    """Draw what is not there yet under the reserved ids."""
    workspace: Workspace = surroundings["workspace"]
    request, plans = run.request(topic), _read_plans(run, topic)
    drawing = {"engine": engines(request.engine), "local": lambda: engines("local"), "report": report, **surroundings}
    if run.pack.is_pair:
        if workspace.pair(state.pair_id).is_dir():
            read_pair(workspace, state.pair_id)
            return
        pair = PlannedPair(plans[CONTROL], plans[TREATED])
        ids = (state.videos[CONTROL], state.videos[TREATED])
        make_pair(request, pair, pair_id=state.pair_id, video_ids=ids, show_sources=request.show_sources, **drawing)
        return
    variant = run.pack.variants[0]
    video_id = state.videos[variant]
    if workspace.video(video_id).is_dir():
        records.store_row(workspace, records.read_record(workspace.video(video_id) / records.RECORD))
        return
    if variant == CONTROL:
        produce(without_retrieval(request), plans[variant], arm="no_rag", video_id=video_id, **drawing)
    else:
        arm: Any = "rag_overlay" if request.rag_mode == "overlay" else "rag_semantic"
        produce(request, plans[variant], arm=arm, video_id=video_id, **drawing)
