"""Code examples with the words around them, from a package's docstrings and documentation, or from saved HTML."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from t2v_studio.datasets.text_pairs.code import looks_like_code, parsed
from t2v_studio.errors import InputError, NotFoundError, UnavailableError

CONTEXT_WORDS = 200
CONTEXT_NODES = 6
MOST_BYTES = 16 * 2**20
SELECTORS = ("div.highlight pre", "pre > code", "pre")
TEXT_TAGS = ["p", "li", "dt", "dd", "h1", "h2", "h3"]
_MOBJECTS = re.compile(r"\b(?:Circle|Square|Text|Axes|VGroup|MathTex|Tex)\(")
_DIRECTIVE = re.compile(r"^(\s*)(?:\.\. (?:manim|code-block|code|sourcecode|testcode)::.*|(?!\s*\.\.).*::)\s*$")
_OPTION = re.compile(r"^\s*:[\w-]+:")

Found = tuple[str, str, str, str]
"""Code, before, after, where."""


def installed_package(name: str = "manim") -> Path:
    """The folder of an installed package; it is not imported. Raises UnavailableError."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(
            "not_installed", f"{name} is not installed.", "Run: make manim, or name a folder of its documentation."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def extract(
    path: Path, *, min_lines: int = 3, limit: int = 0, include_non_manim: bool = False, license: str = ""
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Snippet rows {code, before_context, after_context, url, hash, source, license}, each code once; and counts.

    path: a .html, .py or .rst file, or a folder of them. limit: most rows, 0 for all. Raises StudioError.
    """
    rows: dict[str, dict[str, Any]] = {}
    counts: Counter[str] = Counter()
    for file, name in _sources(Path(path).expanduser()):
        counts["files"] += 1
        for raw, before, after, where in _snippets(file, name, counts):
            counts["blocks"] += 1
            code = without_prompts(raw)
            reason = _unwanted(code, min_lines, include_non_manim)
            digest = hashlib.sha256(code.encode()).hexdigest()
            if reason or digest in rows:
                counts[reason or "duplicate"] += 1
                continue
            rows[digest] = {
                "code": code,
                "before_context": " ".join(before.split()[-CONTEXT_WORDS:]),
                "after_context": " ".join(after.split()[:CONTEXT_WORDS]),
                "url": where,
                "hash": digest,
                "source": "manim_docs",
                "license": license,
            }
            if limit and len(rows) == limit:
                return list(rows.values()), dict(counts)
    return list(rows.values()), dict(counts)


def _sources(path: Path) -> list[tuple[Path, str]]:
    """Files to read with the names that they have in `url`; links are not followed."""
    if path.is_file():
        if path.suffix.lower() not in _READERS:
            raise InputError("bad_format", f"{path.name} is of no known format.", f"Give {', '.join(_READERS)}.")
        return [(path, path.name)]
    if not path.is_dir():
        raise NotFoundError("no_such_folder", f"There is no {path}.", "Name a folder, or manim for the installed one.")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _READERS and not file.is_symlink())
    found = [(file, f"{path.name}/{file.relative_to(path).as_posix()}") for file in files if file.is_file()]
    if not found:
        raise NotFoundError("no_documents", f"{path} holds no documents.", f"They end in {', '.join(_READERS)}.")
    return found


def _snippets(file: Path, name: str, counts: Counter[str]) -> Iterator[Found]:
    if file.stat().st_size > MOST_BYTES:
        counts["file_too_large"] += 1
        return
    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        yield from _READERS[file.suffix.lower()](text, name)
    except (SyntaxError, RecursionError):
        counts["file_unreadable"] += 1


def _of_python(text: str, name: str) -> Iterator[Found]:
    """Examples in the docstrings of a module and of all that it defines."""

    def walk(node: ast.AST, path: tuple[str, ...]) -> Iterator[Found]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from of_docstring(child, (*path, child.name))
                yield from walk(child, (*path, child.name))

    def of_docstring(node: Any, path: tuple[str, ...]) -> Iterator[Found]:
        for code, before, after, _ in _of_rst(ast.get_docstring(node) or "", name):
            yield code, f"{'.'.join(path)} {before}".strip(), after, f"{name}#{'.'.join(path)}".rstrip("#")

    tree = parsed(text)
    yield from of_docstring(tree, ())
    yield from walk(tree, ())


def _of_rst(text: str, name: str) -> Iterator[Found]:
    """Directives, literal blocks and doctests of reStructuredText."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        start = number
        opened = _DIRECTIVE.match(lines[number])
        if opened:
            number = _block_end(lines, number + 1, len(opened[1]))
            body = _without_options(lines[start + 1 : number])
        elif lines[number].lstrip().startswith(">>>"):
            while number < len(lines) and lines[number].strip():
                number += 1
            body = lines[start:number]
        else:
            number += 1
            continue
        if any(line.strip() for line in body):
            yield "\n".join(body), _prose(lines[:start]), _prose(lines[number:]), name


def _block_end(lines: list[str], number: int, indent: int) -> int:
    while number < len(lines) and (
        not lines[number].strip() or len(lines[number]) - len(lines[number].lstrip()) > indent
    ):
        number += 1
    return number


def _without_options(lines: list[str]) -> list[str]:
    while lines and (not lines[0].strip() or _OPTION.match(lines[0])):
        lines = lines[1:]
    return lines


def _prose(lines: list[str]) -> str:
    """What stands around an example, without the other examples."""
    kept: list[str] = []
    number = 0
    while number < len(lines):
        opened = _DIRECTIVE.match(lines[number])
        if opened:
            if not lines[number].lstrip().startswith(".."):
                kept.append(lines[number].rstrip(": "))
            number = _block_end(lines, number + 1, len(opened[1]))
            continue
        if not re.match(r"^\s*(?:[-=~^\"*#]{3,}|\.\. |>>>|\.\.\. )", lines[number]):
            kept.append(lines[number])
        number += 1
    return " ".join(kept)


def _of_html(text: str, name: str) -> Iterator[Found]:
    """Examples of a page by three selectors; one block may be found by several, its hash makes it one."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(text, "html.parser")
    canonical = page.select_one('link[rel="canonical"][href]')
    url = str(canonical["href"]) if canonical else name
    for selector in SELECTORS:
        for block in page.select(selector):
            before = [_words(tag) for tag in block.find_all_previous(TEXT_TAGS, limit=4 * CONTEXT_NODES)]
            after = [_words(tag) for tag in block.find_all_next(TEXT_TAGS, limit=4 * CONTEXT_NODES)]
            yield block.get_text(), " ".join(_nearest(before)[::-1]), " ".join(_nearest(after)), url


def _words(tag: Any) -> str:
    """A tag's own text; one that holds code or other text tags says nothing of its own."""
    return "" if tag.find([*TEXT_TAGS, "pre"]) else str(tag.get_text(" ", strip=True))


def _nearest(texts: list[str]) -> list[str]:
    return [text for text in texts if text][:CONTEXT_NODES]


def without_prompts(code: str) -> str:
    """Code without >>> and ..., without the output between them, at the left margin."""
    lines = textwrap.dedent(code.replace("\r\n", "\n").replace("\xa0", " ").expandtabs(4)).split("\n")
    if any(line.lstrip().startswith(">>>") for line in lines):
        lines = [re.sub(r"^\s*(?:>>>|\.\.\.) ?", "", line) for line in lines if re.match(r"^\s*(?:>>>|\.\.\.)", line)]
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def _unwanted(code: str, min_lines: int, include_non_manim: bool) -> str:
    if sum(bool(line.strip()) for line in code.split("\n")) < min_lines:
        return "too_short"
    if not include_non_manim and not looks_like_code(code) and not _MOBJECTS.search(code):
        return "not_manim"
    return ""


_READERS = {".py": _of_python, ".rst": _of_rst, ".txt": _of_rst, ".html": _of_html, ".htm": _of_html}
