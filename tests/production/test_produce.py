"""One request to one folder: exact, repeatable, whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rectangles import RectangleEngine

from t2v_studio.database import reading
from t2v_studio.engines.base import Availability
from t2v_studio.errors import CancelledError, InputError, LimitError, StudioError, UnavailableError
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.planner import Planned
from t2v_studio.production import produce as producing
from t2v_studio.production import records
from t2v_studio.production.again import again
from t2v_studio.production.produce import produce
from t2v_studio.production.record import VideoRecord
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.video import decode
from t2v_studio.workspace import Workspace

REQUEST = VideoRequest(topic="gradient descent", seed=11)


def made(workspace: Workspace, settings: Settings, plan: ScenePlan, engine: Any, request: VideoRequest = REQUEST, **options: Any) -> VideoRecord:  # fmt: skip
    return produce(request, Planned(plan), workspace=workspace, settings=settings, engine=engine, **options)


def left_over(workspace: Workspace) -> list[str]:
    return [path.name for path in workspace.videos.glob("*")] if workspace.videos.exists() else []


def test_the_folder_holds_all_that_was_promised(workspace, settings, plan, engine) -> None:
    record = made(workspace, settings, plan, engine)
    folder = workspace.video(record.id)
    assert {path.name for path in folder.iterdir()} == set(record.files.values())
    assert set(record.files) == {
        *("video", "srt", "vtt", "poster", "first_frame", "middle_frame", "last_frame", "plan", "record")
    }
    probe = decode.probe(folder / "video.mp4")
    assert (probe.codec, probe.pix_fmt, probe.width, probe.height, probe.fps) == ("h264", "yuv420p", 256, 144, 10)
    assert probe.frames == record.frames == 40
    assert probe.duration_s == record.duration_s == 4.0
    assert [(chapter.title, chapter.start_s) for chapter in probe.chapters] == [
        ("Scene: start", 0),
        ("Scene: descend", 2),
    ]
    data = (folder / "video.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert record.video_sha256 == hashlib.sha256(data).hexdigest()
    assert record.verdict == "ok" and [scene.verdict for scene in record.scenes] == ["ok", "ok"]
    assert json.loads((folder / "plan.json").read_text()) == record.plan.model_dump(mode="json")
    assert records.read_record(folder / "record.json") == record


def test_the_video_holds_its_record(workspace, settings, plan, engine) -> None:
    record = made(workspace, settings, plan, engine)
    inside = records.record_in_video(workspace.video(record.id) / "video.mp4")
    assert inside.video_sha256 == ""
    same = {"video_sha256", "timings_s"}
    assert inside.model_dump(exclude=same) == record.model_dump(exclude=same)


def test_what_was_open_is_filled_in(workspace, settings, plan, engine) -> None:
    record = made(workspace, settings, plan, engine, VideoRequest(topic="gradient descent"))
    assert record.request.seed == record.plan.seed == plan.seed, "the plan was drawn with its own seed"
    assert (record.request.width, record.request.height, record.request.fps) == (256, 144, 10)


def test_course_mode(workspace, settings, plan, engine) -> None:
    record = made(workspace, settings, plan, engine, VideoRequest(topic="x", seed=1, course_mode=True))
    assert (record.width, record.height, record.fps) == (832, 480, 10)
    assert [scene.frames for scene in record.scenes] == [17, 17]
    asked = VideoRequest(topic="x", seed=1, course_mode=True, scene_frames=5, width=128, height=130, fps=4)
    record = made(workspace, settings, plan, engine, asked)
    assert (record.width, record.height, record.fps, record.frames) == (128, 130, 4, 10)


@pytest.mark.parametrize(
    ("length", "frames"),
    [({"seconds": 3}, [15, 15]), ({"frames": 31}, [16, 15]), ({"scene_frames": 7}, [7, 7]), ({}, [20, 20])],
)
def test_length(workspace, settings, plan, engine, length: dict[str, Any], frames: list[int]) -> None:
    record = made(workspace, settings, plan, engine, VideoRequest(topic="x", seed=1, **length))
    assert sorted(scene.frames for scene in record.scenes) == sorted(frames)
    assert decode.probe(workspace.video(record.id) / "video.mp4").frames == sum(frames)


def test_rounding_to_the_engines_rule_is_said(workspace, settings, plan) -> None:
    engine = RectangleEngine(rule=lambda count: (count + 2) // 4 * 4 + 1)
    record = made(workspace, settings, plan, engine, VideoRequest(topic="x", seed=1, scene_frames=16))
    assert [scene.frames for scene in record.scenes] == [17, 17]
    assert any("16" in notice and "17" in notice for notice in record.notices)


def test_odd_sizes_and_one_side(workspace, settings, plan, engine) -> None:
    record = made(workspace, settings, plan, engine, VideoRequest(topic="x", seed=1, width=321, height=181, frames=4))
    assert (record.width, record.height) == (322, 182)
    assert engine.canvases[-1].width == 322
    assert any("321x181 became 322x182" in notice for notice in record.notices)
    record = made(workspace, settings, plan, engine, VideoRequest(topic="x", seed=1, width=320, frames=4))
    assert (record.width, record.height) == (320, 180)
    assert any("320x180" in notice for notice in record.notices)

    with pytest.raises(InputError, match="height"):
        made(workspace, settings, plan, engine, VideoRequest(topic="x", seed=1, width=128, frames=4))


def test_subtitles_follow_the_steps(workspace, settings, plan, engine) -> None:
    record = made(workspace, settings, plan, engine)
    text = (workspace.video(record.id) / record.files["srt"]).read_text()
    for scene in plan.scenes:
        for step in scene.steps:
            assert step.say in text.replace("\n", " ")
    assert "00:00:02,000 --> " in text  # the second scene starts with its own cue
    assert (workspace.video(record.id) / record.files["vtt"]).read_text().startswith("WEBVTT\n\n00:00:00.000 --> ")


# --- again ------------------------------------------------------------------------------------
@pytest.mark.parametrize("length", [{}, {"seconds": 2.9}, {"frames": 33}, {"scene_frames": 9}])
def test_again_gives_the_same_frames(workspace, settings, plan, engine, length: dict[str, Any]) -> None:
    record = made(workspace, settings, plan, engine, VideoRequest(topic="x", **length))
    copy = again(records.read_record(workspace.video(record.id) / "record.json"), workspace=workspace, settings=settings, engine=RectangleEngine())  # fmt: skip
    assert copy.id != record.id
    assert copy.frames_sha256 == record.frames_sha256
    assert [scene.frames for scene in copy.scenes] == [scene.frames for scene in record.scenes]
    assert copy.request == record.request and copy.plan == record.plan
    frames = [list(decode.frames(workspace.video(one.id) / "video.mp4")) for one in (record, copy)]
    assert all((a == b).all() for a, b in zip(*frames, strict=True))
    assert not any("not those of" in notice for notice in copy.notices)


def test_again_from_the_request_of_the_record(workspace, settings, plan, engine) -> None:
    """As the command line does it: the recorded request with the recorded plan."""
    first = made(workspace, settings, plan, engine, VideoRequest(topic="x", seconds=2.7))
    request = first.request.model_copy(update={"plan": first.plan})
    assert made(workspace, settings, first.plan, engine, request).frames_sha256 == first.frames_sha256


def test_another_seed_gives_other_frames(workspace, settings, plan, engine) -> None:
    one = made(workspace, settings, plan, engine, VideoRequest(topic="x", seed=1))
    two = made(workspace, settings, plan, engine, VideoRequest(topic="x", seed=2))
    assert one.frames_sha256 != two.frames_sha256


def test_again_says_where_frames_differ(workspace, settings, plan, engine) -> None:
    record = made(workspace, settings, plan, engine)
    record.frames_sha256 = "0" * 64
    record.versions["numpy"] = "1.0"
    copy = again(record, workspace=workspace, settings=settings, engine=engine)
    assert "numpy" in copy.notices[-1] and record.id in copy.notices[-1]
    assert records.read_record(workspace.video(copy.id) / "record.json").notices == copy.notices


ACROSS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from rectangles import RectangleEngine
from t2v_studio.production.again import again
from t2v_studio.production.records import read_any
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
settings = Settings(home=Path(sys.argv[2]), _env_file=None)
made = again(read_any(Path(sys.argv[3])), workspace=Workspace.at(settings.home), settings=settings, engine=RectangleEngine())
print(made.frames_sha256)
"""
HERE, ROOT = str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])


def test_again_in_another_process_from_the_video_alone(workspace, settings, plan, engine, tmp_path) -> None:
    record = made(workspace, settings, plan, engine)
    video = workspace.video(record.id) / "video.mp4"
    done = subprocess.run(
        [sys.executable, "-c", ACROSS, HERE, str(tmp_path / "other"), str(video)],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.stdout.strip() == record.frames_sha256


# --- what goes wrong --------------------------------------------------------------------------
def test_cancel_leaves_nothing(workspace, settings, plan, engine, monkeypatch) -> None:
    monkeypatch.setattr("t2v_studio.production.render.REPORT_EVERY_S", 0.0)
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 9:
            raise CancelledError()

    with pytest.raises(CancelledError):
        made(workspace, settings, plan, engine, check_cancelled=stop)
    assert left_over(workspace) == []
    assert records.video_rows(workspace) == []


def test_a_failing_local_engine_leaves_nothing(workspace, settings, plan, engine) -> None:
    engine.fail_at = (1, 3)
    with pytest.raises(RuntimeError):
        made(workspace, settings, plan, engine)
    assert left_over(workspace) == []


def test_a_full_disk_leaves_nothing(workspace, settings, plan, engine, monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(producing.Snapshots, "save", full)
    with pytest.raises(LimitError) as caught:
        made(workspace, settings, plan, engine)
    assert caught.value.code == "disk_full"
    assert left_over(workspace) == []


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from rectangles import RectangleEngine, make_plan
from t2v_studio.planning.planner import Planned
from t2v_studio.production.produce import produce
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
settings = Settings(home=Path(sys.argv[2]), _env_file=None)
def report(stage, step, total, message):
    if step > 5:
        print("here", flush=True)
        time.sleep(60)
produce(VideoRequest(topic="x", seed=1), Planned(make_plan()), workspace=Workspace.at(settings.home), settings=settings,
        engine=RectangleEngine(), report=report)
"""


def test_a_kill_leaves_no_half_video(workspace, settings) -> None:
    code = KILLED.replace("from t2v_studio.settings", "import t2v_studio.production.render as r; r.REPORT_EVERY_S = 0\nfrom t2v_studio.settings")  # fmt: skip
    child = subprocess.Popen([sys.executable, "-c", code, HERE, str(settings.home)], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None and child.stdout.readline() == b"here\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (folder,) = workspace.videos.iterdir()
    assert folder.name.startswith(records.UNFINISHED)
    assert records.video_rows(workspace) == [] and records.rebuild_rows(workspace) == 0
    old = time.time() - 2 * records.UNFINISHED_KEPT_S
    os.utime(folder, (old, old))
    assert records.sweep_unfinished(workspace) == 1
    assert left_over(workspace) == []


# --- fallback ---------------------------------------------------------------------------------
def diffusion(**fields: Any) -> VideoRequest:
    return VideoRequest(topic="x", seed=5, engine="diffusion", **fields)


def test_a_failing_scene_is_drawn_locally_and_said(workspace, settings, plan) -> None:
    failing = RectangleEngine("diffusion")
    failing.fail_at = (1, 7)
    record = made(workspace, settings, plan, failing, diffusion(), local=RectangleEngine)
    assert [scene.engine for scene in record.scenes] == ["diffusion", "local"]
    assert [scene.frames for scene in record.scenes] == [20, 20]
    assert record.scenes[0].fallback == ""
    assert "CUDA out of memory" in record.scenes[1].fallback
    assert any("Scene 2 was drawn by the local engine" in notice for notice in record.notices)
    assert decode.probe(workspace.video(record.id) / "video.mp4").frames == 40
    good = made(workspace, settings, plan, RectangleEngine("diffusion"), diffusion(), local=RectangleEngine)
    assert good.frames_sha256 == record.frames_sha256  # the seven frames before the failure are not there twice


def test_without_fallback_the_failure_is_the_result(workspace, settings, plan) -> None:
    failing = RectangleEngine("diffusion")
    failing.fail_at = (0, 2)
    with pytest.raises(RuntimeError, match="CUDA"):
        made(workspace, settings, plan, failing, diffusion(fallback_local_on_fail=False), local=RectangleEngine)
    assert left_over(workspace) == []


def test_cancel_is_no_failure_to_fall_back_from(workspace, settings, plan) -> None:
    engine = RectangleEngine("diffusion")

    def stop(*_: Any) -> None:
        raise CancelledError()

    with pytest.raises(CancelledError):
        made(workspace, settings, plan, engine, diffusion(), local=RectangleEngine, report=stop)


def test_an_engine_that_cannot_run(workspace, settings, plan) -> None:
    absent = RectangleEngine("diffusion")
    absent.ok = Availability(False, "There is no GPU.", "Use --engine local.")
    record = made(workspace, settings, plan, absent, diffusion(), local=RectangleEngine)
    assert [scene.engine for scene in record.scenes] == ["local", "local"]
    assert any("There is no GPU." in notice for notice in record.notices)
    with pytest.raises(UnavailableError, match="no GPU"):
        made(workspace, settings, plan, absent, diffusion(fallback_local_on_fail=False), local=RectangleEngine)


def test_an_engine_that_gives_too_few_frames(workspace, settings, plan) -> None:
    class Short(RectangleEngine):
        def render_scene(self, *args: Any):
            yield from list(super().render_scene(*args))[:-1]

    with pytest.raises(StudioError) as caught:
        made(workspace, settings, plan, Short())
    assert caught.value.code == "engine_frames"
    record = made(workspace, settings, plan, Short("diffusion"), diffusion(), local=RectangleEngine)
    assert all("19 frames" in scene.fallback for scene in record.scenes)


# --- progress and output ----------------------------------------------------------------------
def test_progress_goes_up_and_previews_are_pictures(workspace, settings, plan, engine, monkeypatch) -> None:
    monkeypatch.setattr("t2v_studio.production.render.REPORT_EVERY_S", 0.0)
    monkeypatch.setattr("t2v_studio.production.render.PREVIEW_EVERY_S", 0.0)
    steps, seen = [], []

    def show(path: str) -> None:
        assert (workspace.outputs.parent / path).is_file()
        seen.append(path)

    made(workspace, settings, plan, engine, preview=show, report=lambda *args: steps.append(args))
    drawn = [step for stage, step, total, _ in steps if stage == "render" and total == 40]
    assert drawn == sorted(drawn) and drawn[-1] == 40
    assert seen[0].endswith("preview.jpg") and seen[-1].endswith("poster.png")
    assert any("scene 2 of 2" in message for *_, message in steps)


def test_output_gets_the_video_and_its_side_files(workspace, settings, plan, engine, tmp_path) -> None:
    target = tmp_path / "lesson.mp4"
    record = made(workspace, settings, plan, engine, output=target)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == record.video_sha256
    names = {path.name for path in tmp_path.iterdir()} - {"home"}
    assert names == {"lesson.mp4", "lesson.srt", "lesson.vtt", "lesson.png", "lesson.record.json"}
    assert records.read_any(tmp_path / "lesson.record.json") == record


def test_an_own_video_is_replaced_and_that_is_said(workspace, settings, plan, engine, tmp_path) -> None:
    made(workspace, settings, plan, engine, output=tmp_path / "a.mp4")
    record = made(workspace, settings, plan, engine, output=tmp_path / "a.mp4")
    assert any("replaced" in notice for notice in record.notices)
    assert records.record_in_video(tmp_path / "a.mp4").id == record.id
    assert records.read_record(workspace.video(record.id) / "record.json").notices == record.notices


@pytest.mark.parametrize("name", ["lesson.mp4", "lesson.srt"])
def test_a_foreign_file_is_never_lost(workspace, settings, plan, engine, tmp_path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError) as caught:
        made(workspace, settings, plan, engine, output=tmp_path / "lesson.mp4")
    assert caught.value.code == "output_exists" and name in caught.value.message
    assert (tmp_path / name).read_text() == "mine"
    assert engine.canvases == [] and left_over(workspace) == []


def test_places_that_cannot_be_written(workspace, settings, plan, engine, tmp_path, monkeypatch) -> None:
    cases = {
        tmp_path: "output_is_folder",
        tmp_path / "a.avi": "output_suffix",
        tmp_path / "no" / "a.mp4": "output_no_folder",
    }
    for output, code in cases.items():
        with pytest.raises(InputError, match="--output") as caught:
            made(workspace, settings, plan, engine, output=output)
        assert caught.value.code == code
    monkeypatch.setattr("t2v_studio.production.output.os.access", lambda *_: False)
    with pytest.raises(InputError) as caught:
        made(workspace, settings, plan, engine, output=tmp_path / "a.mp4")
    assert caught.value.code == "output_not_writable"
    assert engine.canvases == []


def test_a_failing_copy_keeps_the_video(workspace, settings, plan, engine, tmp_path, monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("t2v_studio.production.output.shutil.copyfile", full)
    with pytest.raises(LimitError) as caught:
        made(workspace, settings, plan, engine, output=tmp_path / "a.mp4")
    assert (workspace.video(caught.value.details["video"]) / "video.mp4").is_file()
    assert not list(tmp_path.glob("*a.mp4*"))


def test_without_an_encoder_there_is_a_gif_and_the_record_says_so(workspace, settings, plan, engine, tmp_path, monkeypatch) -> None:  # fmt: skip
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    record = made(workspace, settings, plan, engine, output=tmp_path / "a.mp4")
    assert record.files["video"] == "video.gif"
    assert (workspace.video(record.id) / "video.gif").is_file()
    assert (tmp_path / "a.gif").is_file() and not (tmp_path / "a.mp4").exists()
    assert any("GIF" in notice for notice in record.notices)
    assert records.video_rows(workspace)[0]["video"].endswith("video.gif")


# --- records ----------------------------------------------------------------------------------
def test_rows_list_rebuild_and_delete(workspace, settings, plan, engine) -> None:
    first, second = (made(workspace, settings, plan, engine) for _ in range(2))
    rows = records.video_rows(workspace)
    assert [row["id"] for row in rows] == [second.id, first.id]
    assert rows[0]["verdict"] == "ok" and Path(rows[0]["poster"]).is_file() and Path(rows[0]["video"]).is_file()
    assert len(records.video_rows(workspace, limit=1)) == 1
    for path in workspace.data.glob("studio.db*"):
        path.unlink()
    assert records.video_rows(workspace) == rows
    records.delete_video(workspace, first.id)
    assert [row["id"] for row in records.video_rows(workspace)] == [second.id]
    assert left_over(workspace) == [second.id]
    with reading(workspace.database) as connection:
        assert connection.execute("SELECT count(*) FROM video").fetchone()[0] == 1
    with pytest.raises(StudioError):
        records.delete_video(workspace, first.id)


def test_json_for_the_command_line(workspace, settings, plan, engine) -> None:
    record = made(workspace, settings, plan, engine)
    form = records.video_json(record, workspace.video(record.id))
    assert list(form) == [
        *("id", "video", "record", "frames", "fps", "duration_s", "verdict", "notices", "srt", "vtt", "poster")
    ]
    assert all(Path(form[name]).is_file() for name in ("video", "record", "srt", "vtt", "poster"))
    json.dumps(form)


def test_what_is_no_record(workspace, settings, plan, engine, tmp_path) -> None:
    broken = tmp_path / "record.json"
    with pytest.raises(StudioError):
        records.read_any(broken)
    for text, code in (("{", "record_not_json"), ('{"id": 1}', "not_a_record"), ("[]", "not_a_record")):
        broken.write_text(text)
        with pytest.raises(InputError) as caught:
            records.read_any(broken)
        assert caught.value.code == code
    record = made(workspace, settings, plan, engine)
    from t2v_studio.video.metadata import seal

    seal(workspace.video(record.id) / "video.mp4", tmp_path / "bare.mp4", tags={"comment": "holiday"})
    with pytest.raises(InputError) as caught:
        records.read_any(tmp_path / "bare.mp4")
    assert caught.value.code == "no_record_in_video"
