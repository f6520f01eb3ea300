"""A language model's adapter on the hub: shown first, private unless that was asked for."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2v_studio.adapters.catalogue import find
from t2v_studio.adapters.text_adapters import peft_folder
from t2v_studio.adapters.text_card import model_card
from t2v_studio.errors import InputError, StudioError, UnavailableError
from t2v_studio.workspace import Workspace

EXPORTS = "export"
"""In an adapter's folder: what was exported without a folder of its own."""
_REPO = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")


@dataclass(frozen=True)
class PushPlan:
    """What would be sent: to be shown before anything leaves the machine."""

    repo: str
    private: bool
    files: dict[str, bytes]

    def as_dict(self) -> dict[str, Any]:
        sizes = {name: len(data) for name, data in self.files.items()}
        return {"repo": self.repo, "private": self.private, "files": sizes, "card": self.files["README.md"].decode()}


def plan_push(workspace: Workspace, adapter: str, repo: str, *, private: bool = True) -> PushPlan:
    """PEFT's files, the card, and the adapter's GGUF and Modelfile where they were exported. Raises InputError."""
    if not _REPO.match(repo):
        raise InputError("bad_repo", f"repo: {repo!r} is no name of a repository.", "Write owner/name.")
    card = find(workspace, adapter)
    if not card.is_text:
        raise InputError("not_text", f"adapter: {card.name} is of a video model.", "Push it with the recipe's push_to.")
    with tempfile.TemporaryDirectory(prefix="t2v-push-") as name:
        files = {path.name: path.read_bytes() for path in sorted(peft_folder(workspace, card, Path(name)).iterdir())}
    beside = workspace.adapter(card.id) / EXPORTS
    for path in sorted([*beside.glob("*-lora.gguf"), *beside.glob("Modelfile")]):
        files[path.name] = path.read_bytes()
    return PushPlan(repo, private, files | {"README.md": model_card(workspace, card, repo).encode()})


def hub(token: str) -> Any:
    """The hub's interface."""
    from huggingface_hub import HfApi

    return HfApi(token=token)


def push(ready: PushPlan, token: str) -> str:
    """Send a plan's files in one commit; returns the commit's address. Raises StudioError.

    A repository that is there already and is public gets nothing while `private` was asked for.
    """
    if not token:
        raise UnavailableError(
            "no_token", "HF_TOKEN is not set.", "Set it in the environment to a token that may write."
        )
    from huggingface_hub import CommitOperationAdd

    api = hub(token)
    try:
        api.create_repo(ready.repo, private=ready.private, exist_ok=True)
        if ready.private and not api.repo_info(ready.repo).private:
            raise StudioError(
                "public_repo", f"{ready.repo} is there already and is public.", "Name another, or say --public."
            )
        adds = [CommitOperationAdd(name, content) for name, content in ready.files.items()]
        done = api.create_commit(ready.repo, adds, commit_message="Adapter with its card")
    except StudioError:
        raise
    except Exception as error:  # the client raises errors of whatever library it sends with
        reason = str(error).replace(token, "***").splitlines()[0][:200] if str(error) else type(error).__name__
        raise StudioError("push_failed", f"The hub did not take it: {reason}", "Nothing was changed here.") from error
    return str(done.commit_url)
