"""A combined set, put on a hub with a card: private unless that was asked for, never with a fault in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from t2v_studio.adapters.hub import Parcel, check_repo, hub, send
from t2v_studio.datasets.text_pairs.code import CodeTools
from t2v_studio.datasets.text_pairs.files import read_sets
from t2v_studio.datasets.text_pairs.validate import validate
from t2v_studio.errors import InputError, NotFoundError, StudioError, plural

FILES = ("train.jsonl", "test.jsonl")


def plan(folder: Path, repo: str, *, private: bool = True) -> Parcel:
    """Read and check a folder that `combine` wrote. Raises InputError, NotFoundError; StudioError for a faulty set."""
    folder = Path(folder).expanduser()
    check_repo(repo, "set")
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if not files:
        raise NotFoundError("no_set", f"{folder} holds no {' or '.join(FILES)}.", "Make them: t2v dataset combine")
    report = validate(read_sets(files), tools=CodeTools()).as_dict()
    if not report["ok"]:
        raise StudioError(
            "faulty_set", f"The set has {plural(report['counts']['error'], 'error')}.", "See t2v dataset validate."
        )
    if not private and report["licenses"].get("", 0):
        raise InputError(
            "no_license",
            f"The set cannot be made public: {plural(report['licenses'][''], 'row')} without a licence.",
            "Name it with t2v dataset combine --license.",
        )
    data = {file.name: file.read_bytes() for file in files}
    return Parcel(repo, private, data | {"README.md": _card(repo, files, report, data).encode()})


def _card(repo: str, files: list[Path], report: dict[str, Any], data: dict[str, bytes]) -> str:
    sources = Counter(str(row.data.get("source") or "not named") for row in read_sets(files))
    licenses = {name or "not named": count for name, count in report["licenses"].items()}
    head = {
        "license": next(iter(licenses)).lower() if len(licenses) == 1 and "not named" not in licenses else "other",
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": file.stem, "path": file.name} for file in files],
            }
        ],
    }
    lines = [f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n", f"# {repo.split('/')[1]}\n"]
    lines.append(f"{report['rows']} pairs of prompt and completion, in conversational form.\n")
    for title, counts in (("split", report["splits"]), ("source", sources), ("licence", licenses)):
        lines += [f"| {title} | rows |", "|---|---|", *(f"| {name} | {count} |" for name, count in counts.items()), ""]
    lines += ["Fields: prompt, completion, source, license, url, group (near-copies share it), split.\n"]
    lines += ["| file | SHA-256 |", "|---|---|"]
    lines += [f"| {name} | `{hashlib.sha256(content).hexdigest()}` |" for name, content in data.items()]
    return "\n".join(lines) + "\n"


def upload(ready: Parcel, token: str) -> str:
    """Send a plan's files, as `send` does."""
    return send(ready, token, hub, title="Text set with its card", code="upload_failed", repo_type="dataset")
