"""The linter finds planted faults, and finds none in any kind, size, theme and length of text."""

from __future__ import annotations

import itertools

import pytest

from t2v_studio.engines.local.composition import compose
from t2v_studio.engines.local.display import Box, Circle, Item, Point, Rect, Text
from t2v_studio.engines.local.kinds import KINDS
from t2v_studio.engines.local.kinds.process import ProcessKind, key_phrase
from t2v_studio.engines.local.layout import Regions, arrange
from t2v_studio.engines.local.lint import contrast, lint, lint_composition, lint_stage
from t2v_studio.engines.local.painter import design_size
from t2v_studio.engines.local.samples import lengthened, sample_plans
from t2v_studio.engines.local.theme import LIGHT, PALETTES, Palette
from t2v_studio.engines.local.timeline import moments
from t2v_studio.planning.plan import Scene, Step, parse_plan
from t2v_studio.planning.visuals import VISUALS

PLANS = sample_plans()
SIZES = ((1280, 720), (832, 480), (720, 720), (720, 1280))
MOMENTS = (0.0, 0.31, 0.5, 0.74, 1.0)
FRAME = Box(0, 0, 1280, 720)


def text(x: float, y: float, words: str = "some words", **more: object) -> Text:
    return Text(at=Point(x, y), text=words, **{"size": 30.0, "colour": LIGHT.ink, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("items", "rule"),
    [
        ([text(100, 100), text(150, 105)], "overlap"),
        ([text(1200, 100)], "off_frame"),
        ([Circle(centre=Point(5, 5), radius=20, fill=LIGHT.accent)], "off_frame"),
        ([text(100, 100, size=18.0)], "small_text"),
        ([text(100, 100, colour="#bbbbbb")], "contrast"),
        ([Rect(box=Box(50, 50, 400, 100), fill=LIGHT.ink), text(100, 100)], "contrast"),
    ],
)
def test_planted_faults_are_found(items: list[Item], rule: str) -> None:
    assert [finding.rule for finding in lint(items, FRAME, LIGHT)] == [rule]


def test_every_visual_of_a_plan_has_its_kind() -> None:
    assert set(KINDS) == set(VISUALS) == set(PLANS)


def test_good_neighbours_are_left_alone() -> None:
    items = [
        Rect(box=Box(50, 50, 400, 100), fill=LIGHT.ink),
        text(100, 100, colour=LIGHT.surface),
        text(100, 200),
        text(100, 240),
    ]
    assert lint(items, FRAME, LIGHT) == []
    assert lint([text(100, 100), text(110, 100, alpha=0.4)], FRAME, LIGHT) == [], (
        "a text on its way in may pass another"
    )


def test_leaving_the_stage_is_found() -> None:
    stage = Box(100, 100, 300, 200)
    assert lint_stage([Rect(box=Box(110, 110, 50, 50), fill="#000000")], stage) == []
    assert [f.rule for f in lint_stage([Rect(box=Box(380, 110, 50, 50), fill="#000000")], stage)] == ["off_stage"]


def test_contrast_follows_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1.0


@pytest.mark.parametrize("palette", PALETTES.values(), ids=list(PALETTES))
def test_every_text_colour_can_be_read_on_every_ground(palette: Palette) -> None:
    for role, ground in itertools.product(
        ("ink", "muted", "accent", "positive", "negative"), ("paper", "surface", "accent_soft", "highlight")
    ):
        assert contrast(getattr(palette, role), getattr(palette, ground)) >= 4.5, (role, ground)
    for colour, ground in itertools.product(palette.series, (palette.paper, palette.surface)):
        assert contrast(colour, ground) >= 4.5, colour
    assert contrast(palette.surface, palette.accent) >= 4.5


def _faults(kind: str, size: tuple[int, int], theme: str, long: bool) -> list[str]:
    plan = lengthened(PLANS[kind]) if long else PLANS[kind]
    width, height = design_size(*size)
    found = []
    for index in range(len(plan.scenes)):
        view = compose(plan, index, width=width, height=height, theme=theme, show_sources=True)
        found += [f"scene {index + 1} {f.rule}: {f.what} ({f.measure})" for f in lint_composition(view, MOMENTS)]
    return found


@pytest.mark.parametrize("long", [False, True], ids=["usual", "long"])
@pytest.mark.parametrize("size", SIZES, ids=[f"{w}x{h}" for w, h in SIZES])
@pytest.mark.parametrize("kind", sorted(VISUALS))
def test_nothing_overlaps_leaves_the_frame_or_fades(kind: str, size: tuple[int, int], long: bool) -> None:
    assert _faults(kind, size, "light", long) == []


@pytest.mark.parametrize("theme", ["dark", "contrast"])
@pytest.mark.parametrize("kind", sorted(VISUALS))
def test_the_other_themes_can_be_read_too(kind: str, theme: str) -> None:
    assert _faults(kind, (1280, 720), theme, False) == []


def _process(layout: str, count: int, long: bool) -> Scene:
    show = "A label that runs on until it holds all the eighty characters that it may have.."
    words = [
        "Look",
        "Measure the gap",
        "Keep the widest street",
        "Support vectors decide",
        "Slack",
        "Bend",
        "Test",
        "Repeat",
    ]
    steps = [{"say": "One idea in a sentence.", "show": show if long else words[n]} for n in range(count)]
    visual = {"kind": "process", "layout": layout, "centre": "A word for the centre"}
    data = {
        "topic": "t",
        "scenes": [{"id": "a", "title": "Title", "steps": steps, "visual": visual, "formula": "a^2+b^2=c^2"}],
    }
    return parse_plan(data).scenes[0]


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("layout", ["flow", "cycle", "timeline", "map"])
def test_a_process_of_any_length_fits_every_frame(layout: str, count: int) -> None:
    for size, long in itertools.product(SIZES, (False, True)):
        scene = _process(layout, count, long)
        plan = PLANS["process"].model_copy(update={"scenes": [scene], "sources": []})
        width, height = design_size(*size)
        view = compose(plan, 0, width=width, height=height, theme="light", show_sources=True)
        assert lint_composition(view, (0.0, 0.55, 1.0)) == []


@pytest.mark.parametrize("layout", ["flow", "cycle", "timeline", "map"])
def test_each_step_appears_once_and_in_order(layout: str) -> None:
    scene = _process(layout, 6, False)
    plan = PLANS["process"].model_copy(update={"scenes": [scene], "sources": []})
    view = compose(plan, 0, width=1280, height=720, theme="light", show_sources=True)
    for moment, _ in moments(scene, 60):
        items = ProcessKind().draw(scene, view.trace, moment, view.stage)
        numbers = [item.text for item in items if isinstance(item, Text) and item.name == "number" and item.alpha > 0.5]
        assert sorted(numbers) == ["1", "2", "3", "4", "5", "6"]
        nodes = [item for item in items if isinstance(item, Rect) and item.name == "node"]
        assert moment.step <= len(nodes) <= moment.step + 1
    last = ProcessKind().draw(scene, view.trace, moments(scene, 60)[-1][0], view.stage)
    shown = " ".join(item.text for item in last if isinstance(item, Text) and item.name == "label")
    for step in scene.steps:
        assert step.show in shown


def test_a_step_without_a_label_takes_the_first_words_of_what_is_said() -> None:
    assert (
        key_phrase(Step(say="A long sentence of more than seven words, surely."))
        == "A long sentence of more than seven…"
    )
    assert key_phrase(Step(say="Short one.")) == "Short one"
    assert key_phrase(Step(say="Said", show="  Shown  label ")) == "Shown label"


def _boxes(regions: Regions) -> dict[str, Box]:
    names = ("kicker", "progress", "title", "card", "legend", "caption", "formula", "footer")
    return {name: box for name in names if (box := getattr(regions, name)) is not None}


@pytest.mark.parametrize("size", [*SIZES, (1080, 1350), (1920, 1080), (2560, 720)])
@pytest.mark.parametrize("formula", ["", "x^2", r"\frac{a}{b}" * 14])
def test_regions_stay_in_the_frame_and_apart(size: tuple[int, int], formula: str) -> None:
    from t2v_studio.engines.local.kinds.base import LegendEntry

    width, height = design_size(*size)
    for count, show, sources in itertools.product((0, 3, 6), (False, True), (False, True)):
        legend = [LegendEntry(f"a meaning {n}", "#000000") for n in range(count)]
        regions = arrange(width, height, legend=legend, formula=formula, has_show=show, show_sources=sources)
        boxes = _boxes(regions)
        assert all(regions.frame.contains(box) for box in boxes.values())
        for (a, first), (b, second) in itertools.combinations(boxes.items(), 2):
            assert first.overlap(second) == 0, (a, b)
        assert regions.card.contains(regions.stage)
        assert regions.stage.h > 0.29 * height, "the diagram keeps the largest part"
