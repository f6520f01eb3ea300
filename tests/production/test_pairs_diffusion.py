"""A pair of diffusion: grounded in what the tokenizer reads, and alike in every scene's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from rectangles import make_plan, make_treated

from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.errors import StudioError
from t2v_studio.planning.planner import Planned
from t2v_studio.planning.timing import pair_timing
from t2v_studio.production.pairs import PlannedPair, make_pair, read_pair
from t2v_studio.production.records import record_in_video
from t2v_studio.production.request import VideoRequest

REQUEST = VideoRequest(
    topic="gradient descent", seed=3, use_rag=True, engine="diffusion", model_id="tiny-wan", text_overlay=False,
    width=128, height=128, scene_frames=5, fps=8, steps=2, guidance=3.0,
)  # fmt: skip


def left_over(workspace) -> list[Path]:
    return list((workspace.cache / "diffusion" / "latents").glob("*"))


def planned() -> PlannedPair:
    treated, control = make_treated(), Planned(make_plan())
    control.plan, treated.plan = pair_timing(control.plan, treated.plan)
    return PlannedPair(control, treated)


def test_a_seed_that_one_arm_needed_is_the_others_too(workspace, settings, monkeypatch) -> None:
    real, calls = WanTransformer3DModel.forward, []

    def broken_once(model: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        found = real(model, *args, **kwargs)
        # The second arm's second scene: 8 forwards of the first arm, 4 of its first scene, then this.
        return tuple(torch.full_like(part, torch.nan) for part in found) if len(calls) == 13 else found

    monkeypatch.setattr(WanTransformer3DModel, "forward", broken_once)
    engine = DiffusionEngine(settings, workspace)
    result = make_pair(REQUEST, planned(), workspace=workspace, settings=settings, engine=engine)
    pair = read_pair(workspace, result["id"])
    control, treated = pair["no_rag"], pair["rag_semantic"]
    assert [scene.settings for scene in control.scenes] == [scene.settings for scene in treated.scenes]
    assert control.scenes[0].settings == {} and list(control.scenes[1].settings) == ["seed"]
    assert [row["cause"] for row in treated.scenes[1].retries] == ["not_finite"]
    assert control.scenes[1].seed == treated.scenes[1].seed
    assert [row["cause"] for row in control.scenes[1].retries] == ["pair"] and control.scenes[0].retries == []
    assert control.scenes[1].retries[0]["settings"] == {}, "what it was drawn with before"
    assert [scene.details["forwards"] for scene in control.scenes] == [0, 4], "only what changed was denoised again"
    assert left_over(workspace) == []
    in_file = record_in_video(workspace.video(control.id) / "video.mp4")
    assert in_file.scenes == control.scenes, "the file tells what record.json tells"
    assert any("drawn again" in notice for notice in result["notices"])
    tokens = result["grounding"]["tokens"]
    assert tokens["ok"] and all(row["words"] and row["token_count"] <= row["limit"] for row in tokens["scenes"])
    assert "initialisation" in " ".join(treated.scenes[0].details["prompt"]["text"].split())


def test_latents_of_a_pair_that_failed_wait_for_the_next_attempt(workspace, settings, monkeypatch) -> None:
    engine, calls = DiffusionEngine(settings, workspace), []
    real = WanTransformer3DModel.forward

    def dying(model: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 13:
            raise ValueError("the second video breaks off")
        return real(model, *args, **kwargs)

    monkeypatch.setattr(WanTransformer3DModel, "forward", dying)
    request = REQUEST.model_copy(update={"fallback_local_on_fail": False})
    with pytest.raises(ValueError, match="breaks off"):
        make_pair(request, planned(), workspace=workspace, settings=settings, engine=engine)
    assert len(left_over(workspace)) == 3
    calls[:] = [0] * 13
    result = make_pair(request, planned(), workspace=workspace, settings=settings, engine=engine)
    assert len(calls) == 13 + 4, "of both videos only the scene that broke off was denoised"
    assert left_over(workspace) == [] and read_pair(workspace, result["id"])["no_rag"].scenes


def test_evidence_that_the_tokenizer_does_not_read_is_no_pair(workspace, settings) -> None:
    engine = DiffusionEngine(settings, workspace)
    pair = planned()
    lost = [scene.model_copy(update={"prompt": make_plan().scenes[n].prompt}) for n, scene in enumerate(pair.treated.plan.scenes)]  # fmt: skip
    pair.treated.plan = pair.treated.plan.model_copy(update={"scenes": lost})
    with pytest.raises(StudioError) as caught:
        make_pair(REQUEST, pair, workspace=workspace, settings=settings, engine=engine)
    assert caught.value.code == "pair_not_grounded"
    assert engine.status() == {}, "nothing was loaded for it"
