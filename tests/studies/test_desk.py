"""A study's way from draft to table: states, checks, the frozen design, places."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pairs_on_disk import make_pair_on_disk
from raters import desk_at

from t2v_studio.database import connect, reading
from t2v_studio.errors import BusyError, ConflictError, InputError, NotFoundError, StudioError
from t2v_studio.studies import locking
from t2v_studio.studies.design import design_hash
from t2v_studio.studies.desk import StudyDesk
from t2v_studio.studies.rubric import CRITERIA
from t2v_studio.studies.store_states import STEPS


def codes(rows: list[dict[str, Any]], level: str = "block") -> set[str]:
    return {row["code"] for row in rows if row["level"] == level}


@pytest.fixture
def desk(settings, workspace) -> StudyDesk:
    return StudyDesk(settings, workspace)


def test_a_draft_shows_title_and_objective_of_its_pairs(draft) -> None:
    desk, study_id = draft
    study = desk.study(study_id)
    assert study["state"] == "draft" and study["raters"] == [] and study["design_sha256"] == ""
    assert [topic["key"] for topic in study["topics"]] == ["gradient-descent", "attention", "a-search"]
    assert study["topics"][0]["objective"] == "Understand Gradient descent."
    assert [criterion["key"] for criterion in study["rubric"]["criteria"]] == [one.key for one in CRITERIA]
    assert {level for one in CRITERIA for level in one.anchors} == {1, 3, 5}
    assert desk.studies()[0]["topics"] == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"pair_ids": []}, "no_pairs"),
        ({"title": "  "}, "bad_text"),
        ({"seed": -1}, "bad_seed"),
        ({"pair_ids": ["pair_000000aa", "pair_000000aa"]}, "pair_repeats"),
        ({"pair_ids": ["pair_000000aa"]}, "unknown_pair"),
        ({"pair_ids": ["../../etc"]}, "unknown_id"),
    ],
)
def test_bad_drafts_are_refused(desk: StudyDesk, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(StudioError) as caught:
        desk.create(**{"title": "T", "pair_ids": ["pair_000000aa"]} | arguments)
    assert caught.value.code == code and caught.value.hint
    assert desk.studies() == []


def test_a_draft_can_be_edited_and_removed(draft) -> None:
    desk, study_id = draft
    more = make_pair_on_disk(desk.workspace, "Attention")
    study = desk.edit(
        study_id, title="Other", topics={"attention": {"title": "QKV", "objective": "See it."}}, add=[more],
        remove=["a-search"],
    )  # fmt: skip
    assert study["title"] == "Other"
    assert [topic["key"] for topic in study["topics"]] == ["gradient-descent", "attention", "attention-2"]
    assert (study["topics"][1]["title"], study["topics"][1]["objective"]) == ("QKV", "See it.")
    with pytest.raises(NotFoundError):
        desk.edit(study_id, remove=["nothing"])
    desk.delete_draft(study_id)
    assert desk.studies() == []


def test_what_blocks_a_lock_and_what_may_be_set_aside(desk: StudyDesk) -> None:
    ws = desk.workspace
    bad: dict[str, tuple[dict[str, Any], str, bool]] = {
        "Black": ({"treated": {"verdict": "black"}}, "degenerate", True),
        "Fallback": ({"treated": {"scene": {"fallback": "out of memory"}}}, "fallback", False),
        "Sources": (
            {"control": {"request": {"show_sources": True}}, "treated": {"request": {"show_sources": True}}},
            "sources_shown",
            False,
        ),
        "Longer": ({"frames": (8, 10)}, "unequal_length", True),
        "Seed": ({"treated": {"request": {"seed": 4}}}, "pair_differs", False),
        "Rate": ({"treated": {"fps": 9.0}}, "unequal_size", False),
        "Size": ({"treated": {"width": 160}}, "unequal_size", False),
        "Ungrounded": ({"grounded": False}, "not_grounded", False),
        "Same": ({"same_pictures": True}, "same_pictures", False),
        "Changed": ({"control": {"video_sha256": "0" * 64}}, "file_changed", False),
    }
    pairs = {topic: make_pair_on_disk(ws, topic, **options) for topic, (options, _, _) in bad.items()}
    study_id = desk.create("Clips", [*pairs.values(), make_pair_on_disk(ws, "Fine")], seed=1)["id"]
    found = desk.checks(study_id)
    for topic, (_, code, can_override) in bad.items():
        mine = [row for row in found if row["topic"] == topic.lower() and row["level"] == "block"]
        assert code in codes(mine), topic
        assert all(row["can_override"] == can_override for row in mine if row["code"] == code), topic
    assert not [row for row in found if row["topic"] == "fine"]
    assert codes(found, "warn") == {"below_recommended"}
    reasons = dict.fromkeys([topic.lower() for topic in bad], "I looked at it.")
    with pytest.raises(ConflictError) as caught:
        desk.lock(study_id, raters=2, overrides=reasons)
    assert caught.value.code == "study_blocked"
    assert {row["topic"] for row in caught.value.details["checks"]} == {
        topic.lower() for topic, (_, _, can_override) in bad.items() if not can_override
    }
    assert desk.study(study_id)["state"] == "draft" and not list(ws.studies.rglob("*.mp4"))


def test_a_reason_sets_a_degenerate_clip_aside_and_stays_in_the_design(desk: StudyDesk) -> None:
    pairs = [
        make_pair_on_disk(desk.workspace, "Dark", control={"verdict": "underexposed"}),
        make_pair_on_disk(desk.workspace, "Fine"),
    ]
    study_id = desk.create("Clips", pairs, seed=1)["id"]
    for overrides in (None, {"dark": " "}, {"fine": "A reason for another topic."}):
        with pytest.raises(ConflictError):
            desk.lock(study_id, raters=1, overrides=overrides)
    study = desk.lock(study_id, raters=1, overrides={"dark": "It is a night scene.", "fine": "Not needed."})
    assert study["state"] == "locked"
    assert study["audit"][-1]["details"]["overrides"] == {"dark": "It is a night scene."}
    assert "dark: It is a night scene." in desk.preregistration(study_id)


@pytest.mark.parametrize(("count", "code", "level"), [(1, "too_few_topics", "block"), (2, "few_topics", "warn")])
def test_few_topics(desk: StudyDesk, count: int, code: str, level: str) -> None:
    pairs = [make_pair_on_disk(desk.workspace, f"Topic {n}") for n in range(count)]
    assert code in codes(desk.create("Clips", pairs)["checks"], level)


def test_titles_that_hint_at_retrieval_are_named(draft) -> None:
    desk, study_id = draft
    desk.edit(study_id, title="RAG against no_rag", topics={"attention": {"objective": "See what the textbook adds."}})
    told = {row["topic"] for row in desk.checks(study_id) if row["code"] == "telling_title"}
    assert told == {"", "attention"}


def test_a_lock_freezes_design_copies_and_places(locked) -> None:
    desk, study_id = locked
    study = desk.study(study_id)
    assert study["state"] == "locked" and study["places"] == 8 and len(study["design_sha256"]) == 64
    folder = desk.workspace.study(study_id)
    assert len(list((folder / "media").iterdir())) == 6
    text = (folder / "preregistration.md").read_text(encoding="utf-8")
    assert text == desk.preregistration(study_id)
    assert study["design_sha256"] in text and "8 examiners" in text and "left out" in text
    with reading(desk.workspace.database) as connection:
        design = json.loads(connection.execute("SELECT design FROM study").fetchone()[0])
    assert design_hash(design) == study["design_sha256"]
    for word in ("sha256", "prompts", "request", "scenes"):
        assert word in design["topics"][0]["clips"]["rag_semantic"]
    assert {"rubric", "assignments", "exclusion_rules", "primary_outcome", "analysis_version", "raters"} <= set(design)


def test_the_same_draft_gives_the_same_design_and_plan(draft_home, tmp_path: Path) -> None:
    seen = []
    for name in ("one", "two"):
        shutil.copytree(draft_home[0], tmp_path / name)
        desk = desk_at(tmp_path / name)
        sha = desk.lock(draft_home[1], raters=3)["design_sha256"]
        with reading(desk.workspace.database) as connection:
            plan = connection.execute(
                "SELECT number, position, kind, assignment.topic_key, one.variant, two.variant, left_token FROM assignment "
                "JOIN rater ON rater.id = rater_id JOIN clip AS one ON one.id = left_clip "
                "JOIN clip AS two ON two.id = right_clip ORDER BY number, position"
            ).fetchall()
        seen.append((sha, [tuple(row)[:-1] for row in plan], {row["left_token"] for row in plan}))
    assert seen[0][:2] == seen[1][:2]
    assert not seen[0][2] & seen[1][2], "tokens are random, whatever the seed"


def test_a_lock_refuses_edits_even_by_sql(locked) -> None:
    desk, study_id = locked
    for act in (
        lambda: desk.edit(study_id, title="Other"),
        lambda: desk.delete_draft(study_id),
        lambda: desk.lock(study_id, raters=2),
    ):
        with pytest.raises(ConflictError) as caught:
            act()
        assert caught.value.code == "study_state"
    connection = connect(desk.workspace.database)
    for statement in (
        "UPDATE topic SET title = 'x'",
        "DELETE FROM topic",
        "UPDATE criterion SET label = 'x'",
        "UPDATE clip SET variant = 'x'",
        "INSERT INTO clip SELECT 'c', study_id, topic_key, 'v', video_id, sha256, 't', blind_sha256, path, fps, frames, "
        "duration_s, width, height, generation, verdict FROM clip LIMIT 1",
        "UPDATE assignment SET left_clip = right_clip",
        "UPDATE study SET design = '{}'",
        "UPDATE study SET title = 'x'",
        "UPDATE study SET state = 'draft'",
        "UPDATE study SET state = 'unblinded'",
        "DELETE FROM study",
        "UPDATE audit SET what = 'x'",
        "DELETE FROM audit",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()


def test_a_text_that_quotes_its_book_is_named(desk: StudyDesk) -> None:
    plan = {
        "scenes": [{"id": "start", "title": "Start", "steps": [{"say": "As Figure 3.2 of this book shows, we step."}]}]
    }
    pair = make_pair_on_disk(desk.workspace, "Attention", treated={"plan": plan})
    told = [row for row in desk.create("Clips", [pair])["checks"] if row["code"] == "telling_text"]
    assert len(told) == 1 and told[0]["level"] == "warn"
    assert "with retrieval" in told[0]["message"] and "“Figure 3.2”" in told[0]["message"]


def test_a_change_after_lock_is_a_new_version_with_a_reason(locked) -> None:
    desk, study_id = locked
    before = desk.study(study_id)
    with pytest.raises(InputError):
        desk.new_version(study_id, " ")
    new = desk.new_version(study_id, "The objective of one topic was unclear.")
    assert new["id"] != study_id and new["state"] == "draft" and new["topics"] == before["topics"]
    assert new["audit"][0]["details"]["version_of"] == study_id
    after = desk.study(study_id)
    assert after["audit"][-1]["details"]["reason"] == "The objective of one topic was unclear."
    assert {name: after[name] for name in after if name != "audit"} == {
        name: before[name] for name in before if name != "audit"
    }
    assert desk.lock(new["id"], raters=1)["state"] == "locked"


def test_a_lock_that_fails_leaves_a_draft_that_can_be_locked(draft, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, study_id = draft
    real, calls = locking.blind_pair, []

    def third_fails(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise StudioError("disk_full", "The disk is full.")
        return real(*arguments)

    monkeypatch.setattr(locking, "blind_pair", third_fails)
    with pytest.raises(StudioError):
        desk.lock(study_id, raters=1)
    media = desk.workspace.study(study_id) / "media"
    assert desk.study(study_id)["state"] == "draft" and list(media.iterdir()) == []
    (media / "left-over.mp4").write_bytes(b"of a killed lock")
    assert desk.lock(study_id, raters=1)["state"] == "locked"
    assert len(list(media.iterdir())) == 6


def test_two_windows_cannot_lock_at_once(draft) -> None:
    desk, study_id = draft
    with locking._one_at_a_time(desk.workspace.study(study_id)), pytest.raises(BusyError):
        desk.lock(study_id, raters=1)


def test_every_step_from_every_state(locked) -> None:
    """The whole table: what is not in STEPS is refused and changes nothing."""
    desk, study_id = locked
    acts = {
        "lock": lambda: desk.lock(study_id, raters=1),
        "close": lambda: desk.close(study_id),
        "unblind": lambda: desk.unblind(study_id),
    }
    assert set(STEPS) == {*acts, "begin"}
    for state, following in (("locked", "close"), ("closed", "unblind"), ("unblinded", None)):
        for name, act in acts.items():
            if name != following:
                with pytest.raises(ConflictError):
                    act()
                assert desk.study(study_id)["state"] == state
        if following:
            acts[following]()
    assert [row["what"] for row in desk.study(study_id)["audit"]][-2:] == ["close", "unblind"]


def test_places_are_those_that_were_locked(locked) -> None:
    desk, study_id = locked
    first = desk.invite(study_id, "ada")
    assert first["pseudonym"] == "ada" and first["path"] == f"/rate/?token={first['token']}"
    assert len(first["token"]) >= 43
    for name, code in (("ada", "pseudonym_taken"), ("<b>", "bad_pseudonym"), ("=cmd", "bad_pseudonym")):
        with pytest.raises(InputError) as caught:
            desk.invite(study_id, name)
        assert caught.value.code == code
    names = {desk.invite(study_id)["pseudonym"] for _ in range(7)}
    assert len(names) == 7
    with pytest.raises(ConflictError) as full:
        desk.invite(study_id)
    assert full.value.code == "no_place_left"
    assert first["token"] not in json.dumps(desk.study(study_id)), "a token is shown once"
    dump = "\n".join(sqlite3.connect(desk.workspace.database).iterdump())
    assert first["token"] not in dump


def test_a_lost_link_is_replaced(locked) -> None:
    desk, study_id = locked
    first = desk.invite(study_id, "ada")
    again = desk.invite_again(study_id, "ada")
    assert again["rater"] == first["rater"]
    assert desk.enter(again["token"])["pseudonym"] == "ada"
    for token in (first["token"], "", again["token"][:-1], "x" * 5000):
        with pytest.raises(NotFoundError):
            desk.enter(token)
    with pytest.raises(NotFoundError):
        desk.invite_again(study_id, "bo")


def test_a_draft_takes_no_examiners(draft) -> None:
    desk, study_id = draft
    with pytest.raises(ConflictError):
        desk.invite(study_id)
    with pytest.raises(ConflictError):
        desk.preregistration(study_id)


def test_the_first_entrance_begins_the_collection(locked) -> None:
    desk, study_id = locked
    token = desk.invite(study_id, "ada")["token"]
    assert desk.study(study_id)["state"] == "locked"
    desk.enter(token)
    desk.enter(token)
    study = desk.study(study_id)
    assert study["state"] == "collecting"
    assert [row["what"] for row in study["audit"]].count("begin") == 1


def test_the_database_is_copied_at_lock_and_close(locked) -> None:
    desk, study_id = locked
    desk.close(study_id)
    for when, state in (("lock", "locked"), ("close", "closed")):
        path = desk.workspace.backups / f"{study_id}-{when}.db"
        assert not desk.workspace.contains(path), "a copy must not lie where videos are served"
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT state FROM study").fetchone() == (state,)
    assert len(list(desk.workspace.backups.iterdir())) == 2


def test_power_rows(desk: StudyDesk) -> None:
    rows = desk.power(1.0, [4], [2])
    assert rows[0]["topics"] == 4 and rows[0]["raters"] == 2 and rows[0]["power"] == 0 and rows[0]["note"]
