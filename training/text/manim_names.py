"""Names that a Manim scene uses and the installed Manim does not have: invented, or of another version."""

from __future__ import annotations

import ast
import builtins
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

from t2v_studio.datasets.text_pairs.code import parsed

LIMIT_S = 120.0
_DUMP = """
import json, sys
import manim
names = [name for name in dir(manim) if not name.startswith("_")]
attributes = set()
for name in names:
    attributes.update(dir(getattr(manim, name)))
import numpy, math, random
for module in (numpy, math, random, manim):
    attributes.update(dir(module))
for kind in (str, list, dict, tuple, set, int, float):
    attributes.update(dir(kind))
made = set()
for name in names:
    kind = getattr(manim, name)
    if isinstance(kind, type):
        for parent in kind.__mro__:
            code = getattr(vars(parent).get("__init__"), "__code__", None)
            made.update(code.co_names if code else ())
json.dump({"names": names, "attributes": sorted(attributes | made)}, sys.stdout)
"""
"""Run in a child, since Manim is never imported here. Attributes that a constructor sets are known by its code."""


@dataclass(frozen=True)
class Api:
    """Public names of the package, and every attribute that any of its objects has."""

    names: frozenset[str]
    attributes: frozenset[str]


@lru_cache(maxsize=1)
def installed_api() -> Api | None:
    """The installed Manim's names; None where it is not here."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DUMP], capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
        found = json.loads(done.stdout[done.stdout.index("{") :])
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Api(frozenset(found["names"]), frozenset(found["attributes"]))


def unknown_names(code: str, api: Api) -> list[str]:
    """Names and attributes of the code that neither it, Python nor Manim defines. Empty where it does not parse."""
    try:
        tree = parsed(code)
    except SyntaxError:
        return []
    own = _defined(tree)
    known = api.names | own | set(dir(builtins))
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
            found[node.id] = None
        elif isinstance(node, ast.Attribute) and node.attr not in api.attributes | own:
            found[f".{node.attr}"] = None
    return list(found)


def _defined(tree: ast.Module) -> set[str]:
    """Whatever the code itself gives a name: variables, arguments, functions, classes, imports, its own attributes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found
