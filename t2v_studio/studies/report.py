"""The report of a study: its numbers, tables, figures, methods paragraph and bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2v_studio.studies.analysis import analyse
from t2v_studio.studies.ratings import read_ratings


def analyse_table(
    path: Path, *, control: str = "", treated: str = "", seed: int = 0, folder: Path | None = None
) -> dict[str, Any]:
    """The analysis of a CSV of ratings as JSON data."""
    return analyse(read_ratings(path), control=control, treated=treated, seed=seed).as_dict()
