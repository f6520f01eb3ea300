"""The author's desk: a study from draft to table. `Studio.studies` is one of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


class StudyDesk:
    """Studies of one workspace: draft -> locked -> collecting -> closed -> unblinded.

    Rows are plain dicts, ready for JSON. Means stay hidden (ConflictError code `still_blind`) until a study is closed.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self.settings = settings
        self.workspace = workspace

    def create(self, title: str, pair_ids: list[str], *, pack: str = "", seed: int | None = None) -> dict[str, Any]:
        """A draft from finished pairs (of a pack, say). One topic a pair; objective and title are all that raters see."""
        raise NotImplementedError

    def studies(self) -> list[dict[str, Any]]:
        """Rows: id, title, state, topics, raters, done, screens, created_at, design_sha256."""
        raise NotImplementedError

    def study(self, study_id: str) -> dict[str, Any]:
        """One row with topics[], raters[] (pseudonym, done, screens, last_seen), checks[] and the rubric."""
        raise NotImplementedError

    def checks(self, study_id: str) -> list[dict[str, Any]]:
        """What stands in the way of locking: rows of level (block, warn), topic, message, can_override."""
        raise NotImplementedError

    def power(self, gap: float, topics: list[int], raters: list[int]) -> list[dict[str, Any]]:
        """The planner's table: topics, raters, power, standard_error, note."""
        raise NotImplementedError

    def lock(self, study_id: str, *, raters: int, overrides: dict[str, str] | None = None) -> dict[str, Any]:
        """Freeze topics, clips, rubric and assignments; blinded copies are made here. overrides: topic key -> reason."""
        raise NotImplementedError

    def invite(self, study_id: str, pseudonym: str = "") -> dict[str, Any]:
        """The next free place: pseudonym, token (shown once), path (/rate/?token=...)."""
        raise NotImplementedError

    def close(self, study_id: str) -> dict[str, Any]:
        raise NotImplementedError

    def unblind(self, study_id: str) -> dict[str, Any]:
        raise NotImplementedError

    def analysis(self, study_id: str) -> dict[str, Any]:
        """The numbers of a closed study, with and without exclusions, quality checks and guesses of the arm."""
        raise NotImplementedError

    def report(self, study_id: str, folder: Path) -> list[Path]:
        """Tables, figures, methods paragraph and bundle."""
        raise NotImplementedError

    # --- what the examiner's app calls; nothing here names an arm --------------------------------
    def enter(self, token: str) -> dict[str, Any]:
        """The rater behind a token: rater, pseudonym, study title, screens, done, position to resume at. Else NotFoundError."""
        raise NotImplementedError

    def screen(self, rater: str, position: int) -> dict[str, Any]:
        """One screen: assignment, position, screens, topic, objective, practice (bool), left/right media tokens and
        lengths, fps, frames, the rubric's criteria with anchors, and what has been answered so far with revisions."""
        raise NotImplementedError

    def save(self, rater: str, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Append events (each with the uuid made in the browser; a known uuid changes nothing). Returns saved_at, revisions,
        and conflicts where another window was newer."""
        raise NotImplementedError

    def submit(self, rater: str, assignment: str) -> dict[str, Any]:
        """Mark a screen as done. Raises InputError naming what is still open (an untouched scale is not an answer)."""
        raise NotImplementedError

    def media(self, rater: str, token: str) -> Path:
        """The blinded copy behind a media token, if this rater may see it. Else NotFoundError."""
        raise NotImplementedError
