"""What a closed study says: hidden until then, only scored pairs, checks of the examiners, the same bytes again."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from raters import KEYS, Scene, event

from t2v_studio.database import reading
from t2v_studio.errors import ConflictError, InputError
from t2v_studio.studies.analysis import analyse
from t2v_studio.studies.outcome import safe_cell
from t2v_studio.studies.ratings import read_ratings


def variants(desk) -> dict[str, str]:
    """Media token -> arm; the tests may know."""
    with reading(desk.workspace.database) as connection:
        found = connection.execute(
            "SELECT left_token, right_token, one.variant AS one, two.variant AS two FROM assignment "
            "JOIN clip AS one ON one.id = left_clip JOIN clip AS two ON two.id = right_clip"
        )
        return {
            token: arm
            for row in found
            for token, arm in ((row["left_token"], row["one"]), (row["right_token"], row["two"]))
        }


def kinds(desk) -> dict[str, str]:
    with reading(desk.workspace.database) as connection:
        return {row["id"]: row["kind"] for row in connection.execute("SELECT id, kind FROM assignment")}


@pytest.fixture
def scored(locked) -> tuple[Any, str]:
    """Three examiners: the book is worth one point to all, but cleo sees two points between equal videos."""
    desk, study_id = locked
    arms, kind = variants(desk), kinds(desk)

    def judge(name: str):
        def points(screen: dict[str, Any], side: str, criterion: str) -> int:
            what = kind[screen["assignment"]]
            if what == "identical" and name == "cleo":
                return 5 if side == "left" else 3
            if what == "practice":
                return 1
            book = arms[screen[side]["token"]] == "rag_semantic"
            return 3 + book + (criterion == "clarity" and screen["topic"] == "Attention" and name == "bo")

        return points

    for name in ("ada", "bo", "cleo"):
        scene = Scene(desk, study_id, name)
        position = 0
        while position is not None:
            screen = scene.screen(position)
            left = arms[screen["left"]["token"]] == "rag_semantic"
            position = scene.answer(position, judge(name), "left" if left else "right")["next"]
        for row in desk.last_questions(scene.rater)["screens"]:
            right = "left" if arms[row["left"]["token"]] == "rag_semantic" else "right"
            scene.save(event(row["assignment"], kind="guess", side=right if name == "ada" else "unsure"))
    return desk, study_id


def test_everything_is_hidden_until_close(scored, tmp_path: Path) -> None:
    desk, study_id = scored
    for act in (
        lambda: desk.analysis(study_id),
        lambda: desk.ratings(study_id),
        lambda: desk.export(study_id, tmp_path / "out"),
        lambda: desk.report(study_id, tmp_path / "out"),
        lambda: desk.clips(study_id),
        lambda: desk.key(study_id),
    ):
        with pytest.raises(ConflictError) as caught:
            act()
        assert caught.value.code == "still_blind"
    assert not (tmp_path / "out").exists()
    counts = json.dumps(
        {name: value for name, value in desk.study(study_id).items() if name not in ("rubric", "topics")}
    )
    assert "value" not in counts and "rag_semantic" not in counts


def test_only_submitted_scored_pairs_are_analysed(scored) -> None:
    desk, study_id = scored
    desk.close(study_id)
    frame = desk.ratings(study_id)
    assert len(frame) == 3 * 3 * 2 * len(KEYS) and set(frame["score"]) <= {3, 4, 5}, "practice (all 1) is left out"
    found = desk.analysis(study_id)
    by_name = {row["criterion"]: row for row in found["all"]["criteria"]}
    assert list(by_name) == KEYS
    assert all(row["gap"] == pytest.approx(1.0) and row["win"] == 3 for row in by_name.values())
    assert by_name["clarity"]["mean_control"] == pytest.approx(3 + 1 / 9)
    assert found["design_sha256"] == desk.study(study_id)["design_sha256"] and found["screens_open"] == 5 * 3
    direct = analyse(frame, control="no_rag", treated="rag_semantic", seed=5).as_dict()
    assert found["all"] == direct


def test_exclusions_are_those_of_the_design_and_both_results_are_shown(scored) -> None:
    desk, study_id = scored
    desk.close(study_id)
    found = desk.analysis(study_id)
    named = {(row["rater"], row["rule"]) for row in found["excluded"]}
    assert ("cleo", "identical") in named and {rater for rater, _ in named} & {"ada", "bo"} == set()
    assert {rater for rater, rule in named if rule == "incomplete"} == {f"Examiner {n}" for n in range(4, 9)}
    assert (found["all"]["raters"], found["kept"]["raters"]) == (3, 2)


def test_checks_of_the_examiners(scored) -> None:
    desk, study_id = scored
    desk.close(study_id)
    report = {row["rater"]: row for row in desk.analysis(study_id)["quality"]["raters"]}
    assert report["ada"]["repeats"] == {
        "n": 20, "exact": 20, "within_one": 20, "exact_share": 1.0, "within_one_share": 1.0, "kappa": 1.0
    }  # fmt: skip
    assert set(report["cleo"]["identical"]["gaps"].values()) == {2.0} and report["cleo"]["identical"]["beyond"] == 5
    assert report["ada"]["identical"]["beyond"] == 0
    guesses = report["ada"]["guesses"]
    assert (guesses["right"], guesses["wrong"]) == (3, 0) and guesses["p"] == pytest.approx(0.25)
    assert report["bo"]["guesses"]["unsure"] == 3 and report["bo"]["guesses"]["share"] is None
    assert report["ada"]["sides"]["n"] == 3
    assert report["ada"]["sides"]["left_wins"] + report["ada"]["sides"]["right_wins"] == 3
    preferences = desk.analysis(study_id)["preferences_all"]
    assert preferences["votes"] == {"win": 9, "tie": 0, "loss": 0}
    assert preferences["topics"]["win"] == 3 and preferences["topics"]["net"] == 1.0


def test_swapping_the_sides_in_storage_changes_no_result(scored) -> None:
    """Left and right exchanged everywhere, arms with them: the numbers about arms stay, those about sides turn round."""
    desk, study_id = scored
    desk.close(study_id)
    before = desk.analysis(study_id)
    connection = sqlite3.connect(desk.workspace.database)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.executescript(
        """UPDATE assignment SET left_clip = right_clip, right_clip = left_clip;
        UPDATE score SET side = 'x' || side; UPDATE score SET side = CASE side WHEN 'xleft' THEN 'right' ELSE 'left' END;
        UPDATE preference SET winner = CASE winner WHEN 'left' THEN 'right' WHEN 'right' THEN 'left' ELSE 'tie' END;
        UPDATE guess SET side = CASE side WHEN 'left' THEN 'right' WHEN 'right' THEN 'left' ELSE 'unsure' END;""".replace(
            "UPDATE score SET side = 'x' || side; UPDATE score SET side = CASE side WHEN 'xleft' THEN 'right' ELSE 'left' END;",
            """CREATE TEMP TABLE turned AS SELECT * FROM score; DELETE FROM score;
            INSERT INTO score SELECT assignment_id, CASE side WHEN 'left' THEN 'right' ELSE 'left' END, criterion, value,
            reason, comment, revision FROM turned;""",
        )
    )
    connection.commit()
    connection.close()
    after = desk.analysis(study_id)
    for name in ("all", "kept", "excluded", "preferences_all", "preferences_kept", "guesses"):
        assert after[name] == before[name], name
    for one, two in zip(before["quality"]["raters"], after["quality"]["raters"], strict=True):
        assert one["repeats"] == two["repeats"]
        assert one["sides"]["left_wins"] == two["sides"]["right_wins"]
        if one["sides"]["mean"] is not None:
            assert one["sides"]["mean"] == -two["sides"]["mean"] and one["sides"]["p"] == two["sides"]["p"]


def test_a_half_filled_screen_is_not_counted(locked) -> None:
    desk, study_id = locked
    scene = Scene(desk, study_id, "ada")
    for position in range(3):
        scene.answer(position)
    screen = scene.screen(3)
    scene.save(event(screen["assignment"], side="left", criterion="clarity", value=1))
    desk.close(study_id)
    assert len(desk.ratings(study_id)) == 10
    with open(desk.export(study_id, desk.workspace.data / "x")[0], encoding="utf-8", newline="") as file:  # noqa: PTH123
        long = list(csv.DictReader(file))
    assert [row["submitted"] for row in long].count("0") == 1, "the export keeps it"


def test_a_study_that_nobody_scored_says_so(locked) -> None:
    desk, study_id = locked
    desk.close(study_id)
    with pytest.raises(InputError) as caught:
        desk.analysis(study_id)
    assert caught.value.code == "scores_empty"


def test_cannot_judge_is_missing_and_not_low(locked) -> None:
    desk, study_id = locked
    scene = Scene(desk, study_id, "ada")
    for position in range(3):
        scene.answer(position)
    mine = scene.screen(2)["assignment"]
    scene.save(event(mine, side="left", criterion="clarity", cannot_judge=True, comment="Dark."))
    desk.close(study_id)
    frame = desk.ratings(study_id)
    assert frame["score"].isna().sum() == 1 and len(frame) == 10


def test_exports_are_the_same_bytes_for_the_same_data(scored, tmp_path: Path) -> None:
    desk, study_id = scored
    desk.close(study_id)
    from t2v_studio.studies.outcome import export

    one = export(desk.workspace, study_id, tmp_path / "one")
    two = export(desk.workspace, study_id, tmp_path / "two")
    assert [path.name for path in one] == [path.name for path in two] and len(one) == 7
    for left, right in zip(one, two, strict=True):
        assert left.read_bytes() == right.read_bytes() and b"\r" not in left.read_bytes()
    names = {path.name: path for path in one}
    again = read_ratings(names["ratings.csv"])
    assert again.equals(desk.ratings(study_id))
    log = [json.loads(line) for line in names["events.jsonl"].read_text(encoding="utf-8").splitlines()]
    assert [row["seq"] for row in log] == sorted(row["seq"] for row in log) and len(log) == 3 * (8 * 13 + 3)
    wide = list(csv.DictReader(names["scores_wide.csv"].read_text(encoding="utf-8").splitlines()))
    assert len(wide) == 8 * 8 and wide[0]["clarity_left"] == "1"
    desk.export(study_id, tmp_path / "three")
    assert desk.study(study_id)["audit"][-1]["what"] == "export"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_comment_cannot_be_a_formula(scene, text: str) -> None:
    assert safe_cell(text) == f"'{text}" and safe_cell("fine") == "fine" and safe_cell(-1) == -1
    ada = scene("ada")
    ada.answer(0)
    ada.save(event(ada.screen()["assignment"], kind="comment", side="left", comment=text))
    ada.desk.close(ada.study_id)
    long = next(path for path in ada.desk.export(ada.study_id, ada.desk.workspace.data / "x") if "long" in path.name)
    remarks = {row["remark"] for row in csv.DictReader(long.read_text(encoding="utf-8").splitlines())}
    assert f"'{text.strip()}" in remarks


def test_the_key_is_shown_after_unblinding(scored) -> None:
    desk, study_id = scored
    desk.close(study_id)
    with pytest.raises(ConflictError) as caught:
        desk.key(study_id)
    assert caught.value.code == "study_state"
    desk.unblind(study_id)
    rows = desk.key(study_id)
    assert len(rows) == 64 and {rows[0]["left"], rows[0]["right"]} == {"no_rag", "rag_semantic"}
    json.dumps(rows)
    json.dumps(desk.analysis(study_id), allow_nan=False)
