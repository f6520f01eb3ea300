"""Imports Gradio without the type stubs that it writes into its own package at every import.

For each of its components Gradio 6 parses the source, renders a stub and compares it with the one on disk: 1.9 of
4.2 CPU seconds, in front of every first page. The stubs serve editors alone, and the package may be read-only.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MODULE, STUB_WRITER = "gradio.component_meta", "create_or_modify_pyi"


class _StubsOff(importlib.abc.MetaPathFinder):
    """Replaces the stub writer in the moment in which its module has been loaded, and leaves."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_without_stubs(module: ModuleType) -> None:
            load(module)
            if hasattr(module, STUB_WRITER):
                setattr(module, STUB_WRITER, lambda *_: None)

        spec.loader.exec_module = load_without_stubs  # type: ignore[method-assign]
        return spec


def without_stubs() -> None:
    """Let the next import of Gradio write no stubs. Does nothing where Gradio is already there."""
    if "gradio" not in sys.modules and not any(isinstance(finder, _StubsOff) for finder in sys.meta_path):
        sys.meta_path.insert(0, _StubsOff())
