"""A combined set, put on a hub with a card: private unless that was asked for, never with a fault in it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from t2v_studio.datasets.text_pairs.code import CodeTools
from t2v_studio.datasets.text_pairs.files import read_sets
from t2v_studio.datasets.text_pairs.validate import validate
from t2v_studio.errors import InputError, NotFoundError, StudioError, UnavailableError

FILES = ("train.jsonl", "test.jsonl")
_REPO = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")


@dataclass(frozen=True)
class Plan:
    """What would be sent: to be shown before anything leaves the machine."""

    repo: str
    private: bool
    files: dict[str, bytes]

    def as_dict(self) -> dict[str, Any]:
        sizes = {name: len(data) for name, data in self.files.items()}
        return {"repo": self.repo, "private": self.private, "files": sizes, "card": self.files["README.md"].decode()}


def plan(folder: Path, repo: str, *, private: bool = True) -> Plan:
    """Read and check a folder that `combine` wrote. Raises InputError, NotFoundError; StudioError for a faulty set."""
    folder = Path(folder).expanduser()
    if not _REPO.match(repo):
        raise InputError("bad_repo", f"repo: {repo!r} is no name of a set.", "Write owner/name.")
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if not files:
        raise NotFoundError("no_set", f"{folder} holds no {' or '.join(FILES)}.", "Make them: t2v dataset combine")
    report = validate(read_sets(files), tools=CodeTools()).as_dict()
    if not report["ok"]:
        raise StudioError("faulty_set", f"The set has {report['counts']['error']} errors.", "See t2v dataset validate.")
    if not private and report["licenses"].get("", 0):
        raise InputError(
            "no_license",
            f"{report['licenses']['']} rows name no licence, so they cannot be made public.",
            "Name it with t2v dataset combine --license.",
        )
    data = {file.name: file.read_bytes() for file in files}
    return Plan(repo, private, data | {"README.md": _card(repo, files, report, data).encode()})


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


def hub(token: str) -> Any:
    """The hub's interface."""
    from huggingface_hub import HfApi

    return HfApi(token=token)


def upload(ready: Plan, token: str) -> str:
    """Send a plan's files in one commit; returns the commit's address. Raises StudioError.

    A set that is there already and is public gets nothing while `private` was asked for.
    """
    if not token:
        raise UnavailableError(
            "no_token", "HF_TOKEN is not set.", "Set it in the environment to a token that may write."
        )
    from huggingface_hub import CommitOperationAdd

    api = hub(token)
    try:
        api.create_repo(ready.repo, repo_type="dataset", private=ready.private, exist_ok=True)
        if ready.private and not api.repo_info(ready.repo, repo_type="dataset").private:
            raise StudioError(
                "public_repo", f"{ready.repo} is there already and is public.", "Name another, or say --public."
            )
        adds = [CommitOperationAdd(name, content) for name, content in ready.files.items()]
        done = api.create_commit(ready.repo, adds, commit_message="Text set with its card", repo_type="dataset")
    except StudioError:
        raise
    except Exception as error:  # the client raises errors of whatever library it sends with
        reason = str(error).replace(token, "***").splitlines()[0][:200] if str(error) else type(error).__name__
        raise StudioError("upload_failed", f"The hub did not take it: {reason}", "Nothing was changed here.") from error
    return str(done.commit_url)
