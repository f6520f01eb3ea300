"""No write is lost: not under kill -9, not with eight examiners at once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from raters import KEYS, Scene, answers, event

from t2v_studio.database import reading
from t2v_studio.studies.answers import differences, event_rows

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


def current_scores(desk) -> dict[tuple[str, str, str], tuple]:
    with reading(desk.workspace.database) as connection:
        return {
            (row["assignment_id"], row["side"], row["criterion"]): (row["value"], row["reason"], row["revision"])
            for row in connection.execute("SELECT * FROM score")
        }


def last_of_each(events: list[dict]) -> dict[tuple[str, str, str], tuple]:
    """The score table that the log stands for, worked out here from nothing but order."""
    table: dict[tuple[str, str, str], tuple] = {}
    for row in sorted(events, key=lambda row: row["seq"]):
        if row["kind"] == "score":
            key = (row["assignment_id"], row["side"], row["criterion"])
            table[key] = (row["value"], row["reason"], table.get(key, (None, "", 0))[2] + 1)
    return table


def scribbler(desk, rater: str, seed: int, count: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "scribble.py"), str(desk.settings.home), rater, str(seed), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def scribble_with_kills(desk, rater: str, total: int, lines: list[str], ends: list[int]) -> None:
    """Let a child make `total` edits, killing it -9 after a random number of lines, three times over."""
    draw, made = random.Random(rater), 0
    while made < total or ends[-1] == -signal.SIGKILL:
        child = scribbler(desk, rater, len(ends), total - made)
        assert child.stdout is not None
        patience = draw.randrange(20, 60) if len(ends) < 3 else 10**9
        for seen, line in enumerate(child.stdout, start=1):
            # Under PYTHONUNBUFFERED a line leaves in pieces: a kill between them leaves one that was never told.
            if not line.endswith("\n"):
                break
            lines.append(line.strip())
            made += line.startswith("A")
            # Killed after an S as often as after an A: then its write is under way.
            if seen == patience:
                child.send_signal(signal.SIGKILL)
        child.stdout.close()
        ends.append(child.wait())
        if ends[-1] not in (0, -signal.SIGKILL):
            return


def test_two_examiners_edit_200_times_each_and_are_killed_again_and_again(locked) -> None:
    desk, study_id = locked
    scenes = [Scene(desk, study_id, name) for name in ("ada", "bo")]
    told: list[list[str]] = [[], []]
    ends: list[list[int]] = [[], []]
    threads = [
        threading.Thread(target=scribble_with_kills, args=(desk, scene.rater, 200, lines, end))
        for scene, lines, end in zip(scenes, told, ends, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for end in ends:
        assert end[-1] == 0 and end.count(-signal.SIGKILL) == len(end) - 1 >= 2
    log = event_rows(desk.workspace, study_id)
    logged = {row["uuid"]: row for row in log}
    assert len(logged) == len(log)
    for scene, lines in zip(scenes, told, strict=True):
        sent = {line.split()[1] for line in lines if line.startswith("S")}
        answered = [line.split() for line in lines if line.startswith("A")]
        assert len(answered) >= 200
        for _, uuid, assignment, side, criterion, value, revision in answered:
            row = logged[uuid]
            assert (row["assignment_id"], row["side"], row["criterion"]) == (assignment, side, criterion)
            assert (str(row["value"]), str(row["revision"])) == (value, revision)
        mine = {row["uuid"] for row in log if row["rater_id"] == scene.rater}
        assert mine <= sent, "nothing is in the log that nobody sent"
    table = current_scores(desk)
    assert table == last_of_each(log) and len(table) == 40
    with reading(desk.workspace.database) as connection:
        assert differences(connection, study_id) == []
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert desk.close(study_id)["audit"][-1]["details"]["log_differs"] == []


def test_a_kill_between_sending_and_answer_keeps_log_and_table_as_one(locked) -> None:
    """The write itself is cut: a child that dies inside the transaction leaves neither half."""
    desk, study_id = locked
    scene = Scene(desk, study_id, "ada")
    mine = scene.screen()["assignment"]
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from raters import desk_at, event\n"
        "from t2v_studio.studies import answers\n"
        "real = answers._insert\n"
        "def dying(connection, table, row, *, replace=False):\n"
        "    if table == 'score':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(connection, table, row, replace=replace)\n"
        "answers._insert = dying\n"
        "desk_at(Path(sys.argv[1])).save(sys.argv[2], [event(sys.argv[3], side='left', criterion='clarity', value=5)])\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{HERE}"}
    argv = [sys.executable, "-c", code, str(desk.settings.home), scene.rater, mine]
    assert subprocess.run(argv, env=environment, check=False).returncode == -signal.SIGKILL
    assert event_rows(desk.workspace, study_id) == [] and current_scores(desk) == {}
    scene.save(event(mine, side="left", criterion="clarity", value=3, based_on=0))
    assert current_scores(desk) == {(mine, "left", "clarity"): (3, "", 1)}


def test_eight_examiners_at_once_lose_nothing(locked) -> None:
    desk, study_id = locked
    invitations = [desk.invite(study_id, f"rater {n}") for n in range(8)]
    errors: list[BaseException] = []
    sent: list[list[str]] = [[] for _ in invitations]
    together = threading.Barrier(8)

    def work(number: int) -> None:
        try:
            together.wait()
            rater = desk.enter(invitations[number]["token"])["rater"]
            for position in range(3):
                screen = desk.screen(rater, position)
                for one in answers(screen, lambda _screen, side, key: 2 + (number + len(side + key)) % 4):
                    desk.save(rater, [one])
                    sent[number].append(one["uuid"])
                desk.submit(rater, screen["assignment"])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    log = event_rows(desk.workspace, study_id)
    assert sorted(row["uuid"] for row in log) == sorted(uuid for mine in sent for uuid in mine)
    assert len(log) == 8 * 3 * 13
    assert current_scores(desk) == last_of_each(log)
    study = desk.study(study_id)
    assert study["done"] == 24 and {rater["done"] for rater in study["raters"]} == {3}
    assert [row["what"] for row in study["audit"]].count("begin") == 1


def test_two_windows_of_one_examiner_never_overwrite_unseen(locked) -> None:
    """Both windows write on what they saw: of two that saw the same, one is told."""
    desk, study_id = locked
    scene = Scene(desk, study_id, "ada")
    mine = scene.screen()["assignment"]
    results: list[dict] = []
    together = threading.Barrier(2)

    def window(value: int) -> None:
        together.wait()
        for key in KEYS:
            results.append(scene.save(event(mine, side="left", criterion=key, value=value, based_on=0)))

    threads = [threading.Thread(target=window, args=(value,)) for value in (2, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(result["revisions"]) for result in results) == len(KEYS)
    assert sum(len(result["conflicts"]) for result in results) == len(KEYS)


@pytest.mark.parametrize("table", ["score_event", "audit"])
def test_a_crashed_writer_cannot_have_rewritten_the_log(locked, table: str) -> None:
    desk, _ = locked
    with sqlite3.connect(desk.workspace.database) as connection:
        names = {
            row[0]
            for row in connection.execute(
                "SELECT name FROM sqlite_master WHERE tbl_name = ? AND type = 'trigger'", (table,)
            )
        }
    assert {f"{table}_no_update", f"{table}_no_delete"} <= names
