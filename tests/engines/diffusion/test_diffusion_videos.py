"""Whole videos of diffusion: production, records, fallback, and the engine switch of the studio."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan
from tiny_studio import make_plan, video

from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.engines.diffusion.models import register
from t2v_studio.engines.diffusion.tiny import make_tiny
from t2v_studio.errors import CancelledError, LimitError, StudioError
from t2v_studio.production import records
from t2v_studio.production.again import again
from t2v_studio.production.likeness import changes
from t2v_studio.production.request import VideoRequest
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio


def spoil_decodes(monkeypatch: Any, *calls: int, value: float = -1.0) -> list[int]:
    """Make these decodes (counted from 1) one flat colour; returns a list that grows by each decode."""
    real, seen = AutoencoderKLWan.decode, []

    def decode(vae: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(seen) + 1)
        found = real(vae, *args, **kwargs)
        return tuple(torch.full_like(part, value) for part in found) if seen[-1] in calls else found

    monkeypatch.setattr(AutoencoderKLWan, "decode", decode)
    return seen


@pytest.mark.parametrize("model", ["tiny-wan", "tiny-cogvideox", "tiny-ltx"])
def test_the_engine_switch_runs_every_family(with_tiny, settings: Settings, model: str) -> None:
    """A request through the facade and the job's row, drawn in this process."""
    studio = Studio(settings.model_copy(update={"executor": "inline"}))
    job = studio.submit_video(
        VideoRequest(
            topic="gradient descent",
            engine="diffusion",
            model_id=model,
            width=128,
            height=128,
            scene_frames=9,
            steps=2,
            seed=3,
            plan=make_plan(1),
        )
    )
    done = studio.wait(job.id)
    assert done.state == "succeeded", (done.error_message, done.error_hint)
    record = records.read_record(Path(done.result["record"]))
    (scene,) = record.scenes
    assert (scene.engine, scene.model, scene.fallback, record.frames) == ("diffusion", model, "", 9)
    assert scene.revision and record.versions["torch"] == torch.__version__
    assert scene.details["prompt"]["text"] and scene.details["limit"]["text"]
    assert Path(done.result["video"]).stat().st_size > 500
    assert records.record_in_video(Path(done.result["video"])).scenes[0].details == scene.details


def test_a_missing_model_is_refused_before_anything_is_planned(with_tiny, settings: Settings) -> None:
    studio = Studio(settings)
    with pytest.raises(StudioError) as caught:
        studio.submit_video(VideoRequest(topic="gradient descent", engine="diffusion"))
    assert "t2v models download wan2.1-14b" in caught.value.hint


def test_a_record_with_a_retry_is_drawn_again_to_the_byte(engine, with_tiny, settings, monkeypatch) -> None:
    few = settings.model_copy(update={"black_retry_steps": 3})
    tried = DiffusionEngine(few, with_tiny)
    spoil_decodes(monkeypatch, 2)
    record = video(tried, with_tiny, few)
    assert [scene.settings for scene in record.scenes] == [{}, {"steps": 3, "guidance": 3.0}]
    assert [len(scene.retries) for scene in record.scenes] == [0, 1]
    assert any(
        "Scene 2 was made 2 times (black: more steps, the cause's guidance)" in notice for notice in record.notices
    )
    monkeypatch.undo()
    kept = records.read_record(with_tiny.video(record.id) / records.RECORD)
    repeated = again(kept, workspace=with_tiny, settings=settings, engine=engine)
    assert repeated.frames_sha256 == record.frames_sha256
    assert [scene.retries for scene in repeated.scenes] == [[], []], "it starts where the retries had ended"
    assert repeated.scenes[1].settings == record.scenes[1].settings
    assert not any("frames are not those" in notice for notice in repeated.notices)


def test_latents_stay_until_the_video_stands(engine, with_tiny, settings, monkeypatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("t2v_studio.production.produce.seal", full)
    with pytest.raises(LimitError, match="disk is full"):
        video(engine, with_tiny, settings)
    kept = with_tiny.cache / "diffusion" / "latents"
    assert len(list(kept.glob("*.safetensors"))) == 2, "another attempt need not denoise again"
    monkeypatch.undo()
    made = video(engine, with_tiny, settings)
    assert [scene.details["forwards"] for scene in made.scenes] == [0, 0]
    assert list(kept.glob("*.safetensors")) == []


def test_frames_that_differ_say_what_has_changed(engine, with_tiny, settings, tmp_path) -> None:
    folder = make_tiny("wan", tmp_path / "mine", 0)
    register(with_tiny, "mine", "wan", folder, tiny=True)
    record = video(engine, with_tiny, settings, model_id="mine")
    weights = Path("transformer") / "diffusion_pytorch_model.safetensors"
    shutil.copyfile(make_tiny("wan", tmp_path / "other", 1) / weights, folder / weights)
    made = again(record, workspace=with_tiny, settings=settings, engine=engine)
    then, now = record.scenes[0].revision, made.scenes[0].revision
    said = f"The frames are not those of {record.id}. What has changed: revision: {then} then, {now} now."
    assert made.notices[-1] == said and then != now
    altered = record.model_copy(deep=True)
    altered.scenes[0].details["numerics"] |= {"weights": "float8", "dtype": "bfloat16"}
    altered.versions["torch"] = "1.0"
    words = changes(altered, record)
    assert words[:2] == ["dtype: bfloat16 then, float32 now", "weights: float8 then, plain now"]
    assert words[2].startswith("torch: 1.0 then, ") and len(words) == 3


def test_one_bad_scene_is_drawn_by_the_local_engine_alone(engine, with_tiny, settings, monkeypatch) -> None:
    bad = DiffusionEngine(settings.model_copy(update={"retry_on_black": False}), with_tiny)
    spoil_decodes(monkeypatch, 1)
    record = video(bad, with_tiny, settings)
    assert [scene.engine for scene in record.scenes] == ["local", "diffusion"]
    assert "is black" in record.scenes[0].fallback
    assert record.scenes[0].retries[0]["next"] == "given up"
    assert any(notice.startswith("Scene 1 was drawn by the local engine") for notice in record.notices)
    monkeypatch.undo()
    repeated = again(record, workspace=with_tiny, settings=settings, engine=engine)
    assert [scene.engine for scene in repeated.scenes] == ["local", "diffusion"]
    assert repeated.frames_sha256 == record.frames_sha256


def test_strict_fails_and_leaves_nothing(with_tiny, settings, monkeypatch) -> None:
    bad = DiffusionEngine(settings.model_copy(update={"retry_on_black": False}), with_tiny)
    spoil_decodes(monkeypatch, 2)
    with pytest.raises(StudioError) as caught:
        video(bad, with_tiny, settings, fallback_local_on_fail=False)
    assert caught.value.code == "scene_bad"
    assert list(with_tiny.videos.iterdir()) == [] and records.video_rows(with_tiny) == []
    monkeypatch.undo()
    assert video(bad, with_tiny, settings, make_plan(1), fallback_local_on_fail=False).verdict == "ok"


def test_no_memory_at_the_start_is_the_local_engines_turn(with_tiny, settings, monkeypatch) -> None:
    poor = DiffusionEngine(settings, with_tiny)

    def prepare(*_: Any) -> None:
        raise LimitError("out_of_memory", "The model does not fit.", "Take a smaller one.")

    monkeypatch.setattr(poor, "prepare", prepare)
    record = video(poor, with_tiny, settings)
    assert [scene.fallback for scene in record.scenes] == ["diffusion failed: The model does not fit."] * 2
    with pytest.raises(LimitError):
        video(poor, with_tiny, settings, fallback_local_on_fail=False)


def test_cancel_at_a_step_leaves_no_video_and_the_same_next_one(engine, with_tiny, settings, monkeypatch) -> None:
    monkeypatch.setattr("t2v_studio.production.render.REPORT_EVERY_S", 0.0)
    whole = video(engine, with_tiny, settings)

    def stop(stage: str, step: int = 0, total: int = 0, message: str = "") -> None:
        if stage == "render" and step >= 6:
            raise CancelledError()

    with pytest.raises(CancelledError):
        video(engine, with_tiny, settings, report=stop)
    assert [path.name for path in with_tiny.videos.iterdir()] == [whole.id]
    assert video(engine, with_tiny, settings).frames_sha256 == whole.frames_sha256


def test_titles_are_drawn_over_and_the_verdict_is_of_what_lies_below(engine, with_tiny, settings) -> None:
    plain = video(engine, with_tiny, settings, make_plan(1), text_overlay=False)
    titled = video(engine, with_tiny, settings, make_plan(1))
    assert plain.frames_sha256 != titled.frames_sha256
    below = [record.scenes[0].details["raw_verdict"] for record in (plain, titled)]
    assert below[0] == below[1] and below[0]["name"] == "ok"
