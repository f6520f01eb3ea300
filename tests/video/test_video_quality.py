"""Verdicts on clips whose truth is known, slides and pans among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from t2v_studio.video.planar import PlanarPicture
from t2v_studio.video.quality import Judge, Verdict, whole_clip

HEIGHT, WIDTH, COUNT, FPS = 120, 208, 17, 10.0
RNG = np.random.default_rng
Clip = list[np.ndarray]


def flat(value: int) -> Clip:
    return [np.full((HEIGHT, WIDTH, 3), value, np.uint8) for _ in range(COUNT)]


def slide(paper: tuple[int, ...], ink: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """Rows of short dark or light runs, as text on a page is; 5 % ink."""
    page = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    page[:] = paper
    rng = RNG(seed)
    for row in range(20, HEIGHT - 20, 12):
        for x in range(16, WIDTH - 16, 9):
            if rng.random() < 0.6:
                page[row : row + 5, x : x + rng.integers(1, 4)] = ink
    return page


LIGHT, DARK = ((251, 250, 247), (28, 39, 51)), ((18, 24, 31), (238, 242, 245))


def growing(colours: tuple[tuple[int, ...], ...]) -> Clip:
    """A slide on which a small marker moves."""
    clip = [slide(*colours) for _ in range(COUNT)]
    for n, page in enumerate(clip):
        page[60:66, 10 + 8 * n : 16 + 8 * n] = (213, 94, 0)
    return clip


def textured() -> np.ndarray:
    """A smooth random picture, wide enough to pan over."""
    coarse = RNG(4).integers(0, 256, (HEIGHT // 8 + 1, WIDTH // 2, 3)).astype(np.float64)
    big = np.kron(coarse, np.ones((8, 8, 1)))[:HEIGHT]
    kernel = np.ones(9) / 9
    for axis in (0, 1):
        big = np.apply_along_axis(lambda line: np.convolve(line, kernel, "same"), axis, big)
    return big.clip(0, 255).astype(np.uint8)


def pan(pixels_a_frame: int) -> Clip:
    wide = textured()
    return [wide[:, n * pixels_a_frame : n * pixels_a_frame + WIDTH] for n in range(COUNT)]


def static() -> Clip:
    return [RNG(n).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for n in range(COUNT)]


def coloured_static(amplitude: int) -> Clip:
    return [
        (128 + RNG(n).integers(-amplitude, amplitude + 1, (HEIGHT, WIDTH, 3))).astype(np.uint8) for n in range(COUNT)
    ]


def grainy_pan() -> Clip:
    return [(frame + RNG(n).normal(0, 6, frame.shape)).clip(0, 255).astype(np.uint8) for n, frame in enumerate(pan(2))]


def cuts() -> Clip:
    """Three slides with hard cuts."""
    return [slide(*LIGHT, seed=n // 6) for n in range(COUNT)]


def fade_in() -> Clip:
    page = slide(*LIGHT).astype(float)
    return [(251 + (page - 251) * n / (COUNT - 1)).astype(np.uint8) for n in range(COUNT)]


def still_noise() -> Clip:
    return [static()[0]] * COUNT


CASES: dict[str, tuple[Callable[[], Clip], str]] = {
    "black": (lambda: flat(0), "black"),
    "nearly black": (lambda: flat(1), "underexposed"),
    "dark grey": (lambda: flat(12), "underexposed"),
    "white": (lambda: flat(255), "white"),
    "pale grey": (lambda: flat(232), "washed_out"),
    "empty paper": (lambda: flat(249), "washed_out"),
    "television static": (static, "noise"),
    "weak static": (lambda: coloured_static(40), "noise"),
    "one frame of static, held": (still_noise, "noise"),
    "light slide": (lambda: growing(LIGHT), "ok"),
    "dark slide": (lambda: growing(DARK), "ok"),
    "three slides, hard cuts": (cuts, "ok"),
    "slide that fades in": (fade_in, "ok"),
    "slow pan": (lambda: pan(2), "ok"),
    "fast pan": (lambda: pan(8), "ok"),
    "pan with film grain": (grainy_pan, "ok"),
    "held light slide": (lambda: [slide(*LIGHT)] * COUNT, "frozen"),
    "held dark slide": (lambda: [slide(*DARK)] * COUNT, "frozen"),
}


def judged(clip: Clip, steps: int = 3) -> Verdict:
    """As production does it: the encoder says how much changed."""
    judge, picture = Judge(FPS, steps), PlanarPicture(WIDTH, HEIGHT)
    for frame in clip:
        judge.see(frame, picture.update(frame))
    return judge.verdict()


@pytest.mark.parametrize("name", CASES)
def test_verdicts(name: str) -> None:
    clip, expected = CASES[name]
    found = judged(clip())
    assert found.name == expected, found.measures


@pytest.mark.parametrize("name", CASES)
def test_verdicts_without_the_encoders_hint(name: str) -> None:
    clip, expected = CASES[name]
    judge = Judge(FPS, 3)
    for frame in clip():
        judge.see(frame)
    if name not in ("light slide", "dark slide"):  # so small a marker is seen only with the hint
        assert judge.verdict().name == expected


def test_a_held_slide_of_one_step_is_ok() -> None:
    assert judged([slide(*LIGHT)] * COUNT, steps=1).ok


def test_one_frame_is_not_frozen() -> None:
    assert judged([slide(*LIGHT)], steps=3).ok


def test_separators_of_noise() -> None:
    """Neighbouring pixels of white noise are independent; those of a pan are not."""
    noise, clean = judged(static()).measures, judged(pan(8)).measures
    assert abs(noise["pixel_correlation"]) < 0.05 and abs(noise["frame_correlation"]) < 0.1
    assert clean["pixel_correlation"] > 0.9


def test_faint_shimmer_is_still() -> None:
    page = slide(*LIGHT)
    clip = [page.copy() for _ in range(COUNT)]
    for n, frame in enumerate(clip):
        frame[::3, n % 3 :: 3] -= 1
    assert judged(clip).name == "frozen"


def test_still_share_counts_pairs() -> None:
    a, b = slide(*LIGHT, seed=1), slide(*LIGHT, seed=2)
    assert judged([a, a, a, b, b]).measures["still_share"] == 0.75


def test_nothing_seen() -> None:
    assert Judge(30).verdict().name == "undecodable"
    assert whole_clip([]).name == "undecodable"


def test_rgba_is_judged_alike() -> None:
    rgb = judged(pan(2))
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    assert judged([np.concatenate([frame, alpha], axis=2) for frame in pan(2)]) == rgb


@pytest.mark.parametrize(
    ("scenes", "expected"),
    [
        (["light slide", "slow pan"], "ok"),
        (["light slide", "black"], "black"),
        (["held light slide", "light slide"], "ok"),
        (["held light slide", "held dark slide"], "frozen"),
        (["held light slide", "television static"], "noise"),
    ],
)
def test_whole_clips(scenes: list[str], expected: str) -> None:
    found = whole_clip([judged(CASES[name][0]()) for name in scenes])
    assert found.name == expected
    assert found.measures["frames"] == COUNT * len(scenes)


def test_figures_name_the_rule() -> None:
    assert judged(pan(2)).measures["rule_version"] == 1
