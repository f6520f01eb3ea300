"""A run of a pack: what it leaves, what it survives, and that it makes nothing twice."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pack_probe import POINTS, TOPICS, ask, run, small_pack
from rectangles import RectangleEngine

from t2v_studio.engines.base import Availability
from t2v_studio.errors import CancelledError, ConflictError, InputError, NotFoundError
from t2v_studio.production.packs_files import COLUMNS
from t2v_studio.production.packs_run import find_run, open_run, read_run, runs_in
from t2v_studio.production.pairs import pair_rows, read_pair
from t2v_studio.production.records import read_record, video_rows
from t2v_studio.workspace import Workspace

HERE = Path(__file__).parent
SILENT = [
    *TOPICS,
    {"slug": "silent", "topic": "silence on gradient descent", "template": "gradient_descent", "seed": 7},
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def inodes(home: Path) -> dict[str, int]:
    """Finished videos by id; a file that was written again has another number."""
    return {path.parent.name: path.stat().st_ino for path in (home / "outputs" / "videos").glob("vid_*/video.mp4")}


def summary(result: dict[str, Any]) -> list[dict[str, str]]:
    with Path(result["summary"]).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run_leaves_folders_tables_and_pairs(home: Path) -> None:
    result = run(home, RectangleEngine())
    workspace = Workspace.at(home)
    assert result["ok"] and result["state"] == "finished"
    assert result["counts"] == {"topics": 2, "ok": 2, "refused": 0, "failed": 0, "open": 0}
    folder = Path(result["folder"])
    assert folder.parent == workspace.packs
    rows = summary(result)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["topic_slug"], row["variant"], row["status"]) for row in rows] == [
        (slug, variant, "ok") for slug in ("descent", "backprop") for variant in ("no_rag", "rag_semantic")
    ]
    for row in rows:
        video = folder / row["video_path"]
        record = read_record(video.parent / "record.json")
        assert video.stat().st_ino == (workspace.video(row["video_id"]) / "video.mp4").stat().st_ino, (
            "a link, not a copy"
        )
        assert (record.id, record.pair_id, record.arm) == (row["video_id"], row["pair_id"], row["variant"])
        assert (str(record.frames), row["scene_frames"], row["seed"]) == (row["frames"], "4", str(record.request.seed))
        assert row["start_utc"] < row["end_utc"]
        assert (folder / row["log_path"]).read_text().rstrip().endswith("done")
        assert {path.name for path in video.parent.iterdir()} == {
            "video.mp4", "record.json", "plan.json", "subtitles.srt", "subtitles.vtt", "retrieval.json", "run.log",
        }  # fmt: skip
        found = json.loads((video.parent / "retrieval.json").read_text())
        if row["variant"] == "no_rag":
            assert (found["used"], found["hits"], row["grounded"]) == (False, [], "")
        else:
            assert found["query"] and int(row["retrieved_words"]) > 0 and row["grounded"] == "yes"
            assert all(hit["page"] and hit["text"] and hit["score"] for hit in found["hits"])
    assert [read_pair(workspace, pair)["grounding"]["ok"] for pair in result["pair_ids"]] == [True, True]
    table = Path(result["results"]).read_text()
    assert "hard links" in table
    assert table.count("| ok |") >= 4


def test_a_refused_pair_is_a_row_and_the_pack_goes_on(home: Path) -> None:
    result = run(home, RectangleEngine(), small_pack(topics=[SILENT[2], *TOPICS]))
    assert not result["ok"]
    assert result["counts"] == {"topics": 3, "ok": 2, "refused": 1, "failed": 0, "open": 0}
    refused = summary(result)[:2]
    assert {row["status"] for row in refused} == {"refused"}
    assert "would not show what retrieval does" in refused[0]["reason"]
    assert "- silent: " in Path(result["results"]).read_text()
    assert len(inodes(home)) == 4


def test_a_refused_topic_is_tried_again_under_its_tag_and_the_rest_is_kept(home: Path) -> None:
    pack = small_pack(topics=SILENT)
    first = run(home, RectangleEngine(), pack, tag="night")
    made = inodes(home)
    assert first["run"] == "small-night"

    engine = RectangleEngine()
    again = run(
        home, engine, pack, tag="night", ask=lambda request: ask(request.model_copy(update={"topic": "a book came"}))
    )
    assert again["ok"] and again["folder"] == first["folder"]
    assert made.items() < inodes(home).items() and len(inodes(home)) == 6
    assert len(engine.canvases) == 8, "only the refused topic was drawn"


def test_a_failing_topic_is_a_row_and_the_pack_goes_on(home: Path) -> None:
    class Failing(RectangleEngine):
        def render_scene(self, plan, index, canvas, report):
            if canvas.seed == 5:
                raise RuntimeError("the picture tore")
            return super().render_scene(plan, index, canvas, report)

    result = run(home, Failing())
    assert result["counts"] == {"topics": 2, "ok": 1, "refused": 0, "failed": 1, "open": 0}
    row = summary(result)[0]
    assert row["status"] == "failed"
    assert "the picture tore" in row["reason"]
    assert "the picture tore" in (Path(result["folder"]) / row["log_path"]).read_text()


def test_strict_forbids_the_local_engine_in_place_of_another(home: Path) -> None:
    class Absent(RectangleEngine):
        def availability(self, options: Any = None) -> Availability:
            return Availability(False, "There is no card.", "Buy one.")

    engines = {"diffusion": Absent("diffusion"), "local": RectangleEngine()}

    def made(**options: Any) -> dict[str, Any]:
        from t2v_studio.production import packs_make
        from t2v_studio.settings import Settings

        surroundings = {"workspace": Workspace.at(home), "settings": Settings(home=home, _env_file=None)}
        return packs_make.run_pack(
            small_pack(), ask=ask, engines=engines.__getitem__, engine="diffusion", **surroundings, **options
        )

    assert made()["ok"]
    strict = made(strict=True)
    assert strict["counts"]["failed"] == 2
    assert "There is no card." in strict["rows"][0]["reason"]


def test_seed_offsets_make_one_family_each(home: Path) -> None:
    runs = [run(home, RectangleEngine(), seed_offset=offset) for offset in (0, 100)]
    assert [row["seed"] for result in runs for row in result["rows"]] == [5, 5, 6, 6, 105, 105, 106, 106]
    assert len({row["family"] for result in runs for row in result["rows"]}) == 4
    assert runs[0]["folder"] != runs[1]["folder"]
    hashes = {read_record(Path(result["folder"]) / "descent/no_rag/record.json").frames_sha256 for result in runs}
    assert len(hashes) == 2


def test_progress_runs_over_the_whole_pack_and_names_the_topic(home: Path) -> None:
    said: list[tuple[str, int, int, str]] = []
    run(home, RectangleEngine(), report=lambda *line: said.append(line))
    drawn = [line for line in said if line[0].startswith("Topic")]
    assert [line[0] for line in dict.fromkeys((one[0], 0) for one in drawn)] == [
        "Topic 1 of 2: gradient descent",
        "Topic 2 of 2: backpropagation",
    ]
    steps = [line[1] for line in drawn]
    assert steps == sorted(steps)
    assert {line[2] for line in drawn} == {2 * 2 * 4 * 4}, "topics, arms, scenes, frames"
    assert steps[-1] >= 48, "the second arm of the second topic"
    assert [line[:3] for line in said if line[0] == "planning"] == [("planning", 0, 2), ("planning", 1, 2)]


def test_a_cancelled_run_goes_on(home: Path) -> None:
    engine, calls = RectangleEngine(), []

    def stop() -> None:
        calls.append(1)
        if len(inodes(home)) == 2:
            raise CancelledError()

    with pytest.raises(CancelledError):
        run(home, engine, check_cancelled=stop)
    workspace = Workspace.at(home)
    (unfinished,) = runs_in(workspace.packs)
    assert unfinished.state.state == "cancelled"
    made = inodes(home)
    result = run(home, RectangleEngine())
    assert result["run"] == unfinished.id and result["ok"]
    assert made.items() <= inodes(home).items()
    assert len(inodes(home)) == 4


@pytest.mark.parametrize("point", [*POINTS, "scene 0", "scene 5", "scene 14"])
def test_a_killed_run_goes_on_and_makes_nothing_twice(home: Path, point: str) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "pack_probe.py"), str(home), point], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    workspace = Workspace.at(home)
    (killed,) = runs_in(workspace.packs)
    assert killed.state.state != "finished"
    before = inodes(home)

    engine = RectangleEngine()
    result = run(home, engine)
    assert result["run"] == killed.id and result["ok"]
    after = inodes(home)
    assert before.items() <= after.items(), "what was whole is still the same file"
    assert len(after) == len(video_rows(workspace)) == 4
    assert len(engine.canvases) == 4 * (4 - len(before)), "no scene of a finished video is drawn again"
    assert {row["id"] for row in pair_rows(workspace)} == set(result["pair_ids"])
    assert len(result["pair_ids"]) == 2
    assert not list(workspace.videos.glob("unfinished-*")) and not list(workspace.pairs.glob("unfinished-*"))
    assert not list(Path(result["folder"]).rglob(".*.part"))
    assert [row["status"] for row in summary(result)] == ["ok"] * 4

    engine = RectangleEngine()
    again = run(home, engine, tag=result["tag"])
    assert again["rows"] == result["rows"] and inodes(home) == after
    assert engine.canvases == []


def test_a_finished_run_is_not_taken_up_without_its_tag(home: Path) -> None:
    first = run(home, RectangleEngine())
    second = run(home, RectangleEngine())
    assert second["folder"] != first["folder"]


def test_a_tag_belongs_to_its_settings(home: Path) -> None:
    workspace = Workspace.at(home)
    open_run(small_pack(), workspace=workspace, tag="mine")
    for other in ({"seed_offset": 1}, {"strict": True}, {"engine": "local"}, {"overrides": {"fps": 9}}):
        with pytest.raises(ConflictError) as caught:
            open_run(small_pack(), workspace=workspace, tag="mine", **other)
        assert caught.value.code == "tag_taken"
    for bad in ("../up", "a b", "x" * 41):
        with pytest.raises(InputError, match="tag"):
            open_run(small_pack(), workspace=workspace, tag=bad)


def test_only_a_run_of_the_same_settings_is_taken_up(home: Path) -> None:
    workspace = Workspace.at(home)
    first = open_run(small_pack(), workspace=workspace)
    assert open_run(small_pack(), workspace=workspace).id == first.id
    assert open_run(small_pack(), workspace=workspace, resume=False).id != first.id
    assert open_run(small_pack(title="Another"), workspace=workspace).id != first.id


def test_what_is_no_run_is_not_found(home: Path) -> None:
    workspace = Workspace.at(home)
    (workspace.packs / "small-broken").mkdir(parents=True)
    (workspace.packs / "small-broken" / "pack.json").write_text("{")
    for name in ("small-none", "../videos", "", "small-broken", str(home)):
        with pytest.raises(NotFoundError):
            find_run(workspace, name)
    assert runs_in(workspace.packs) == []


def test_one_arm_alone_is_made_as_a_single_video(home: Path) -> None:
    for variant in ("no_rag", "rag_semantic"):
        result = run(home, RectangleEngine(), small_pack(variants=[variant]))
        assert [row["variant"] for row in result["rows"]] == [variant, variant]
        assert result["ok"] and result["pair_ids"] == []
        arm = read_record(Path(result["folder"]) / "descent" / variant / "record.json")
        assert (arm.arm, bool(arm.plan.sources)) == (variant, variant == "rag_semantic")
    assert len(inodes(home)) == 4


def test_a_deleted_video_leaves_its_row_and_its_link(home: Path) -> None:
    from t2v_studio.production.packs_files import rows
    from t2v_studio.production.pairs import delete_pair

    result = run(home, RectangleEngine())
    workspace = Workspace.at(home)
    delete_pair(workspace, result["pair_ids"][0])
    found = rows(read_run(Path(result["folder"])), workspace)
    assert found[0]["status"] == "ok"
    assert "deleted" in found[0]["reason"]
    assert (Path(result["folder"]) / found[0]["video_path"]).is_file()
