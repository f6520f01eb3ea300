"""From ratings to files and back: the bundle makes the same numbers again."""

from __future__ import annotations

import json
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from raters import Scene
from scipy.stats import spearmanr
from test_study_tables import check_latex

from t2v_studio.errors import ConflictError, InputError, LimitError
from t2v_studio.studies import bundle, figures, measures, methods, report
from t2v_studio.studies.desk import StudyDesk
from t2v_studio.studies.ratings import check_ratings


def ratings(topics: int = 6, raters: int = 2, names: tuple[str, ...] = ("correctness", "my_own")) -> pd.DataFrame:
    chance = random.Random(1)
    rows = [
        (f"r{rater}", f"=T {topic} & co_", arm, name, min(5, max(1, base + gain + chance.choice((-1, 0, 0, 1)))))
        for name in names
        for topic in range(topics)
        for base in [chance.choice((2, 3))]
        for rater in range(raters)
        for arm, gain in (("no_rag", 0), ("rag_semantic", 1))
    ]
    return check_ratings(pd.DataFrame(rows, columns=["rater", "topic", "variant", "criterion", "score"]))


def clip_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Made-up measures: one that follows the scores, and one that is not there."""
    means = frame.groupby(["topic", "variant"])["score"].mean()
    missing = {
        "name": "clip_text",
        "value": None,
        "better": "higher",
        "status": "unavailable",
        "note": "no CLIP weights",
    }
    return [
        {
            "topic": topic,
            "variant": variant,
            "measures": [
                {"name": "follows", "value": float(mean), "better": "higher", "status": "ok", "note": ""},
                missing,
            ],
        }
        for (topic, variant), mean in means.items()
    ]


def test_a_bundle_makes_the_same_report_again(tmp_path: Path) -> None:
    frame = ratings()
    frame.loc[3, "score"] = float("nan")
    plain = report.table_source(frame, seed=4)
    source = report.Source(plain.result, frame, metrics=clip_rows(frame))
    written = report.write(tmp_path / "one", source)
    report.report_again(written[-1], tmp_path / "two")
    for file in written:
        place = file.relative_to(tmp_path / "one")
        assert file.read_bytes() == (tmp_path / "two" / place).read_bytes(), place
    for file in (tmp_path / "one" / "tables").glob("*.tex"):
        check_latex(file.read_text(encoding="utf-8"))
    crate = zipfile.ZipFile(written[-1])
    graph = {entity["@id"]: entity for entity in json.loads(crate.read("ro-crate-metadata.json"))["@graph"]}
    parts = {part["@id"] for part in graph["./"]["hasPart"]}
    assert parts | {"ro-crate-metadata.json"} == set(crate.namelist())
    assert "t2v study report --from" in crate.read("README.md").decode()


def test_changed_ratings_change_the_numbers(tmp_path: Path) -> None:
    """What is read back are the ratings, not the results."""
    file = report.write(tmp_path / "one", report.table_source(ratings()))[-1]
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b",4\n", b",5\n") if name == "scores.csv" else data)
    gaps = [source.result["all"]["criteria"][0]["mean_treated"] for source in (bundle.read(file), bundle.read(other))]
    assert gaps[1] > gaps[0]


def test_a_study_becomes_a_report_and_its_bundle_the_same_one(
    locked: tuple[StudyDesk, str], scene: Callable[..., Scene], tmp_path: Path
) -> None:
    desk, study_id = locked
    chance = random.Random(2)
    for name in ("ada", "bo"):
        scene(name).answer_all(lambda *_: chance.choice((2, 3, 4, 5)), winner="left")
    with pytest.raises(ConflictError, match="hidden until"):
        desk.report(study_id, tmp_path / "early")
    desk.close(study_id)
    written = desk.report(study_id, tmp_path / "one")
    first = json.loads((tmp_path / "one" / "analysis.json").read_text(encoding="utf-8"))
    desk.report_again(written[-1], tmp_path / "two")
    assert first == json.loads((tmp_path / "two" / "analysis.json").read_text(encoding="utf-8"))
    assert written[-1].read_bytes() == (tmp_path / "two" / "bundle.zip").read_bytes()
    assert first["result"]["all"] == desk.analysis(study_id)["all"]
    digest = first["result"]["design_sha256"]
    latex = (tmp_path / "one" / "tables" / "criteria.tex").read_text(encoding="utf-8")
    check_latex(latex)
    assert digest in latex and digest in first["methods"]
    measured = {row["metric"]: row for row in first["metrics"]["metrics"]}
    assert measured["warp_error"]["topics"] == 3
    assert (measured["clip_text"]["topics"], measured["clip_text"]["mean_control"]) == (0, None)
    assert any("clip text: unavailable" in note for note in first["metrics"]["notes"])
    names = zipfile.ZipFile(written[-1]).namelist()
    assert {"design.json", "rubric.json", "scores.csv", "data/events.jsonl", "metrics.json", "environment.txt"} <= set(
        names
    )


def test_measures_beside_ratings_are_paired_and_exploratory() -> None:
    frame = ratings(topics=8)
    found = measures.compare(clip_rows(frame), frame, "no_rag", "rag_semantic", 0)
    assert found and found["exploratory"]
    follows, missing = found["metrics"]
    assert follows["topics"] == 8 and follows["gap"] > 0.5
    assert (missing["topics"], missing["gap"], missing["p"]) == (0, None, None)
    rho = {(row["metric"], row["criterion"]): row for row in found["correlations"]}
    assert rho["follows", "correctness"]["rho"] > 0.5
    assert rho["follows", "correctness"]["ci_low"] <= rho["follows", "correctness"]["rho"]
    assert rho["clip_text", "correctness"]["rho"] is None
    assert measures.compare([], frame, "no_rag", "rag_semantic", 0) is None


def test_the_interval_of_rho_is_that_of_resampled_topics_one_by_one() -> None:
    """Topics of two clips and one of a single clip, against the same draws written out as a loop."""
    generator = np.random.default_rng(1)
    topics = np.array([f"t{number // 2}" for number in range(11)])
    x = generator.normal(size=11)
    y = np.round(x + generator.normal(size=11))
    members = [np.flatnonzero(topics == name) for name in np.unique(topics)]
    found = []
    for draw in np.random.default_rng(3).integers(0, len(members), (measures.RESAMPLES, len(members))):
        chosen = np.concatenate([members[place] for place in draw])
        if np.ptp(x[chosen]) and np.ptp(y[chosen]):
            found.append(spearmanr(x[chosen], y[chosen]).statistic)
    expected = (spearmanr(x, y).statistic, *np.quantile(found, [0.025, 0.975]))
    assert measures.spearman(x, y, topics, 3) == pytest.approx(expected)


def test_weak_results_are_called_weak() -> None:
    source = report.table_source(ratings(topics=5, raters=2))
    text = " ".join(methods.findings(source.result, source.labels))
    assert "Only 5 topics" in text
    assert "score higher" not in text
    words = methods.paragraph(source.result, {})
    for part in ("5 topics", "2 examiners", "Wilcoxon", "Holm", "Krippendorff", "scipy"):
        assert part in words


def test_examiners_who_know_the_arm_are_named() -> None:
    result = dict(report.table_source(ratings()).result)
    person = {"rater": "bo", "identical": {"beyond": 2, "gaps": {}}, "sides": {"p": 0.01}}
    result["quality"] = {
        "repeats": {"n": 10, "within_one": 5, "within_one_share": 0.5, "kappa": 0.1},
        "guesses": {"right": 12, "wrong": 1, "unsure": 0, "p": 0.0034},
        "raters": [person],
    }
    text = " ".join(methods.weaknesses(result, {}))
    for part in ("only 5 of 10", "apart from itself: bo", "Lean to one side", "not blind"):
        assert part in text
    result["quality"]["guesses"] = {"right": 3, "wrong": 2, "unsure": 0, "p": 1.0}
    assert "too few to tell" in " ".join(methods.weaknesses(result, {}))


@pytest.mark.parametrize("width", [figures.COLUMN_IN, figures.TEXT_IN])
def test_figures_keep_their_width_their_words_and_their_bytes(width: float, tmp_path: Path) -> None:
    frame = ratings(topics=4)
    source = report.table_source(frame)
    analysis = source.result["all"]
    analysis["criteria"][1] |= {"gap": None, "ci_low": None, "ci_high": None, "alpha": None}
    drawn = {
        "forest": lambda: figures.forest(analysis, source.labels, width_in=width),
        "topics": lambda: figures.topic_dots(analysis, frame, source.labels, {}, width_in=width),
        "scores": lambda: figures.distributions(analysis, frame, source.labels, width_in=width),
        "agreement": lambda: figures.agreement(analysis, source.labels, width_in=width),
    }
    for name, draw in drawn.items():
        figure = draw()
        assert figure.get_size_inches()[0] == pytest.approx(width)
        paths = figures.save(figure, tmp_path / name)
        again = figures.save(draw(), tmp_path / "again" / name)
        assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again], name
    assert len(figures.forest(analysis, source.labels).axes[0].get_yticklabels()) == 2


def bad_zip(path: Path, name: str, data: bytes = b"x", mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = mode << 16
        archive.writestr(entry, data)
    return path


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "C:/out.txt", "..\\out.txt"])
def test_no_path_leaves_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError) as caught:
        bundle.unpack(bad_zip(tmp_path / "bad.zip", name), tmp_path / "in")
    assert caught.value.code == "bundle_path"
    assert {file.name for file in tmp_path.rglob("*")} == {"in", "bad.zip"}


def test_links_bombs_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="path"):
        bundle.unpack(bad_zip(tmp_path / "link.zip", "scores.csv", b"/etc/passwd", stat.S_IFLNK | 0o777), tmp_path)
    with pytest.raises(LimitError):
        bundle.unpack(bad_zip(tmp_path / "bomb.zip", "scores.csv", b"0" * 20_000_000), tmp_path)
    (tmp_path / "no.zip").write_text("no zip")
    with pytest.raises(InputError, match="not a zip"):
        bundle.read(tmp_path / "no.zip")
    with pytest.raises(InputError, match="missing or damaged"):
        bundle.read(bad_zip(tmp_path / "empty.zip", "other.txt"))
    with pytest.raises(InputError, match="cannot be read"):
        bundle.read(tmp_path / "absent.zip")
