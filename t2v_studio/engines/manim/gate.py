"""Clear refusals of Manim code before it runs. It explains; the sandbox is what holds."""

from __future__ import annotations


def refusals(code: str) -> list[str]:
    """One sentence with its line for each thing that a scene may not do; empty when it may run."""
    raise NotImplementedError
