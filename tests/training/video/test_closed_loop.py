"""All the way round: pairs, blind scores, a manifest of what scored well, an adapter, and a video that says it was applied."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_clips import small

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "datasets"))

from training_clips import make_clips

from t2v_studio.production.record import VideoRecord
from t2v_studio.production.request import parse_request
from t2v_studio.studio import Studio


def drawn(studio: Studio, **fields: object) -> VideoRecord:
    """A video of the tiny Wan: one plan, one seed; only `fields` differ."""
    asked = {"topic": "gradient descent", "engine": "diffusion", "model_id": "tiny-wan", "seed": 7, "steps": 2}
    asked |= {"width": 128, "height": 128, "scene_frames": 5, "text_overlay": False}
    job = studio.wait(studio.submit_video(parse_request(asked | fields)).id, timeout_s=280)
    return studio.video(job.result["id"])


@pytest.mark.slow
def test_scores_become_an_adapter_and_the_next_video_uses_it(tmp_path: Path) -> None:
    made = make_clips(tmp_path / "home")
    studio = Studio(made.settings)
    manifest = studio.manifests.build(min_score=4.0, trigger_token="acad_course_v1", seed=42)
    assert manifest["clips"] == 4, "the four arms that examiners gave 4 or more"

    recipe = small(
        steps=4, save_every=4, validate_every=4, learning_rate=0.05, size_buckets=["64x48"], frame_buckets=[5]
    )
    job = studio.wait(studio.training.submit_training(recipe, manifest["id"], title="From scores").id)
    adapter = job.result["adapter"]
    run = studio.training.run(job.result["run"])
    assert run["state"] == "finished" and run["parts"][0]["table"][-1]["chosen"]
    card = studio.training.publish(job.result["run"], "unified", 4)
    assert card["id"] == adapter and card["data_hash"] and card["base_model"] == "tiny-wan"

    base, treated = drawn(studio), drawn(studio, adapter=adapter, lora_scale=1.0)
    assert base.adapter is None and treated.adapter and treated.adapter["sha256"] == card["sha256"]
    assert base.frames_sha256 != treated.frames_sha256, "the same plan and seed, another picture"

    check = studio.wait(studio.training.submit_check(adapter, scale=1.0).id).result
    assert check["adapter"] == adapter and isinstance(check["ok"], bool)
    assert check["measured"].keys() == check["base"].keys()
