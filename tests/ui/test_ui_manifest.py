"""The manifest tab: what it shows, what its form means, and nothing unescaped."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "datasets"))

from stand_in import StandIn, job
from training_clips import Clips, clips_once, copied

from t2v_studio.errors import CancelledError, ConflictError, InputError, NotFoundError
from t2v_studio.jobs.manifest_desk import ManifestDesk
from t2v_studio.jobs.model import Job
from t2v_studio.ui.components import manifest_view
from t2v_studio.ui.tabs import manifest as tab

ATTACK = "<img src=x onerror=alert(1)>"
PLAIN = (0.0, [], [], [], [], [], [], "video", "acad_course_v1", "0.8,0.1,0.1", 42)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return copied(clips_once(tmp_path_factory), tmp_path_factory.mktemp("manifest-tab") / "home")


@pytest.fixture(scope="module")
def studio(clips: Clips) -> StandIn:
    return StandIn(clips.settings)


def test_the_form_means_what_it_says() -> None:
    spec = tab.spec_of((4.0, ["clarity"], *PLAIN[2:8], " tok ", "0.9, 0.1", 7.0))
    assert (spec["min_score"], spec["criterion"], spec["trigger_token"], spec["split"], spec["seed"]) == (
        4.0, ["clarity"], "tok", [0.9, 0.1], 7)  # fmt: skip
    assert tab.spec_of((0.0, ["clarity"], *PLAIN[2:]))["criterion"] == [], (
        "a criterion without a score asks for nothing"
    )
    with pytest.raises(InputError, match="Train, validation, test"):
        tab.spec_of((*PLAIN[:9], "most", 42))


def test_the_gallery_has_players_scores_and_captions_to_edit(studio: StandIn, clips: Clips) -> None:
    made = studio.manifests.preview(**tab.spec_of((4.0, *PLAIN[1:])))
    view = manifest_view.gallery(studio, made["rows"], "acad_course_v1")  # type: ignore[arg-type]
    assert view.count("<article") == 4 and view.count("<video") == 4 and view.count("<textarea") == 4
    assert "5.0 of 5" in view and "Caption, after acad_course_v1" in view and ">acad_course_v1," not in view
    head = manifest_view.head(made["summary"], saved=False)
    assert "4 clips" in head and "leak check passed" in head and "not saved yet" in head
    out = manifest_view.left_out(made["exclusions"])
    assert "score too low" in out and "Blind still" in out and clips.single["gone"] in out


def test_long_sets_are_shown_in_parts(studio: StandIn) -> None:
    rows = studio.manifests.preview()["rows"]
    view = manifest_view.gallery(studio, rows, "", shown=2)  # type: ignore[arg-type]
    assert view.count("<article") == 2 and 'data-act="more"' in view and f"of {len(rows) - 2}" in view


def test_a_clip_outside_the_workspace_is_not_served(studio: StandIn, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"x")
    assert manifest_view.served(studio, str(tmp_path / "secret.mp4")) == ""  # type: ignore[arg-type]
    row = studio.manifests.preview()["rows"][0] | {"video": str(tmp_path / "secret.mp4"), "poster": ""}
    assert "No player" in manifest_view.gallery(studio, [row], "")  # type: ignore[arg-type]


def test_scenes_play_their_own_part(studio: StandIn) -> None:
    rows = studio.manifests.preview(unit="scene")["rows"]
    second = next(row for row in rows if row["scene"] == "end")
    assert "#t=0.500,1.000" in manifest_view.gallery(studio, [second], "")  # type: ignore[arg-type]


def test_nothing_is_shown_unescaped(studio: StandIn) -> None:
    made = studio.manifests.preview()
    row = made["rows"][0] | {
        "topic": ATTACK,
        "caption": f"</textarea>{ATTACK}",
        "engine": ATTACK,
        "id": ATTACK,
        "scene": ATTACK,
    }
    one = made["exclusions"][0] | {"topic": ATTACK, "id": ATTACK, "reasons": [{"code": ATTACK, "message": ATTACK}]}
    head = made["summary"] | {"warnings": [ATTACK], "notices": [ATTACK]}
    head["leaks"] = {"ok": False, "leaks": [{"kind": ATTACK, "what": ATTACK, "splits": [ATTACK]}], "notes": [ATTACK]}
    head["splits"] = [row_ | {"topics": {ATTACK: 1}} for row_ in head["splits"]]
    for view in (
        manifest_view.gallery(studio, [row], ATTACK),  # type: ignore[arg-type]
        manifest_view.left_out([one]),
        manifest_view.head(head, saved=False),
    ):
        assert ATTACK not in view and "</textarea><" not in view.replace("</textarea></label>", "")


def test_saved_manifests_are_offered_and_packed(studio: StandIn) -> None:
    made = studio.manifests.build(**tab.spec_of((4.0, *PLAIN[1:])))
    assert tab.choices(studio.manifests.manifests())[1][1] == made["id"]
    assert "a score of 4 and more" in manifest_view.head(made, saved=True)
    jsonl, csv = tab.copies(studio, made["id"])  # type: ignore[arg-type]
    assert Path(jsonl).read_bytes() == Path(made["jsonl"]).read_bytes() and csv.endswith(".csv")
    told: list[tuple[Any, ...]] = []
    packed = studio.manifests.archive(made["id"], "text", lambda *line: told.append(line))
    path = Path(packed["archive"])
    assert told[-1][0] == "packing the clips" and told[-1][1] == told[-1][2] and packed["clips"] == 4
    assert packed["bytes"] == path.stat().st_size and f"{packed['bytes'] / 1e6:.1f} MB" in str(
        tab.archive_button(job("archive", "succeeded", packed)).get_config()
    )
    with zipfile.ZipFile(path) as archived:
        assert len([name for name in archived.namelist() if name.endswith(".txt")]) == 4
        assert archived.testzip() is None
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_packing_is_a_job_that_is_refused_told_and_leaves_nothing_half(clips: Clips) -> None:
    queued: list[Job] = []

    def submit(kind: str, lane: str, spec: dict[str, Any], title: str) -> Job:
        queued.append(replace(job(kind, "queued"), lane=lane, spec=spec, title=title))
        return queued[-1]

    desk = ManifestDesk(clips.settings, clips.workspace, submit, lambda: queued)
    assert desk.first_look
    made = desk.build(**tab.spec_of((4.0, *PLAIN[1:])))
    assert not desk.first_look
    with pytest.raises(NotFoundError):
        desk.submit_archive(tab.NEW, "text")
    with pytest.raises(InputError, match="layout"):
        desk.submit_archive(made["id"], "tex")
    assert desk.archive_job(made["id"]) is None
    first = desk.submit_archive(made["id"], "text")
    assert (first.kind, first.lane) == ("archive", "files") and desk.archive_job(made["id"]) is first
    with pytest.raises(ConflictError, match="being packed now"):
        desk.submit_archive(made["id"], "text")
    assert "In the queue" in tab.status_of(first) and tab.status_of(job("archive", "succeeded")) == ""
    assert "Nothing was left" in tab.status_of(job("archive", "cancelled"))

    def cancel(stage: str, done: int, of: int) -> None:
        if stage == "packing the clips" and done == 2:
            raise CancelledError

    before = set((clips.workspace.cache / "web" / "export").rglob("*.*"))
    with pytest.raises(CancelledError):
        desk.archive(made["id"], "text", cancel)
    assert set((clips.workspace.cache / "web" / "export").rglob("*.*")) == before
