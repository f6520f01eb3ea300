"""Scenes that a language model writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from t2v_studio.engines.base import Canvas
from t2v_studio.engines.manim.job import Fault
from t2v_studio.planning.plan import ScenePlan


@dataclass(frozen=True)
class Attempt:
    """One try. how: "written", "repaired", "edited". problem: what was wrong with it, "" for nothing."""

    how: str
    code: str
    problem: str = ""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Written:
    """fallback: why the template draws the scene instead, "" when the code does. seconds: its own length."""

    code: str
    scene: str
    attempts: tuple[Attempt, ...] = ()
    faults: tuple[Fault, ...] = ()
    fallback: str = ""
    seconds: float = 0.0
    model: str = ""
    held: str = ""


def write_scene(
    plan: ScenePlan, index: int, canvas: Canvas, options: Any, report: Callable[[int, int], None]
) -> Written:
    """Code for scene `index`, tried in the sandbox; with options.manim_code[scene.id] that code as it stands."""
    raise NotImplementedError
