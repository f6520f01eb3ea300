"""Ratings as one long table: who gave which clip how many points on which criterion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from t2v_studio.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("rater", "topic", "variant", "criterion", "score")
LOWEST, HIGHEST = 1, 5
CONTROL_NAMES = ("no_rag", "norag", "control", "baseline", "base", "without")


def read_ratings(path: Path) -> pd.DataFrame:
    """Ratings from a CSV file with the columns rater, topic, variant, criterion, score.

    An empty score means "cannot judge" and stays missing. Raises InputError that names column and row.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            "scores_unreadable", f"{path} cannot be read ({error.strerror or error}).", "Name a CSV file of ratings."
        ) from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError("scores_not_csv", f"{path} is not a CSV table ({error}).", "Save it as UTF-8 CSV.") from error
    return check_ratings(frame)


def check_ratings(frame: pd.DataFrame) -> pd.DataFrame:
    """The five columns, trimmed, with `score` as float and missing where a rater could not judge."""
    import pandas as pd

    frame = frame.rename(columns=lambda name: str(name).strip().lower())
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(
            "scores_columns",
            f"The table lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}.",
            f"It needs: {', '.join(COLUMNS)}.",
        )
    frame = frame.loc[:, list(COLUMNS)].copy()
    for name in COLUMNS[:-1]:
        frame[name] = frame[name].astype(str).str.strip()
        _refuse(frame, frame[name] == "", name, "is empty")
    raw = frame["score"].astype(str).str.strip()
    blank = raw.str.lower().isin(["", "na", "nan", "none", "null"])
    score = pd.to_numeric(raw.where(~blank), errors="coerce")
    _refuse(frame, score.isna() & ~blank, "score", "is no number")
    _refuse(frame, (score < LOWEST) | (score > HIGHEST), "score", f"is outside {LOWEST} to {HIGHEST}")
    frame["score"] = score
    if frame.empty or score.notna().sum() == 0:
        raise InputError("scores_empty", "The table holds no score.", "Collect ratings first.")
    _refuse(frame, frame.duplicated(subset=list(COLUMNS[:-1])), "score", "repeats an earlier row")
    return frame.reset_index(drop=True)


def _refuse(frame: pd.DataFrame, bad: pd.Series, column: str, why: str) -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise InputError(
            "scores_value",
            f"Row {row + 2}, column {column}: {frame[column].iloc[row]!r} {why}.",
            "Correct this row of the table; one rater scores one variant of a topic once on each criterion.",
        )


def arms(frame: pd.DataFrame, control: str = "", treated: str = "") -> tuple[str, str]:
    """The two variants, control first. Raises InputError unless they are clear."""
    names = sorted(frame["variant"].unique())
    for given, flag in ((control, "--control"), (treated, "--treated")):
        if given and given not in names:
            raise InputError(
                "unknown_variant", f"{flag}: no row has the variant {given!r}.", f"There are: {', '.join(names)}."
            )
    if not control:
        likely = [name for name in names if name.lower() in CONTROL_NAMES]
        if len(likely) != 1 and len(names) != 2:
            raise InputError(
                "unclear_control", "It is not clear which variant is the control.", "Name it with --control."
            )
        control = likely[0] if len(likely) == 1 else names[0]
    others = [name for name in names if name != control]
    if not treated and len(others) != 1:
        raise InputError(
            "unclear_variants",
            f"The table has {len(names)} variants; a comparison needs two.",
            "Name them with --control and --treated.",
        )
    return control, treated or others[0]
