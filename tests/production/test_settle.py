"""What a request leaves open is filled in once, in one place."""

from __future__ import annotations

from rectangles import RectangleEngine, make_plan

from t2v_studio.production.request import parse_request
from t2v_studio.production.settle import seeded, settled


def test_an_asked_seed_overrules_the_plan_files() -> None:
    plan = make_plan(seed=3)
    request, drawn, canvas, _ = settled(parse_request({"topic": "x", "plan": plan, "seed": 8}), plan, RectangleEngine())
    assert (request.seed, drawn.seed, canvas.seed) == (8, 8, 8)


def test_without_one_the_plans_own_seed_stays() -> None:
    plan = make_plan(seed=3)
    request, drawn, canvas, _ = settled(parse_request({"topic": "x", "plan": plan}), plan, RectangleEngine())
    assert (request.seed, drawn.seed, canvas.seed) == (3, 3, 3)


def test_a_request_without_seed_and_plan_draws_one_before_planning() -> None:
    drawn = {seeded(parse_request({"topic": "x"})).seed for _ in range(4)}
    assert len(drawn) == 4 and None not in drawn
