"""The base class of every scene: a grid of anchors, so that things stand where there is room."""

from __future__ import annotations

from typing import Any

import numpy as np
from manim import Mobject, Scene

from t2v_studio.engines.manim.outlines import Formula, Lettering

__all__ = ["Formula", "Lesson", "Lettering"]

ROWS = "ABCDEF"
COLUMNS = 6
MARGIN = 0.5
"""In Manim's units, kept free on every side."""
TITLE = 1.1
"""Height of the strip for the title above the grid."""


class Lesson(Scene):
    """A scene with a title strip and a grid of 6 x 6 cells, A1 top left to F6 bottom right.

    `place` puts a mobject into a cell or a block of cells and shrinks it where it would not fit.
    """

    def area(self, first: str, last: str = "") -> tuple[float, float, float, float]:
        """Left, bottom, right, top of a cell, or of the block from one cell to another."""
        (row, column), (row2, column2) = _cell(first), _cell(last or first)
        left, bottom, right, top = self.grid
        w, h = (right - left) / COLUMNS, (top - bottom) / len(ROWS)
        low_column, high_column = min(column, column2), max(column, column2)
        low_row, high_row = min(row, row2), max(row, row2)
        return (
            left + low_column * w,
            top - (high_row + 1) * h,
            left + (high_column + 1) * w,
            top - low_row * h,
        )

    @property
    def grid(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of the whole grid."""
        width, height = float(self.camera.frame_width), float(self.camera.frame_height)
        return -width / 2 + MARGIN, -height / 2 + MARGIN, width / 2 - MARGIN, height / 2 - MARGIN - TITLE

    def anchor(self, cell: str, last: str = "") -> Any:
        """The middle of a cell or block."""
        left, bottom, right, top = self.area(cell, last)
        return np.array([(left + right) / 2, (bottom + top) / 2, 0.0])

    def place(self, mobject: Mobject, cell: str, last: str = "", fill: float = 0.92) -> Mobject:
        """Moves a mobject to a cell or block, made smaller where it is larger than `fill` of it."""
        left, bottom, right, top = self.area(cell, last)
        width, height = max(float(mobject.width), 1e-6), max(float(mobject.height), 1e-6)
        scale = min(1.0, fill * (right - left) / width, fill * (top - bottom) / height)
        if scale < 1.0:
            mobject.scale(scale)
        return mobject.move_to(self.anchor(cell, last))

    def title(self, text: str, color: Any = "#ffffff") -> Lettering:
        """The title in its strip, left; shrunk to the width of the frame. Not yet shown."""
        left, _, right, top = self.grid
        words = Lettering(text, 44, color, "bold")
        if words.width > right - left:
            words.scale((right - left) / words.width)
        return words.move_to((left + float(words.width) / 2, top + TITLE / 2, 0.0))


def _cell(name: str) -> tuple[int, int]:
    """Row and column of a cell. Raises ValueError for one that is not on the grid."""
    row, column = ROWS.find(name[:1].upper()), name[1:]
    if row < 0 or not column.isdigit() or not 1 <= int(column) <= COLUMNS:
        raise ValueError(f"The grid has no cell {name!r}: rows are A to F, columns 1 to 6, as in B2.")
    return row, int(column) - 1
