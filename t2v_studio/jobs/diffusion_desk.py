"""What the interfaces ask before a video of diffusion is made: presets, planners, and what a request will come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from t2v_studio.errors import StudioError, UnavailableError
from t2v_studio.machine import cards
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

TIMED_VIDEOS = 200
"""The newest videos, of which those of diffusion tell what the speed switches are worth."""


class DiffusionDesk:
    """Reads only; nothing here loads a model."""

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self._settings, self._workspace = settings, workspace
        self._engines: Any = None
        self._timed: dict[str, list[Any]] = {}

    def presets(self) -> list[dict[str, Any]]:
        """Rows: name, title, about, families, needs_adapter, sets (field of a request to value)."""
        from t2v_studio.engines.diffusion.presets import presets

        return [one.as_row() for one in presets().values()]

    def planners(self) -> list[dict[str, Any]]:
        """Rows of chat models that can write plans: name, here, message, hint. The setting's own comes first."""
        from t2v_studio.planning.chat_model import chat_model_folder, chat_models

        own = self._settings.planner_model_id
        rows = []
        for name in dict.fromkeys([*([own] if own else []), *(row["name"] for row in chat_models())]):
            try:
                chat_model_folder(name, self._settings)
            except StudioError as error:
                rows.append({"name": name, "here": False, "message": error.message, "hint": error.hint})
            else:
                rows.append({"name": name, "here": True, "message": "", "hint": ""})
        return rows

    def writers(self) -> list[dict[str, Any]]:
        """Rows of language models that can write prompts: name, label, here. Text adapters first, then chat models."""
        from t2v_studio.adapters.catalogue import catalogue

        found = [
            {"name": card.id, "label": f"{card.name} ({card.base_model or card.family})", "here": True}
            for card in catalogue(self._workspace)
            if card.is_text
        ]
        chats = [row for row in self.planners() if not Path(row["name"]).is_absolute()]
        return found + [{"name": row["name"], "label": row["name"], "here": row["here"]} for row in chats]

    def effects(self) -> list[dict[str, Any]]:
        """What each speed switch is worth on this machine, by the newest videos: switch, choice, card, ratio (None where it
        was not measured), scenes, against, text."""
        from t2v_studio.production.records import RECORD, read_record, video_rows
        from t2v_studio.production.speed import effects, runs

        timed: dict[str, list[Any]] = {}
        for row in video_rows(self._workspace, limit=TIMED_VIDEOS):
            if row["engine"] == "diffusion":
                try:
                    timed[row["id"]] = self._timed.get(row["id"]) or runs(
                        read_record(self._workspace.video(row["id"]) / RECORD)
                    )
                except StudioError:
                    continue  # the list of videos says what is wrong with it
        self._timed = timed
        return [one.as_row() for one in effects(run for found in timed.values() for run in found)]

    @cached_property
    def has_card(self) -> bool:
        """Whether this machine has a CUDA card; asked once."""
        return cards() > 0

    def lacking(self, choices: Mapping[str, Any]) -> list[StudioError]:
        """What the choices of a request need and this machine does not have, beside the video model itself: language
        models that are not on this disk, kernels that need a card. Nothing is loaded."""
        return [*self._absent_models(choices), *self._absent_card(choices)]

    def _absent_models(self, choices: Mapping[str, Any]) -> Iterator[StudioError]:
        from t2v_studio.planning.chat_model import PLANNER, chat_model_folder

        engine = choices.get("engine")
        asked: list[Callable[[], object]] = []
        if choices.get("use_llm_planner"):
            name = choices.get("planner_model_id") or self._settings.planner_model_id
            asked.append(lambda: chat_model_folder(name, self._settings, PLANNER))
        if engine == "diffusion" and choices.get("prompt_writer"):
            from t2v_studio.production.writing import find_writer

            asked.append(lambda: find_writer(str(choices["prompt_writer"]), self._settings, self._workspace))
        if engine == "manim" and choices.get("manim_scenes") == "written":
            from t2v_studio.engines.manim.written import USE

            author = choices.get("manim_model_id") or self._settings.manim_model_id
            asked.append(lambda: chat_model_folder(author, self._settings, USE))
        yield from filter(None, map(_failure, asked))

    def _absent_card(self, choices: Mapping[str, Any]) -> Iterator[StudioError]:
        if choices.get("engine") != "diffusion" or self.has_card:
            return
        kernel = choices.get("attention")
        if kernel in ("cudnn", "flash3"):
            yield UnavailableError(
                "no_card",
                f"attention: {kernel} needs an NVIDIA card, and this machine has none.",
                "Use --attention auto.",
            )
        if choices.get("compile_blocks") == "on":
            yield UnavailableError(
                "no_card",
                "compile_blocks: this machine has no graphics card, and compiling for its processor rarely pays.",
                "Use --compile-blocks auto, which compiles on a card alone.",
            )

    def foretold(self, request: VideoRequest) -> list[str]:
        """Length, size, work and whatever is rounded, in sentences. Raises StudioError for what cannot be made."""
        from t2v_studio.jobs.residents import Engines
        from t2v_studio.production.foresight import foretold

        if self._engines is None:
            self._engines = Engines(self._settings, self._workspace)
        return foretold(request, self._engines(request.engine), self._settings)


def _failure(ask: Callable[[], object]) -> StudioError | None:
    """Why a question has no answer; None where it has one."""
    try:
        ask()
    except StudioError as error:
        return error
    return None
