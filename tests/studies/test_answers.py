"""The event log: idempotent, append-only, with revisions; nothing counts that was not answered."""

from __future__ import annotations

import sqlite3

import pytest
from raters import KEYS, answers, event

from t2v_studio.database import connect, reading
from t2v_studio.errors import ConflictError, InputError
from t2v_studio.studies.answers import differences, event_rows


def rows(scene, table: str) -> list[dict]:
    with reading(scene.desk.workspace.database) as connection:
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]


def test_a_new_screen_holds_no_answer(scene) -> None:
    screen = scene("ada").screen()
    assert screen["answers"] == {"left": {}, "right": {}} and screen["preference"] is None
    assert screen["comments"] == screen["exposure"] == {"left": None, "right": None}
    assert [criterion["key"] for criterion in screen["rubric"]["criteria"]] == KEYS
    assert set(screen["rubric"]["criteria"][0]["anchors"]) == {"1", "3", "5"}


def test_answers_come_back_as_they_were_given(scene) -> None:
    ada = scene("ada")
    mine = ada.screen()["assignment"]
    ada.save(
        event(mine, side="left", criterion="clarity", value=4, based_on=0, client_ts="2026-01-01T00:00:00Z"),
        event(mine, side="left", criterion="clarity", value=2, based_on=1),
        event(mine, side="right", criterion="clarity", cannot_judge=True, comment="It is black."),
        event(mine, kind="comment", side="right", comment=" =SUM(A1) "),
        event(mine, kind="preference", winner="left", confidence=3),
        event(mine, kind="exposure", side="left", seconds=2.5, plays=2, reached_end=True),
        event(mine, kind="exposure", side="left", seconds=1.0, plays=3, reached_end=False),
    )
    screen = ada.screen()
    assert screen["answers"]["left"]["clarity"] == {"value": 2, "cannot_judge": False, "comment": "", "revision": 2}
    assert screen["answers"]["right"]["clarity"] == {
        "value": None, "cannot_judge": True, "comment": "It is black.", "revision": 1
    }  # fmt: skip
    assert screen["comments"]["right"] == {"text": "=SUM(A1)", "revision": 1}
    assert screen["preference"] == {"winner": "left", "confidence": 3, "revision": 1}
    assert screen["exposure"]["left"] == {"seconds": 2.5, "plays": 3, "reached_end": True, "failed": False}
    assert ada.desk.enter(ada.invitation["token"])["position"] == 0, "a half-filled screen is where one resumes"


def test_an_event_that_comes_twice_counts_once(scene) -> None:
    ada = scene("ada")
    first = event(ada.screen()["assignment"], side="left", criterion="clarity", value=4, based_on=0)
    second = event(ada.screen()["assignment"], side="left", criterion="clarity", value=5, based_on=1)
    assert ada.save(first, second)["revisions"] == {first["uuid"]: 1, second["uuid"]: 2}
    again = ada.save(first)
    assert again["revisions"] == {first["uuid"]: 1} and again["conflicts"] == []
    assert ada.screen()["answers"]["left"]["clarity"]["value"] == 5
    assert len(rows(ada, "score_event")) == 2
    with pytest.raises(InputError):
        ada.save(first | {"value": 1})


def test_a_window_that_is_behind_is_told_what_stands(scene) -> None:
    ada = scene("ada")
    mine = ada.screen()["assignment"]
    ada.save(event(mine, side="left", criterion="clarity", value=4, based_on=0))
    stale = event(mine, side="left", criterion="clarity", value=1, based_on=0)
    fresh = event(mine, side="right", criterion="clarity", value=3, based_on=0)
    result = ada.save(stale, fresh)
    assert result["revisions"] == {fresh["uuid"]: 1}
    (conflict,) = result["conflicts"]
    assert conflict["uuid"] == stale["uuid"] and conflict["revision"] == 1 and conflict["current"]["value"] == 4
    assert {row["uuid"] for row in rows(ada, "score_event")} >= {fresh["uuid"]}
    assert stale["uuid"] not in {row["uuid"] for row in rows(ada, "score_event")}
    stale["based_on"] = 1
    assert ada.save(stale)["revisions"] == {stale["uuid"]: 2}


@pytest.mark.parametrize(
    "bad",
    [
        {"uuid": "1"},
        {"value": 0},
        {"value": 6},
        {"value": 3.5},
        {"value": True},
        {"value": "4"},
        {"side": "middle"},
        {"side": ""},
        {"criterion": "beauty"},
        {"value": 3, "cannot_judge": True},
        {"kind": "preference"},
        {"kind": "preference", "winner": "left", "confidence": 4},
        {"kind": "exposure", "seconds": float("nan")},
        {"kind": "lock"},
        {"variant": "left"},
        {"comment": "x" * 4001},
    ],
)
def test_bad_events_are_refused_whole(scene, bad: dict) -> None:
    ada = scene("ada")
    mine = ada.screen()["assignment"]
    good = event(mine, side="left", criterion="clarity", value=4)
    with pytest.raises(InputError) as caught:
        ada.save(good, event(mine, **{"side": "left", "criterion": "clarity"} | bad))
    assert caught.value.code == "bad_event" and caught.value.details["uuid"]
    assert rows(ada, "score_event") == [] == rows(ada, "score")


def test_an_untouched_scale_is_not_an_answer(scene) -> None:
    ada = scene("ada")
    screen = ada.screen()
    with pytest.raises(InputError) as caught:
        ada.desk.submit(ada.rater, screen["assignment"])
    assert len(caught.value.details["open"]) == 11
    events = answers(screen)
    ada.save(*[one for one in events if not (one.get("side") == "right" and one.get("criterion") == "coherence")])
    with pytest.raises(InputError) as caught:
        ada.desk.submit(ada.rater, screen["assignment"])
    assert caught.value.details["open"] == ["right: Temporal coherence"]
    ada.save(*events)
    result = ada.desk.submit(ada.rater, screen["assignment"])
    assert (result["done"], result["next"], result["screens"]) == (1, 1, 8)


@pytest.mark.parametrize("answer", [{"cannot_judge": True}, {"value": 1}])
def test_no_judgement_and_the_lowest_score_need_a_reason(scene, answer: dict) -> None:
    ada = scene("ada")
    screen = ada.screen()
    mine = screen["assignment"]
    ada.save(*[one for one in answers(screen) if one.get("kind") != "comment"])
    ada.save(event(mine, side="left", criterion="clarity", **answer))
    with pytest.raises(InputError) as caught:
        ada.desk.submit(ada.rater, mine)
    (told,) = caught.value.details["open"]
    assert told.startswith("left: Visual clarity: a comment")
    ada.save(event(mine, kind="comment", side="right", comment="The wrong side."))
    with pytest.raises(InputError):
        ada.desk.submit(ada.rater, mine)
    ada.save(event(mine, kind="comment", side="left", comment="All is black."))
    assert ada.desk.submit(ada.rater, mine)["done"] == 1


def test_what_is_taken_back_opens_the_screen_again(scene) -> None:
    ada = scene("ada")
    ada.answer(0)
    mine = ada.screen()["assignment"]
    assert ada.save(event(mine, side="left", criterion="clarity", value=5))["reopened"] == []
    assert ada.screen()["done"] is True
    assert ada.save(event(mine, side="left", criterion="clarity"))["reopened"] == [mine]
    assert ada.screen()["done"] is False
    assert ada.desk.enter(ada.invitation["token"])["position"] == 0


def test_watching_is_noted_and_never_traps(scene) -> None:
    ada = scene("ada")
    assert len(ada.answer(0)["warnings"]) == 2
    mine = ada.screen(1)["assignment"]
    ada.save(event(mine, kind="exposure", side="left", failed=True), *answers(ada.screen(1)))
    ada.save(event(mine, kind="exposure", side="right", reached_end=True, seconds=99.0))
    # The server's clock knows better than the page: this screen was opened less than a clip's length ago.
    connection = connect(ada.desk.workspace.database)
    connection.execute(
        "UPDATE opening SET opened_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE assignment_id = ?", (mine,)
    )
    assert ada.desk.submit(ada.rater, mine)["warnings"] == ["The right video was not watched to its end."]
    connection.execute(
        "UPDATE opening SET opened_at = '2026-01-01T00:00:00.000+00:00' WHERE assignment_id = ?", (mine,)
    )
    connection.close()
    assert ada.desk.submit(ada.rater, mine)["warnings"] == []


def test_the_guess_comes_last(scene) -> None:
    ada = scene("ada")
    early = ada.desk.last_questions(ada.rater)
    assert early["ready"] is False and early["screens"] == [] and early["question"] == ""
    with pytest.raises(ConflictError) as caught:
        ada.save(event(ada.screen()["assignment"], kind="guess", side="left"))
    assert caught.value.code == "guess_too_early"
    with pytest.raises(InputError):
        ada.desk.finish(ada.rater)
    ada.answer_all()
    asked = ada.desk.last_questions(ada.rater)
    assert asked["ready"] and asked["question"] and len({row["topic"] for row in asked["screens"]}) == 3
    ada.save(*[event(row["assignment"], kind="guess", side="unsure", confidence=1) for row in asked["screens"]])
    assert ada.desk.last_questions(ada.rater)["screens"][0]["guess"] == {
        "side": "unsure",
        "confidence": 1,
        "revision": 1,
    }
    ada.desk.finish(ada.rater)
    assert ada.desk.enter(ada.invitation["token"])["finished"] is True


def test_nothing_is_written_after_close(scene) -> None:
    ada = scene("ada")
    ada.answer(0)
    before = rows(ada, "score"), rows(ada, "score_event"), rows(ada, "assignment")
    ada.desk.close(ada.study_id)
    screen = ada.screen()
    assert screen["open"] is False and ada.desk.enter(ada.invitation["token"])["open"] is False
    for act in (
        lambda: ada.save(*answers(screen)),
        lambda: ada.desk.submit(ada.rater, screen["assignment"]),
        lambda: ada.desk.finish(ada.rater),
        lambda: ada.desk.consent(ada.rater),
    ):
        with pytest.raises(ConflictError) as caught:
            act()
        assert caught.value.code == "study_closed"
    connection = connect(ada.desk.workspace.database)
    for statement in (
        "UPDATE score SET value = 5",
        "DELETE FROM score",
        "INSERT OR REPLACE INTO score SELECT assignment_id, side, criterion, 5, '', '', 9 FROM score LIMIT 1",
        "DELETE FROM preference",
        "UPDATE assignment SET status = 'open'",
        "UPDATE study SET state = 'collecting'",
        "UPDATE remark SET text = ''",
        "INSERT INTO score_event (uuid, study_id, rater_id, assignment_id, kind, server_ts, revision) "
        "SELECT 'u', study_id, rater_id, assignment_id, kind, server_ts, 9 FROM score_event LIMIT 1",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()
    assert before == (rows(ada, "score"), rows(ada, "score_event"), rows(ada, "assignment"))


def test_the_log_cannot_be_rewritten(scene) -> None:
    ada = scene("ada")
    ada.save(*answers(ada.screen()))
    connection = connect(ada.desk.workspace.database)
    for statement in (
        "UPDATE score_event SET value = 5",
        "DELETE FROM score_event",
        "DELETE FROM score_event WHERE seq = 1",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE score SET value = 7")
    connection.close()


def test_a_table_that_does_not_follow_from_the_log_is_noticed(scene) -> None:
    ada = scene("ada")
    ada.save(*answers(ada.screen()))
    connection = connect(ada.desk.workspace.database)
    assert differences(connection, ada.study_id) == []
    connection.execute("UPDATE score SET value = 1 WHERE side = 'left' AND criterion = 'clarity'")
    assert len(differences(connection, ada.study_id)) == 1
    connection.close()
    closed = ada.desk.close(ada.study_id)
    assert len(closed["audit"][-1]["details"]["log_differs"]) == 1
    assert len(event_rows(ada.desk.workspace, ada.study_id)) == 13
