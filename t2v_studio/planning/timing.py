"""How long scenes and steps last: from reading time, and the same in both arms of a pair."""

from __future__ import annotations

from collections.abc import Callable

from t2v_studio.errors import InputError, plural
from t2v_studio.planning.plan import Scene, ScenePlan, Step

WORDS_A_SECOND = 2.8
"""Lecture speech, 168 words a minute; silent reading of a caption is a little faster."""
SETTLE_S = 0.3
"""Pause after each step, in which the picture comes to rest."""
OPENING_S = 0.6
"""Time at the start of a scene in which the heading is read."""
MIN_STEP_S = 2.0
MIN_SCENE_S, MAX_SCENE_S = 4.0, 28.0


def step_seconds(step: Step) -> float:
    """Seconds of a step: its own where they are set, else the time to say it (or to read its label) and to settle."""
    if step.seconds is not None:
        return step.seconds
    words = max(len(step.say.split()), len(step.show.split()))
    return max(MIN_STEP_S, words / WORDS_A_SECOND + SETTLE_S)


def scene_seconds(scene: Scene) -> float:
    """Seconds of a scene: its own where they are set, else its steps and the opening, 4 to 28 s."""
    if scene.seconds is not None:
        return scene.seconds
    total = OPENING_S + sum(step_seconds(step) for step in scene.steps)
    return round(min(MAX_SCENE_S, max(MIN_SCENE_S, total)), 2)


def pair_timing(left: ScenePlan, right: ScenePlan) -> tuple[ScenePlan, ScenePlan]:
    """Both plans with the longer time of the two written to every step and scene of both.

    Raises InputError where the plans do not have the same scenes and number of steps.
    """
    if [(scene.id, len(scene.steps)) for scene in left.scenes] != [
        (scene.id, len(scene.steps)) for scene in right.scenes
    ]:
        raise InputError(
            "pair_differs",
            "plan: the arms of a pair have different scenes or steps.",
            "Make both from the same template.",
        )
    steps: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for one, two in zip(left.scenes, right.scenes, strict=True):
        steps[one.id] = [
            round(max(step_seconds(a), step_seconds(b)), 2) for a, b in zip(one.steps, two.steps, strict=True)
        ]
        total = min(MAX_SCENE_S, max(MIN_SCENE_S, OPENING_S + sum(steps[one.id])))
        own = [scene.seconds for scene in (one, two) if scene.seconds is not None]
        seconds[one.id] = round(max(own) if own else total, 2)
    return _timed(left, seconds, steps), _timed(right, seconds, steps)


def scene_frames(
    plan: ScenePlan,
    fps: float,
    *,
    seconds: float | None = None,
    frames: int | None = None,
    scene_frames: int | None = None,
    rule: Callable[[int], int] = lambda count: count,
) -> tuple[tuple[int, ...], list[str]]:
    """Frames of each scene, and notices on what was rounded.

    At most one of seconds (whole video), frames (whole video) and scene_frames (each scene) is given; with
    none the reading time decides. rule: the nearest number of frames a scene that the engine can make.
    Raises InputError where there are fewer frames than scenes.
    """
    count = len(plan.scenes)
    notices: list[str] = []
    if scene_frames is not None:
        asked = [scene_frames] * count
    elif seconds is not None or frames is not None:
        total = frames if frames is not None else max(1, round((seconds or 0.0) * fps))
        if total < count:
            name = "frames" if frames is not None else "seconds"
            raise InputError(
                "too_few_frames",
                f"{name}: {plural(total, 'frame')} for {plural(count, 'scene')} is too few.",
                "Ask for a longer video.",
            )
        asked = shares([scene_seconds(scene) for scene in plan.scenes], total)
    else:
        asked = [max(1, round(scene_seconds(scene) * fps)) for scene in plan.scenes]
    made = [rule(number) for number in asked]
    if made != asked:
        if len(set(asked)) == 1:
            notices.append(
                f"{plural(asked[0], 'frame')} a scene {'was' if asked[0] == 1 else 'were'} rounded to {made[0]}, which the engine can make."
            )
        else:
            notices.append(
                f"Frames a scene were rounded from {_listed(asked)} to {_listed(made)}, which the engine can make."
            )
        if scene_frames is None and sum(made) != sum(asked):
            notices.append(
                f"The video has {sum(made)} frames ({sum(made) / fps:.1f} s) instead of {sum(asked)} ({sum(asked) / fps:.1f} s)."
            )
    return tuple(made), notices


def step_frames(scene: Scene, frames: int) -> tuple[int, ...]:
    """The frames of a scene, shared among its steps by their seconds; the opening belongs to the first step."""
    weights = [step_seconds(step) for step in scene.steps]
    weights[0] += OPENING_S
    if frames < len(weights):
        return tuple(int(n < frames) for n in range(len(weights)))
    return tuple(shares(weights, frames))


def shares(weights: list[float], total: int) -> list[int]:
    """`total` split in proportion to weights by largest remainder, at least one each. Needs total >= len(weights)."""
    free = total - len(weights)
    exact = [free * weight / sum(weights) for weight in weights]
    parts = [int(value) for value in exact]
    order = sorted(range(len(weights)), key=lambda n: (parts[n] - exact[n], n))
    for n in order[: free - sum(parts)]:
        parts[n] += 1
    return [part + 1 for part in parts]


def _timed(plan: ScenePlan, seconds: dict[str, float], steps: dict[str, list[float]]) -> ScenePlan:
    scenes = [
        scene.model_copy(
            update={
                "seconds": seconds[scene.id],
                "steps": [
                    step.model_copy(update={"seconds": time})
                    for step, time in zip(scene.steps, steps[scene.id], strict=True)
                ],
            }
        )
        for scene in plan.scenes
    ]
    return plan.model_copy(update={"scenes": scenes})


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
