"""The layout lint over boxes, and the grid of anchors' names: nothing of Manim is needed."""

from __future__ import annotations

import pytest

from t2v_studio.engines.manim.job import Fault
from t2v_studio.engines.manim.layout import Box, faults, fresh

WIDE = (14.2, 8.0)


def text(name: str, left: float, bottom: float, width: float = 2.0, height: float = 0.4, capital: float = 0.3) -> Box:
    return Box(name, left, bottom, left + width, bottom + height, capital, text=True)


def kinds(*boxes: Box) -> list[str]:
    return [fault.kind for fault in faults(list(boxes), *WIDE, at=1.5)]


def test_what_stands_clear_has_no_fault() -> None:
    assert kinds(text("a", -2, 0), text("b", -2, 1), Box("square", -3, -3, 3, 3)) == []


def test_texts_on_each_other_overlap_and_a_text_in_a_box_does_not() -> None:
    found = faults([text("alpha", -2, 0), text("beta", -1, 0.1), Box("panel", -3, -1, 3, 2)], *WIDE, at=1.5)
    assert [(fault.kind, fault.names, fault.at_seconds) for fault in found] == [("overlap", ["alpha", "beta"], 1.5)]
    assert "alpha and beta overlap" in found[0].message


def test_touching_descenders_are_no_overlap() -> None:
    assert kinds(text("a", 0, 0, height=0.4), text("b", 0, 0.38, height=0.4)) == []


@pytest.mark.parametrize(
    ("left", "bottom", "side"), [(-8.0, 0, "left"), (6.0, 0, "right"), (0, 3.9, "top"), (0, -4.4, "bottom")]
)
def test_what_leaves_the_frame_says_on_which_side(left: float, bottom: float, side: str) -> None:
    (fault,) = faults([text("far", left, bottom)], *WIDE, at=0)
    assert fault.kind == "off_frame" and side in fault.message


def test_small_print_is_told_by_the_height_of_its_capitals() -> None:
    assert kinds(text("fine print", 0, 0, capital=0.1)) == ["too_small"]
    assert kinds(text("caption", 0, 0, capital=0.18)) == []


def test_a_fault_that_stays_counts_once() -> None:
    first = [Fault(kind="overlap", names=["a", "b"], at_seconds=1, message="a and b overlap")]
    later = [first[0].model_copy(update={"at_seconds": 2.0}), Fault(kind="too_small", names=["a"], at_seconds=2, message="x")]  # fmt: skip
    assert [fault.kind for fault in fresh(first, later)] == ["too_small"]
