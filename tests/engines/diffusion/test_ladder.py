"""Cause and attempt give the next try."""

from __future__ import annotations

from dataclasses import replace

import pytest

from t2v_studio.engines.base import SceneSettings
from t2v_studio.engines.diffusion import ladder
from t2v_studio.engines.diffusion.ladder import Policy, Run, next_rung
from t2v_studio.settings import Settings

RUN = Run(seed=3, steps=30, guidance=5.0, attention="cudnn", decode_dtype="bfloat16", tiled=True, lora_scale=0.8)
PLAIN = Run(seed=3, steps=16, guidance=5.0, attention="native", decode_dtype="float32", tiled=False)


def climb(cause: str, run: Run, policy: Policy = Policy()) -> list[tuple[str, dict]]:
    """All rungs in their order, when each try fails for the same cause."""
    now, taken, found = SceneSettings(), [], []
    while (rung := next_rung(cause, now, taken, run, policy)) is not None:  # type: ignore[arg-type]
        taken.append(rung.action)
        found.append((rung.action, {k: v for k, v in rung.settings.changes().items() if v != now.changes().get(k)}))
        now = rung.settings
        assert len(found) < 20, "the ladder ends"
    return found


def test_broken_numbers_in_the_latents() -> None:
    assert climb("not_finite", replace(RUN, step_cache=True)) == [
        (ladder.NATIVE, {"attention": "native"}),
        (ladder.NO_CACHE, {"step_cache": False}),
        (ladder.LORA_OFF, {"lora_scale": 0.0}),
        (ladder.NEW_SEED, {"seed": 3 + ladder.SEED_STRIDE}),
    ]


def test_a_broken_decode_costs_no_denoising() -> None:
    rung = next_rung("decode_not_finite", SceneSettings(), [], RUN, Policy())
    assert rung is not None and not rung.denoise
    assert rung.settings.changes() == {"decode_dtype": "float32", "tiled": False}
    after = next_rung("decode_not_finite", rung.settings, [rung.action], RUN, Policy())
    assert after is not None and after.action == ladder.NATIVE and after.denoise


def test_black_with_the_documents_numbers() -> None:
    assert climb("black", RUN) == [
        (ladder.REDECODE, {"decode_dtype": "float32", "tiled": False}),
        (ladder.WEAKER, {"lora_scale": 0.4}),
        (ladder.STEPS, {"steps": 30, "guidance": 4.8}),
        (ladder.NEW_SEED, {"seed": 3 + ladder.SEED_STRIDE}),
        (ladder.NEW_SEED, {"seed": 3 + 2 * ladder.SEED_STRIDE}),
    ]


@pytest.mark.parametrize(
    ("cause", "steps", "guidance"),
    [("black", 22, 4.8), ("white", 28, 4.8), ("washed_out", 26, 4.5), ("noise", 42, 4.2), ("underexposed", 22, 4.8)],
)
def test_steps_and_guidance_of_a_cause(cause: str, steps: int, guidance: float) -> None:
    change = dict(climb(cause, PLAIN))[ladder.STEPS]
    assert change == {"steps": steps, "guidance": guidance}


def test_steps_never_go_down_and_end_at_200() -> None:
    assert dict(climb("noise", replace(PLAIN, steps=60)))[ladder.STEPS]["steps"] == 75
    assert dict(climb("noise", replace(PLAIN, steps=190)))[ladder.STEPS]["steps"] == 200
    assert dict(climb("black", replace(PLAIN, steps=50)))[ladder.STEPS]["steps"] == 50


def test_guidance_1_belongs_to_a_distilled_lora() -> None:
    distilled = replace(PLAIN, guidance=1.0, steps=4, lora_scale=1.0)
    assert dict(climb("white", distilled))[ladder.STEPS] == {"steps": 8}
    alone = replace(distilled, lora_scale=None)
    assert dict(climb("white", alone))[ladder.STEPS] == {"steps": 28, "guidance": 4.8}, "without one it is the fault"


def test_washed_out_throws_leading_frames_away() -> None:
    actions = [action for action, _ in climb("washed_out", RUN)]
    assert actions == [ladder.WEAKER, ladder.STEPS, ladder.LEADING, ladder.NEW_SEED]
    assert dict(climb("washed_out", replace(RUN, frame_stride=8)))[ladder.LEADING] == {"drop_leading": 8}


def test_a_frozen_scene_gets_a_seed_and_no_cache() -> None:
    assert [action for action, _ in climb("frozen", replace(PLAIN, step_cache=True))][:2] == [
        ladder.NO_CACHE,
        ladder.NEW_SEED,
    ]


@pytest.mark.parametrize("cause", sorted(ladder.CAUSES | {"not_finite", "decode_not_finite"}))
def test_it_is_bounded_and_repeats_nothing_but_seeds(cause: str) -> None:
    rungs = climb(cause, replace(RUN, step_cache=True))
    actions = [action for action, _ in rungs]
    assert sum(action != ladder.REDECODE for action in actions) <= ladder.MAX_DENOISES
    repeated = {action for action in actions if actions.count(action) > 1}
    assert repeated <= {ladder.NEW_SEED}


def test_the_policy_comes_from_the_settings() -> None:
    def settings(**given: object) -> Settings:
        return Settings(_env_file=None, **given)  # type: ignore[arg-type]

    usual = Policy.of(settings())
    assert usual == Policy()
    off = Policy.of(settings(retry_on_black=False))
    assert climb("black", PLAIN, off) == [] and climb("white", PLAIN, off) == [], "blank follows black"
    blank = Policy.of(settings(retry_on_black=False, retry_on_blank=True))
    assert climb("black", PLAIN, blank) == [] and climb("white", PLAIN, blank) != []
    own = Policy.of(settings(white_retry_guidance=2.0, white_retry_steps=50))
    assert dict(climb("white", PLAIN, own))[ladder.STEPS] == {"steps": 50, "guidance": 2.0}


def test_without_retries_a_broken_decode_is_still_mended() -> None:
    policy = Policy.of(Settings(_env_file=None), retries=False)
    assert climb("noise", RUN, policy) == []
    assert climb("decode_out_of_memory", PLAIN, policy) == [(ladder.TILE, {"tiled": True})]


@pytest.mark.parametrize("cause", ["decode_not_finite", "decode_out_of_memory"])
def test_without_retries_latents_are_decoded_again_but_no_scene_is_drawn_again(cause: ladder.Cause) -> None:
    off = Policy(on_black=False, on_blank=False)
    taken: list[str] = []
    settings = SceneSettings()
    while (rung := next_rung(cause, settings, taken, RUN, off)) is not None:
        assert not rung.denoise
        taken.append(rung.action)
        settings = rung.settings
    assert len(taken) <= 2
