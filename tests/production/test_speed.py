"""What the speed switches are worth, from records: like against like alone."""

from __future__ import annotations

import json
from typing import Any

from t2v_studio.cli.speed import speed
from t2v_studio.production.record import VideoRecord
from t2v_studio.production.records import dump, store_row
from t2v_studio.production.speed import UNMEASURED, Effect, effects, runs
from t2v_studio.studio import Studio
from t2v_studio.workspace import new_id


def scene(number: int, denoise: float, **changes: Any) -> dict[str, Any]:
    """A scene of diffusion: 10 steps of denoise / 10 seconds."""
    card, retries = changes.pop("card", "H100"), changes.pop("retries", [])
    numerics = {"attention": "native", "compiled": False, "step_cache": "off", "cfg_cutoff": None, "dtype": "bfloat16", "weights": "plain"}  # fmt: skip
    details = {
        "numerics": numerics | changes,
        "sampling": {"steps": 10, "guidance": changes.pop("guidance", 5.0), "frames": 17},
        "memory": {"tier": "A"},
        "limit": {"card": card},
        "timings_s": {"denoise": denoise},
    }
    return {"id": f"s{number}", "engine": "diffusion", "model": "m", "seed": 1, "frames": 17, "start_s": 0.0,
            "duration_s": 1.0, "details": details, "retries": retries}  # fmt: skip


def record(*scenes: dict[str, Any], width: int = 832) -> VideoRecord:
    return VideoRecord.model_validate(
        {"id": new_id("vid"), "created_at": "2026-11-25T10:00:00.000+00:00",
         "request": {"topic": "slopes", "engine": "diffusion"},
         "plan": {"topic": "slopes", "scenes": [{"id": one["id"], "title": "A ball", "steps": [{"say": "It rolls."}]} for one in scenes]},
         "scenes": scenes, "width": width, "height": 480, "fps": 16.0, "frames": 17, "duration_s": 1.0, "verdict": "ok",
         "versions": {}, "timings_s": {}, "files": {"video": "video.mp4"}, "video_sha256": "", "frames_sha256": ""}
    )  # fmt: skip


def measured(*made: VideoRecord) -> dict[tuple[str, str], Effect]:
    return {(one.switch, one.choice): one for one in effects(run for one in made for run in runs(one))}


def test_without_videos_nothing_is_claimed() -> None:
    found = measured()
    assert {one.text for one in found.values()} == {UNMEASURED}
    assert {switch for switch, _ in found} == {"attention", "compile_blocks", "step_cache", "cfg_cutoff"}
    assert ("attention", "flash3") in found and ("step_cache", "magcache") in found


def test_a_switch_against_the_plain_choice() -> None:
    plain = record(scene(1, 10.0), scene(2, 10.0), scene(3, 12.0))
    quick = record(scene(1, 6.0, attention="cudnn"), scene(2, 7.0, attention="cudnn"))
    one = measured(plain, quick)["attention", "cudnn"]
    assert (one.card, round(one.ratio or 0, 6), one.scenes, one.against) == ("H100", 0.65, 2, 3)
    assert one.text == "0.65x the time of a step on H100 (2 scenes against 3)"


def test_only_like_is_compared_with_like() -> None:
    cudnn = record(scene(1, 5.0, attention="cudnn"))
    for other in (
        record(scene(1, 10.0), width=1280),
        record(scene(1, 10.0, card="CPU")),
        record(scene(1, 10.0, guidance=1.0)),
        record(scene(1, 10.0, step_cache="first_block")),
        record(scene(1, 10.0, dtype="float16")),
        record(scene(1, 10.0, retries=[{"cause": "noise"}])),
        record(scene(1, 0.0)),
    ):
        assert measured(cudnn, other)["attention", "cudnn"].ratio is None


def test_the_scene_that_compiled_does_not_count() -> None:
    compiled = record(scene(1, 90.0, compiled=True), scene(2, 5.0, compiled=True))
    found = measured(record(scene(1, 10.0)), compiled)
    assert (found["compile_blocks", "on"].ratio, found["compile_blocks", "on"].scenes) == (0.5, 1)


def test_circumstances_are_averaged_and_a_cutoff_is_named_by_its_share() -> None:
    found = measured(
        record(scene(1, 10.0)), record(scene(1, 8.0, cfg_cutoff=0.6)),
        record(scene(1, 40.0), width=1280), record(scene(1, 20.0, cfg_cutoff=0.6), width=1280),
    )  # fmt: skip
    cutoff = found["cfg_cutoff", "0.6"]
    assert cutoff.ratio is not None and abs(cutoff.ratio - (0.8 * 0.5) ** 0.5) < 1e-9 and cutoff.scenes == 2
    assert ("cfg_cutoff", "any") not in found


def test_the_studio_reads_its_own_videos(settings) -> None:
    studio = Studio(settings)
    for made in (record(scene(1, 10.0)), record(scene(1, 7.1, attention="cudnn"))):
        folder = studio.workspace.video(made.id)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(dump(made))
        (folder / "video.mp4").write_bytes(b"x")
        store_row(studio.workspace, made)
    rows = {(row["switch"], row["choice"]): row for row in studio.diffusion.effects()}
    assert rows["attention", "cudnn"]["text"].startswith("0.71x the time of a step on H100")
    assert rows["compile_blocks", "on"] | {"text": ""} == Effect("compile_blocks", "on").as_row() | {"text": ""}
    assert studio.diffusion.effects() == list(rows.values())


def test_the_command_shows_every_switch(settings, monkeypatch, capsys) -> None:
    monkeypatch.setattr("t2v_studio.cli.speed.Studio", lambda: Studio(settings))
    speed(json=False)
    said = capsys.readouterr().out
    assert "--attention" in said and "flash3" in said and said.count(UNMEASURED) == 6
    speed(json=True)
    assert {row["switch"] for row in json.loads(capsys.readouterr().out)["switches"]} >= {"step_cache", "cfg_cutoff"}
