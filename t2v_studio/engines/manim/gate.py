"""Clear refusals of Manim code before it runs: what a scene never needs, each in one sentence with its line.

The gate explains to a person and to the model that repairs. It is no wall: Python has ways around any such list,
and the sandbox is what holds.
"""

from __future__ import annotations

import ast
import re
import warnings

MODULES = frozenset(
    [
        "manim", "numpy", "math", "cmath", "random", "itertools", "functools", "operator", "collections", "typing",
        "dataclasses", "enum", "fractions", "statistics", "string", "networkx", "textwrap", "copy", "colorsys", "abc",
        "numbers", "__future__",
    ]
)  # fmt: skip
"""Modules that a scene may import from."""
_CLOSED_MODULES = (
    "manim.cli", "manim.plugins", "manim._config", "manim.utils.file_ops", "manim.scene.scene_file_writer",
    "manim.utils.tex_file_writing", "manim.__main__", "numpy.lib", "numpy.ctypeslib", "numpy.f2py", "numpy.testing",
    "numpy.distutils",
)  # fmt: skip
_BUILTINS = frozenset(
    [
        "open", "exec", "eval", "compile", "input", "breakpoint", "globals", "locals", "vars", "getattr", "setattr",
        "delattr", "__import__", "memoryview", "exit", "quit", "help",
    ]
)  # fmt: skip
_FILES = frozenset(
    [
        "load", "save", "savez", "savez_compressed", "savetxt", "loadtxt", "genfromtxt", "fromfile", "tofile",
        "fromregex", "memmap", "DataSource", "dump", "dumps",
    ]
)  # fmt: skip
"""Methods of numpy that read or write files."""
_SCENE_METHODS = {
    "embed": "opens a prompt", "interactive_embed": "opens a prompt", "interact": "opens a prompt",
    "add_sound": "reads a file",
}  # fmt: skip
_FILE_MOBJECTS = frozenset({"ImageMobject", "SVGMobject", "OpenGLImageMobject", "OpenGLSVGMobject"})
_FILE_KEYWORDS = frozenset({"code_file", "file_name", "filename", "tex_template", "media_dir"})
_OWN_NAMES = frozenset({"__init__", "__name__", "__class__"})
_HIDDEN_FIELD = re.compile(r"\{[^}]*_")
LONGEST_CODE = 40_000
MOST_NODES = 12_000
LONGEST_LOOP = 100_000
LONGEST_WAIT_S = 120


def refusals(code: str) -> list[str]:
    """One sentence for each thing that a scene may not do, in the order of its lines; empty when it may be tried."""
    if len(code) > LONGEST_CODE:
        return [f"The code has {len(code):,} characters; at most {LONGEST_CODE:,} are taken."]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except SyntaxError as error:
        return [f"Line {error.lineno or 0}: it does not parse: {error.msg}."]
    except (ValueError, RecursionError, MemoryError) as error:
        return [f"It does not parse: {error or 'too deeply nested'}."]
    nodes = sum(1 for _ in ast.walk(tree))
    if nodes > MOST_NODES:
        return [f"The code has {nodes:,} parts; at most {MOST_NODES:,} are taken."]
    reader = _Reader()
    reader.visit(tree)
    return [f"Line {line}: {text}" for line, text in sorted(dict.fromkeys(reader.found))]


class _Reader(ast.NodeVisitor):
    """Collects (line, sentence)."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def _refuse(self, node: ast.AST, text: str) -> None:
        self.found.append((getattr(node, "lineno", 0), text))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self._refuse(node, "relative imports lead nowhere here.")
            return
        self._module(node, node.module or "")
        for alias in node.names:
            if alias.name in _FILES and (node.module or "").startswith("numpy"):
                self._refuse(node, f"{alias.name} reads or writes files; a scene has none.")
            elif _hidden(alias.name):
                self._refuse(node, f"{alias.name} is a name of Python's inside.")
            else:
                self._module(node, f"{node.module}.{alias.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = node.attr
        if _hidden(name):
            self._refuse(node, f"the attribute {name} belongs to the inside of an object; use its public names.")
        elif name in _FILES and _root(node) in ("np", "numpy"):
            self._refuse(node, f"{_root(node)}.{name} reads or writes files; a scene has none.")
        elif name.endswith(("_dir", "_file")) and isinstance(node.ctx, ast.Store):
            self._refuse(node, f"{name} may not be set: where files go is the studio's to say.")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _BUILTINS:
            self._refuse(node, f"{node.id} is not for scenes.")
        elif node.id.startswith("__") and node.id not in _OWN_NAMES:
            self._refuse(node, f"{node.id} is a name of Python's inside.")

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(node.func, ast.Attribute) and name in _SCENE_METHODS:
            self._refuse(node, f"{name} {_SCENE_METHODS[name]}; leave it out.")
        if name in _FILE_MOBJECTS and _names_a_file(node):
            self._refuse(node, f"{name} reads a file, and a scene has none; draw it from shapes.")
        for keyword in node.keywords:
            if keyword.arg in _FILE_KEYWORDS:
                self._refuse(node, f"{keyword.arg}= names a file, and a scene has none.")
        if name == "range" and any(_number(one) > LONGEST_LOOP for one in node.args):
            self._refuse(node, f"a loop of more than {LONGEST_LOOP:,} rounds takes too long.")
        if name == "wait" and node.args and _number(node.args[0]) > LONGEST_WAIT_S:
            self._refuse(node, f"it waits for more than {LONGEST_WAIT_S} s.")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and "__" in node.value and _HIDDEN_FIELD.search(node.value):
            self._refuse(node, "a format string reaches into the inside of an object.")

    def visit_While(self, node: ast.While) -> None:
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        ends = any(isinstance(part, ast.Break | ast.Return | ast.Raise) for part in ast.walk(node))
        if endless and not ends:
            self._refuse(node, "this loop never ends.")
        self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._refuse(node, "scenes run one after another; async is not for them.")
        self.generic_visit(node)

    def _module(self, node: ast.AST, name: str) -> None:
        if name.split(".")[0] not in MODULES:
            self._refuse(node, f"{name.split('.')[0]} may not be imported; a scene has {_some_modules()}.")
        elif any(name == one or name.startswith(f"{one}.") for one in _CLOSED_MODULES):
            self._refuse(node, f"{name} is not for scenes.")


def _hidden(name: str) -> bool:
    return name.startswith("__") and name not in _OWN_NAMES


def _root(node: ast.Attribute) -> str:
    part: ast.expr = node
    while isinstance(part, ast.Attribute):
        part = part.value
    return part.id if isinstance(part, ast.Name) else ""


def _names_a_file(node: ast.Call) -> bool:
    """An array in place of a file name is a picture of the scene's own."""
    first = node.args[0] if node.args else None
    return not node.args or (isinstance(first, ast.Constant) and isinstance(first.value, str)) or isinstance(first, ast.JoinedStr)  # fmt: skip


def _number(node: ast.expr) -> float:
    """The value of a literal, of powers and products of literals; 0 for all else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return abs(float(node.value)) if abs(node.value) < 1e300 else float("inf")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.Mult):
        left, right = _number(node.left), _number(node.right)
        try:
            return left**right if isinstance(node.op, ast.Pow) else left * right
        except OverflowError:
            return float("inf")
    return 0.0


def _some_modules() -> str:
    return "manim, numpy, math, random, itertools and their like"
