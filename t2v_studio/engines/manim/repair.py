"""Mending a scene: the smallest block around what is wrong, what to tell the model, and its answer put in place."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass

from t2v_studio.engines.manim.api_docs import ApiDocs, Entry
from t2v_studio.engines.manim.job import CodeError, Fault

_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_LINE = re.compile(r"^Line (\d+): ")
_UNKNOWN = (
    re.compile(r"name '(\w+)' is not defined"),
    re.compile(r"has no attribute '(\w+)'"),
    re.compile(r"unexpected keyword argument '(\w+)'"),
    re.compile(r"cannot import name '(\w+)'"),
)
_CALLED = re.compile(r"(\w+)(?:\.__init__)?\(\) (?:got|missing|takes)")
LATEX = "LaTeX does not run here: use Formula(r'...') for formulas, Text for words, and no include_numbers=True."


@dataclass(frozen=True)
class Problem:
    """What is wrong, in words for model and record; line counts from 1 in the code, 0 where none is known."""

    text: str
    line: int = 0
    last_line: int = 0
    near: tuple[Entry, ...] = ()


def of_refusals(refusals: list[str]) -> Problem:
    match = _LINE.match(refusals[0])
    return Problem(" ".join(refusals[:4]), int(match[1]) if match else 0)


def of_error(error: CodeError, docs: ApiDocs | None) -> Problem:
    """The error, and the nearest names that Manim does have; for a wrong call its signature."""
    text = str(error)
    if "latex" in text.lower():
        return Problem(f"{text[:200]} {LATEX}", error.line)
    near: dict[str, Entry] = {}
    if docs is not None:
        for pattern in _UNKNOWN:
            near |= {one.name: one for match in pattern.finditer(text) for one in docs.nearest(match[1])}
        near |= {one.name: one for match in _CALLED.finditer(text) if (one := docs.named(match[1]))}
    return Problem(text[:600], error.line, near=tuple(near.values()))


def of_faults(faults: list[Fault], code: str) -> Problem:
    """The faults of the layout, at the lines that name what they are about: of two texts that of the later one."""
    lines = sorted({max(found) for fault in faults if (found := _mentions(fault, code))})
    text = " ".join(dict.fromkeys(fault.message for fault in faults[:5]))
    return Problem(f"Layout: {text}", lines[0] if lines else 0, lines[-1] if lines else 0)


def _mentions(fault: Fault, code: str) -> list[int]:
    """Lines of the code that hold the text of a mobject which a fault names, as in Text "Loss"; Manim drops spaces."""
    strings = [
        (node.lineno, _packed(node.value))
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    found = []
    for name in fault.names:
        words = _packed(name.partition('"')[2].rstrip('"'))
        found += [line for line, text in sorted(strings) if words and words in text][:1]
    return found


def _packed(text: str) -> str:
    return "".join(text.split())


def block(code: str, problem: Problem, widen: int) -> tuple[int, int]:
    """First and last line of the block to be written again.

    widen 0: the statement around the line; 1: the function around it; 2, and where nothing is known: everything.
    """
    lines = code.count("\n") + 1
    if not problem.line or widen >= 2:
        return 1, lines
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return (1, lines) if widen else _paragraph(code.splitlines(), problem.line)
    first, last = problem.line, max(problem.line, problem.last_line)
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= first and (node.end_lineno or node.lineno) >= last
    ]
    if widen == 1:
        around = [node for node in around if isinstance(node, ast.FunctionDef)] or around
    if not around:
        return 1, lines
    smallest = min(around, key=lambda node: (node.end_lineno or node.lineno) - node.lineno)
    if isinstance(smallest, ast.ClassDef):
        return 1, lines
    return smallest.lineno, smallest.end_lineno or smallest.lineno


def _paragraph(lines: list[str], line: int) -> tuple[int, int]:
    """Code that does not parse has no statements: the lines between two empty ones."""
    first = last = min(line, len(lines))
    while first > 1 and lines[first - 2].strip():
        first -= 1
    while last < len(lines) and lines[last].strip():
        last += 1
    return first, last


def request(code: str, problem: Problem, first: int, last: int) -> str:
    """What the model is asked: the problem, names that exist, and the lines to write again."""
    lines = code.splitlines()
    whole = first == 1 and last >= len(lines)
    parts = [f"This does not work yet. {problem.text}"]
    if problem.near:
        parts.append("Manim has:\n" + "\n".join(one.line() for one in problem.near))
    if whole:
        parts.append("Write the whole scene again, mended, in one python block.")
    else:
        wanted = textwrap.dedent("\n".join(lines[first - 1 : last]))
        parts.append(
            f"Write lines {first} to {last} again, mended, and nothing else, in one python block:\n```python\n{wanted}\n```"
        )
    return "\n\n".join(parts)


def merged(code: str, answer: str, first: int, last: int) -> str:
    """The code with an answer in place of a block, indented as the block was; a whole scene replaces everything."""
    given = code_of(answer)
    lines = code.splitlines()
    if re.search(r"^class \w+\(", given, re.MULTILINE) or (first == 1 and last >= len(lines)):
        return given
    old = lines[first - 1 : last]
    indent = next((line[: len(line) - len(line.lstrip())] for line in old if line.strip()), "")
    new = textwrap.indent(textwrap.dedent(given).rstrip("\n"), indent)
    return "\n".join([*lines[: first - 1], new, *lines[last:]]) + "\n"


def code_of(answer: str) -> str:
    """The Python of an answer: its first fence, or all of it."""
    text = _THINKING.sub("", answer)
    match = _FENCE.search(text)
    return (match[1] if match else text).strip("\n") + "\n"
