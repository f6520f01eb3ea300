"""Time: from reading, shared without loss, and the same in both arms of a pair."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from t2v_studio.errors import InputError
from t2v_studio.library.passages import SearchResult
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.planning.planner import plan_topic
from t2v_studio.planning.timing import (
    MAX_SCENE_S,
    MIN_SCENE_S,
    WORDS_A_SECOND,
    pair_timing,
    scene_frames,
    scene_seconds,
    shares,
    step_frames,
    step_seconds,
)
from t2v_studio.settings import Settings


@pytest.fixture
def plan(settings: Settings) -> ScenePlan:
    return plan_topic(LessonRequest(topic="gradient descent"), settings, None).plan


def four_k_plus_one(frames: int) -> int:
    return 4 * max(1, round((frames - 1) / 4)) + 1


def test_scenes_last_as_long_as_their_words(plan: ScenePlan) -> None:
    for scene in plan.scenes:
        assert MIN_SCENE_S <= scene_seconds(scene) <= MAX_SCENE_S
        words = sum(len(step.say.split()) for step in scene.steps)
        assert words / scene_seconds(scene) <= WORDS_A_SECOND


def test_both_arms_of_a_pair_share_scene_and_step_times(
    settings: Settings, plan: ScenePlan, search: Callable[[str, int], SearchResult]
) -> None:
    treated = plan_topic(LessonRequest(topic="gradient descent", use_rag=True), settings, search).plan
    assert [scene_seconds(s) for s in treated.scenes] != [scene_seconds(s) for s in plan.scenes]
    left, right = pair_timing(treated, plan)
    assert pair_timing(left, right) == (left, right)
    assert scene_frames(left, 30)[0] == scene_frames(right, 30)[0]
    for one, two, a, b in zip(left.scenes, right.scenes, treated.scenes, plan.scenes, strict=True):
        assert one.seconds == two.seconds >= max(scene_seconds(a), scene_seconds(b)) - 0.02
        for frames in (1, 2, 17, 331):
            assert step_frames(one, frames) == step_frames(two, frames)
        for x, y, old in zip(one.steps, two.steps, a.steps, strict=True):
            assert x.seconds == y.seconds >= step_seconds(old) - 0.01


def test_arms_of_different_shape_are_refused(settings: Settings, plan: ScenePlan) -> None:
    other = plan_topic(LessonRequest(topic="backpropagation"), settings, None).plan
    with pytest.raises(InputError, match="different scenes"):
        pair_timing(plan, other)


def test_frames_of_the_whole_are_shared_without_loss(plan: ScenePlan) -> None:
    for total in (4, 5, 81, 1000):
        frames, notices = scene_frames(plan, 24, frames=total)
        assert sum(frames) == total and min(frames) >= 1 and notices == []
    assert sum(scene_frames(plan, 24, seconds=10)[0]) == 240
    assert scene_frames(plan, 10, scene_frames=17) == ((17,) * 4, [])


def test_rounding_is_told(plan: ScenePlan) -> None:
    frames, notices = scene_frames(plan, 10, scene_frames=16, rule=four_k_plus_one)
    assert frames == (17,) * 4
    assert notices == ["16 frames a scene were rounded to 17, which the engine can make."]
    frames, notices = scene_frames(plan, 16, seconds=4, rule=four_k_plus_one)
    assert all((n - 1) % 4 == 0 for n in frames)
    assert "rounded" in notices[0]


def test_too_few_frames_name_the_field(plan: ScenePlan) -> None:
    with pytest.raises(InputError, match="frames: 3"):
        scene_frames(plan, 10, frames=3)
    with pytest.raises(InputError, match="seconds: 2"):
        scene_frames(plan, 10, seconds=0.2)


def test_step_frames_add_up(plan: ScenePlan) -> None:
    for scene in plan.scenes:
        for frames in range(1, 60):
            parts = step_frames(scene, frames)
            assert sum(parts) == frames and len(parts) == len(scene.steps)


def test_shares_are_proportional() -> None:
    assert shares([1, 1, 2], 12) == [3, 3, 6] or sum(shares([1, 1, 2], 12)) == 12
    assert shares([5.0], 7) == [7]
