"""The layout lint: what overlaps, leaves the frame or is too small, read from bounding boxes after each play.

Runs inside the child, beside Manim.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

from t2v_studio.engines.manim.job import Fault

SLACK = 0.02
"""Of the frame's shorter side: a box may reach so far over the frame's edge."""
OVERLAP = 0.08
"""Share of the smaller text's box that another text may cover: descenders touch, words do not."""
SMALLEST_CAPITAL = 1 / 52
"""Of the frame's shorter side: height of a capital below which text cannot be read (14 px of 720)."""
TEXTS = ("Text", "MarkupText", "Paragraph", "Lettering", "Formula", "TypstMath", "Typst", "Tex", "MathTex", "Integer",
         "DecimalNumber", "Variable", "Code")  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A bounding box in Manim's units; `capital` is the height of a capital letter, 0 for what is no text."""

    name: str
    left: float
    bottom: float
    right: float
    top: float
    capital: float = 0.0
    text: bool = False

    @property
    def area(self) -> float:
        return max(self.right - self.left, 0.0) * max(self.top - self.bottom, 0.0)

    def shared(self, other: Box) -> float:
        """Area that two boxes share."""
        w = min(self.right, other.right) - max(self.left, other.left)
        h = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(w, 0.0) * max(h, 0.0)


def lint(scene: Any) -> list[Fault]:
    """The faults of what a Manim scene shows now."""
    camera = scene.camera
    at = round(float(scene.renderer.time), 3)
    return faults(boxes(scene), float(camera.frame_width), float(camera.frame_height), at, _centre(camera))


def faults(
    found: list[Box], width: float, height: float, at: float, centre: tuple[float, float] = (0, 0)
) -> list[Fault]:
    """The faults of some boxes in a frame of width x height."""
    short = min(width, height)
    left, bottom = centre[0] - width / 2 - SLACK * short, centre[1] - height / 2 - SLACK * short
    right, top = centre[0] + width / 2 + SLACK * short, centre[1] + height / 2 + SLACK * short
    told: list[Fault] = []
    for box in found:
        if box.left < left or box.right > right or box.bottom < bottom or box.top > top:
            told.append(_fault("off_frame", [box], at, f"{box.name} leaves the frame on the {_sides(box, left, right, bottom, top)}"))  # fmt: skip
        if box.text and 0 < box.capital < SMALLEST_CAPITAL * short:
            told.append(_fault("too_small", [box], at, f"{box.name} is too small to read"))
    for one, two in combinations([box for box in found if box.text], 2):
        smaller = min(one.area, two.area)
        if smaller > 0 and one.shared(two) > OVERLAP * smaller:
            told.append(_fault("overlap", [one, two], at, f"{one.name} and {two.name} overlap"))
    return told


def fresh(known: list[Fault], found: list[Fault]) -> list[Fault]:
    """Those of `found` that were not told before: a fault that stays counts once."""
    seen = {(fault.kind, *fault.names) for fault in known}
    return [fault for fault in found if (fault.kind, *fault.names) not in seen]


def boxes(scene: Any) -> list[Box]:
    """The boxes of all that can be seen: each text as one, every other shape by itself."""
    found: list[Box] = []
    for mobject in scene.mobjects:
        _collect(mobject, found)
    return found


def _collect(mobject: Any, found: list[Box]) -> None:
    if _is_text(mobject):
        box = _box(mobject, text=True)
    elif len(mobject.points):
        box = _box(mobject, text=False)
    else:
        box = None
    if box is not None:
        found.append(box)
    if not _is_text(mobject):
        for part in mobject.submobjects:
            _collect(part, found)


def _is_text(mobject: Any) -> bool:
    return any(kind.__name__ in TEXTS for kind in type(mobject).__mro__)


def _box(mobject: Any, *, text: bool) -> Box | None:
    """None for what nobody sees."""
    family = [part for part in mobject.family_members_with_points() if _visible(part)]
    if not family:
        return None
    left = min(float(part.get_left()[0]) for part in family)
    right = max(float(part.get_right()[0]) for part in family)
    bottom = min(float(part.get_bottom()[1]) for part in family)
    top = max(float(part.get_top()[1]) for part in family)
    return Box(_name(mobject), left, bottom, right, top, _capital(mobject) if text else 0.0, text)


def _visible(part: Any) -> bool:
    fill = getattr(part, "get_fill_opacity", lambda: 1.0)()
    stroke = getattr(part, "get_stroke_opacity", lambda: 0.0)() if getattr(part, "stroke_width", 0) else 0.0
    return bool(fill > 0.02 or stroke > 0.02)


def _name(mobject: Any) -> str:
    words = getattr(mobject, "lint_name", "") or getattr(mobject, "text", "") or getattr(mobject, "original_text", "")
    kind = type(mobject).__name__
    text = " ".join(str(words).split())
    return f'{kind} "{text[:40]}"' if text else kind


def _capital(mobject: Any) -> float:
    """Height of a capital of a text in Manim's units, by its font size where it has one."""
    own = getattr(mobject, "capital_height", None)
    if own is not None:
        return float(own())
    size = getattr(mobject, "font_size", None)
    return float(size) * 0.0102 if isinstance(size, int | float) else 0.0


def _centre(camera: Any) -> tuple[float, float]:
    centre = getattr(camera, "frame_center", None)
    return (0.0, 0.0) if centre is None else (float(centre[0]), float(centre[1]))


def _sides(box: Box, left: float, right: float, bottom: float, top: float) -> str:
    sides = [
        name
        for name, over in (("left", box.left < left), ("right", box.right > right),
                           ("bottom", box.bottom < bottom), ("top", box.top > top))
        if over
    ]  # fmt: skip
    return " and ".join(sides)


def _fault(kind: Any, members: list[Box], at: float, message: str) -> Fault:
    return Fault(kind=kind, names=[box.name for box in members], at_seconds=at, message=f"{message} at {at:.1f} s.")
