"""A report and its data as one zip, described as an RO-Crate, from which the report can be made again."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import InputError, LimitError
from t2v_studio.studies.outcome import safe_cell
from t2v_studio.studies.ratings import COLUMNS, check_ratings

if TYPE_CHECKING:
    import pandas as pd

    from t2v_studio.studies.report import Source

FORMAT = 1
MAX_FILES, MAX_FILE_MB, MAX_TOTAL_MB, MAX_RATIO = 400, 64, 256, 200
SCORES, STUDY, FRAMES, METRICS, DESIGN = "scores.csv", "study.json", "frames.json", "metrics.json", "design.json"
_OLD = "1980-01-01"
_TYPES = {
    "csv": "text/csv", "json": "application/json", "jsonl": "application/jsonl", "md": "text/markdown",
    "tex": "application/x-tex", "html": "text/html", "txt": "text/plain", "pdf": "application/pdf",
    "svg": "image/svg+xml", "png": "image/png",
}  # fmt: skip
_README = """# {title}

{topics} topics, {raters} examiners, {ratings} scores; {treated} against {control}.

Make every number, table and figure again from the ratings in this bundle:

    t2v study report --from bundle.zip --out again

`scores.csv` holds the ratings (rater, topic, variant, criterion, score; an empty score means "cannot judge"),
`analysis.json` all numbers, `methods.md` the methods paragraph and the findings, `tables/` and `figures/` what goes
into the thesis, `environment.txt` the versions that made them. {study}
"""
_STUDY_WORDS = (
    "`design.json` is the locked design with the rubric and the hashes of the videos, `frames.json` what the checks of "
    "the examiners are computed from, `data/` the same as tables with the log of every event."
)


def pack(path: Path, folder: Path, files: list[Path], source: Source) -> Path:
    """Write the bundle of a report. files: those of the report, under `folder`. Same input, same bytes."""
    with tempfile.TemporaryDirectory() as name:
        staging = Path(name) / "crate"
        staging.mkdir()
        inside = {file.relative_to(folder).as_posix(): file for file in files}
        for place, text in inputs(source).items():
            inside[place] = staging.parent / "inputs" / place
            inside[place].parent.mkdir(parents=True, exist_ok=True)
            inside[place].write_text(text, encoding="utf-8", newline="\n")
        _crate(inside, source).write(staging)
        part = path.with_name(f".{path.name}.part")
        try:
            _zip(part, staging)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def inputs(source: Source) -> dict[str, str]:
    """The files from which `read` makes the source again, and the logs beside them."""
    analysis = source.result["all"]
    facts: dict[str, Any] = {
        "format": FORMAT, "control": analysis["control"], "treated": analysis["treated"], "seed": analysis["seed"],
        "made": source.made or _OLD,
    }  # fmt: skip
    texts = {SCORES: _scores_csv(source.ratings), STUDY: _json(facts)}
    if source.frames:
        texts |= {
            FRAMES: _json(source.frames),
            DESIGN: _json(source.design),
            "rubric.json": _json(source.design["rubric"]),
        }
    if source.metrics:
        texts[METRICS] = _json(source.metrics)
    texts["README.md"] = _README.format(
        title=source.result.get("title") or "A table of ratings",
        study=_STUDY_WORDS if source.frames else "",
        **{name: analysis[name] for name in ("topics", "raters", "ratings", "treated", "control")},
    )
    return texts | {f"data/{name}": text for name, text in source.logs.items() if name != DESIGN}


def _crate(inside: dict[str, Path], source: Source) -> Any:
    from datetime import date

    from rocrate.rocrate import ROCrate

    crate = ROCrate()
    crate.name = source.result.get("title") or "A table of ratings"
    crate.description = "Ratings of paired videos, their analysis, tables and figures."
    crate.datePublished = date.fromisoformat(source.made or _OLD)
    crate.license = "Not stated: ask the author."
    if source.result.get("design_sha256"):
        crate.root_dataset["identifier"] = f"sha256:{source.result['design_sha256']}"
    for place in sorted(inside):
        kind = _TYPES.get(place.rsplit(".", 1)[-1], "application/octet-stream")
        crate.add_file(str(inside[place]), dest_path=place, properties={"name": place, "encodingFormat": kind})
    return crate


def _zip(path: Path, folder: Path) -> None:
    """Sorted names, one date, no owner: the same files give the same zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())


def read(path: Path) -> Source:
    """The source in a bundle; every number is computed anew from its ratings and frames.

    Raises InputError where it is no bundle, LimitError where it is too large to be one.
    """
    from t2v_studio.studies import report

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(path, folder)
        facts = _load(folder / STUDY)
        if facts.get("format") != FORMAT:
            raise InputError(
                "bundle_format", f"{path.name}: format {facts.get('format')!r} is not known.", "Update the studio."
            )
        frame = _read_scores(folder / SCORES)
        design, metrics = _load(folder / DESIGN, {}), _load(folder / METRICS, [])
        if not (folder / FRAMES).is_file():
            made = report.table_source(
                frame, control=facts["control"], treated=facts["treated"], seed=facts["seed"], made=facts["made"]
            )
            return report.Source(made.result, frame, metrics=metrics, made=facts["made"])
        logs = {file.name: file.read_text(encoding="utf-8") for file in sorted((folder / "data").glob("*"))}
        records = _load(folder / FRAMES)
    from t2v_studio.studies.outcome import StoredTables, analysis_of

    result = analysis_of(StoredTables(records, design))
    return report.Source(result, frame, design, records, metrics, logs, facts["made"])


def unpack(path: Path, folder: Path) -> None:
    """Unpack a foreign zip: no path leaves `folder`, no link, no bomb. Raises InputError, LimitError."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise InputError(
            "bundle_unreadable", f"--from: {path} cannot be read ({error.strerror or error}).", "Name a bundle."
        ) from error
    except zipfile.BadZipFile as error:
        raise InputError(
            "not_a_bundle", f"--from: {path.name} is not a zip file.", "Name the bundle.zip of a report."
        ) from error
    with archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_FILES or total > MAX_TOTAL_MB * 1_000_000:
            raise LimitError(
                "bundle_too_large", f"--from: {path.name} holds {len(entries)} files, {total / 1e6:.0f} MB.",
                f"A bundle has at most {MAX_FILES} files and {MAX_TOTAL_MB} MB.",
            )  # fmt: skip
        for entry in entries:
            if not entry.is_dir():
                _unpack_one(archive, entry, folder, path.name)


def _unpack_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, name: str) -> None:
    place = PurePosixPath(entry.filename)
    link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if place.is_absolute() or ".." in place.parts or "\\" in entry.filename or ":" in entry.filename or link:
        raise InputError("bundle_path", f"--from: {name} holds the path {entry.filename!r}.", "Do not trust this file.")
    bomb = entry.file_size > 1_000_000 and entry.file_size > MAX_RATIO * max(entry.compress_size, 1)
    if entry.file_size > MAX_FILE_MB * 1_000_000 or bomb:
        raise LimitError(
            "bundle_too_large", f"--from: {entry.filename} in {name} is too large.", "Name another bundle."
        )
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(entry) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise InputError(
            "bundle_damaged", f"--from: {entry.filename} in {name} is damaged.", "Fetch it again."
        ) from error


def _load(path: Path, default: Any = None) -> Any:
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            "not_a_bundle", f"--from: {path.name} is missing or damaged.", "Name the bundle.zip of a report."
        ) from error


def _scores_csv(ratings: pd.DataFrame) -> str:
    """Scores that are whole are written as such; texts that look like formulas get an apostrophe."""
    frame = ratings.loc[:, list(COLUMNS)].copy()
    frame["score"] = [f"{score:g}" if score == score else "" for score in frame["score"]]  # NaN is not itself
    for name in COLUMNS[:-1]:
        frame[name] = [_quoted(cell) for cell in frame[name]]
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _quoted(cell: str) -> str:
    """An apostrophe that was there doubles, so that reading gives the same text."""
    return f"'{cell}" if cell.startswith("'") else str(safe_cell(cell))


def _read_scores(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in COLUMNS[:-1]:
            frame[name] = frame[name].str.removeprefix("'")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            "not_a_bundle", f"--from: {SCORES} is missing or damaged.", "Name the bundle.zip of a report."
        ) from error
    return check_ratings(frame)


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n"
