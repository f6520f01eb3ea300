"""The report of a study: numbers, tables, figures, methods paragraph and a bundle from which they can be made again."""

from __future__ import annotations

import json
import platform
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import InputError
from t2v_studio.studies import methods, tables
from t2v_studio.studies.analysis import analyse, without_nan
from t2v_studio.studies.progress import Report, nothing
from t2v_studio.studies.ratings import check_ratings, read_ratings
from t2v_studio.studies.rubric import labels as rubric_labels
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = "1"
BUNDLE = "bundle.zip"
_LIBRARIES = ("numpy", "pandas", "scipy", "statsmodels", "scikit-learn", "evalica", "matplotlib", "jinja2", "rocrate")


@dataclass(frozen=True)
class Source:
    """Everything that a report is made from, as data.

    result: shape of `outcome.analysis`; for a plain table only `all`, `kept`, `excluded`, control and treated count.
    ratings: rater, topic, variant, criterion, score of every rater. frames: what `outcome` computed `result` from
    (records by name), empty for a plain table. metrics: rows of topic, variant, measures[]. logs: further files of
    the bundle, name -> text. made: date of the data, YYYY-MM-DD.
    """

    result: dict[str, Any]
    ratings: pd.DataFrame
    design: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    made: str = ""

    @property
    def labels(self) -> dict[str, str]:
        found = {row["key"]: row["label"] for row in self.design.get("rubric", {}).get("criteria", [])}
        return rubric_labels() | found

    @property
    def titles(self) -> dict[str, str]:
        return {topic["key"]: topic["title"] for topic in self.design.get("topics", [])}


def analyse_table(
    path: Path, *, control: str = "", treated: str = "", seed: int = 0, folder: Path | None = None
) -> dict[str, Any]:
    """The analysis of a CSV of ratings as JSON data; `files` are those of the report where a folder is given."""
    source = table_source(read_ratings(path), control=control, treated=treated, seed=seed)
    analysis = dict(source.result["all"])
    if folder is not None:
        analysis["files"] = [str(file) for file in write(folder, source)]
    return analysis


def table_source(frame: pd.DataFrame, *, control: str = "", treated: str = "", seed: int = 0, made: str = "") -> Source:
    """The source of a report on checked ratings alone."""
    analysis = analyse(frame, control=control, treated=treated, seed=seed).as_dict()
    arms = {"control": analysis["control"], "treated": analysis["treated"]}
    return Source({**arms, "all": analysis, "kept": None, "excluded": []}, frame, made=made)


def study_source(workspace: Workspace, study_id: str, metrics: list[dict[str, Any]]) -> Source:
    """The source of a report on a closed study. Raises ConflictError still_blind."""
    from t2v_studio.studies import outcome

    found = outcome.Tables(workspace, study_id)
    return Source(
        result=outcome.analysis_of(found),
        ratings=check_ratings(found.ratings()),
        design=found.design,
        frames=found.as_records(),
        metrics=metrics,
        logs=outcome.texts(workspace, found),
        made=str(found.row["closed_at"] or "")[:10],
    )


def numbers(source: Source) -> dict[str, Any]:
    """analysis.json: the result, the comparison of measures, and what it all says in words."""
    from t2v_studio.studies.measures import compare

    analysis = methods.headline(source.result)
    kept = _headline_ratings(source)
    measures = compare(source.metrics, kept, analysis["control"], analysis["treated"], analysis["seed"])
    found = {
        "report_version": VERSION,
        "result": source.result,
        "metrics": measures,
        "methods": methods.paragraph(source.result, source.design),
        "findings": methods.findings(source.result, source.labels),
    }
    return dict(without_nan(found))


def all_tables(source: Source, found: dict[str, Any]) -> list[tables.Table]:
    """Table 1 (and its twin with all examiners where some are excluded), 2, and 3 with correlations where measured."""
    analysis = methods.headline(source.result)
    notes = methods.footnotes(source.result, analysis)
    made = [tables.criteria_table(analysis, source.labels, notes)]
    if source.result["kept"] and source.result["excluded"]:
        whole = source.result["all"]
        made.append(
            tables.criteria_table(
                whole, source.labels, methods.footnotes({**source.result, "excluded": []}, whole),
                key="criteria_all", extra="; all examiners, nobody excluded",
            )
        )  # fmt: skip
    gaps = topic_gaps(_headline_ratings(source), analysis)
    made.append(tables.topics_table(gaps, analysis["control"], analysis["treated"], source.labels, source.titles))
    if found["metrics"]:
        made.append(tables.metrics_table(found["metrics"], analysis["control"], analysis["treated"]))
        made.append(tables.correlations_table(found["metrics"], source.labels))
    return made


def topic_gaps(ratings: pd.DataFrame, analysis: dict[str, Any]) -> pd.DataFrame:
    """Topics in rows: the mean of each arm over all criteria, and the gap of each criterion."""
    import pandas as pd

    from t2v_studio.studies.analysis import topic_differences

    arms = [analysis["control"], analysis["treated"]]
    by_criterion = {
        row["criterion"]: topic_differences(ratings[ratings["criterion"] == row["criterion"]], arms[0], arms[1])
        for row in analysis["criteria"]
    }
    gaps = pd.DataFrame({name: means["d"] for name, means in by_criterion.items()})
    for place, arm in enumerate(arms):
        means = pd.DataFrame({name: found[arm] for name, found in by_criterion.items()}).mean(axis=1)
        gaps.insert(place, arm, means, allow_duplicates=True)
    return gaps.sort_index()


def _headline_ratings(source: Source) -> pd.DataFrame:
    out = {row["rater"] for row in source.result["excluded"]} if source.result["kept"] else set()
    return source.ratings[~source.ratings["rater"].isin(out)]


def write(folder: Path, source: Source, report: Report = nothing) -> list[Path]:
    """Write the whole report into `folder`, made if it is not there; returns the files, the bundle last.

    report: told the stages; what it raises, a cancellation say, leaves an earlier report in `folder` as it was, up to
    the last step, in which the files take the place of the old ones. The same source gives the same bytes with the same libraries. Raises InputError where the folder
    cannot be written.
    """
    from t2v_studio.studies import bundle

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "out_unwritable", f"--out: {folder} cannot be made ({error.strerror}).", "Name another folder."
        ) from error
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as name:
        staging = Path(name)
        written = [*_files(staging, source, report), staging / BUNDLE]
        bundle.pack(written[-1], staging, written[:-1], source)
        report("writing")
        places = [folder / file.relative_to(staging) for file in written]
        for file, place in zip(written, places, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    return places


def _files(folder: Path, source: Source, report: Report) -> list[Path]:
    """Numbers, words, tables and figures of a report."""
    from t2v_studio.studies import figures

    report("comparing")
    found = numbers(source)
    analysis = methods.headline(source.result)
    texts = {"analysis.json": json.dumps(found, ensure_ascii=False, indent=2, sort_keys=True) + "\n"}
    texts["methods.md"] = words(found)
    texts["methods.tex"] = words_tex(found)
    for table in all_tables(source, found):
        texts |= {f"tables/{table.key}.{suffix}": text for suffix, text in table.texts().items()}
    texts["environment.txt"] = environment()
    written = [_write_text(folder / name, text) for name, text in texts.items()]
    inputs = (analysis, _headline_ratings(source), source.labels, source.titles)
    return written + figures.draw_all(folder / "figures", *inputs, report=report)


def words(found: dict[str, Any]) -> str:
    """Methods and findings as Markdown."""
    return "\n".join(
        ["# Methods", "", found["methods"], "", "# Findings", "", *(f"- {line}" for line in found["findings"]), ""]
    )


def words_tex(found: dict[str, Any]) -> str:
    items = "\n".join(f"  \\item {tables.tex(line)}" for line in found["findings"])
    return f"{tables.tex(found['methods'])}\n\n\\begin{{itemize}}\n{items}\n\\end{{itemize}}\n"


def environment() -> str:
    """Versions of everything that makes the numbers; no path and no name of a machine."""
    lines = [f"python {platform.python_version()} ({platform.system()} {platform.machine()})"]
    lines += [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    return "\n".join([*lines, f"report {VERSION}", ""])


def report_again(path: Path, folder: Path) -> list[Path]:
    """The report of a bundle, computed anew from the ratings and screens in it."""
    from t2v_studio.studies import bundle

    return write(folder, bundle.read(path))


def _write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
