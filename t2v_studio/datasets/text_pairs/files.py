"""Text sets on disk: JSONL, JSON and CSV in, JSONL out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2v_studio.errors import InputError, LimitError, NotFoundError
from t2v_studio.production.packs_run import write_whole

SUFFIXES = (".jsonl", ".json", ".csv")
MOST_BYTES = 256 * 2**20
NO_ROWS = ("dropped.jsonl", "rejected.jsonl", "failed.jsonl", "review.jsonl", "counts.json")
"""How the names of files end that lie beside a set and are no part of it."""
SPLIT_NAMES = {"train": "train", "test": "test", "val": "val", "validation": "val", "valid": "val", "eval": "val"}


@dataclass(frozen=True)
class Read:
    """A row with its place (file:line) and split, "" where nothing names one; `fault` where it is no row at all."""

    place: str
    data: dict[str, Any]
    split: str = ""
    fault: str = ""


def read_sets(paths: Iterable[Path]) -> list[Read]:
    """Rows of files, or of the sets in folders. A bad line is a row with a fault.

    The split is the row's own field, the key of a JSON object of lists, or the first word of the file's name.
    Raises NotFoundError, InputError, LimitError.
    """
    return [row for path in paths for file in set_files(Path(path).expanduser()) for row in read_file(file)]


def set_files(path: Path) -> list[Path]:
    """The file, or the files of a folder that hold rows. Raises NotFoundError where there are none."""
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES and file.is_file()]
        found = [file for file in found if not file.name.endswith(NO_ROWS)]
        if not found:
            raise NotFoundError("no_rows", f"There is no set in {path.name}.", f"Files end in {', '.join(SUFFIXES)}.")
        return found
    if not path.is_file():
        raise NotFoundError("no_rows", f"There is no file {path}.", "Name a .jsonl, .json or .csv file, or a folder.")
    return [path]


def read_file(path: Path) -> list[Read]:
    """The rows of one file. Raises InputError, LimitError."""
    if path.stat().st_size > MOST_BYTES:
        raise LimitError("too_large", f"{path.name} is larger than {MOST_BYTES >> 20} MiB.", "Divide it.")
    split = SPLIT_NAMES.get(path.stem.lower().replace("-", "_").split("_")[0], "")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("bad_encoding", f"{path.name} is no UTF-8 text ({error}).", "Save it as UTF-8.") from error
    kind = path.suffix.lower()
    if kind == ".csv":
        return _csv_rows(path, text, split)
    if kind == ".json":
        return _json_rows(path, text, split)
    if kind == ".jsonl":
        lines = enumerate(text.split("\n"), start=1)
        return [_line(f"{path.name}:{number}", line, split) for number, line in lines if line.strip()]
    raise InputError("bad_format", f"{path.name} is of no known format.", f"Give one of {', '.join(SUFFIXES)}.")


def _csv_rows(path: Path, text: str, split: str) -> list[Read]:
    csv.field_size_limit(MOST_BYTES)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise InputError("bad_csv", f"{path.name} is no CSV ({error}).", "Save it again as comma-separated.") from error
    found = []
    for number, row in enumerate(rows, start=2):
        fault = "it has more fields than the header" if None in row else ""
        data = {name: value for name, value in row.items() if name and value is not None}
        found.append(_placed(f"{path.name}:{number}", data, split, fault))
    return found


def _json_rows(path: Path, text: str, split: str) -> list[Read]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("bad_json", f"{path.name} is no JSON ({error}).", "Mend it, or save it as JSONL.") from error
    parts: Any = {split: data} if isinstance(data, list) else data
    if not isinstance(parts, dict) or not all(isinstance(rows, list) for rows in parts.values()):
        raise InputError("bad_json", f"{path.name} holds no list of rows.", 'Write [{…}, …] or {"train": […], …}.')
    return [
        _placed(f"{path.name}:{name + ':' if name and name != split else ''}{number}", row, _split(name))
        for name, rows in parts.items()
        for number, row in enumerate(rows, start=1)
    ]


def _line(place: str, line: str, split: str) -> Read:
    try:
        return _placed(place, json.loads(line), split)
    except (ValueError, RecursionError) as error:
        return Read(place, {}, split, f"it is no JSON ({error})")


def _placed(place: str, data: Any, split: str, fault: str = "") -> Read:
    if not isinstance(data, dict):
        return Read(place, {}, split, "it is no object")
    own = data.get("split")
    return Read(place, data, _split(own) if isinstance(own, str) and own else split, fault)


def _split(name: str) -> str:
    return SPLIT_NAMES.get(name.lower(), name)


def jsonl_text(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows whole or not at all; a file that is there is replaced. Raises InputError."""
    path = Path(path).expanduser().absolute()
    if path.suffix.lower() != ".jsonl":
        raise InputError("bad_output", f"output: {path.name} does not end in .jsonl.", "Name it so.")
    return write_text(path, jsonl_text(rows))


def write_text(path: Path, text: str) -> Path:
    try:
        write_whole(path, text)
    except OSError as error:
        raise InputError(
            "not_writable", f"output: {path} cannot be written ({error.strerror}).", "Choose another."
        ) from error
    return path
