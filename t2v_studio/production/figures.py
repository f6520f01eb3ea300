"""A frame of a plan as a figure for a thesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2v_studio.planning.plan import ScenePlan


def write_figure(plan: ScenePlan, scene: int, at: float, output: Path, **canvas: Any) -> Path:
    """Write the moment `at` (0 to 1) of scene `scene` (from 1) as SVG, PDF or PNG, by the suffix of `output`.

    canvas: width, height, theme, show_sources. Raises InputError.
    """
    from t2v_studio.engines.local.figure import figure

    return figure(plan, scene, at, output, **canvas)
