"""What the installed Manim offers, read from its source: names, signatures, docstrings, and a word search over them.

Manim is parsed, never imported. The index lies in the cache, one folder a version.
"""

from __future__ import annotations

import ast
import inspect
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from t2v_studio.engines.manim.installed import manim_version
from t2v_studio.errors import UnavailableError

_LEFT_OUT = ("cli", "opengl", "_config", "docbuild", "plugins", "templates", "testing", "tex_mobject", "matrix")
"""Parts of the package that no scene here may or can use; the last two need LaTeX."""
_UNUSABLE = frozenset(
    [
        "BraceLabel", "BraceText", "BarChart", "Variable", "SVGMobject", "ImageMobject", "ImageMobjectBase",
        "ImageMobjectFromCamera", "MathTable", "Matrix", "ManimBanner", "SceneFileWriter", "Brace",
    ]
)  # fmt: skip
"""Classes that need LaTeX or a file, or that no lesson shows."""
FORMAT = 2
"""Changes when entries are made in another way."""
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@dataclass(frozen=True)
class Entry:
    """One class, function or method. name: "Axes" or "Axes.plot"; call: its signature as one writes it."""

    name: str
    call: str
    about: str

    def line(self) -> str:
        return f"{self.call}  # {self.about}" if self.about else self.call


class ApiDocs:
    """Search and nearest names over the entries of one version."""

    def __init__(self, entries: Sequence[Entry], index: Any) -> None:
        self.entries = list(entries)
        self._index = index

    def search(self, query: str, k: int = 10) -> list[Entry]:
        """The k entries that share most with a query, by BM25, best first."""
        words = _tokens(query)
        if not words:
            return []
        scores = self._index.get_scores(words)
        order = sorted(range(len(scores)), key=lambda place: (-float(scores[place]), place))
        return [self.entries[place] for place in order[:k] if scores[place] > 0]

    def nearest(self, name: str, k: int = 3) -> list[Entry]:
        """Entries whose last name is most like a name that does not exist."""
        by_last = self._by_last_name
        near = get_close_matches(name, list(by_last), n=k, cutoff=0.6)
        near += [one for one in by_last if one.lower() == name.lower() and one not in near]
        return [by_last[one] for one in near[:k]]

    def named(self, name: str) -> Entry | None:
        """The entry of a class, function or method by its last name."""
        return self._by_last_name.get(name)

    @cached_property
    def _by_last_name(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for entry in sorted(self.entries, key=lambda one: one.name.count(".")):
            found.setdefault(entry.name.rpartition(".")[2], entry)
        return found


def api_docs(cache: Path) -> ApiDocs:
    """The documentation of the installed Manim; its index is made once a version (about 3 s) and kept in `cache`."""
    version = manim_version()
    if not version:
        raise UnavailableError("engine_unavailable", "Manim is not installed.", "Run: make manim")
    folder = cache / "manim" / f"api-{version}-{FORMAT}"
    try:
        return _loaded(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return _made(folder)


def _loaded(folder: Path) -> ApiDocs:
    rows = json.loads((folder / "entries.json").read_text(encoding="utf-8"))
    return ApiDocs([Entry(**row) for row in rows], _bm25s().BM25.load(str(folder), load_corpus=False))


def _made(folder: Path) -> ApiDocs:
    """Written beside its place and then moved, so that no half index is ever read."""
    found = entries()
    index = _bm25s().BM25(method="lucene")
    index.index([_tokens(f"{one.name} {one.name} {one.call} {one.about}") for one in found], show_progress=False)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True, exist_ok=True)
    index.save(str(part), show_progress=False)
    (part / "entries.json").write_text(json.dumps([asdict(one) for one in found]), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        part.rename(folder)
    except OSError:  # another process was quicker
        shutil.rmtree(part, ignore_errors=True)
    return ApiDocs(found, index)


def entries() -> list[Entry]:
    """Every public class and function of the installed Manim with a docstring, and the documented methods of classes."""
    spec = find_spec("manim")
    if spec is None or not spec.submodule_search_locations:
        return []
    root = Path(next(iter(spec.submodule_search_locations)))
    found: dict[str, Entry] = {}
    for path in sorted(root.rglob("*.py")):
        if not set(path.relative_to(root).with_suffix("").parts) & set(_LEFT_OUT):
            for entry in _of_module(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault(entry.name, entry)
    return list(found.values())


def _of_module(tree: ast.Module) -> Iterator[Entry]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _public(node):
            yield Entry(node.name, f"{node.name}({_arguments(node)})", _first_sentence(node))
        elif isinstance(node, ast.ClassDef) and _public(node) and node.name not in _UNUSABLE:
            yield from _of_class(node)


def _of_class(node: ast.ClassDef) -> Iterator[Entry]:
    methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
    init = methods.get("__init__")
    yield Entry(node.name, f"{node.name}({_arguments(init) if init else '...'})", _first_sentence(node))
    for name, method in methods.items():
        if _public(method):
            yield Entry(f"{node.name}.{name}", f"{node.name}.{name}({_arguments(method)})", _first_sentence(method))


def _public(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return not node.name.startswith("_") and bool(ast.get_docstring(node))


def _arguments(node: ast.FunctionDef) -> str:
    """Names and short defaults, without self and without types."""
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    found = [_argument(one, default) for one, default in zip(plain, defaults, strict=True)]
    if given.vararg:
        found.append(f"*{given.vararg.arg}")
    found += [_argument(one, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return ", ".join([one for one in found if one not in ("self", "cls")][:12])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return argument.arg
    text = ast.unparse(default)
    return f"{argument.arg}={text if len(text) <= 24 else '...'}"


def _first_sentence(node: ast.FunctionDef | ast.ClassDef) -> str:
    text = inspect.cleandoc(ast.get_docstring(node) or "").split("\n\n")[0]
    text = re.sub(r":\w+:`~?\.?([^`]*)`", r"\1", " ".join(text.split()))
    return re.split(r"(?<=[.!?])\s", text)[0][:160]


def _tokens(text: str) -> list[str]:
    """Words in small letters, stemmed; a name in camel case counts whole and in its parts."""
    import Stemmer

    whole = [word.lower() for word in re.findall(r"[A-Za-z]+", text)]
    parts = [word.lower() for word in _WORDS.findall(text)]
    words: list[str] = Stemmer.Stemmer("english").stemWords([*parts, *(set(whole) - set(parts))])
    return words


def _bm25s() -> Any:
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # its import sets DEBUG and a handler of its own
    return bm25s
