"""What a piece of Manim code is: whether it parses, which scenes it holds, whether it needs LaTeX."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from t2v_studio.errors import StudioError
from t2v_studio.settings import load_settings

TEX_NAMES = frozenset(
    [
        "Tex",
        "MathTex",
        "SingleStringMathTex",
        "Title",
        "BulletedList",
        "Matrix",
        "IntegerMatrix",
        "DecimalMatrix",
        "MobjectMatrix",
        "BarChart",
        "BraceLabel",
        "BraceText",
        "MathTable",
        "Variable",
        "TexTemplate",
    ]
)
"""Classes that set their text with LaTeX, whatever they are given."""
NUMBER_NAMES = frozenset({"DecimalNumber", "Integer", "DecimalTable", "IntegerTable"})
"""Numbers are set with LaTeX unless mob_class names another class."""
TEX_METHODS = frozenset(
    [
        "add_coordinates",
        "add_numbers",
        "get_tex",
        "get_axis_labels",
        "get_x_axis_label",
        "get_y_axis_label",
        "get_graph_label",
    ]
)
_MARKS = ("from manim import", "import manim", "(Scene)", "def construct(self")


@dataclass(frozen=True)
class CodeFacts:
    """`fault` is the parser's message where it does not parse; latex names what asks for LaTeX."""

    fault: str = ""
    line: int = 0
    scenes: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    """Scene classes without a construct of their own."""
    latex: tuple[str, ...] = ()
    lines: int = 0


def looks_like_code(text: str) -> bool:
    """Whether a text is meant as Manim code, parsable or not."""
    return any(mark in text for mark in _MARKS)


def parsed(code: str) -> ast.Module:
    """The tree. Raises SyntaxError alone, whatever is wrong, with no warning of the code's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(code)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error) or "too deeply nested") from error


def facts(code: str) -> CodeFacts:
    """What can be read off the code without running it."""
    lines = len(code.splitlines())
    try:
        tree = parsed(code)
    except SyntaxError as error:
        return CodeFacts(fault=error.msg or "it does not parse", line=error.lineno or 0, lines=lines)
    scenes, bare = _scenes(tree)
    return CodeFacts(scenes=scenes, bare=bare, latex=_latex(tree), lines=lines)


def _scenes(tree: ast.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Scene classes that have a construct, and those that have none; a base class of another scene is no scene."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    kinds: dict[str, ast.ClassDef] = {}
    for node in classes:
        if any(name.endswith("Scene") or name in kinds for name in map(_last_name, node.bases)):
            kinds[node.name] = node
    bases = {_last_name(base) for node in kinds.values() for base in node.bases}
    leaves = [node for name, node in kinds.items() if name not in bases]
    full = tuple(node.name for node in leaves if _constructs(node, kinds))
    return full, tuple(node.name for node in leaves if node.name not in full)


def _constructs(node: ast.ClassDef, kinds: dict[str, ast.ClassDef]) -> bool:
    if any(isinstance(part, ast.FunctionDef) and part.name == "construct" for part in node.body):
        return True
    parents = [kinds[name] for name in map(_last_name, node.bases) if name in kinds and name != node.name]
    return any(_constructs(parent, kinds) for parent in parents)


def _latex(tree: ast.Module) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _last_name(node.func)
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            own_class = "mob_class" in keywords or "element_to_mobject" in keywords
            numbers = keywords.get("include_numbers")
            if name in TEX_NAMES | TEX_METHODS or (name in NUMBER_NAMES and not own_class):
                found[name] = None
            elif isinstance(numbers, ast.Constant) and numbers.value is True:
                found["include_numbers"] = None
    return tuple(found)


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


@dataclass(frozen=True)
class CodeTools:
    """Checks that need the Manim engine; each is None where it is not here, and `missing` says why.

    gate: code to refusals. dry_run: code and scene to what failed, "" for nothing.
    """

    gate: Callable[[str], list[str]] | None = None
    dry_run: Callable[[str, str], str] | None = None
    missing: tuple[tuple[str, str], ...] = ()


def tools(*, dry_run: bool = False) -> CodeTools:
    """The engine's gate, and its sandboxed dry run where that was asked for and can be had here."""
    from t2v_studio.engines.manim.gate import refusals

    if not dry_run:
        return CodeTools(refusals, None, (("dry_run", "not asked for (--dry-run)"),))
    from t2v_studio.engines.manim.dry_run import dry_run as tried
    from t2v_studio.engines.manim.dry_run import ready

    try:
        ready(load_settings())
    except StudioError as error:
        return CodeTools(refusals, None, (("dry_run", f"{error.message} {error.hint}"),))
    return CodeTools(refusals, tried)
