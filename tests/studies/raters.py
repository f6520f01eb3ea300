"""Examiners who click through a study."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.settings import Settings
from t2v_studio.studies.desk import StudyDesk
from t2v_studio.studies.rubric import CRITERIA
from t2v_studio.workspace import Workspace

KEYS = [criterion.key for criterion in CRITERIA]
Judge = Callable[[dict[str, Any], str, str], int]
"""(screen, side, criterion) -> 1 to 5"""


def desk_at(home: Path) -> StudyDesk:
    return StudyDesk(Settings(home=home, _env_file=None), Workspace.at(home))


def event(assignment: str, **fields: Any) -> dict[str, Any]:
    return {"uuid": str(uuid.uuid4()), "assignment": assignment, **fields}


def fours(screen: dict[str, Any], side: str, criterion: str) -> int:
    return 4


def answers(screen: dict[str, Any], judge: Judge = fours, winner: str = "tie") -> list[dict[str, Any]]:
    """Everything that a screen asks for."""
    mine = screen["assignment"]
    events = [
        event(mine, side=side, criterion=key, value=judge(screen, side, key))
        for side in ("left", "right")
        for key in KEYS
    ]
    events += [event(mine, kind="comment", side=side, comment="seen") for side in ("left", "right")]
    return [*events, event(mine, kind="preference", winner=winner, confidence=2)]


class Scene:
    """One invited examiner at the desk."""

    def __init__(self, desk: StudyDesk, study_id: str, name: str = "") -> None:
        self.desk, self.study_id = desk, study_id
        self.invitation = desk.invite(study_id, name)
        self.rater = desk.enter(self.invitation["token"])["rater"]

    def screen(self, position: int = 0) -> dict[str, Any]:
        return self.desk.screen(self.rater, position)

    def save(self, *events: dict[str, Any]) -> dict[str, Any]:
        return self.desk.save(self.rater, list(events))

    def answer(self, position: int, judge: Judge = fours, winner: str = "tie") -> dict[str, Any]:
        screen = self.screen(position)
        self.save(*answers(screen, judge, winner))
        return self.desk.submit(self.rater, screen["assignment"])

    def answer_all(self, judge: Judge = fours, winner: str = "tie") -> None:
        position = self.desk.enter(self.invitation["token"])["position"]
        while position is not None:
            position = self.answer(position, judge, winner)["next"]
