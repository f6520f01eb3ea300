"""One topic made twice, alike in all but retrieval."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from t2v_studio.engines.base import Engine
from t2v_studio.errors import InputError, NotFoundError, StudioError
from t2v_studio.planning.grounding import report as grounding_report
from t2v_studio.planning.grounding import require_grounded
from t2v_studio.planning.planner import Planned, Search, plan_topic
from t2v_studio.planning.timing import pair_timing
from t2v_studio.production import records
from t2v_studio.production.output import check_output, copy_out
from t2v_studio.production.pair_arms import PairArms
from t2v_studio.production.produce import Report, nothing
from t2v_studio.production.record import Arm, VideoRecord
from t2v_studio.production.request import VideoRequest
from t2v_studio.production.settle import lesson, seeded, settled
from t2v_studio.production.writing import write_pair
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace, new_id

PAIR, GROUNDING = "pair.json", "grounding.json"
CONTROL, TREATED = "no_rag", "rag_semantic"
"""Keys of the two arms in results; `rag_semantic` is the treated arm in overlay mode too (its record says which)."""

BLIND = "The source footer is off in both videos, so that a study of them stays blind."

MAY_DIFFER = frozenset(
    [
        "id",
        "arm",
        "created_at",
        "evidence",
        "grounding",
        "measures",
        "notices",
        "timings_s",
        "verdict",
        "video_sha256",
        "frames_sha256",
        "request.use_rag",
        "request.rag_mode",
        "request.rag_query",
        "request.rag_top_k",
        "request.book_ids",
        "plan.sources",
        "plan.retrieval",
        "plan.scenes.query",
        "plan.scenes.prompt",
        "plan.scenes.steps.say",
        "plan.scenes.steps.show",
        "plan.scenes.steps.cites",
        "plan.scenes.written.mended",
        "plan.scenes.written.prompt_before",
        "plan.scenes.written.reason",
        "scenes.verdict",
        "scenes.measures",
        "scenes.retries",
        "scenes.details.adapter.seconds",
        "scenes.details.forwards",
        "scenes.details.latents_sha256",
        "scenes.details.limit",
        "scenes.details.memory",
        "scenes.details.prompt",
        "scenes.details.raw_verdict",
        "scenes.details.timings_s",
        "scenes.details.tokens",
    ]
)
"""Fields of a record, list positions left out, in which the arms of a pair may differ: retrieval and
what follows from it. Retries are outcomes; what they changed (`scenes.settings`) is the same in both arms, and so is
all else that decides pixels (`scenes.details.numerics`, `.sampling`, `.adapter`)."""


@dataclass
class PlannedPair:
    """Both plans, with one timing; `treated.grounding` proves that retrieval reached the treated one."""

    no_rag: Planned
    treated: Planned


def plan_pair(request: VideoRequest, settings: Settings, search: Search) -> PlannedPair:
    """Plan both arms. Raises StudioError pair_not_grounded, with the report, where they would not differ in retrieval."""
    if request.plan is not None:
        raise InputError("pair_with_plan", "plan: a pair plans both of its arms itself.", "Leave --plan out.")
    request = seeded(request)
    treated = plan_topic(lesson(request.model_copy(update={"use_rag": True})), settings, search)
    control = plan_topic(lesson(without_retrieval(request)), settings, None, treated.drafted)
    control.plan, treated.plan = pair_timing(control.plan, treated.plan)
    pair = PlannedPair(control, treated)
    _ground(pair)
    return pair


def make_pair(
    request: VideoRequest,
    planned: PlannedPair,
    *,
    workspace: Workspace,
    settings: Settings,
    engine: Engine,
    report: Report = nothing,
    preview: Callable[[str], None] = nothing,
    check_cancelled: Callable[[], None] = nothing,
    output: Path | None = None,
    show_sources: bool = False,
    local: Callable[[], Engine] | None = None,
    pair_id: str = "",
    video_ids: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    """Make both videos and outputs/pairs/<id>/; returns `pair_json`.

    Nothing is drawn unless the treated plan is grounded, in what the model's tokenizer reads, too, where the engine
    has one. What a retry or a fallback changed in a scene of one arm holds for both: the other is drawn again with it. show_sources: the source footer, in both arms
    or in none. output: a folder that gets copies of both videos. pair_id, video_ids (control, treated): ids
    for a caller that goes on after a kill; a video that is there already under its id is not drawn again.
    Raises StudioError pair_not_grounded, or pair_differs where the records differ in more than retrieval; no arm is kept then.
    """
    _ground(planned)
    if output is not None:
        _check_folder(output)
    seed = planned.treated.plan.seed if request.seed is None else request.seed
    request = request.model_copy(update={"seed": seed, "use_rag": True, "show_sources": show_sources, "plan": None})
    treated, control = write_pair(
        request, planned.treated, planned.no_rag, engine, settings=settings, workspace=workspace, report=report
    )
    planned = PlannedPair(control, treated)
    grounding = _ground(planned)
    request, read = read_by_the_model(request, planned, engine, settings)
    grounding |= {"tokens": read} if read else {}
    pair_id = pair_id or new_id("pair")
    drawing = {
        "workspace": workspace,
        "settings": settings,
        "engine": engine,
        "preview": preview,
        "check_cancelled": check_cancelled,
        "local": local,
    }
    arms = PairArms(_arms(request, planned), pair_id, video_ids, report, drawing)
    try:
        made = arms.alike()
        require_alike(*made)
        _write(workspace, pair_id, made, grounding, [*([] if show_sources else [BLIND]), *arms.notices])
    except BaseException:
        arms.discard()
        raise
    result = pair_json(workspace, pair_id)
    if output is not None:
        result["notices"] += _copy(workspace, result, made, output)
    return result


def _arms(request: VideoRequest, planned: PlannedPair) -> list[tuple[VideoRequest, Planned, Arm]]:
    treated: Arm = "rag_overlay" if request.rag_mode == "overlay" else "rag_semantic"
    return [(without_retrieval(request), planned.no_rag, "no_rag"), (request, planned.treated, treated)]


def diff_records(left: VideoRecord, right: VideoRecord) -> list[str]:
    """Where two records differ outside MAY_DIFFER, such as "scenes.1.frames: 90 and 96"; empty for a valid pair."""
    return _differences(left.model_dump(mode="json"), right.model_dump(mode="json"), ())


def require_alike(left: VideoRecord, right: VideoRecord) -> None:
    """Raises StudioError pair_differs, with the list, unless two records differ in retrieval alone."""
    found = diff_records(left, right)
    if found:
        raise StudioError(
            "pair_differs",
            f"The two videos differ in more than retrieval ({'; '.join(found[:4])}).",
            "Make the pair again; where scenes of diffusion stay bad in one arm only, use --engine local.",
            differences=found,
        )


def pair_json(workspace: Workspace, pair_id: str) -> dict[str, Any]:
    """What `pair --json` prints: id, no_rag, rag_semantic (each as `generate`), grounding, notices."""
    pair = read_pair(workspace, pair_id)
    arms = {key: records.video_json(pair[key], workspace.video(pair[key].id)) for key in (CONTROL, TREATED)}
    return {"id": pair_id, **arms, "grounding": pair["grounding"], "notices": list(pair["notices"])}


def read_pair(workspace: Workspace, pair_id: str) -> dict[str, Any]:
    """id, topic, created_at, both VideoRecords (no_rag, rag_semantic), grounding, notices. Raises NotFoundError."""
    folder = workspace.pair(pair_id)
    try:
        pair = json.loads((folder / PAIR).read_text(encoding="utf-8"))
        grounding = json.loads((folder / GROUNDING).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotFoundError("unknown_pair", f"There is no pair {pair_id!r}.", "Copy the id from a list.") from error
    arms = {key: records.read_record(workspace.video(pair["arms"][key]) / records.RECORD) for key in (CONTROL, TREATED)}
    kept = {name: pair[name] for name in ("id", "topic", "created_at", "notices")}
    return {**kept, **arms, "grounding": grounding}


def pair_rows(workspace: Workspace, limit: int = 60) -> list[dict[str, Any]]:
    """Rows, newest first: id, topic, created_at, no_rag, rag_semantic (video ids)."""
    rows = []
    for path in workspace.pairs.glob(f"pair_*/{PAIR}"):
        pair = json.loads(path.read_text(encoding="utf-8"))
        rows.append({name: pair[name] for name in ("id", "topic", "created_at")} | pair["arms"])
    return sorted(rows, key=lambda row: (row["created_at"], row["id"]), reverse=True)[:limit]


def delete_pair(workspace: Workspace, pair_id: str) -> None:
    """Remove a pair and both of its videos. Raises NotFoundError."""
    folder = workspace.pair(pair_id)
    try:
        arms = json.loads((folder / PAIR).read_text(encoding="utf-8"))["arms"]
    except (OSError, ValueError) as error:
        raise NotFoundError("unknown_pair", f"There is no pair {pair_id!r}.", "Copy the id from a list.") from error
    shutil.rmtree(folder)
    for video_id in arms.values():
        records.discard(workspace, video_id)


def without_retrieval(request: VideoRequest) -> VideoRequest:
    """The control's request: rag_mode and book_ids go back to their defaults with the rest."""
    off = {name: VideoRequest.model_fields[name].get_default(call_default_factory=True) for name in _RETRIEVAL}
    return request.model_copy(update=off)


_RETRIEVAL = ("use_rag", "rag_mode", "rag_query", "rag_top_k", "book_ids")


def read_by_the_model(
    request: VideoRequest, planned: PlannedPair, engine: Engine, settings: Settings
) -> tuple[VideoRequest, dict[str, Any]]:
    """For engines that have a tokenizer: which retrieved words the model reads in the treated arm alone, and the request
    with as much room for evidence, in both arms and each scene, as that scene's needs.

    Raises StudioError pair_not_grounded where it reads none. An engine that cannot run here is not asked.
    """
    prompts = getattr(engine, "final_prompts", None)
    if prompts is None or not engine.availability(request.diffusion()).ok:
        return request, {}
    from t2v_studio.engines.diffusion.prompt_grounding import read_words, require_read
    from t2v_studio.engines.diffusion.prompts import common_room

    treated = planned.treated
    _, plan, canvas, _ = settled(request, treated.plan, engine, settings)
    assert canvas.options is not None
    room = common_room(prompts(plan, canvas), canvas.options)
    if room is not None:
        request = request.model_copy(update={"evidence_room": room})
        _, plan, canvas, _ = settled(request, treated.plan, engine, settings)
    found = read_words(prompts(plan, canvas), prompts(planned.no_rag.plan, canvas), treated.plan, treated.evidence)
    require_read(found)
    return request, found


def _ground(planned: PlannedPair) -> dict[str, Any]:
    """The grounding of the treated plan against its control, as it will be drawn."""
    found = grounding_report(planned.treated.plan, planned.no_rag.plan, planned.treated.evidence)
    require_grounded(found)
    planned.treated.grounding = found
    return found


def _differences(left: Any, right: Any, where: tuple[str, ...]) -> list[str]:
    if ".".join(part for part in where if not part.isdigit()) in MAY_DIFFER or left == right:
        return []
    if isinstance(left, dict) and isinstance(right, dict):
        names = dict.fromkeys([*left, *right])
        return [found for name in names for found in _differences(left.get(name), right.get(name), (*where, name))]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return [found for n, (a, b) in pairs for found in _differences(a, b, (*where, str(n)))]
    return [f"{'.'.join(where)}: {_brief(left)} and {_brief(right)}"]


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _write(
    workspace: Workspace, pair_id: str, made: list[VideoRecord], grounding: dict[str, Any], notices: list[str]
) -> None:
    control, treated = made
    pair = {
        "schema_version": 1,
        "id": pair_id,
        "topic": control.plan.topic,
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "arms": {CONTROL: control.id, TREATED: treated.id},
        "treated_arm": treated.arm,
        "folders": {key: f"../../videos/{record.id}" for key, record in zip((CONTROL, TREATED), made, strict=True)},
        "notices": notices,
    }
    part = workspace.pairs / f"{records.UNFINISHED}{pair_id}"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, data in ((PAIR, pair), (GROUNDING, grounding)):
            (part / name).write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        part.rename(workspace.pair(pair_id))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_folder(output: Path) -> None:
    """Refuse a place for copies before anything is drawn. Raises InputError."""
    if output.exists() and not output.is_dir():
        raise InputError("output_not_folder", f"--output: {output} is a file.", "A pair needs a folder.")
    if output.is_dir():
        for key in (CONTROL, TREATED):
            check_output(output / f"{key}.mp4")
    elif not output.parent.is_dir() or not os.access(output.parent, os.W_OK | os.X_OK):
        raise InputError(
            "output_no_folder",
            f"--output: {output} cannot be made in {output.parent}.",
            "Name a folder that exists, or one in a folder that you may write to.",
        )


def _copy(workspace: Workspace, result: dict[str, Any], made: list[VideoRecord], output: Path) -> list[str]:
    output.mkdir(exist_ok=True)
    notices = []
    for key, record in zip((CONTROL, TREATED), made, strict=True):
        notices += copy_out(record, workspace.video(record.id), output / f"{key}.mp4")
    shutil.copyfile(workspace.pair(result["id"]) / GROUNDING, output / GROUNDING)
    return notices
