"""Whether Manim is here, and what to say where it is not. Manim itself is never imported."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from t2v_studio.engines.base import Availability

HINT = (
    "Run: make manim (it installs libcairo2-dev, libpango1.0-dev and pkg-config where it may, then pip install "
    "manim as requirements-manim.txt says). Until then use --engine local."
)


@lru_cache(maxsize=1)
def manim_version() -> str:
    """The installed version, "" where there is none."""
    if find_spec("manim") is None:
        return ""
    try:
        return version("manim")
    except PackageNotFoundError:
        return ""


def availability() -> Availability:
    """Whether the Manim engine can run here."""
    if manim_version():
        return Availability(True)
    return Availability(False, "The Manim engine is an extra that is not installed.", HINT)
