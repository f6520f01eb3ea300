"""A test engine and a hand-made plan."""

from __future__ import annotations

import pytest
from rectangles import RectangleEngine, make_plan

from t2v_studio.planning.plan import ScenePlan


@pytest.fixture
def engine() -> RectangleEngine:
    return RectangleEngine()


@pytest.fixture
def plan() -> ScenePlan:
    return make_plan()
