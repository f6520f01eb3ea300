"""The prompt writer at work: found by its name, loaded once, and asked for a plan or for both arms of a pair."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from t2v_studio.adapters.catalogue import catalogue
from t2v_studio.engines.base import Engine
from t2v_studio.errors import InputError, StudioError
from t2v_studio.planning.chat_model import ChatModel, Use, chat_model_folder
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.planner import Planned
from t2v_studio.production.request import VideoRequest
from t2v_studio.production.settle import settled
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

USE = Use(
    "prompt_writer",
    "writer",
    "Name a text adapter of `t2v adapters list`, a chat model of `t2v models chat`, or a folder.",
    most_tokens=400,
)
Report = Callable[..., None]


@dataclass(frozen=True)
class Found:
    """Where a writer lies. base: folder of the chat model; adapter: folder of the LoRA over it, with its hash."""

    base: Path
    adapter: Path | None = None
    adapter_sha256: str = ""

    def sha256(self) -> str:
        """Of the base's config and weights, and of the adapter's."""
        digest = hashlib.sha256(self.adapter_sha256.encode())
        for path in sorted([self.base / "config.json", *self.base.glob("*.safetensors")]):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
        return digest.hexdigest()


def find_writer(name: str, settings: Settings, workspace: Workspace) -> Found:
    """The writer of a name: an adapter of the catalogue by id or name, else a chat model. Raises InputError, UnavailableError."""
    cards = [card for card in catalogue(workspace) if name in (card.id, card.name)]
    if not cards:
        return Found(chat_model_folder(name, settings, USE))
    if len(cards) > 1:
        ids = ", ".join(card.id for card in cards)
        raise InputError(
            "which_adapter", f"prompt_writer: several adapters have the name {name}: {ids}.", "Give the id."
        )
    (card,) = cards
    if not card.is_text:
        raise InputError("no_text_adapter", f"prompt_writer: {card.name} is a LoRA of a video model.", USE.hint)
    return Found(chat_model_folder(card.base_model, settings, USE), workspace.adapter(card.id), card.sha256)


def write_prompts(
    request: VideoRequest,
    planned: Any,
    engine: Engine,
    *,
    settings: Settings,
    workspace: Workspace,
    report: Report = lambda *_: None,
) -> Any:
    """What is planned, with written prompts where the request names a writer that has not been asked for it yet.

    An engine that reads no prompts, or cannot run here, is not written for.
    """
    from t2v_studio.engines.diffusion.prompt_writer import is_written, said, write

    if not _wanted(request, engine) or is_written(planned.plan, request.prompt_writer):
        return planned
    with _writer(request.prompt_writer, settings, workspace, report) as writer:
        plan = write(planned.plan, writer, _finals(request, engine, settings), _told(report))
    return replace(planned, plan=plan, notices=[*planned.notices, *said(plan)])


def write_pair(
    request: VideoRequest,
    treated: Planned,
    control: Planned,
    engine: Engine,
    *,
    settings: Settings,
    workspace: Workspace,
    report: Report = lambda *_: None,
) -> tuple[Planned, Planned]:
    """Both arms of a pair by the same writer: a scene is written in both or in neither, with one negative prompt.

    A scene whose tokens would then differ in more than retrieval, or lose what retrieval brought, goes back to the rules.
    """
    from t2v_studio.engines.diffusion.prompt_writer import alike, said, write

    if not _wanted(request, engine):
        return treated, control
    with _writer(request.prompt_writer, settings, workspace, report) as writer:
        finals = _finals(request, engine, settings)
        both = [write(planned.plan, writer, finals, _told(report)) for planned in (treated, control)]
    mine, other = _proven(*alike(*both), treated, request, engine, settings)
    return tuple(  # type: ignore[return-value]
        replace(planned, plan=plan, notices=[*planned.notices, *said(plan)])
        for planned, plan in ((treated, mine), (control, other))
    )


def _proven(
    treated: ScenePlan, control: ScenePlan, planned: Planned, request: VideoRequest, engine: Engine, settings: Settings
) -> tuple[ScenePlan, ScenePlan]:
    """Both plans, without the written scenes that the tokens do not bear out."""
    from t2v_studio.engines.diffusion.prompt_grounding import read_words
    from t2v_studio.engines.diffusion.prompt_writer import withdrawn
    from t2v_studio.engines.diffusion.prompts import common_room
    from t2v_studio.planning.prompts import OWN

    for _ in treated.scenes:
        room = common_room(_finals(request, engine, settings)(treated), request.diffusion())
        finals = _finals(request.model_copy(update={"evidence_room": room or request.evidence_room}), engine, settings)
        mine, other = finals(treated), finals(control)
        rows = read_words(mine, other, treated, planned.evidence)["scenes"]
        bad: dict[str, str] = {}
        for row, one, two, scene in zip(rows, mine, other, treated.scenes, strict=True):
            if scene.written is None or not scene.written.taken:
                continue
            if not row["own_parts_alike"] or OWN in (*one.dropped, *two.dropped):
                bad[scene.id] = "beside the retrieved words it does not fit in the tokens of both"
            elif any(step.cites for step in scene.steps) and not row["words"]:
                bad[scene.id] = "no retrieved word would tell them apart"
        if not bad:
            break
        treated, control = withdrawn(treated, bad), withdrawn(control, bad)
    return treated, control


def _wanted(request: VideoRequest, engine: Engine) -> bool:
    reads = getattr(engine, "final_prompts", None) is not None
    return bool(request.prompt_writer) and reads and engine.availability(request.diffusion()).ok


def _finals(request: VideoRequest, engine: Engine, settings: Settings) -> Callable[[ScenePlan], Any]:
    """A plan's prompts as the model of the request reads them."""
    prompts: Any = engine

    def finals(plan: ScenePlan) -> Any:
        _, plan, canvas, _ = settled(request, plan, engine, settings)
        return prompts.final_prompts(plan, canvas)

    return finals


def _told(report: Report) -> Callable[[int, int], None]:
    return lambda done, total: report("writing prompts", done, total, f"scene {done + 1} of {total}")


@contextmanager
def _writer(name: str, settings: Settings, workspace: Workspace, report: Report) -> Iterator[Any]:
    from t2v_studio.engines.diffusion.prompt_writer import Writer

    found = find_writer(name, settings, workspace)
    report("loading the prompt writer", 0, 0, name)
    try:
        sha256 = found.sha256()
    except OSError as error:
        raise StudioError("writer_unreadable", f"prompt_writer: {name} cannot be read ({error}).", USE.hint) from error
    with ChatModel(found.base, adapter=found.adapter, use=USE) as chat:
        yield Writer(name, sha256, chat)
